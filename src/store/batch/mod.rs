//! Requests of one kind that come at the same time are answered together.
//!
//! A statement costs Postgres and this program far more than one of its rows: a round trip, a
//! commit, waking up on both sides. A request that finds a free worker yields once, so that
//! concurrent requests can join, and runs alone if none did. A request that finds none waits, and
//! the next batch takes one request of each holder in turn. So batches grow under load by
//! themselves, and one holder's many requests do not delay another's single one.
//!
//! All kinds share one number of workers, first come, first served. Nothing here knows of SQL.

mod queue;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use metrics::{Counter, counter};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::timeout;
use tracing::debug;

use crate::shares::Holder;
use queue::{Entry, Fresh, Queue};

/// How long a batch counts as started a moment ago.
const FRESH: Duration = Duration::from_millis(5);
/// A batch that takes longer than this keeps its worker, but no longer counts among the batches of
/// its kind that may run at once.
const SLOW: Duration = Duration::from_millis(100);

/// A request that can be answered together with others of its kind.
pub(super) trait Request: Sized + Send + Sync + 'static {
    /// What answers them.
    type Executor: Clone + Send + Sync + 'static;
    /// What the requests of a batch have in common.
    type Key: PartialEq + ?Sized;
    /// What its caller gets.
    type Answer: Send + 'static;
    /// What its caller gets instead.
    type Error: Clone + Send + 'static;
    /// What this kind is called in metrics.
    const KIND: &'static str;

    /// What it has in common with others.
    fn key(&self) -> &Self::Key;

    /// Whose request it is.
    fn holder(&self) -> Holder;

    /// What it costs, compared with the lightest request.
    fn weight(&self) -> usize {
        1
    }

    /// Answers these, in their order.
    fn run(
        executor: &Self::Executor,
        requests: &[&Self],
    ) -> impl Future<Output = Result<Vec<Answer<Self>>, Failed<Self::Error>>> + Send;

    /// The error of a request that cannot be answered now.
    fn overloaded() -> Self::Error;
}

/// What one request gets.
pub(super) type Answer<R> = Result<<R as Request>::Answer, <R as Request>::Error>;

/// Why a whole batch was not answered. Nothing of it was done.
#[derive(Debug, Clone)]
pub(super) struct Failed<E> {
    pub(super) error: E,
    /// Whether one of the requests is the reason, so that each is answered by itself. Otherwise all
    /// get the error, and nothing is tried again.
    pub(super) is_of_one: bool,
}

/// The workers of all kinds.
#[derive(Debug, Clone)]
pub(super) struct Workers {
    permits: Arc<Semaphore>,
    each: usize,
}

impl Workers {
    /// `all` workers, and at most `each` batches of one kind at once unless they are slow.
    pub(super) fn new(all: usize, each: usize) -> Workers {
        Workers { permits: Arc::new(Semaphore::new(all)), each }
    }
}

/// Answers the requests of one kind in batches.
pub(super) struct Batcher<R: Request>(Arc<Shared<R>>);

struct Shared<R: Request> {
    executor: R::Executor,
    workers: Workers,
    queue: Mutex<Queue<R>>,
    batches: Counter,
    requests: Counter,
}

impl<R: Request> Batcher<R> {
    pub(super) fn new(executor: R::Executor, workers: Workers) -> Batcher<R> {
        Batcher(Arc::new(Shared {
            executor,
            queue: Mutex::new(Queue::new(workers.each)),
            workers,
            batches: counter!(BATCHES, "kind" => R::KIND),
            requests: counter!(BATCHED_REQUESTS, "kind" => R::KIND),
        }))
    }

    /// Answers a request. If the future is dropped while the request waits, it is not answered.
    pub(super) async fn answer(&self, request: R) -> Answer<R> {
        let (id, reply, is_starting) = {
            let mut queue = self.0.queue();
            let Some((id, reply)) = queue.push(request) else { return Err(R::overloaded()) };
            let is_starting = queue.should_start();
            queue.is_starting |= is_starting;
            (id, reply, is_starting)
        };
        if is_starting {
            let start = Start(Some(Arc::clone(&self.0)));
            let Some((batch, worker)) = start.batch().await else {
                return Err(R::overloaded());
            };
            if let [only] = batch.entries.as_slice()
                && only.id == id
            {
                // In the caller's own task: if the caller leaves, the statement ends.
                return batch.run_one(worker).await;
            }
            tokio::spawn(batch.run(worker));
        }
        // The other end is dropped without an answer only if a batch panicked.
        reply.await.unwrap_or_else(|_| Err(R::overloaded()))
    }
}

/// Names of the counters of batches of several requests.
pub(crate) const BATCHES: &str = "thread_store_database_batches_total";
/// Requests that were answered in them.
pub(crate) const BATCHED_REQUESTS: &str = "thread_store_database_batched_requests_total";

impl<R: Request> Shared<R> {
    fn queue(&self) -> MutexGuard<'_, Queue<R>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a batch in a task of its own, if one should be started.
    fn start(self: &Arc<Self>) {
        let Ok(runtime) = Handle::try_current() else { return };
        {
            let mut queue = self.queue();
            if !queue.should_start() {
                return;
            }
            queue.is_starting = true;
        }
        let shared = Arc::clone(self);
        // Nothing passes the duty on before the task runs: a runtime that shuts down drops it here
        // and now.
        runtime.spawn(async move {
            let start = Start(Some(shared));
            if let Some((batch, worker)) = start.batch().await {
                batch.run(worker).await;
            }
        });
    }
}

/// The duty to start the next batch. It passes on if it is dropped.
struct Start<R: Request>(Option<Arc<Shared<R>>>);

impl<R: Request> Start<R> {
    /// The next batch, once a worker is free. `None`: nobody waits any more.
    async fn batch(mut self) -> Option<(Batch<R>, OwnedSemaphorePermit)> {
        let workers = Arc::clone(&self.0.as_ref()?.workers.permits);
        let worker = workers.acquire_owned().await.ok()?;
        // What has arrived by now shares this batch.
        tokio::task::yield_now().await;
        let shared = self.0.take()?;
        let batch = {
            let mut queue = shared.queue();
            queue.is_starting = false;
            let entries = queue.take();
            if entries.is_empty() {
                return None;
            }
            queue.running += 1;
            let fresh = match entries.len() {
                1 => Fresh::default(),
                requests => Fresh { batches: 1, requests },
            };
            queue.fresh.batches += fresh.batches;
            queue.fresh.requests += fresh.requests;
            let running = Running { shared: Arc::clone(&shared), fresh, is_counted: true };
            Batch { entries, running }
        };
        // Requests that could not share this batch may be worth another one.
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

/// Requests that are answered together.
struct Batch<R: Request> {
    entries: Vec<Entry<R>>,
    running: Running<R>,
}

impl<R: Request> Batch<R> {
    /// Answers the only request.
    async fn run_one(self, worker: OwnedSemaphorePermit) -> Answer<R> {
        let Batch { entries, mut running } = self;
        let requests: Vec<_> = entries.iter().map(|entry| &entry.request).collect();
        let executor = running.shared.executor.clone();
        let answers = running.watch(R::run(&executor, &requests)).await;
        drop((running, worker));
        let answers = answers.map_err(|failed| failed.error)?;
        answers.into_iter().next().unwrap_or_else(|| Err(R::overloaded()))
    }

    /// Answers the requests. If all callers leave before, their statement ends.
    async fn run(self, worker: OwnedSemaphorePermit) {
        let Batch { mut entries, mut running } = self;
        let shared = Arc::clone(&running.shared);
        if entries.len() > 1 {
            shared.batches.increment(1);
            shared.requests.increment(entries.len() as u64);
        }
        let (requests, replies): (Vec<_>, Vec<_>) =
            entries.iter_mut().map(|entry| (&entry.request, &mut entry.reply)).unzip();
        let answers = tokio::select! {
            biased;
            answers = running.watch(R::run(&shared.executor, &requests)) => answers,
            _ = join_all(replies.into_iter().map(oneshot::Sender::closed)) => return,
        };
        match answers {
            Ok(answers) => {
                for (entry, answer) in entries.into_iter().zip(answers) {
                    drop(entry.reply.send(answer));
                }
            }
            Err(failed) if failed.is_of_one && entries.len() > 1 => {
                debug!("the {} requests of a batch are answered one by one", entries.len());
                one_by_one(&shared.executor, entries).await;
            }
            Err(failed) => {
                for entry in entries {
                    drop(entry.reply.send(Err(failed.error.clone())));
                }
            }
        }
        drop(running);
        drop(worker);
    }
}

/// Answers each request by itself, unless its caller has gone.
async fn one_by_one<R: Request>(executor: &R::Executor, entries: Vec<Entry<R>>) {
    for Entry { request, reply, .. } in entries {
        if reply.is_closed() {
            continue;
        }
        let answer = match R::run(executor, &[&request]).await {
            Ok(answers) => answers.into_iter().next().unwrap_or_else(|| Err(R::overloaded())),
            Err(failed) => Err(failed.error),
        };
        drop(reply.send(answer));
    }
}

/// A batch that runs, until this is dropped.
struct Running<R: Request> {
    shared: Arc<Shared<R>>,
    fresh: Fresh,
    is_counted: bool,
}

impl<R: Request> Running<R> {
    /// Waits for the batch, and lets others start when it takes long.
    async fn watch<T>(&mut self, answers: impl Future<Output = T>) -> T {
        let mut answers = Box::pin(answers);
        if self.fresh.batches > 0 {
            if let Ok(answers) = timeout(FRESH, &mut answers).await {
                return answers;
            }
            self.settle(false);
        }
        if let Ok(answers) = timeout(SLOW, &mut answers).await {
            return answers;
        }
        self.settle(true);
        answers.await
    }

    /// Counts no longer as fresh, nor, if `is_over`, as running.
    fn settle(&mut self, is_over: bool) {
        {
            let mut queue = self.shared.queue();
            let fresh = std::mem::take(&mut self.fresh);
            queue.fresh.batches -= fresh.batches;
            queue.fresh.requests -= fresh.requests;
            if is_over && std::mem::take(&mut self.is_counted) {
                queue.running -= 1;
            }
        }
        self.shared.start();
    }
}

impl<R: Request> Drop for Running<R> {
    fn drop(&mut self) {
        self.settle(true);
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
