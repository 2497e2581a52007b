//! Runs batches.

use std::sync::Arc;

use futures::future::join_all;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tracing::debug;

use super::queue::Entry;
use super::{Answer, Failed, Request, Shared};

/// Requests that are answered together.
pub(super) struct Batch<R: Request> {
    pub(super) entries: Vec<Entry<R>>,
    pub(super) running: Running<R>,
}

impl<R: Request> Batch<R> {
    /// Answers the only request.
    pub(super) async fn run_one(self, worker: OwnedSemaphorePermit) -> Answer<R> {
        let Batch { entries, running } = self;
        let requests: Vec<_> = entries.iter().map(|entry| &entry.request).collect();
        let executor = running.shared.executor.clone();
        let answers = Box::pin(async {
            let connection = R::connect(&executor).await?;
            R::run(connection, &requests).await.map_err(|failed| failed.error)
        });
        let answers = answers.await;
        drop((running, worker));
        answers?.into_iter().next().unwrap_or_else(|| Err(R::overloaded()))
    }

    /// Answers the requests. If all callers leave, the statement ends.
    pub(super) async fn run(self, worker: OwnedSemaphorePermit) {
        let Batch { mut entries, running } = self;
        let shared = Arc::clone(&running.shared);
        let connection = tokio::select! {
            biased;
            connection = R::connect(&shared.executor) => connection,
            _ = join_all(entries.iter_mut().map(|entry| entry.reply.closed())) => return,
        };
        // Nothing is sent for callers who left while no connection was free.
        entries.retain(|entry| !entry.reply.is_closed());
        if entries.is_empty() {
            return;
        }
        if entries.len() > 1 {
            shared.batches.increment(1);
            shared.requests.increment(entries.len() as u64);
        }
        let answers = match connection {
            Err(error) => Err(Failed { error, is_of_one: false }),
            Ok(connection) => {
                let (requests, replies): (Vec<_>, Vec<_>) =
                    entries.iter_mut().map(|entry| (&entry.request, &mut entry.reply)).unzip();
                tokio::select! {
                    biased;
                    answers = Box::pin(R::run(connection, &requests)) => answers,
                    _ = join_all(replies.into_iter().map(oneshot::Sender::closed)) => return,
                }
            }
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

/// Answers each request alone, unless its caller has left.
async fn one_by_one<R: Request>(executor: &R::Executor, entries: Vec<Entry<R>>) {
    for Entry { request, mut reply, .. } in entries {
        let connection = tokio::select! {
            biased;
            () = reply.closed() => continue,
            connection = R::connect(executor) => connection,
        };
        let answer = match connection {
            Err(error) => Err(error),
            Ok(connection) => match R::run(connection, &[&request]).await {
                Ok(answers) => answers.into_iter().next().unwrap_or_else(|| Err(R::overloaded())),
                Err(failed) => Err(failed.error),
            },
        };
        drop(reply.send(answer));
    }
}

/// A running batch, until this is dropped.
pub(super) struct Running<R: Request> {
    pub(super) shared: Arc<Shared<R>>,
    pub(super) id: u64,
}

impl<R: Request> Drop for Running<R> {
    fn drop(&mut self) {
        self.shared.queue().end(self.id);
        self.shared.start();
    }
}
