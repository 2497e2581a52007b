//! Wake-ups for open streams after writes of state. They contain no data.
//!
//! Streams read the checkpoint table; a wake-up only triggers a read. A lost wake-up costs a delay,
//! because every watched thread is also read every [`RECHECK`]. So a writer never waits for a
//! listener, and a notification is not part of the write's transaction: Postgres runs commits with
//! notifications one at a time, which would serialise the writes of all threads.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::postgres::{PgArguments, PgListener, PgRow};
use sqlx::query::Query;
use sqlx::{Executor as _, PgPool, Postgres, Row as _};
use tokio::sync::{Mutex as AsyncMutex, mpsc, watch};
use tokio::time::timeout;
use tracing::warn;
use uuid::Uuid;

use super::attachment::{Agents, CHANNEL as ATTACHMENTS};
use super::pool::{Account, Pool, too_late};
use super::sql::Statement;
use crate::shares::Holder;

/// Name of the notification channel.
const CHANNEL: &str = "thread_store_state";
/// How often every watched thread is read without a wake-up.
const RECHECK: Duration = Duration::from_secs(5);
/// The same without a listening connection.
const RECHECK_UNHEARD: Duration = Duration::from_secs(1);
/// The same while the tables of an agent are attached.
const RECHECK_AGENTS: Duration = Duration::from_millis(300);
/// How long a listening connection may be silent before it is probed.
const SILENCE: Duration = Duration::from_secs(15);
/// Longest wait for the answer to the probe.
const PROBE_DEADLINE: Duration = Duration::from_secs(5);
/// Pause after the listening connection was lost.
const RECONNECT: Duration = Duration::from_secs(1);
/// Pause between two notifications, so that a busy instance sends few.
const PAUSE: Duration = Duration::from_millis(5);
/// Maximum number of ids in one notification, whose payload Postgres limits to 8,000 bytes.
const IDS_IN_A_PAYLOAD: usize = 200;
/// Maximum number of queued announcements. Further ones are dropped and left to the recheck.
const QUEUE: usize = 10_000;

/// The watched threads, with their tenants.
type Watched = Arc<Mutex<HashMap<Uuid, (i64, watch::Sender<u64>)>>>;

/// The watched threads, each with the number of its checkpoints.
pub(super) static RECHECK_ALL: Statement = Statement::new(
    "changes/recheck",
    "
    select thread.thread_id, thread.last_seq
    from unnest($1::bigint[], $2::uuid[]) as asked (tenant, thread_id)
    join thread_store.thread
        on thread.tenant = asked.tenant and thread.thread_id = asked.thread_id
    where thread.expires_at is null or thread.expires_at > statement_timestamp()",
);

/// Notifies the other instances.
pub(super) static NOTIFY: Statement = Statement::new("changes/notify", "select pg_notify($1, $2)");

/// The watched threads of this instance, and the way to announce changes to all instances.
#[derive(Debug, Clone)]
pub struct Changes {
    pool: Pool,
    agents: Agents,
    watched: Watched,
    queue: mpsc::Sender<Uuid>,
    /// Locked by the call of `run` that sends.
    queued: Arc<AsyncMutex<mpsc::Receiver<Uuid>>>,
    /// Distinguishes this instance's notifications from those of others.
    instance: Uuid,
}

/// A watched thread. Dropping it ends the watch.
#[derive(Debug)]
pub struct Watch {
    thread_id: Uuid,
    news: Option<watch::Receiver<u64>>,
    watched: Watched,
}

impl Changes {
    pub(super) fn new(pool: Pool, agents: Agents) -> Changes {
        let (queue, queued) = mpsc::channel(QUEUE);
        let queued = Arc::new(AsyncMutex::new(queued));
        Changes { pool, agents, watched: Arc::default(), queue, queued, instance: Uuid::new_v4() }
    }

    /// Watches a thread of a tenant from now on.
    pub(super) fn watch(&self, tenant: i64, thread_id: Uuid) -> Watch {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, sender) = watched.entry(thread_id).or_insert_with(|| (tenant, watch::channel(0).0));
        let news = Some(sender.subscribe());
        Watch { thread_id, news, watched: Arc::clone(&self.watched) }
    }

    /// Announces a committed write of a thread's state, or its committed deletion.
    pub(super) fn announce(&self, thread_id: Uuid) {
        self.wake(thread_id);
        let _ = self.queue.try_send(thread_id);
    }

    fn wake(&self, thread_id: Uuid) {
        let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, sender)) = watched.get(&thread_id) {
            sender.send_modify(|count| *count += 1);
        }
    }

    fn wake_all(&self) {
        let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, sender) in watched.values() {
            sender.send_modify(|count| *count += 1);
        }
    }

    /// The number of watched threads on this instance.
    #[must_use]
    pub fn watched(&self) -> usize {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn watched_ids(&self) -> (Vec<i64>, Vec<Uuid>) {
        let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        watched.iter().map(|(id, (tenant, _))| (*tenant, *id)).unzip()
    }

    async fn run_alone(
        &self,
        query: Query<'_, Postgres, PgArguments>,
    ) -> Result<Vec<PgRow>, sqlx::Error> {
        let mut lease = self.pool.acquire(Account::Holder(Holder::SERVER)).await?;
        let rows = lease.fetch_all(query).await?;
        lease.commit().await?;
        Ok(rows)
    }

    /// Runs the exchange with other instances, for as long as it is polled.
    pub async fn run(&self) {
        tokio::join!(self.publish(), self.listen(), self.recheck());
    }

    /// Sends all queued announcements to other instances, in one statement.
    async fn publish(&self) {
        let mut queued = self.queued.lock().await;
        let mut batch = Vec::new();
        while queued.recv_many(&mut batch, IDS_IN_A_PAYLOAD).await > 0 {
            let ids: HashSet<_> = batch.drain(..).collect();
            let payload: Vec<_> = ids.iter().map(Uuid::to_string).collect();
            let payload = format!("{}:{}", self.instance, payload.join(","));
            let notify = sqlx::query(NOTIFY.text()).bind(CHANNEL).bind(payload);
            if let Err(error) = self.run_alone(notify).await {
                warn!(%error, "could not announce changes: streams on other instances lag");
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Receives the changes of other instances, on a separate connection. Behind a pooler in
    /// transaction mode there is none.
    async fn listen(&self) {
        let Some(sessions) = self.pool.sessions() else { return };
        loop {
            match self.listen_until_lost(sessions).await {
                Ok(()) => {}
                // The store is closed.
                Err(sqlx::Error::PoolClosed) => return,
                Err(error) => warn!(%error, "lost the connection that receives changes"),
            }
            tokio::time::sleep(RECONNECT).await;
        }
    }

    async fn listen_until_lost(&self, sessions: &PgPool) -> Result<(), sqlx::Error> {
        let mut listener = PgListener::connect_with(sessions).await?;
        listener.listen_all([CHANNEL, ATTACHMENTS]).await?;
        // Earlier announcements were not received, so any watched thread may have changed.
        self.wake_all();
        self.agents.announce();
        let own = self.instance.to_string();
        loop {
            let Ok(heard) = timeout(SILENCE, listener.try_recv()).await else {
                // A lost database is silent too.
                let probe = timeout(PROBE_DEADLINE, listener.execute("select"));
                probe.await.unwrap_or_else(|_| Err(too_late()))?;
                continue;
            };
            let Some(notification) = heard? else { return Ok(()) };
            if notification.channel() == ATTACHMENTS {
                self.agents.announce();
                continue;
            }
            match notification.payload().split_once(':') {
                Some((instance, ids)) if instance != own => {
                    ids.split(',').filter_map(|id| id.parse().ok()).for_each(|id| self.wake(id));
                }
                _ => {}
            }
        }
    }

    /// Finds changes without a wake-up, in one statement for all watched threads.
    async fn recheck(&self) {
        let pause = if self.pool.sessions().is_some() { RECHECK } else { RECHECK_UNHEARD };
        let mut seen: HashMap<Uuid, i64> = HashMap::new();
        loop {
            // Agents send no notifications, because these would serialise all of their commits.
            let pause = if self.agents.is_attached() { RECHECK_AGENTS } else { pause };
            tokio::time::sleep(pause).await;
            let (tenants, ids) = self.watched_ids();
            if ids.is_empty() {
                seen.clear();
                continue;
            }
            let recheck = sqlx::query(RECHECK_ALL.text()).bind(tenants).bind(&ids);
            let now = self.run_alone(recheck).await.and_then(|rows| {
                rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
            });
            let Ok::<HashMap<Uuid, i64>, _>(now) = now else { continue };
            for id in ids {
                // A deleted thread is a change too: its streams end.
                if !now.contains_key(&id) || seen.get(&id) != now.get(&id) {
                    self.wake(id);
                }
            }
            seen = now;
        }
    }
}

impl Watch {
    /// Resolves when there may be a change since the last call.
    pub async fn changed(&mut self) {
        let is_over = match &mut self.news {
            Some(news) => news.changed().await.is_err(),
            None => true,
        };
        if is_over {
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // The receiver is dropped first, so that the last watch of a thread finds no other.
        self.news = None;
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        if watched.get(&self.thread_id).is_some_and(|(_, sender)| sender.receiver_count() == 0) {
            watched.remove(&self.thread_id);
        }
    }
}
