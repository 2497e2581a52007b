//! Threads whose digests are to be made.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use indexmap::IndexSet;
use tokio::sync::Notify;
use tokio::time::Instant;
use uuid::Uuid;

/// Number of digests that are made together.
pub(super) const BATCH: usize = 64;
/// Maximum number of threads in the queue. Further ones are left to the sweep.
const MAX_DUE: usize = 100_000;

/// A thread, with its tenant.
pub(super) type Key = (i64, Uuid);

/// The threads whose digests are to be made.
#[derive(Debug, Clone, Default)]
pub(super) struct Due {
    threads: Arc<Mutex<IndexSet<Key>>>,
    news: Arc<Notify>,
}

impl Due {
    /// Adds a thread whose state or title was written.
    pub(super) fn add(&self, tenant: i64, thread_id: Uuid) {
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        if threads.len() < MAX_DUE {
            threads.insert((tenant, thread_id));
            self.news.notify_one();
        }
    }

    /// Waits until a thread is added.
    pub(super) async fn news(&self) {
        self.news.notified().await;
    }

    /// The threads that have waited longest, except the resting ones.
    pub(super) fn take(&self, resting: &HashMap<Key, Instant>) -> Vec<Key> {
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        let batch: Vec<_> =
            threads.iter().filter(|key| !resting.contains_key(*key)).take(BATCH).copied().collect();
        let mut taken = batch.iter().peekable();
        threads.retain(|key| taken.next_if(|next| *next == key).is_none());
        batch
    }
}
