//! The schema: connecting to a database, checking it, and bringing it up to date.
//!
//! A database may be shared with other programs. Its encoding and the rights of the role are
//! checked here, and settings of the database or the role are overridden, before anything depends
//! on them.

use std::borrow::Cow;
use std::collections::HashMap;
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::{PgConnectOptions, PgRow};
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection as _, Executor as _, PgConnection, Row as _, raw_sql,
};

use super::migrations::{FILES, migrator_of};
use super::pool::is_behind_transaction_pooler;
use super::session::{SESSION, ours, set};
use super::sql::Statement;

/// Schema of all tables. It is not `public`, which Supabase serves to holders of its anon key.
const SCHEMA: &str = "thread_store";

/// Table of the migrations that ran.
const MIGRATIONS: &str = "_sqlx_migrations";

/// Longest wait for the first connection to the database.
const CONNECT_DEADLINE: Duration = Duration::from_secs(30);

/// Oldest supported Postgres, as a `server_version_num`.
const OLDEST_POSTGRES: i32 = 140_000;

/// Whether the schema exists.
pub(super) static PING: Statement =
    Statement::new("schema/ping", "select from thread_store.thread limit 0");

/// Why a store cannot be opened. Its text is one line for the operator.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The database refused the connection or cannot be reached.
    #[error("cannot connect to the database, check DATABASE_URL: {0}")]
    Connect(#[source] sqlx::Error),
    /// The database is older than the oldest supported version.
    #[error("the database is PostgreSQL {0}, and PostgreSQL 14 or newer is needed")]
    TooOld(String),
    /// The database cannot store all Unicode text, so some statements would fail.
    #[error(
        "the database has the encoding {0}, and UTF8 is needed: create another one with `create \
         database ... encoding 'UTF8' template template0`"
    )]
    Encoding(String),
    /// The schema does not exist, and the role may not create it.
    #[error(
        "role {role} may not create the schema {SCHEMA}: run `create schema {SCHEMA} authorization \
         {role}` as the owner of the database"
    )]
    MayNotCreate {
        /// The role, quoted as in SQL.
        role: String,
    },
    /// The schema is of a newer release.
    #[error(
        "the database has schema version {0}, which this release does not know: run a newer release"
    )]
    Newer(i64),
    /// The schema lacks migrations of this release, and may not be changed now.
    #[error(
        "the database has {found} of the {needed} migrations of this release: run \
         `thread-store migrate`, or set DATABASE_MIGRATE=true; behind a transaction pooler both need \
         DATABASE_DIRECT_URL"
    )]
    Behind {
        /// Migrations that the database has.
        found: usize,
        /// Migrations that this release has.
        needed: usize,
    },
    /// The connection goes through a pooler in transaction mode that is not in the settings.
    #[error(
        "the database is behind a pooler in transaction mode: set DATABASE_POOLER=transaction and \
         DATABASE_DIRECT_URL, or connect to the database itself or to a pooler in session mode"
    )]
    TransactionPooler,
    /// A migration failed.
    #[error("cannot migrate the database: {0}")]
    Migrate(#[source] MigrateError),
    /// There is no cluster to distribute the tables over.
    #[error(
        "the database has no Citus: run `create extension citus` on the coordinator and on every \
         worker, and add the workers with `select citus_add_node('host', port)`"
    )]
    NoCitus,
    /// The tables are partitioned on one Postgres.
    #[error("the tables are partitioned: only a store with whole tables can be distributed")]
    Partitioned,
    /// Distributing the tables failed.
    #[error("cannot distribute the tables: {0}")]
    Distribute(#[source] sqlx::Error),
}

/// Brings the schema up to date. Returns the number of migrations that ran.
///
/// The role must own the schema, or have the right to create it. If the schema is up to date it
/// needs neither, and nothing is written.
///
/// It uses a separate connection, whose end always releases the advisory lock. The lock belongs to
/// the session, so the connection must not go through a transaction pooler.
pub async fn migrate(options: &PgConnectOptions) -> Result<usize, OpenError> {
    let mut connection = connect_for_commands(options).await?;
    let outcome = bring_up_to_date(&mut connection).await;
    let _ = connection.close().await;
    outcome
}

/// Connects for a command that changes the database, without timeouts.
pub(super) async fn connect_for_commands(
    options: &PgConnectOptions,
) -> Result<PgConnection, OpenError> {
    let mut connection = connect(options).await?;
    let settings = raw_sql(AssertSqlSafe(set(SESSION) + UNBOUNDED));
    connection.execute(settings).await.map_err(OpenError::Connect)?;
    Ok(connection)
}

/// Checks that the schema is that of this release, without changes.
pub async fn check_schema(options: &PgConnectOptions) -> Result<(), OpenError> {
    let mut connection = connect(options).await?;
    let applied = applied(&mut connection).await;
    let _ = connection.close().await;
    let applied = applied?;
    match missing(&applied, &migrator())? {
        0 => Ok(()),
        missing => Err(OpenError::Behind { found: applied.len(), needed: applied.len() + missing }),
    }
}

async fn bring_up_to_date(connection: &mut PgConnection) -> Result<usize, OpenError> {
    let mut migrator = migrator();
    let before = applied(connection).await?;
    if missing(&before, &migrator)? == 0 {
        // Without the right to create, Postgres refuses even `create ... if not exists`.
        return Ok(0);
    }
    if has_schema(connection).await? {
        migrator.create_schemas = Cow::Borrowed(&[]);
    }
    migrator.run(&mut *connection).await.map_err(|error| match error {
        MigrateError::VersionMissing(version) => OpenError::Newer(version),
        error => OpenError::Migrate(error),
    })?;
    Ok(applied(connection).await?.len().saturating_sub(before.len()))
}

/// The number of migrations that a database lacks. Fails if it has a migration that this release
/// does not have, or has it with other contents.
fn missing(applied: &[Applied], migrator: &Migrator) -> Result<usize, OpenError> {
    let known: HashMap<_, _> = migrator.iter().map(|one| (one.version, &one.checksum)).collect();
    for migration in applied {
        match known.get(&migration.version) {
            None => return Err(OpenError::Newer(migration.version)),
            Some(checksum) if **checksum != migration.checksum => {
                return Err(OpenError::Migrate(MigrateError::VersionMismatch(migration.version)));
            }
            Some(_) => {}
        }
    }
    Ok(known.len().saturating_sub(applied.len()))
}

/// Whether the schema exists. Fails if it does not and the role may not create it.
async fn has_schema(connection: &mut PgConnection) -> Result<bool, OpenError> {
    let question = format!(
        "select to_regnamespace('{SCHEMA}') is not null, \
         has_database_privilege(current_database(), 'create'), quote_ident(current_user)"
    );
    let read = |row: PgRow| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?));
    let answer = ask(connection, &question).await;
    let (is_there, may_create, role): (bool, bool, String) =
        answer.and_then(read).map_err(OpenError::Connect)?;
    if !is_there && !may_create {
        return Err(OpenError::MayNotCreate { role });
    }
    Ok(is_there)
}

/// A migration that was run on the database.
struct Applied {
    version: i64,
    checksum: Vec<u8>,
}

/// The migrations that were run on the database.
///
/// Works through a transaction pooler, because the statements are unnamed and independent.
async fn applied(connection: &mut PgConnection) -> Result<Vec<Applied>, OpenError> {
    let table = format!("{SCHEMA}.{MIGRATIONS}");
    let is_there = format!("select to_regclass('{table}') is not null");
    let list = format!("{LOCAL}; select version, checksum, success from {table} order by version");
    let rows = async {
        let is_there = ask(connection, &is_there).await?;
        if !is_there.try_get::<bool, _>(0)? {
            return Ok(Vec::new());
        }
        connection.fetch_all(raw_sql(AssertSqlSafe(list))).await
    };
    let rows = rows.await.map_err(OpenError::Connect)?;
    let mut applied = Vec::new();
    for row in rows {
        let read = || Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?));
        let (version, checksum, is_done): (i64, Vec<u8>, bool) =
            read().map_err(OpenError::Connect)?;
        if !is_done {
            return Err(OpenError::Migrate(MigrateError::Dirty(version)));
        }
        applied.push(Applied { version, checksum });
    }
    Ok(applied)
}

/// Runs a query of one row. Works through a transaction pooler that is not in the settings: the
/// statement is unnamed, and its settings end with it.
pub(super) async fn ask(
    connection: &mut PgConnection,
    question: &str,
) -> Result<PgRow, sqlx::Error> {
    connection.fetch_one(raw_sql(AssertSqlSafe(format!("{LOCAL}; {question}")))).await
}

/// Fails behind a pooler in transaction mode. There a named statement may be prepared on one
/// connection and looked up on another, which fails occasionally, and only under load.
pub(crate) async fn refuse_unknown_pooler(database: &PgConnectOptions) -> Result<(), OpenError> {
    let (mut one, mut other) = (connect(database).await?, connect(database).await?);
    let outcome = is_behind_transaction_pooler(&mut one, &mut other).await;
    let _ = one.close().await;
    let _ = other.close().await;
    if outcome.map_err(OpenError::Connect)? {
        return Err(OpenError::TransactionPooler);
    }
    Ok(())
}

/// Settings of one [`ask`].
const LOCAL: &str = "set local statement_timeout = '30s'; set local search_path = pg_catalog; \
     set local bytea_output = hex";

/// Settings of migrations, which may take long. `transaction_timeout` exists since Postgres 17.
pub(super) const UNBOUNDED: &str = "set statement_timeout = 0; set lock_timeout = 0; \
     set idle_in_transaction_session_timeout = 0; \
     select set_config(name, '0', false) from pg_settings where name = 'transaction_timeout'";

/// Connects, and checks the version and the encoding of the database.
pub(super) async fn connect(options: &PgConnectOptions) -> Result<PgConnection, OpenError> {
    let options = ours(options.clone());
    let connecting = tokio::time::timeout(CONNECT_DEADLINE, options.connect());
    let connected = connecting.await.unwrap_or_else(|_| Err(sqlx::Error::PoolTimedOut));
    let mut connection = connected.map_err(OpenError::Connect)?;
    let question = "select current_setting('server_version'), \
                    current_setting('server_version_num')::int, current_setting('server_encoding')";
    let read = |row: PgRow| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?));
    let answer = ask(&mut connection, question).await;
    let (version, number, encoding): (String, i32, String) =
        answer.and_then(read).map_err(OpenError::Connect)?;
    if number < OLDEST_POSTGRES {
        return Err(OpenError::TooOld(version));
    }
    if encoding != "UTF8" {
        return Err(OpenError::Encoding(encoding));
    }
    Ok(connection)
}

/// The migrations of the thread store, with their record in its own schema.
#[must_use]
pub fn migrator() -> Migrator {
    let mut migrator = migrator_of(&FILES);
    migrator.create_schema(SCHEMA);
    migrator.dangerous_set_table_name(format!("{SCHEMA}.{MIGRATIONS}"));
    migrator
}
