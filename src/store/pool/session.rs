//! The settings under which statements run, and how a connection is made with them.

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

/// Settings that a session or a transaction runs under, as names and values.
///
/// A statement that waits for a lock or runs for longer is refused, and frees its connection.
/// Postgres ends a transaction that hears nothing, because the locks of a connection that vanished
/// would otherwise stay until TCP notices, which takes hours.
///
/// A plan must not depend on how large the tables were when it was made: reading all of a small
/// table is the best plan until the table has grown. Compiling a statement and starting parallel
/// workers both take longer than any statement here.
pub(super) fn settings(timeout: Duration, plans: Plans) -> Vec<(&'static str, String)> {
    let milliseconds = |time: Duration| time.as_millis().to_string();
    let plans = match plans {
        Plans::Generic => "force_generic_plan",
        Plans::Custom => "force_custom_plan",
        Plans::Auto => "auto",
    };
    let own = [
        ("lock_timeout", milliseconds(timeout.min(MAX_LOCK_WAIT))),
        ("statement_timeout", milliseconds(timeout)),
        ("idle_in_transaction_session_timeout", milliseconds(timeout + GRACE)),
        ("jit", "off".to_owned()),
        ("max_parallel_workers_per_gather", "0".to_owned()),
        ("enable_seqscan", "off".to_owned()),
        ("plan_cache_mode", plans.to_owned()),
    ];
    let shared = SESSION.into_iter().map(|(name, value)| (name, value.to_owned()));
    own.into_iter().chain(shared).collect()
}

/// Those of every session beside the ones that a transaction can set: Postgres asks whether the
/// other end is there. That also keeps a firewall from forgetting an idle connection.
const KEEPALIVE: [(&str, &str); 3] = [
    ("tcp_keepalives_idle", "60"),
    ("tcp_keepalives_interval", "10"),
    ("tcp_keepalives_count", "6"),
];

/// The statements that make a session's settings.
pub(super) fn set(timeout: Duration, plans: Plans) -> String {
    let settings = settings(timeout, plans);
    let settings = settings.iter().map(|(name, value)| (*name, value.as_str()));
    set_all(settings.chain(KEEPALIVE))
}

/// The statements that begin a transaction with its own settings.
pub(super) fn begin(timeout: Duration, plans: Plans) -> String {
    // What is set after its begin is too late for the transaction's own isolation.
    let mut text = "begin isolation level read committed; ".to_owned();
    for (name, value) in settings(timeout, plans) {
        let _ = write!(text, "set local {name} = '{value}'; ");
    }
    text
}

/// A connection and the process of Postgres behind it.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) connection: PgConnection,
    /// `None`: behind a transaction pooler, where another process may run the next statement.
    pub(super) process: Option<i32>,
}

/// Makes the connections of a pool, and decides whether an idle one is used again.
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
        let connected = self.connect().await;
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
