//! What one user may take up, where the operator has set a cap.
//!
//! A user's threads are those that pass the filter of their [`Scope`]: there is no other notion of
//! an owner. Making one is refused if they have as many as they may. So that two of their requests
//! cannot both find room for the last one, each waits for the other: in this instance before it
//! takes a connection, and for other instances at a lock that ends with the transaction, which also
//! works behind a transaction pooler. Users do not wait for each other.

use sqlx::QueryBuilder;

use super::filter::{fingerprint, push_visible};
use super::pool::Connection;
use super::writers::Turn;
use super::{Store, WriteError};
use crate::auth::Scope;

/// Bounds on what users may have stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Caps {
    /// Threads of one user. `None`: no cap.
    pub threads: Option<u32>,
    /// Bytes of the state of one thread, as [`Storage`](super::Storage) counts them. `None`: no cap.
    pub state_bytes: Option<i64>,
}

impl Store {
    /// A transaction in which a thread of `owner` may be made. With a cap nobody else makes one of
    /// theirs until it has ended: keep the turn until then.
    pub(super) async fn begin_making(
        &self,
        owner: &Scope,
    ) -> Result<(Connection, Option<Turn>), WriteError> {
        let Some(most) = self.caps.threads else { return Ok((self.pool.begin().await?, None)) };
        let owner_id = fingerprint(owner);
        let turn = self.makers.turn(owner_id).await;
        let mut transaction = self.pool.begin().await?;
        // A statement of its own: the next one has to see what was done by whom it waited for.
        let (lock, _) = owner_id.as_u64_pair();
        sqlx::query("select pg_advisory_xact_lock($1)")
            .bind(lock.cast_signed())
            .execute(&mut transaction)
            .await?;
        let mut sql =
            QueryBuilder::new("select count(*) from ( select from thread_store.thread where ");
        push_visible(&mut sql, owner);
        sql.push(" limit ").push_bind(i64::from(most)).push(" ) as own");
        let threads: i64 = sql.build_query_scalar().fetch_one(&mut transaction).await?;
        if threads >= i64::from(most) {
            return Err(WriteError::TooManyThreads(most));
        }
        Ok((transaction, Some(turn)))
    }
}
