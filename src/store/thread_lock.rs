//! Locks a thread's row against other writers.

use uuid::Uuid;

use super::Error;
use super::operation::Asked;
use super::pool::Lease;
use super::sql::Statement;

/// Locks a visible thread against other writers for this transaction.
pub(super) static LOCK: Statement = Statement::new(
    "threads/lock",
    "
    select
    from unnest($1::bigint[], $2::text[]::jsonb[], $3::uuid[])
        with ordinality as asked (tenant, filter, thread_id, n)
    cross join lateral (
        select
        from thread_store.thread
        where thread.tenant = asked.tenant
            and thread.thread_id = asked.thread_id
            and {visible}
        for no key update
    ) as thread",
);

/// Locks a thread for the current transaction. Returns whether there is such a thread.
pub(super) async fn lock(
    transaction: &mut Lease,
    asked: &Asked,
    thread_id: Uuid,
) -> Result<bool, Error> {
    let query = asked.query(&LOCK).bind(vec![thread_id]);
    Ok(transaction.fetch_optional(query).await?.is_some())
}
