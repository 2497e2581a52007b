//! Connections to the database, each lent for a bounded time.
//!
//! Postgres ends a statement that takes too long by itself, but not if it is paused or gone. So
//! whoever runs statements gets a connection for [`Pool::timeout`]: what has not been answered by
//! then fails, and its connection is dropped, never given back with an answer under way. Those that
//! were idle meanwhile are not used again either: a network that lost one without a word has lost
//! the others too. And where it is Postgres that hears nothing more, it ends the transaction.
//!
//! Behind a pooler in transaction mode two statements may run on two different connections of
//! Postgres, unless a transaction holds them together. There everything runs in transactions,
//! with settings that last as long, and statements have no name that another connection would not
//! know, or know for something else.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt, TryStreamExt};
use sqlx::error::BoxDynError;
use sqlx::postgres::{
    PgArguments, PgConnectOptions, PgPoolOptions, PgQueryResult, PgRow, PgStatement, PgTypeInfo,
};
use sqlx::query::Query;
use sqlx::{
    AssertSqlSafe, Connection as _, Describe, Either, Execute, Executor, PgConnection, PgPool,
    Postgres, SqlStr,
};
use tokio::time::{Instant, timeout_at};
use tracing::warn;

use super::Caps;
use super::schema::SESSION;
use super::spare::{Doubtful, Spares, Taken};
use crate::meters::meters;

/// How long a request waits for a connection before it is answered with 503.
const ACQUIRE_DEADLINE: Duration = Duration::from_secs(5);
/// For the answer of a connection of which there is doubt.
const PROBE_DEADLINE: Duration = Duration::from_secs(1);
/// For work that no request waits for.
const BACKGROUND_TIMEOUT: Duration = Duration::from_mins(1);
/// For Postgres to end a statement, before it is given up here.
const GRACE: Duration = Duration::from_secs(1);
/// Connections beside those for statements, where those cannot hold a session.
const SESSIONS: u32 = 2;

/// How a server uses its database.
#[derive(Clone)]
pub struct Options {
    /// Most connections for statements.
    pub max_connections: u32,
    /// How long a request may take up the database.
    pub timeout: Duration,
    /// What is between this program and Postgres.
    pub pooler: Pooler,
    /// The way around it, for what needs a session: migrations, and hearing of other instances.
    pub direct: Option<Box<PgConnectOptions>>,
    /// What users may take up.
    pub caps: Caps,
}

/// A server for which nothing is set.
impl Default for Options {
    fn default() -> Options {
        Options {
            max_connections: 16,
            timeout: Duration::from_secs(10),
            pooler: Pooler::None,
            direct: None,
            caps: Caps::default(),
        }
    }
}

/// By hand, because the connect options print their password.
impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("max_connections", &self.max_connections)
            .field("timeout", &self.timeout)
            .field("pooler", &self.pooler)
            .field("is_direct", &self.direct.is_some())
            .finish_non_exhaustive()
    }
}

/// So many connections, and nothing else set.
impl From<u32> for Options {
    fn from(max_connections: u32) -> Options {
        Options { max_connections, ..Options::default() }
    }
}

/// What is between this program and Postgres.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Pooler {
    /// Nothing, or a pooler that keeps one connection of Postgres for each of ours.
    #[default]
    None,
    /// A pooler in transaction mode.
    Transaction,
}

/// The connections of a server. Statements run on `&pool` one by one, or on what
/// `acquire` and `begin` lend.
#[derive(Clone)]
pub struct Pool {
    statements: PgPool,
    spares: Spares,
    /// Connections that keep what is set on them.
    sessions: Option<PgPool>,
    begin: Arc<str>,
    begin_in_background: Arc<str>,
    is_pooled: bool,
    timeout: Duration,
    health: Arc<Health>,
}

/// When a connection last failed, so that those that are idle since before are asked before they
/// are used, or not used at all.
pub(super) struct Health {
    started: Instant,
    failed: Last,
    /// Failed without a word.
    pub(super) silent: Last,
}

/// When something last happened, in milliseconds since the start, from 1 on. 0: never.
#[derive(Default)]
pub(super) struct Last(AtomicU64);

impl Health {
    fn new() -> Arc<Health> {
        Arc::new(Health {
            started: Instant::now(),
            failed: Last::default(),
            silent: Last::default(),
        })
    }

    pub(super) fn happened(&self, what: &Last) {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        what.0.store(now.max(1), Ordering::Relaxed);
    }

    /// Whether a connection can be used that was idle for so long. One of which there is doubt is
    /// asked.
    async fn vouches(
        &self,
        connection: &mut PgConnection,
        idle_for: Duration,
    ) -> Result<bool, sqlx::Error> {
        if self.has_happened_within(&self.silent, idle_for) {
            // Asking would take the whole deadline, for each of them in turn.
            return Ok(false);
        }
        if self.has_happened_within(&self.failed, idle_for) {
            let answer = within(Instant::now() + PROBE_DEADLINE, connection.ping()).await;
            if answer.as_ref().is_err_and(is_silence) {
                self.happened(&self.silent);
            }
            answer?;
        }
        Ok(true)
    }

    fn has_happened_within(&self, what: &Last, time: Duration) -> bool {
        let last = what.0.load(Ordering::Relaxed);
        last > 0 && self.started.elapsed().saturating_sub(Duration::from_millis(last)) <= time
    }
}

impl Pool {
    /// Connects.
    pub(super) async fn connect(
        options: PgConnectOptions,
        Options { max_connections, timeout, pooler, direct, .. }: Options,
    ) -> Result<Pool, sqlx::Error> {
        let health = Health::new();
        let settings = PgPoolOptions::new()
            .acquire_timeout(ACQUIRE_DEADLINE)
            // A broken connection is noticed by the statement that uses it; asking first would
            // cost every request a round trip. So only where there is reason to doubt.
            .test_before_acquire(false)
            .before_acquire({
                let health = Arc::clone(&health);
                move |connection, idle| {
                    let health = Arc::clone(&health);
                    Box::pin(async move { health.vouches(connection, idle.idle_for).await })
                }
            });
        let session = format!("{}; {KEEPALIVE}", session(timeout));
        let with_session = |settings: PgPoolOptions| {
            let session = session.clone();
            settings.after_connect(move |connection, _| {
                let session = AssertSqlSafe(session.clone());
                Box::pin(async move { connection.execute(session).await.map(drop) })
            })
        };
        let (statements, sessions, is_pooled) = match pooler {
            Pooler::None => {
                // One more for the connection that listens for changes.
                let settings = settings.max_connections(max_connections.saturating_add(1));
                let pool = with_session(settings).connect_with(options).await?;
                (pool.clone(), Some(pool), false)
            }
            Pooler::Transaction => {
                let sessions = settings.clone().max_connections(SESSIONS);
                let sessions =
                    direct.map(|direct| with_session(sessions).connect_lazy_with(*direct));
                let settings = settings.max_connections(max_connections);
                (settings.connect_with(options).await?, sessions, true)
            }
        };
        let spares = Spares::of(statements.clone(), max_connections, Arc::clone(&health));
        Ok(Pool::over(statements, spares, sessions, is_pooled, timeout, health))
    }

    fn over(
        statements: PgPool,
        spares: Spares,
        sessions: Option<PgPool>,
        is_pooled: bool,
        timeout: Duration,
        health: Arc<Health>,
    ) -> Pool {
        // What is set after its begin is too late for the transaction's own isolation.
        let local = |timeout| {
            let session = session(timeout).replace("set ", "set local ");
            format!("begin isolation level read committed; {session}")
        };
        let begin = if is_pooled { local(timeout) } else { "begin".to_owned() };
        Pool {
            statements,
            spares,
            sessions,
            begin: begin.into(),
            begin_in_background: local(BACKGROUND_TIMEOUT).into(),
            is_pooled,
            timeout,
            health,
        }
    }

    /// How long a request may take up the database.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// How many connections for statements there are.
    pub(crate) fn size(&self) -> u32 {
        self.statements.size()
    }

    /// How many there can be.
    pub(crate) fn max_size(&self) -> u32 {
        self.statements.options().get_max_connections()
    }

    /// How many of them nobody uses.
    pub(crate) fn idle(&self) -> usize {
        self.statements.num_idle() + self.spares.count()
    }

    /// Connections that keep what is set on them: locks, and what they listen to. `None`: there
    /// is no way around the pooler.
    pub(crate) fn sessions(&self) -> Option<&PgPool> {
        self.sessions.as_ref()
    }

    /// A connection for statements that need not be seen together. What they did counts for
    /// certain only after [`Connection::commit`].
    pub(crate) async fn acquire(&self) -> Result<Connection, sqlx::Error> {
        let begin = self.is_pooled.then_some(&self.begin);
        self.lend(begin, self.timeout).await
    }

    /// A connection in a transaction, which ends with [`Connection::commit`], or else has done
    /// nothing.
    pub(crate) async fn begin(&self) -> Result<Connection, sqlx::Error> {
        self.lend(Some(&self.begin), self.timeout).await
    }

    /// As [`begin`](Pool::begin), with more time: no request waits.
    pub(super) async fn begin_in_background(&self) -> Result<Connection, sqlx::Error> {
        self.lend(Some(&self.begin_in_background), BACKGROUND_TIMEOUT).await
    }

    async fn lend(
        &self,
        begin: Option<&Arc<str>>,
        timeout: Duration,
    ) -> Result<Connection, sqlx::Error> {
        let asked = Instant::now();
        let taken = self.take().await;
        meters().database_wait.record(asked.elapsed());
        let mut connection = Connection {
            lent: Some(taken?),
            spares: self.spares.clone(),
            in_transaction: begin.is_some(),
            is_pooled: self.is_pooled,
            condition: Condition::Ready,
            ends: Instant::now() + timeout + GRACE,
            timeout,
            health: Arc::clone(&self.health),
        };
        if let Some(begin) = begin {
            connection.command(begin).await?;
        }
        Ok(connection)
    }

    async fn take(&self) -> Result<Taken, sqlx::Error> {
        loop {
            let (taken, idle_for) = self.spares.take().await?;
            let Some(idle_for) = idle_for else { return Ok(taken) };
            let mut doubtful = Doubtful::of(taken);
            let Some(connection) = doubtful.connection() else { continue };
            let is_good = match self.health.vouches(connection, idle_for).await {
                Ok(is_good) => is_good,
                Err(error) => {
                    warn!(%error, "an idle connection to the database is given up");
                    false
                }
            };
            if is_good && let Some(taken) = doubtful.vouched_for() {
                return Ok(taken);
            }
        }
    }

    pub(super) async fn close(&self) {
        self.spares.close().await;
        if let Some(sessions) = &self.sessions {
            sessions.close().await;
        }
    }
}

/// Over connections that somebody else made, each with a session of its own.
impl From<PgPool> for Pool {
    fn from(pool: PgPool) -> Pool {
        // Whoever made it may use it too.
        let (health, timeout) = (Health::new(), Options::default().timeout);
        let spares = Spares::of(pool.clone(), 0, Arc::clone(&health));
        Pool::over(pool.clone(), spares, Some(pool), false, timeout, health)
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("size", &self.size())
            .field("idle", &self.idle())
            .field("is_pooled", &self.is_pooled)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// Settings under which statements run.
///
/// One that waits for a lock or runs for longer is answered with 503, and frees its connection.
/// Compiling a statement that looks expensive takes longer than any of ours, and so does starting
/// processes that help with it. And a plan that reads
/// all of a small table is the best one there is, until the table has grown.
///
/// Statements are planned once: planning takes longer than running most of them, and Postgres would
/// plan a list of one item anew each time, because it expects lists to be longer. Those that need a
/// plan for their values have them in their text.
///
/// A transaction whose connection has vanished would hold its locks until Postgres notices, which
/// takes hours. Nothing here leaves one idle for longer than the connection is lent.
fn session(timeout: Duration) -> String {
    let milliseconds = timeout.as_millis();
    let lock = milliseconds.min(4_000);
    let idle = (timeout + GRACE).as_millis();
    format!(
        "set lock_timeout = {lock}; set statement_timeout = {milliseconds}; \
         set idle_in_transaction_session_timeout = {idle}; \
         set jit = 'off'; set max_parallel_workers_per_gather = 0; set enable_seqscan = 'off'; set plan_cache_mode = 'force_generic_plan'; {SESSION}"
    )
}

/// Postgres keeps the session of a connection that has vanished until TCP notices, which takes hours
/// unless it asks. Asking also keeps a firewall from forgetting an idle one. Sockets of the file
/// system ignore it.
const KEEPALIVE: &str = "set tcp_keepalives_idle = 60; set tcp_keepalives_interval = 10; \
     set tcp_keepalives_count = 6";

/// What runs past its time is an outage: nobody knows what became of it.
async fn within<T>(
    ends: Instant,
    answer: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    timeout_at(ends, answer).await.unwrap_or_else(|_| Err(too_late()))
}

/// What a statement comes to that the database has not answered in time.
pub(crate) fn too_late() -> sqlx::Error {
    sqlx::Error::Io(std::io::Error::new(
        std::io::ErrorKind::TimedOut,
        "the database has not answered in time",
    ))
}

/// Whether the network or the database has swallowed a question or its answer.
fn is_silence(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Io(error) if error.kind() == std::io::ErrorKind::TimedOut)
}

/// A connection that is lent for a time.
pub(crate) struct Connection {
    /// There until it is dropped.
    lent: Option<Taken>,
    spares: Spares,
    in_transaction: bool,
    is_pooled: bool,
    condition: Condition,
    ends: Instant,
    timeout: Duration,
    health: Arc<Health>,
}

/// What a connection is good for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Condition {
    /// The next statement.
    Ready,
    /// There may be answers that nobody has read.
    UnderWay,
    /// Nothing any more.
    Lost,
}

impl Connection {
    /// Makes what was done count, and gives the connection back.
    pub(crate) async fn commit(mut self) -> Result<(), sqlx::Error> {
        if self.in_transaction {
            self.command("commit").await?;
            self.in_transaction = false;
        }
        Ok(())
    }

    /// Makes what was done count, and lends the connection anew, if it can go on without a new
    /// transaction. Nobody else gets in between.
    pub(super) async fn kept(mut self) -> Result<Option<Connection>, sqlx::Error> {
        if self.in_transaction {
            return self.commit().await.map(|()| None);
        }
        self.ends = Instant::now() + self.timeout + GRACE;
        Ok(Some(self))
    }

    /// Runs a statement, and gives each of its rows to `take`. If that fails the rest stays unread, and
    /// the connection is not used again.
    pub(super) async fn each_row(
        &mut self,
        query: Query<'_, Postgres, PgArguments>,
        mut take: impl FnMut(PgRow) -> Result<(), sqlx::Error>,
    ) -> Result<(), sqlx::Error> {
        let Some(Taken { connection, .. }) = &mut self.lent else {
            return Err(sqlx::Error::PoolClosed);
        };
        self.condition = Condition::UnderWay;
        let mut rows = if self.is_pooled {
            connection.fetch_many(Unnamed { statement: query })
        } else {
            connection.fetch_many(query)
        };
        let mut is_refused = false;
        // One limit for all rows: one for each of them would cost more than reading it.
        let outcome = within(self.ends, async {
            while let Some(step) = rows.try_next().await? {
                let Either::Right(row) = step else { continue };
                take(row).inspect_err(|_| is_refused = true)?;
            }
            Ok(())
        })
        .await;
        drop(rows);
        if is_refused {
            // Postgres would go on sending rows for whoever uses the connection next.
            self.condition = Condition::Lost;
        }
        if outcome.is_ok() {
            self.condition = Condition::Ready;
        }
        self.note(outcome)
    }

    async fn command(&mut self, command: &str) -> Result<(), sqlx::Error> {
        let command = AssertSqlSafe(command.to_owned());
        self.execute(command).await.map(drop)
    }

    fn note<T>(&mut self, outcome: Result<T, sqlx::Error>) -> Result<T, sqlx::Error> {
        note(&mut self.condition, &self.health, outcome)
    }
}

fn note<T>(
    condition: &mut Condition,
    health: &Health,
    outcome: Result<T, sqlx::Error>,
) -> Result<T, sqlx::Error> {
    if let Err(sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_)) = &outcome {
        *condition = Condition::Lost;
        health.happened(&health.failed);
    }
    if outcome.as_ref().is_err_and(is_silence) {
        health.happened(&health.silent);
    }
    if let Err(sqlx::Error::Database(refusal)) = &outcome
        // Postgres has ended the connection, and others with it.
        && refusal.code().is_some_and(|code| ["57P01", "57P02", "57P03"].contains(&&*code))
    {
        *condition = Condition::Lost;
        health.happened(&health.failed);
    }
    if let Err(sqlx::Error::Database(refusal)) = &outcome
        // A session stays read-only, also if the database was made so for a time only.
        && refusal.code().is_some_and(|code| code == "25006")
    {
        *condition = Condition::Lost;
    }
    outcome
}

/// Gives it back, if it answers in time.
impl Drop for Connection {
    fn drop(&mut self) {
        let Some(mut taken) = self.lent.take() else { return };
        if self.condition == Condition::Lost {
            // Neither waits for Postgres nor tells it.
            drop(taken.connection.detach());
            return;
        }
        if self.condition == Condition::Ready && !self.in_transaction {
            // What a large statement or answer took is not kept for the next.
            taken.connection.shrink_buffers();
            self.spares.put(taken);
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let ends = self.ends.max(Instant::now() + PROBE_DEADLINE);
        let rollback = self.in_transaction;
        let health = Arc::clone(&self.health);
        runtime.spawn(async move {
            if rollback {
                let undone = within(ends, taken.connection.execute("rollback")).await;
                if let Err(error) = undone {
                    // Whoever waited for it may have gone before it was too late.
                    if is_silence(&error) {
                        health.happened(&health.silent);
                    }
                    drop(taken.connection.detach());
                    return;
                }
            }
            // Asks once more whether it answers. If it does not the future drops it.
            if timeout_at(ends, taken.connection.return_to_pool()).await.is_err() {
                health.happened(&health.silent);
            }
        });
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("in_transaction", &self.in_transaction)
            .finish_non_exhaustive()
    }
}

/// A statement that is not to be kept under a name.
struct Unnamed<E> {
    statement: E,
}

impl<'q, E: Execute<'q, Postgres>> Execute<'q, Postgres> for Unnamed<E> {
    fn sql(self) -> SqlStr {
        self.statement.sql()
    }

    fn statement(&self) -> Option<&PgStatement> {
        self.statement.statement()
    }

    fn take_arguments(&mut self) -> Result<Option<PgArguments>, BoxDynError> {
        self.statement.take_arguments()
    }

    fn persistent(&self) -> bool {
        false
    }
}

type Rows<'e> = BoxStream<'e, Result<Either<PgQueryResult, PgRow>, sqlx::Error>>;

impl<'c> Executor<'c> for &'c mut Connection {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> Rows<'e>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let Connection { lent, is_pooled, condition, ends, health, .. } = self;
        let Some(Taken { connection, .. }) = lent else {
            return stream::once(async { Err(sqlx::Error::PoolClosed) }).boxed();
        };
        *condition = Condition::UnderWay;
        let connection: &'c mut PgConnection = connection;
        let rows = if *is_pooled {
            connection.fetch_many(Unnamed { statement: query })
        } else {
            connection.fetch_many(query)
        };
        let (ends, health) = (*ends, &*health);
        stream::try_unfold((rows, condition), move |(mut rows, condition)| async move {
            let row = note(condition, health, within(ends, rows.try_next()).await)?;
            if row.is_none() {
                *condition = Condition::Ready;
            }
            Ok(row.map(|row| (row, (rows, condition))))
        })
        .boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxFuture<'e, Result<Option<PgRow>, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let mut rows = self.fetch_many(query);
        async move {
            let mut first = None;
            // To the end: a statement can fail after its first row.
            while let Some(row) = rows.try_next().await? {
                first = first.or(row.right());
            }
            Ok(first)
        }
        .boxed()
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, Result<PgStatement, sqlx::Error>>
    where
        'c: 'e,
    {
        async move {
            let ends = self.ends;
            self.condition = Condition::UnderWay;
            let Some(Taken { connection, .. }) = &mut self.lent else {
                return Err(sqlx::Error::PoolClosed);
            };
            let outcome = within(ends, connection.prepare_with(sql, parameters)).await;
            if outcome.is_ok() {
                self.condition = Condition::Ready;
            }
            self.note(outcome)
        }
        .boxed()
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Postgres>, sqlx::Error>>
    where
        'c: 'e,
    {
        async move {
            let ends = self.ends;
            self.condition = Condition::UnderWay;
            let Some(Taken { connection, .. }) = &mut self.lent else {
                return Err(sqlx::Error::PoolClosed);
            };
            let outcome = within(ends, connection.describe(sql)).await;
            if outcome.is_ok() {
                self.condition = Condition::Ready;
            }
            self.note(outcome)
        }
        .boxed()
    }
}

impl<'p> Executor<'p> for &'p Pool {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> Rows<'e>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let rows = async move {
            let mut connection = self.acquire().await?;
            let rows: Vec<_> = connection.fetch_many(query).try_collect().await?;
            connection.commit().await?;
            Ok::<_, sqlx::Error>(stream::iter(rows).map(Ok))
        };
        stream::once(rows).try_flatten().boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxFuture<'e, Result<Option<PgRow>, sqlx::Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        async move {
            let mut connection = self.acquire().await?;
            let row = connection.fetch_optional(query).await?;
            connection.commit().await?;
            Ok(row)
        }
        .boxed()
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, Result<PgStatement, sqlx::Error>>
    where
        'p: 'e,
    {
        async move { self.acquire().await?.prepare_with(sql, parameters).await }.boxed()
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Postgres>, sqlx::Error>>
    where
        'p: 'e,
    {
        async move { self.acquire().await?.describe(sql).await }.boxed()
    }
}

/// Whether what one connection sets shows on another: then a pooler hands out connections of
/// Postgres by transactions. No is no proof.
pub(super) async fn is_behind_transaction_pooler(
    one: &mut PgConnection,
    other: &mut PgConnection,
) -> Result<bool, sqlx::Error> {
    let mark = uuid::Uuid::new_v4();
    for _ in 0..3 {
        let set = AssertSqlSafe(format!("set thread_store.mark = '{mark}'"));
        one.execute(sqlx::raw_sql(set)).await?;
        let get = sqlx::raw_sql("select current_setting('thread_store.mark', true)");
        let seen: Option<String> = sqlx::Row::try_get(&other.fetch_one(get).await?, 0)?;
        one.execute(sqlx::raw_sql("reset thread_store.mark")).await?;
        if seen == Some(mark.to_string()) {
            return Ok(true);
        }
    }
    Ok(false)
}
