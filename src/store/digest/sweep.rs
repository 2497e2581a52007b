//! The search of all threads for those whose digests are not up to date.

use sqlx::Row as _;
use tracing::{info, warn};
use uuid::Uuid;

use super::PAUSE;
use super::source::is_current;
use crate::store::due::{BATCH, Key};
use crate::store::sql::Statement;
use crate::store::{Error, Store};

/// Threads that one statement examines.
const PAGE: i64 = 2_000;

/// The next threads by their keys, and whether their digests are up to date.
pub(in crate::store) static NEXT: Statement = Statement::new(
    "digest/next",
    concat!(
        "
    select thread.tenant, thread.thread_id, ",
        is_current!(),
        " as is_current
    from (
        select *
        from thread_store.thread
        where (thread.tenant, thread.thread_id) > ($1, $2)
        order by thread.tenant, thread.thread_id
        limit $3
    ) as thread
    left join thread_store.digest
        on digest.tenant = thread.tenant and digest.thread_id = thread.thread_id
    order by thread.tenant, thread.thread_id"
    ),
);

/// Marks digests as out of date, so that all of their text is written again.
pub(in crate::store) static FORGET: Statement = Statement::new(
    "digest/forget",
    "
    update thread_store.digest
    set seq = -1,
        parts = ''
    from unnest($1::bigint[], $2::uuid[]) as asked (tenant, thread_id)
    where digest.tenant = asked.tenant and digest.thread_id = asked.thread_id",
);

impl Store {
    /// Makes all digests that are missing or out of date; with `all`, every digest. Returns the number of
    /// threads that it examined.
    pub(super) async fn sweep_digests(&self, all: bool) -> u64 {
        let (mut behind, mut seen, mut made) = ((i64::MIN, Uuid::nil()), 0, 0);
        loop {
            match self.sweep_some_digests(behind, all).await {
                Ok(Swept { last: Some(last), looked_at, found }) => {
                    seen += looked_at;
                    made += found;
                    behind = last;
                }
                Ok(Swept { last: None, .. }) => break,
                Err(error) => {
                    warn!(%error, "could not look for threads with a missing or outdated digest");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
        if made > 0 {
            info!(threads = made, "made digests that were missing or out of date");
        }
        seen
    }

    async fn sweep_some_digests(&self, behind: Key, all: bool) -> Result<Swept, Error> {
        let mut lease = self.pool.begin_in_background().await?;
        let next = sqlx::query(NEXT.text()).bind(behind.0).bind(behind.1).bind(PAGE);
        let rows = lease.fetch_all(next).await?;
        lease.commit().await?;
        let (mut stale, mut last) = (Vec::new(), None);
        for row in &rows {
            let key = (row.try_get("tenant")?, row.try_get("thread_id")?);
            if all || !row.try_get::<bool, _>("is_current")? {
                stale.push(key);
            }
            last = Some(key);
        }
        for batch in stale.chunks(BATCH) {
            if all {
                let (tenants, ids): (Vec<_>, Vec<_>) = batch.iter().copied().unzip();
                let mut lease = self.pool.begin_in_background().await?;
                lease.execute(sqlx::query(FORGET.text()).bind(tenants).bind(ids)).await?;
                lease.commit().await?;
            }
            // Threads that do not fit are due again: `follow_writes` makes their digests, or `reindex`.
            self.make_digests(batch).await;
        }
        Ok(Swept { last, looked_at: rows.len() as u64, found: stale.len() as u64 })
    }
}

struct Swept {
    last: Option<Key>,
    looked_at: u64,
    found: u64,
}

impl Store {
    /// Makes the digests of all threads again. Returns the number of threads.
    pub async fn reindex(&self) -> u64 {
        let seen = self.sweep_digests(true).await;
        loop {
            let due = self.digests.take(&std::collections::HashMap::new());
            if due.is_empty() {
                return seen;
            }
            self.make_digests(&due).await;
        }
    }
}
