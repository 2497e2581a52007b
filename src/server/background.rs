//! Background tasks of a server.

use std::future::Future;
use std::time::Duration;

use tokio::task::JoinSet;
use tracing::{error, info, warn};

use crate::metrics::{Metrics, metrics};
use crate::store::{PutOff, Settled, Store};

/// How often the samples of metrics are merged. Otherwise they accumulate until they are read.
const METRICS_UPKEEP: Duration = Duration::from_secs(5);

/// How often the changes that agents have written are processed.
const SETTLE: Duration = Duration::from_millis(200);

/// Pause after the database has failed.
const SETTLE_AGAIN: Duration = Duration::from_secs(1);

/// The background tasks, which end when this is dropped.
pub(super) fn background(store: &Store, sweep_interval: Duration) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    let changes = store.changes().clone();
    tasks.spawn(for_ever("notifications of changes", move || {
        let changes = changes.clone();
        async move { Box::pin(changes.run()).await }
    }));
    let digests = store.clone();
    tasks.spawn(for_ever("digests", move || {
        let store = digests.clone();
        async move { Box::pin(store.keep_digests()).await }
    }));
    let agents = store.clone();
    tasks.spawn(for_ever("agents' threads", move || {
        let store = agents.clone();
        async move { settle_agents(&store).await }
    }));
    let store = store.clone();
    tasks.spawn(for_ever("the sweeper", move || {
        let store = store.clone();
        async move { sweep(&store, sweep_interval).await }
    }));
    tasks.spawn(for_ever("metrics", || async {
        loop {
            tokio::time::sleep(METRICS_UPKEEP).await;
            Metrics::run_upkeep();
        }
    }));
    tasks
}

/// Restarts a task if a bug ends it.
async fn for_ever<F>(name: &'static str, task: impl Fn() -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    loop {
        let mut running = JoinSet::new();
        running.spawn(task());
        if let Some(Err(error)) = running.join_next().await {
            error!(%error, "the background task for {name} failed and is restarted");
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Deletes or prunes expired threads, in small batches.
async fn sweep(store: &Store, interval: Duration) {
    let mut put_off = PutOff::default();
    loop {
        match store.sweep(&mut put_off).await {
            Ok(swept) if swept.deleted + swept.pruned > 0 => {
                metrics().sweeps.increment(1);
                metrics().swept_deleted.increment(swept.deleted as u64);
                metrics().swept_pruned.increment(swept.pruned as u64);
                info!(deleted = swept.deleted, pruned = swept.pruned, "swept expired threads");
                if !swept.is_last {
                    continue;
                }
            }
            Ok(_) => metrics().sweeps.increment(1),
            Err(error) => {
                metrics().failed_sweeps.increment(1);
                warn!(%error, "could not sweep expired threads");
            }
        }
        tokio::time::sleep(interval).await;
    }
}

/// Processes the changes that agents have written, if their tables are attached.
async fn settle_agents(store: &Store) {
    let mut settled = Settled::default();
    loop {
        match store.settle_agents(&mut settled).await {
            Ok(true) => tokio::time::sleep(SETTLE).await,
            Ok(false) => store.attachment_news().await,
            Err(error) => {
                warn!(%error, "could not process the changes of agents' threads");
                tokio::time::sleep(SETTLE_AGAIN).await;
            }
        }
    }
}
