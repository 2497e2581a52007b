//! How much one user may have stored, where the operator has set a quota.
//!
//! A user's threads are those that pass the filter of their [`Scope`]: there is no other notion of
//! an owner. Creating one is refused at the quota. So that two requests of a user cannot both find
//! room for the last thread, each waits for the other: in this process before it takes a connection,
//! and for other instances at a lock that ends with the transaction, which also works behind a
//! transaction pooler. Users do not wait for each other.

use sqlx::Row as _;

use crate::authz::Scope;
use crate::store::keyed_lock::Guard;
use crate::store::pool::Lease;
use crate::store::sql::Statement;
use crate::store::{Error, Store};

/// How many threads a user has, counted up to a bound.
pub(in crate::store) static COUNT_UP_TO: Statement = Statement::new(
    "threads/quota",
    "
    select count(*) as threads
    from unnest($1::bigint[], $2::text[]::jsonb[], $3::bigint[])
        with ordinality as asked (tenant, filter, max_threads, n)
    cross join lateral (
        select 1
        from thread_store.thread
        where thread.tenant = asked.tenant and {visible}
        limit asked.max_threads
    ) as own",
);

/// The lock of a user for the transaction under way.
pub(in crate::store) static LOCK_OWNER: Statement =
    Statement::new("threads/lock_owner", "select pg_advisory_xact_lock($1)");

/// Bounds on what users may have stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quotas {
    /// Threads of one user. `None`: any number.
    pub threads: Option<u32>,
    /// Bytes of JSON of the state of one thread, history included. `None`: any number.
    pub state_bytes: Option<i64>,
}

impl Store {
    /// A transaction in which a thread of `owner` may be created. With a quota nobody else creates
    /// one of theirs until it has ended: keep the guard until then.
    pub(in crate::store) async fn begin_creating(
        &self,
        owner: &Scope,
    ) -> Result<(Lease, Option<Guard<i64>>), Error> {
        let Some(max) = self.quotas.threads else {
            return Ok((self.pool.begin(owner.holder()).await?, None));
        };
        let asked = self.asked(owner);
        let name = asked.condition().fingerprint();
        let guard = self.creators.lock(name).await;
        let mut transaction = self.pool.begin(owner.holder()).await?;
        // A statement of its own: the count has to see what the one before has committed.
        transaction.execute(sqlx::query(LOCK_OWNER.text()).bind(name)).await?;
        let query = asked.query(&COUNT_UP_TO).bind(vec![i64::from(max)]);
        let row = transaction.fetch_optional(query).await?;
        let threads: i64 = row.map_or(Ok(0), |row| row.try_get("threads"))?;
        if threads >= i64::from(max) {
            return Err(Error::TooManyThreads(max));
        }
        Ok((transaction, Some(guard)))
    }
}
