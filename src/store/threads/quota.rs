//! The quotas on one user's storage, if the operator has set them.
//!
//! A user's threads are those that pass the filter of their [`Scope`]: there is no other notion of
//! an owner. Creating a thread is refused at the quota. Creations of one user are serialised, so
//! that two of them cannot both take the last free place: in this process before they take a
//! connection, and across instances by a lock that ends with the transaction, which also works
//! behind a transaction pooler. Different users do not wait for each other.

use sqlx::Row as _;

use crate::authz::Scope;
use crate::store::keyed_lock::Guard;
use crate::store::pool::Lease;
use crate::store::sql::Statement;
use crate::store::{Error, Store};

/// The number of a user's threads, counted up to a limit.
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

/// The lock of a user for the current transaction.
pub(in crate::store) static LOCK_OWNER: Statement =
    Statement::new("threads/lock_owner", "select pg_advisory_xact_lock($1)");

/// Limits on users' storage.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quotas {
    /// Maximum number of threads of one user. `None`: no limit.
    pub threads: Option<u32>,
    /// Maximum bytes of the state of one thread, including its history. `None`: no limit.
    pub state_bytes: Option<i64>,
}

impl Store {
    /// A transaction in which a thread of `owner` may be created. Under a quota no other thread of
    /// this owner is created until the transaction has ended: keep the guard until then.
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
        // A separate statement, so that the count sees the commit of the previous holder.
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
