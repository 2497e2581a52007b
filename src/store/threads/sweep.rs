//! Deletes or prunes expired threads.

use std::collections::HashMap;
use std::time::Duration;

use sqlx::Row as _;
use tokio::time::Instant;
use tracing::warn;
use uuid::Uuid;

use super::delete::Erased;
use super::prune::keep_latest;
use crate::store::error::is_lock_timeout;
use crate::store::sql::Statement;
use crate::store::{Error, Store};

/// Maximum number of threads of one sweep.
const BATCH: i64 = 100;
/// How long a thread that could not be swept is postponed.
const PUT_OFF: Duration = Duration::from_hours(1);

/// Expired threads, oldest first, except the postponed ones.
pub(in crate::store) static EXPIRED: Statement = Statement::new(
    "threads/expired",
    "
    select tenant, thread_id, ttl_strategy = 'delete' as is_deleted
    from thread_store.thread
    where expires_at <= statement_timestamp() and thread_id <> all($1)
    order by expires_at
    limit $2",
);

/// Locks a thread whose history is to be pruned, unless it is already locked.
pub(in crate::store) static LOCK_FOR_PRUNING: Statement = Statement::new(
    "threads/lock_for_pruning",
    "
    select
    from thread_store.thread
    where thread.tenant = $1
        and thread.thread_id = $2
        and thread.ttl_strategy = 'keep_latest'
        and thread.expires_at <= statement_timestamp()
    for update skip locked",
);

/// Records that the strategy of a thread was carried out.
pub(in crate::store) static SWEPT: Statement = Statement::new(
    "threads/swept",
    "
    update thread_store.thread
    set expires_at = null
    where thread.tenant = $1 and thread.thread_id = $2",
);

/// The results of a sweep.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Number of deleted threads.
    pub deleted: usize,
    /// Number of threads that were pruned to the newest state.
    pub pruned: usize,
    /// Whether nothing is left to sweep now.
    pub is_last: bool,
}

/// Threads that could not be swept, and the times until which they are postponed: a thread that
/// always fails must not delay the others.
#[derive(Debug, Default)]
pub struct PutOff(HashMap<Uuid, Instant>);

/// The outcome of the sweep of one thread.
enum One {
    Deleted,
    Pruned,
    /// Rows are left, or another instance sweeps it.
    NotYet,
}

impl Store {
    /// Carries out the strategy of some expired threads.
    ///
    /// Each thread has its own transaction, which skips locked rows. So any number of instances can
    /// sweep at once, and none waits for traffic.
    pub async fn sweep(&self, put_off: &mut PutOff) -> Result<Swept, Error> {
        put_off.0.retain(|_, until| *until > Instant::now());
        let excluded: Vec<Uuid> = put_off.0.keys().copied().collect();
        let mut lease = self.pool.begin_in_background().await?;
        let expired = sqlx::query(EXPIRED.text()).bind(excluded).bind(BATCH);
        let expired = lease.fetch_all(expired).await?;
        lease.commit().await?;
        let is_full = i64::try_from(expired.len()).is_ok_and(|found| found == BATCH);
        let mut swept = Swept { is_last: !is_full, ..Swept::default() };
        for row in expired {
            let (tenant, thread_id): (i64, Uuid) =
                (row.try_get("tenant")?, row.try_get("thread_id")?);
            match self.sweep_one(tenant, thread_id, row.try_get("is_deleted")?).await {
                Ok(One::Deleted) => swept.deleted += 1,
                Ok(One::Pruned) => swept.pruned += 1,
                Ok(One::NotYet) => {}
                Err(error @ Error::Unavailable(_)) if !is_timeout(&error) => return Err(error),
                Err(error) => {
                    warn!(thread.id = %thread_id, %error, "could not sweep a thread: trying again in an hour");
                    put_off.0.insert(thread_id, Instant::now() + PUT_OFF);
                }
            }
        }
        Ok(swept)
    }

    async fn sweep_one(
        &self,
        tenant: i64,
        thread_id: Uuid,
        is_deleted: bool,
    ) -> Result<One, Error> {
        if is_deleted {
            loop {
                match self.erase_some(tenant, thread_id).await? {
                    Erased::Some => {}
                    Erased::All => break,
                    Erased::None => return Ok(One::NotYet),
                }
            }
            self.changes.announce(thread_id);
            return Ok(One::Deleted);
        }
        let mut transaction = self.pool.begin_in_background().await?;
        let lock = sqlx::query(LOCK_FOR_PRUNING.text()).bind(tenant).bind(thread_id);
        if transaction.fetch_optional(lock).await?.is_none() {
            return Ok(One::NotYet);
        }
        match keep_latest(&mut transaction, tenant, thread_id).await {
            // The strategy can never be carried out.
            Err(error @ Error::DeltaChannels) => {
                warn!(thread.id = %thread_id, %error, "left a thread unchanged: its ttl strategy cannot be carried out");
            }
            outcome => outcome?,
        }
        transaction.execute(sqlx::query(SWEPT.text()).bind(tenant).bind(thread_id)).await?;
        transaction.commit().await?;
        Ok(One::Pruned)
    }
}

/// Whether the sweep of one thread took too long or waited too long for a lock. The database itself
/// is available then.
fn is_timeout(error: &Error) -> bool {
    let Error::Unavailable(cause) = error else { return false };
    if is_lock_timeout(cause) {
        return true;
    }
    let sqlx::Error::Database(refusal) = &**cause else { return false };
    refusal.code().is_some_and(|code| code == "57014")
}
