//! Connections to the database, each leased for a bounded time.
//!
//! Postgres cancels a statement that takes too long, unless it hangs or cannot be reached. So a
//! connection is leased for at most [`PoolOptions::timeout`]. A statement that takes longer fails,
//! and its connection is closed. Connections that were idle at that moment are closed too, because
//! a network that silently drops one usually drops all.
//!
//! Batches and single requests have separate limits, so that neither can exhaust the connections of
//! the other. A user has a share of those for single requests.
//!
//! Behind a pooler in transaction mode two statements may run on two different connections of
//! Postgres, unless they are in one transaction. So every statement runs in a transaction there,
//! with settings for that transaction, and without a name, which another connection would not know.

mod health;
mod lease;
mod pooler;
mod session;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use deadpool::Runtime;
use deadpool::managed::{Object, PoolError, QueueMode, TimeoutType};
use metrics::{Histogram, histogram};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, PgConnection, PgPool,
};
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::{Instant, timeout, timeout_at};

use super::session::ours;
use super::tables::Tables;
use crate::shares::{Holder, Shares};
use health::Health;
use session::{Connector, Plans};

pub(super) use lease::Lease;
pub(super) use pooler::is_behind_transaction_pooler;

/// Longest wait for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// The timeout of background work.
const BACKGROUND_TIMEOUT: Duration = Duration::from_mins(1);
/// Time for Postgres to cancel a statement, before its connection is closed.
const GRACE: Duration = Duration::from_secs(1);
/// An idle connection is closed after this time.
const MAX_IDLE: Duration = Duration::from_mins(10);
/// A connection is closed at this age, so that Postgres's memory for it does not grow.
const MAX_AGE: Duration = Duration::from_mins(30);
/// Longest time for cancelling a statement.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(2);

/// The name of the histogram of waits for a connection, in seconds.
pub(crate) const DATABASE_WAIT: &str = "thread_store_database_wait_seconds";

/// The kind of pooler between this program and Postgres.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Pooler {
    /// None, or a pooler in session mode.
    #[default]
    None,
    /// A pooler in transaction mode.
    Transaction,
}

/// The account that a connection is leased for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Account {
    /// A batch of requests, which holds a worker's permit.
    Batch,
    /// A single request.
    Holder(Holder),
}

/// The connections of a server.
#[derive(Clone)]
pub(super) struct Pool(Arc<Inner>);

struct Inner {
    connections: deadpool::managed::Pool<Connector>,
    /// The connections for single requests.
    singles: Shares,
    batches: usize,
    /// Connections with sessions.
    sessions: Option<PgPool>,
    /// The connection for cancelling statements, opened at its first use.
    control: AsyncMutex<Option<PgConnection>>,
    options: PgConnectOptions,
    begin: Arc<str>,
    begin_planned: Arc<str>,
    begin_unwaited: Arc<str>,
    begin_in_background: Arc<str>,
    pooler: Pooler,
    tables: Tables,
    timeout: Duration,
    health: Arc<Health>,
    /// Durations of waits for a connection.
    waits: Histogram,
}

/// The options of a pool.
pub(super) struct PoolOptions {
    /// Maximum number of connections for statements. One more listens and one more cancels.
    pub(super) max_connections: u32,
    /// Maximum number of them for one holder.
    pub(super) per_holder: u32,
    /// Longest time of a lease.
    pub(super) timeout: Duration,
    pub(super) pooler: Pooler,
    /// The connection that bypasses the pooler, for work that needs a session.
    pub(super) direct: Option<PgConnectOptions>,
    /// The kind of tables.
    pub(super) tables: Tables,
}

impl Pool {
    /// Creates a pool with its first connection.
    pub(super) async fn connect(
        options: PgConnectOptions,
        settings: PoolOptions,
    ) -> Result<Pool, sqlx::Error> {
        let PoolOptions { max_connections, per_holder, timeout, pooler, direct, tables } = settings;
        let health = Health::new();
        let plans = match tables {
            Tables::Whole | Tables::Partitioned => Plans::Generic,
            // The coordinator needs the tenant to select the node.
            Tables::Distributed => Plans::Custom,
        };
        let connector = Connector {
            options: options.clone(),
            pooler,
            timeout,
            plans,
            health: Arc::clone(&health),
        };
        let max = max_connections.max(1) as usize;
        let connections = deadpool::managed::Pool::builder(connector)
            .max_size(max)
            .queue_mode(QueueMode::Lifo)
            .wait_timeout(Some(ACQUIRE_TIMEOUT))
            .create_timeout(Some(ACQUIRE_TIMEOUT))
            .recycle_timeout(Some(ACQUIRE_TIMEOUT))
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|error| sqlx::Error::Configuration(error.into()))?;
        let batches = max.div_ceil(2);
        let singles = (max - batches).max(1) as u64;
        let direct = match pooler {
            Pooler::None => Some(options.clone()),
            Pooler::Transaction => direct,
        };
        let begin_with = |timeout, plans| session::begin(timeout, plans).into();
        let begin: Arc<str> = match pooler {
            Pooler::None => "begin".into(),
            Pooler::Transaction => begin_with(timeout, plans),
        };
        let begin_unwaited = format!("{begin}; set local synchronous_commit = off");
        let pool = Pool(Arc::new(Inner {
            singles: Shares::new(singles, per_holder.max(1).into()),
            batches,
            sessions: direct.map(|direct| sessions(direct, 1)),
            control: AsyncMutex::default(),
            options,
            begin,
            begin_planned: begin_with(timeout, Plans::Custom),
            begin_unwaited: begin_unwaited.into(),
            begin_in_background: begin_with(BACKGROUND_TIMEOUT, plans),
            pooler,
            tables,
            timeout,
            health,
            connections,
            waits: histogram!(DATABASE_WAIT),
        }));
        drop(pool.object().await?);
        tokio::spawn(close_idle(Arc::downgrade(&pool.0)));
        Ok(pool)
    }

    /// Maximum number of concurrent batches.
    pub(super) fn batches(&self) -> usize {
        self.0.batches
    }

    /// The kind of tables.
    pub(super) fn tables(&self) -> Tables {
        self.0.tables
    }

    /// The connections of single requests.
    pub(super) fn singles(&self) -> &Shares {
        &self.0.singles
    }

    /// The number of open connections for statements, of idle ones among them, and the maximum.
    pub(super) fn size(&self) -> (usize, usize, usize) {
        let status = self.0.connections.status();
        (status.size, status.available, status.max_size)
    }

    /// How long a request may spend on the database.
    pub(super) fn timeout(&self) -> Duration {
        self.0.timeout
    }

    /// Connections with sessions, for example for listening. `None`: no connection bypasses the
    /// pooler.
    pub(super) fn sessions(&self) -> Option<&PgPool> {
        self.0.sessions.as_ref()
    }

    /// A connection for statements that need no common transaction. Their effects are guaranteed
    /// only after [`Lease::commit`].
    pub(super) async fn acquire(&self, account: Account) -> Result<Lease, sqlx::Error> {
        let begin = (self.0.pooler == Pooler::Transaction).then_some(&self.0.begin);
        self.lease(account, begin, self.0.timeout).await
    }

    /// A connection in a transaction, which ends with [`Lease::commit`] or is rolled back.
    pub(super) async fn begin(&self, holder: Holder) -> Result<Lease, sqlx::Error> {
        self.lease(Account::Holder(holder), Some(&self.0.begin), self.0.timeout).await
    }

    /// The same for statements that are planned for their values.
    pub(super) async fn begin_planned(&self, holder: Holder) -> Result<Lease, sqlx::Error> {
        self.lease(Account::Holder(holder), Some(&self.0.begin_planned), self.0.timeout).await
    }

    /// The same for writes that need not be on disk when they are answered. They are visible at
    /// once; a database that crashes within a second may lose them.
    pub(super) async fn begin_unwaited(&self, holder: Holder) -> Result<Lease, sqlx::Error> {
        self.lease(Account::Holder(holder), Some(&self.0.begin_unwaited), self.0.timeout).await
    }

    /// The same with the timeout of background work.
    pub(super) async fn begin_in_background(&self) -> Result<Lease, sqlx::Error> {
        let begin = Some(&self.0.begin_in_background);
        self.lease(Account::Holder(Holder::SERVER), begin, BACKGROUND_TIMEOUT).await
    }

    async fn lease(
        &self,
        account: Account,
        begin: Option<&Arc<str>>,
        timeout: Duration,
    ) -> Result<Lease, sqlx::Error> {
        let asked = Instant::now();
        let acquired = timeout_at(asked + ACQUIRE_TIMEOUT, async {
            let permit = match account {
                Account::Batch => None,
                Account::Holder(holder) => Some(self.0.singles.take(holder, 1).await),
            };
            Ok((self.object().await?, permit))
        });
        let acquired = acquired.await.unwrap_or(Err(sqlx::Error::PoolTimedOut));
        self.0.waits.record(asked.elapsed());
        let (object, permit) = acquired?;
        let ends = Instant::now() + timeout + GRACE;
        let mut lease = Lease::new(self.clone(), object, permit, ends);
        if let Some(begin) = begin {
            lease.begin(begin).await?;
        }
        Ok(lease)
    }

    async fn object(&self) -> Result<Object<Connector>, sqlx::Error> {
        self.0.connections.get().await.map_err(|error| match error {
            PoolError::Backend(error) => error,
            PoolError::Closed => sqlx::Error::PoolClosed,
            PoolError::Timeout(TimeoutType::Wait | TimeoutType::Recycle) => {
                sqlx::Error::PoolTimedOut
            }
            PoolError::Timeout(TimeoutType::Create) => too_late(),
            error => sqlx::Error::Configuration(error.into()),
        })
    }

    /// Cancels the current statement of a Postgres process.
    async fn cancel(&self, process: i32) {
        let cancel = async {
            let mut control = self.0.control.lock().await;
            // Put back only after an answer, so that a broken connection is not used again.
            let mut connection = match control.take() {
                Some(connection) => connection,
                None => self.0.options.connect().await?,
            };
            let query = sqlx::query("select pg_cancel_backend($1)").bind(process);
            query.execute(&mut connection).await?;
            *control = Some(connection);
            Ok::<_, sqlx::Error>(())
        };
        if !matches!(timeout(CANCEL_TIMEOUT, cancel).await, Ok(Ok(()))) {
            tracing::debug!("an abandoned statement could not be cancelled");
        }
    }

    /// Closes all connections. Leased ones are closed when they are returned.
    pub(super) async fn close(&self) {
        self.0.connections.close();
        if let Some(sessions) = &self.0.sessions {
            sessions.close().await;
        }
        // The statements of leased connections end within their timeout.
        while self.0.connections.status().size > self.0.connections.status().available {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// A separate pool of connections with sessions, for statements that are not about threads.
pub(crate) fn sessions(options: PgConnectOptions, max_connections: u32) -> PgPool {
    let set = session::set(BACKGROUND_TIMEOUT, Plans::Auto);
    PgPoolOptions::new()
        .max_connections(max_connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        // The network may have dropped an idle connection, which then does not answer.
        .test_before_acquire(false)
        .before_acquire(|connection, _| {
            let answer = timeout(health::PROBE_TIMEOUT, connection.ping());
            Box::pin(async move { answer.await.unwrap_or_else(|_| Err(too_late())).map(|()| true) })
        })
        .after_connect(move |connection, _| {
            let set = AssertSqlSafe(set.clone());
            Box::pin(async move { connection.execute(sqlx::raw_sql(set)).await.map(drop) })
        })
        .connect_lazy_with(ours(options))
}

/// Closes idle connections while the pool exists.
async fn close_idle(pool: std::sync::Weak<Inner>) {
    loop {
        tokio::time::sleep(MAX_IDLE / 10).await;
        let Some(pool) = pool.upgrade() else { return };
        let is_kept = |_: &session::Session, metrics: deadpool::managed::Metrics| {
            metrics.last_used() < MAX_IDLE && metrics.age() < MAX_AGE
        };
        drop(pool.connections.retain(is_kept));
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("status", &self.0.connections.status())
            .field("pooler", &self.0.pooler)
            .field("timeout", &self.0.timeout)
            .finish_non_exhaustive()
    }
}

/// A use of a connection that times out is an outage, because its result is unknown.
async fn within<T>(
    ends: Instant,
    answer: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    timeout_at(ends, answer).await.unwrap_or_else(|_| Err(too_late()))
}

/// The error for a statement that timed out.
pub(super) fn too_late() -> sqlx::Error {
    let kind = std::io::ErrorKind::TimedOut;
    sqlx::Error::Io(std::io::Error::new(kind, "the database has not answered in time"))
}
