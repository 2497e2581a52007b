//! The settings of statements, and connections with these settings.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use deadpool::managed::{Manager, Metrics, RecycleError, RecycleResult};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Executor as _, PgConnection, Row as _};

use super::health::Health;
use super::{GRACE, Pooler};
use crate::store::session::{SESSION, set as set_all};

/// Longest wait for the lock of another transaction. Only other instances can hold one for long.
const MAX_LOCK_WAIT: Duration = Duration::from_secs(4);

/// How plans depend on values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plans {
    /// A statement is planned once for all values: planning takes longer than running most of them.
    Generic,
    /// A statement is planned for its values each time.
    Custom,
    /// Postgres chooses.
    Auto,
}

/// The settings of a session or a transaction, as names and values.
///
/// A statement that exceeds the timeout, or waits too long for a lock, is cancelled and frees its
/// connection. Postgres ends an idle transaction, because the locks of a lost connection would
/// otherwise stay until TCP notices, which takes hours.
///
/// A plan must not depend on the size of the tables when it was made: a sequential scan is the best
/// plan for a small table until the table has grown. A bitmap loses the order of its index, so all
/// rows of a tenant would be read for the newest few; only a statement that is planned for its values
/// may need one, for the index on metadata. Compiling a statement and starting parallel
/// workers both take longer than any statement here.
pub(super) fn settings(timeout: Duration, plans: Plans) -> Vec<(&'static str, String)> {
    let milliseconds = |time: Duration| time.as_millis().to_string();
    let (plans, bitmaps) = match plans {
        Plans::Generic => ("force_generic_plan", "off"),
        Plans::Custom => ("force_custom_plan", "on"),
        Plans::Auto => ("auto", "off"),
    };
    let own = [
        ("lock_timeout", milliseconds(timeout.min(MAX_LOCK_WAIT))),
        ("statement_timeout", milliseconds(timeout)),
        ("idle_in_transaction_session_timeout", milliseconds(timeout + GRACE)),
        ("jit", "off".to_owned()),
        ("max_parallel_workers_per_gather", "0".to_owned()),
        ("enable_seqscan", "off".to_owned()),
        ("enable_bitmapscan", bitmaps.to_owned()),
        ("plan_cache_mode", plans.to_owned()),
    ];
    let shared = SESSION.into_iter().map(|(name, value)| (name, value.to_owned()));
    own.into_iter().chain(shared).collect()
}

/// Additional settings of every session, which a transaction cannot set: Postgres probes the other
/// end. That also keeps firewalls from dropping an idle connection.
const KEEPALIVE: [(&str, &str); 3] = [
    ("tcp_keepalives_idle", "60"),
    ("tcp_keepalives_interval", "10"),
    ("tcp_keepalives_count", "6"),
];

/// The commands for a session's settings.
pub(super) fn set(timeout: Duration, plans: Plans) -> String {
    let settings = settings(timeout, plans);
    let settings = settings.iter().map(|(name, value)| (*name, value.as_str()));
    set_all(settings.chain(KEEPALIVE))
}

/// The commands that begin a transaction with its own settings.
pub(super) fn begin(timeout: Duration, plans: Plans) -> String {
    // The isolation must be set by `begin`: a later setting has no effect on the transaction.
    let mut text = "begin isolation level read committed; ".to_owned();
    for (name, value) in settings(timeout, plans) {
        let _ = write!(text, "set local {name} = '{value}'; ");
    }
    text
}

/// A connection and its Postgres process.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) connection: PgConnection,
    /// `None`: behind a transaction pooler, where another process may run the next statement.
    pub(super) process: Option<i32>,
}

/// Creates the connections of a pool, and decides whether an idle one is used again.
#[derive(Debug)]
pub(super) struct Connector {
    pub(super) options: PgConnectOptions,
    pub(super) pooler: Pooler,
    pub(super) timeout: Duration,
    pub(super) plans: Plans,
    pub(super) health: Arc<Health>,
}

impl Connector {
    async fn connect(&self) -> Result<Session, sqlx::Error> {
        let mut connection = self.options.connect().await?;
        if self.pooler == Pooler::Transaction {
            return Ok(Session { connection, process: None });
        }
        let set = set(self.timeout, self.plans) + "select pg_backend_pid()";
        let row = connection.fetch_one(sqlx::raw_sql(AssertSqlSafe(set))).await?;
        Ok(Session { process: Some(row.try_get(0)?), connection })
    }
}

impl Manager for Connector {
    type Type = Session;
    type Error = sqlx::Error;

    async fn create(&self) -> Result<Session, sqlx::Error> {
        // Boxed so that this rare future does not enlarge every request's.
        let connected = Box::pin(self.connect()).await;
        if let Err(error) = &connected {
            self.health.note(error);
        }
        connected
    }

    async fn recycle(
        &self,
        session: &mut Session,
        metrics: &Metrics,
    ) -> RecycleResult<sqlx::Error> {
        if self.health.check(&mut session.connection, metrics.last_used()).await? {
            Ok(())
        } else {
            Err(RecycleError::message("a connection was lost while this one was idle"))
        }
    }
}
