//! Writers to one thread wait for each other here, before they take a database connection.
//!
//! In the database they would wait for the thread's row lock, each holding a connection: some
//! tens of writers to one busy thread would leave none for anybody else.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};
use uuid::Uuid;

type Queues = Arc<Mutex<HashMap<Uuid, Arc<AsyncMutex<()>>>>>;

/// The threads that this instance writes to now.
#[derive(Debug, Clone, Default)]
pub(super) struct Writers(Queues);

/// The right to write to a thread, among the writers of this instance.
#[derive(Debug)]
pub(super) struct Turn {
    thread_id: Uuid,
    guard: Option<OwnedMutexGuard<()>>,
    queues: Queues,
}

impl Writers {
    /// Waits for all who came before.
    pub(super) async fn turn(&self, thread_id: Uuid) -> Turn {
        let queue = {
            let mut queues = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(queues.entry(thread_id).or_default())
        };
        // Made before waiting, so that a writer who gives up is cleaned up after too.
        let mut turn = Turn { thread_id, guard: None, queues: Arc::clone(&self.0) };
        turn.guard = Some(queue.lock_owned().await);
        turn
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.guard = None;
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        // Only the map holds it: nobody waits.
        if queues.get(&self.thread_id).is_some_and(|queue| Arc::strong_count(queue) == 1) {
            queues.remove(&self.thread_id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_writes_at_a_time_and_nothing_is_left_behind() {
        let writers = Writers::default();
        let thread_id = Uuid::now_v7();
        let first = writers.turn(thread_id).await;
        let other = writers.turn(Uuid::now_v7()).await;
        let waiting = tokio::spawn({
            let writers = writers.clone();
            async move { drop(writers.turn(thread_id).await) }
        });
        let gives_up = writers.turn(thread_id);
        assert!(futures::poll!(std::pin::pin!(gives_up)).is_pending());
        assert!(!waiting.is_finished());
        drop((first, other));
        waiting.await.unwrap();
        assert!(writers.0.lock().unwrap().is_empty());
    }
}
