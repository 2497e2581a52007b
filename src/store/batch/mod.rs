//! Answers concurrent requests of one kind together.
//!
//! A statement costs Postgres and this program far more than one of its rows: a round trip, a
//! commit, a wake-up on both sides. A request that finds a free worker yields once, so that
//! concurrent requests can join, and runs alone if none did. It does not yield if no recent
//! requests were concurrent. A request that finds no free worker waits, and the next batch takes
//! one request of each holder in turn. So batches grow with the load, and one holder's many
//! requests do not delay another's single one.
//!
//! All kinds share the workers, first come, first served. This module contains no SQL.

mod joined;
mod queue;
mod run;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use metrics::{Counter, counter};
use tokio::runtime::Handle;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};

use crate::shares::Holder;
use queue::{Queue, Turn};
use run::{Batch, Running};

pub(super) use joined::Joined;

/// How long a batch counts as fresh: meanwhile the next one waits for more requests.
const FRESH: Duration = Duration::from_millis(5);
/// A batch that takes longer keeps its worker, but no longer counts towards the limit of concurrent
/// batches of its kind.
const SLOW: Duration = Duration::from_millis(100);
/// After this number of batches in sequence that found all workers free, requests do not wait for
/// others. The wait would wake a second thread of the runtime for nothing.
const QUIET: u64 = 16;

/// A request that can share a batch with others of its kind.
pub(super) trait Request: Sized + Send + Sync + 'static {
    /// Executes the requests.
    type Executor: Clone + Send + Sync + 'static;
    /// A connection of the executor, for one batch.
    type Connection: Send;
    /// The common part of the requests of a batch.
    type Key: PartialEq + ?Sized;
    /// The result of a request.
    type Answer: Send + 'static;
    /// The error of a request.
    type Error: Clone + Send + 'static;
    /// The name of this kind in metrics.
    const KIND: &'static str;

    /// The common part, which is equal for all requests of a batch.
    fn key(&self) -> &Self::Key;

    /// The holder of the request.
    fn holder(&self) -> Holder;

    /// Its cost, relative to the lightest request.
    fn weight(&self) -> usize {
        1
    }

    /// A connection, as soon as one is free.
    fn connect(
        executor: &Self::Executor,
    ) -> impl Future<Output = Result<Self::Connection, Self::Error>> + Send;

    /// Answers these requests, in their order.
    fn run(
        connection: Self::Connection,
        requests: &[&Self],
    ) -> impl Future<Output = Result<Vec<Answer<Self>>, Failed<Self::Error>>> + Send;

    /// The error of a request that cannot be answered now.
    fn overloaded() -> Self::Error;
}

/// The outcome of one request.
pub(super) type Answer<R> = Result<<R as Request>::Answer, <R as Request>::Error>;

/// Why a whole batch was not answered.
#[derive(Debug, Clone)]
pub(super) struct Failed<E> {
    pub(super) error: E,
    /// Whether the cause is one of the requests: nothing was done, and the others can still be
    /// answered. Otherwise all get the error, and nothing is retried.
    pub(super) is_of_one: bool,
}

/// The workers of all kinds.
#[derive(Debug, Clone)]
pub(super) struct Workers {
    permits: Arc<Semaphore>,
    all: usize,
    each: usize,
    /// Number of requests that were taken into a batch.
    requests: Arc<AtomicU64>,
    /// Number of batches in sequence that found all workers free.
    quiet: Arc<AtomicU64>,
}

impl Workers {
    /// `all` workers, and at most `each` concurrent batches of one kind, not counting slow ones.
    pub(super) fn new(all: usize, each: usize) -> Workers {
        let permits = Arc::new(Semaphore::new(all));
        Workers { permits, all, each, requests: Arc::default(), quiet: Arc::default() }
    }

    /// Number of requests so far, of all kinds.
    pub(super) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// A free worker, after a chance for concurrent requests to arrive.
    async fn acquire(&self) -> Option<OwnedSemaphorePermit> {
        let are_all_free = self.permits.available_permits() == self.all;
        let worker = Arc::clone(&self.permits).acquire_owned().await.ok()?;
        if !are_all_free {
            self.quiet.store(0, Ordering::Relaxed);
        }
        if self.quiet.fetch_add(1, Ordering::Relaxed) < QUIET {
            tokio::task::yield_now().await;
        }
        Some(worker)
    }
}

/// Answers the requests of one kind in batches.
pub(super) struct Batcher<R: Request>(Arc<Shared<R>>);

struct Shared<R: Request> {
    executor: R::Executor,
    workers: Workers,
    queue: Mutex<Queue<R>>,
    /// Notified when `Queue::watched` has become an earlier moment.
    is_earlier: Notify,
    batches: Counter,
    requests: Counter,
}

impl<R: Request> Batcher<R> {
    pub(super) fn new(executor: R::Executor, workers: Workers) -> Batcher<R> {
        Batcher(Arc::new(Shared {
            executor,
            queue: Mutex::new(Queue::new(workers.each)),
            workers,
            is_earlier: Notify::new(),
            batches: counter!(BATCHES, "kind" => R::KIND),
            requests: counter!(BATCHED_REQUESTS, "kind" => R::KIND),
        }))
    }

    /// Answers a request. If the future is dropped while the request waits, it is not answered.
    pub(super) async fn answer(&self, request: R) -> Answer<R> {
        let (id, reply, is_starting) = {
            let mut queue = self.0.queue();
            let Some((id, reply)) = queue.push(request) else { return Err(R::overloaded()) };
            (id, reply, self.0.take_turn(&mut queue))
        };
        if is_starting {
            let start = Start(Some(Arc::clone(&self.0)));
            let Some((batch, worker)) = start.batch().await else {
                return Err(R::overloaded());
            };
            if let [only] = batch.entries.as_slice()
                && only.id == id
            {
                // In the caller's own task, so that the statement ends if the caller leaves.
                return batch.run_one(worker).await;
            }
            tokio::spawn(batch.run(worker));
        }
        // The other end is dropped without an answer only if a batch panicked.
        reply.await.unwrap_or_else(|_| Err(R::overloaded()))
    }
}

/// Name of the counter of batches of several requests.
pub(crate) const BATCHES: &str = "thread_store_database_batches_total";
/// Name of the counter of the requests in these batches.
pub(crate) const BATCHED_REQUESTS: &str = "thread_store_database_batched_requests_total";

impl<R: Request> Shared<R> {
    fn queue(&self) -> MutexGuard<'_, Queue<R>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a batch is to be started by the caller. If one may have to be started later, a task
    /// waits for that moment.
    fn take_turn(self: &Arc<Self>, queue: &mut Queue<R>) -> bool {
        match queue.turn() {
            Turn::Now => {
                queue.is_starting = true;
                true
            }
            Turn::At(moment) => {
                self.watch(queue, moment);
                false
            }
            Turn::Later => false,
        }
    }

    /// Starts a batch in a new task, if one should be started.
    fn start(self: &Arc<Self>) {
        let Ok(runtime) = Handle::try_current() else { return };
        if !self.take_turn(&mut self.queue()) {
            return;
        }
        let shared = Arc::clone(self);
        // `Start` is created in the task: a runtime that is shutting down drops the task here, and
        // dropping a `Start` would spawn another.
        runtime.spawn(async move {
            let start = Start(Some(shared));
            if let Some((batch, worker)) = start.batch().await {
                batch.run(worker).await;
            }
        });
    }

    /// Calls [`Shared::start`] at `moment`. One task does it for all batches. A timer for each
    /// batch would wake the runtime's driver, which a lone request would pay for.
    fn watch(self: &Arc<Self>, queue: &mut Queue<R>, moment: Instant) {
        match queue.watched {
            Some(watched) if watched <= moment => {}
            Some(_) => {
                queue.watched = Some(moment);
                self.is_earlier.notify_one();
            }
            None => {
                let Ok(runtime) = Handle::try_current() else { return };
                queue.watched = Some(moment);
                let shared = Arc::clone(self);
                runtime.spawn(async move {
                    shared.watched().await;
                    shared.queue().watched = None;
                    shared.start();
                });
            }
        }
    }

    /// Waits for `Queue::watched`, which may become an earlier moment meanwhile.
    async fn watched(&self) {
        loop {
            let Some(moment) = self.queue().watched else { return };
            tokio::select! {
                () = sleep_until(moment) => return,
                () = self.is_earlier.notified() => {}
            }
        }
    }
}

/// The duty to start the next batch. Dropping it passes the duty to a new task.
struct Start<R: Request>(Option<Arc<Shared<R>>>);

impl<R: Request> Start<R> {
    /// The next batch, when a worker is free. `None`: no request waits.
    async fn batch(mut self) -> Option<(Batch<R>, OwnedSemaphorePermit)> {
        let worker = self.0.as_ref()?.workers.acquire().await?;
        // Requests that have arrived until now share this batch.
        let shared = self.0.take()?;
        let batch = {
            let mut queue = shared.queue();
            queue.is_starting = false;
            let entries = queue.take();
            if entries.is_empty() {
                return None;
            }
            shared.workers.requests.fetch_add(entries.len() as u64, Ordering::Relaxed);
            if entries.len() > 1 {
                shared.workers.quiet.store(0, Ordering::Relaxed);
            }
            let id = queue.begin(entries.len());
            let running = Running { shared: Arc::clone(&shared), id };
            Batch { entries, running }
        };
        // The remaining requests may need another batch.
        shared.start();
        Some((batch, worker))
    }
}

impl<R: Request> Drop for Start<R> {
    fn drop(&mut self) {
        if let Some(shared) = self.0.take() {
            shared.queue().is_starting = false;
            shared.start();
        }
    }
}

impl<R: Request> Clone for Batcher<R> {
    fn clone(&self) -> Self {
        Batcher(Arc::clone(&self.0))
    }
}

impl<R: Request> fmt::Debug for Batcher<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let waiting = self.0.queue().len();
        f.debug_struct("Batcher").field("kind", &R::KIND).field("waiting", &waiting).finish()
    }
}
