//! One lock for each key, in this process.
//!
//! Writers to one thread queue here before they take a connection. In the database each of them
//! would hold a connection while it waits for the thread's row. The key also contains the writer's
//! scope, so that a stranger never waits for an owner, nor an owner for a stranger.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

type Locks<K> = Arc<Mutex<HashMap<K, Arc<AsyncMutex<()>>>>>;

/// The keys that are locked or waited for.
#[derive(Debug)]
pub(super) struct KeyedLock<K>(Locks<K>);

/// A locked key. Dropping the guard unlocks it for the next waiter.
#[derive(Debug)]
pub(super) struct Guard<K: Hash + Eq> {
    key: K,
    turn: Option<OwnedMutexGuard<()>>,
    locks: Locks<K>,
}

impl<K: Hash + Eq + Clone> KeyedLock<K> {
    /// Locks a key, in the order of the calls.
    pub(super) async fn lock(&self, key: K) -> Guard<K> {
        let lock = Arc::clone(locked(&self.0).entry(key.clone()).or_default());
        // Created before the wait, so that the key is removed if the wait is cancelled.
        let mut guard = Guard { key, turn: None, locks: Arc::clone(&self.0) };
        guard.turn = Some(lock.lock_owned().await);
        guard
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<K: Hash + Eq> Drop for Guard<K> {
    fn drop(&mut self) {
        self.turn = None;
        let mut locks = locked(&self.locks);
        // If only the map references the lock, nobody waits for it.
        if locks.get(&self.key).is_some_and(|lock| Arc::strong_count(lock) == 1) {
            locks.remove(&self.key);
        }
    }
}

impl<K> Default for KeyedLock<K> {
    fn default() -> Self {
        KeyedLock(Arc::default())
    }
}

impl<K> Clone for KeyedLock<K> {
    fn clone(&self) -> Self {
        KeyedLock(Arc::clone(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures::poll;

    use super::*;

    #[tokio::test]
    async fn one_holds_a_key_at_a_time_and_nothing_is_left_behind() {
        let locks = KeyedLock::default();
        let first = locks.lock("ada").await;
        let other = locks.lock("bob").await;
        let mut second = pin!(locks.lock("ada"));
        assert!(poll!(&mut second).is_pending());
        {
            let gives_up = pin!(locks.lock("ada"));
            assert!(poll!(gives_up).is_pending());
        }
        drop((first, other));
        drop(second.await);
        assert!(locks.0.lock().unwrap().is_empty());
    }
}
