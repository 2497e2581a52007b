//! Digests of threads ([`crate::digest`]), in tables of their own.
//!
//! A task of each server follows the server's own writes ([`Store::keep_digests`]). A search makes the
//! digests that the task has not made yet, within its own snapshot. A sweep finds the writes of a server
//! that has stopped. The digest of an agent's thread becomes due together with its status.

mod agents;
mod fresh;
mod source;
mod sweep;
mod write;

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

use super::due::Key;
use super::operation::Asked;
use super::tables::Tables;
use super::{Error, Store};
use crate::shares::Holder;

pub(super) use fresh::Fresh;
use source::READ;
pub(super) use source::{Source, is_current, named, read_all};

/// Delay after a change, so that several changes of a thread cause one digest.
const GATHER: Duration = Duration::from_millis(100);
/// Wait after a failure of the database.
const PAUSE: Duration = Duration::from_secs(1);
/// Shortest rest after a batch, as a multiple of the batch's own time: the task takes at most a
/// quarter of one connection's time.
const REST: u32 = 3;
/// Longest rest, as such a multiple: the task takes at least a twenty-fifth, and may fall behind.
const BUSY_REST: u32 = 24;
/// Rest for each request that this server began to answer in a batch meanwhile. At 1,000 such
/// requests per second the task takes an eleventh of one connection's time.
const REST_PER_REQUEST: Duration = Duration::from_millis(10);
/// Longest rest in any case, for batches that take unusually long.
const MAX_REST: Duration = Duration::from_secs(10);
/// Maximum bytes of a thread's state that are read per second for its digests.
const BYTES_PER_SECOND: f64 = 1_048_576.0;
/// Longest rest of a thread between two digests, in seconds.
const LONGEST_REST: f64 = 1.5;
/// Wait between two sweeps.
const SWEEP: Duration = Duration::from_mins(10);

/// The key of a thread's title in its metadata.
pub(super) const TITLE: &str = "title";

impl Store {
    /// Keeps digests up to date while it is polled. It does nothing on tables that are distributed over a
    /// cluster, because its statements are about many tenants: searches make the digests there.
    pub async fn keep_digests(&self) {
        if self.pool.tables() == Tables::Distributed {
            return std::future::pending().await;
        }
        tokio::join!(self.follow_writes(), async {
            loop {
                self.sweep_digests(false).await;
                tokio::time::sleep(SWEEP).await;
            }
        });
    }

    async fn follow_writes(&self) {
        // Threads with much text, which rest between two digests.
        let mut resting: HashMap<Key, Instant> = HashMap::new();
        loop {
            let wakes = resting.values().min().copied();
            tokio::select! {
                () = self.digests.news() => {}
                () = sleep_until(wakes) => {}
            }
            tokio::time::sleep(GATHER).await;
            loop {
                let now = Instant::now();
                resting.retain(|_, until| *until > now);
                let batch = self.digests.take(&resting);
                if batch.is_empty() {
                    break;
                }
                let (began, before) = (Instant::now(), self.workers.requests());
                let made = self.make_digests(&batch).await;
                let rest = rest_after(began.elapsed(), self.workers.requests() - before);
                for (key, bytes) in made {
                    #[expect(clippy::cast_precision_loss, reason = "a time")]
                    let rest = (bytes as f64 / BYTES_PER_SECOND).min(LONGEST_REST);
                    if rest > GATHER.as_secs_f64() {
                        resting.insert(key, Instant::now() + Duration::from_secs_f64(rest));
                    }
                }
                tokio::time::sleep(rest).await;
            }
        }
    }

    /// Makes the digests of some threads. Returns the threads with a new digest, each with the bytes of
    /// state that were read for it.
    async fn make_digests(&self, batch: &[Key]) -> Vec<(Key, i64)> {
        match self.digest(batch).await {
            Ok(made) => made,
            Err(error @ Error::Unavailable(_)) => {
                warn!(%error, "could not make digests of threads, trying again: until then searches make their own");
                for (tenant, thread_id) in batch {
                    self.digests.add(*tenant, *thread_id);
                }
                tokio::time::sleep(PAUSE).await;
                Vec::new()
            }
            // A thread whose digest fails must not hold up the others.
            Err(_) => {
                let mut made = Vec::new();
                for key in batch {
                    match self.digest(std::slice::from_ref(key)).await {
                        Ok(one) => made.extend(one),
                        Err(error) => {
                            warn!(thread.id = %key.1, %error, "could not make the digest of a thread");
                        }
                    }
                }
                made
            }
        }
    }

    /// The same, with one error for all threads. Threads that did not fit are due again.
    async fn digest(&self, batch: &[Key]) -> Result<Vec<(Key, i64)>, Error> {
        let mut lease = self.pool.begin_in_background().await?;
        // One snapshot: a state that is newer than its thread's row would be read a second time.
        lease.see_one_moment().await?;
        let (tenants, ids): (Vec<_>, Vec<_>) = batch.iter().copied().unzip();
        let rows = lease.fetch_all(sqlx::query(READ.text()).bind(tenants).bind(ids)).await?;
        let mut sources = rows.iter().map(Source::from_row).collect::<Result<Vec<_>, _>>()?;
        let server = Asked::of_server(0);
        self.add_messages_of_agents(&mut lease, &server, &mut sources).await?;
        lease.commit().await?;
        let (read, left): (Vec<_>, Vec<_>) =
            sources.into_iter().partition(|source| source.messages.is_some());
        for left in left.iter().filter(|source| !source.is_current) {
            self.digests.add(left.tenant, left.thread_id);
        }
        let made = source::digest_all(read).await?;
        // This commit need not be durable, because a lost digest is made again.
        let mut lease = self.pool.begin_unwaited(Holder::SERVER).await?;
        write::write(&mut lease, &made).await?;
        lease.commit().await?;
        let key = |source: &Source| ((source.tenant, source.thread_id), source.state_bytes);
        Ok(made.iter().map(|(source, _)| key(source)).collect())
    }
}

/// The rest after a batch that took this long, while this many requests were begun.
fn rest_after(took: Duration, requests: u64) -> Duration {
    let requests = u32::try_from(requests).unwrap_or(u32::MAX);
    let rest = REST_PER_REQUEST.saturating_mul(requests);
    rest.clamp(took * REST, took * BUSY_REST).min(MAX_REST)
}

async fn sleep_until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// The statements of this module, for the tests of all statements.
#[cfg(test)]
pub(super) mod statements {
    pub(in crate::store) use super::fresh::{OF_PAGE, STALE};
    pub(in crate::store) use super::source::READ as READ_SOURCES;
    pub(in crate::store) use super::sweep::{FORGET as FORGET_SOURCES, NEXT};
    pub(in crate::store) use super::write::WRITE;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_task_rests_longer_the_more_is_requested_meanwhile() {
        let took = Duration::from_millis(20);
        assert_eq!(rest_after(took, 0), took * 3);
        assert_eq!(rest_after(took, 6), took * 3);
        assert_eq!(rest_after(took, 20), took * 10);
        assert_eq!(rest_after(took, 200), took * 24);
        assert_eq!(rest_after(Duration::from_secs(1), 100_000), MAX_REST);
    }
}
