//! The schema: connecting to a database, checking it, and bringing it up to date.
//!
//! A database is not ours alone: its encoding, the rights of our role and the settings that somebody
//! gave database or role are checked or overridden here, before anything depends on them.

use std::borrow::Cow;
use std::collections::HashMap;
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::{PgConnectOptions, PgRow};
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection as _, Executor as _, PgConnection, Row as _, raw_sql,
};

use super::pool::is_behind_transaction_pooler;

/// Schema of all tables, apart from `public`, which Supabase serves to holders of its anon key.
const SCHEMA: &str = "thread_store";

/// Table with the record of the migrations that ran.
const MIGRATIONS: &str = "_sqlx_migrations";

/// For the first connection to the database.
const CONNECT_DEADLINE: Duration = Duration::from_secs(30);

/// Oldest supported Postgres, as `server_version_num` counts.
const OLDEST_POSTGRES: i32 = 140_000;

/// Why a store cannot be opened. Its text is one line for the operator.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The database refused the connection or cannot be reached.
    #[error("cannot connect to the database, check DATABASE_URL: {0}")]
    Connect(#[source] sqlx::Error),
    /// The database is older than what is supported.
    #[error("the database is PostgreSQL {0}, and PostgreSQL 14 or newer is needed")]
    TooOld(String),
    /// The database cannot hold every text. JSON is UTF-8, so most of its characters would be
    /// refused, or stored as bytes that no index sorts and no filter finds.
    #[error(
        "the database has the encoding {0}, and UTF8 is needed: make another one with `create \
         database ... encoding 'UTF8' template template0`"
    )]
    Encoding(String),
    /// There is no schema, and the role may not make one.
    #[error(
        "role {role} may not make the schema {SCHEMA}: run `create schema {SCHEMA} authorization \
         {role}` as the owner of the database"
    )]
    MayNotCreate {
        /// The role, quoted as in SQL.
        role: String,
    },
    /// The schema is of a newer release.
    #[error(
        "the database has schema version {0}, which this release does not know: run a newer one"
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
    /// Statements go to the database over a pooler in transaction mode, of which we were not told.
    #[error(
        "the database is behind a pooler in transaction mode: set DATABASE_POOLER=transaction and \
         DATABASE_DIRECT_URL, or connect to the database itself or to a pooler in session mode"
    )]
    TransactionPooler,
    /// A migration failed.
    #[error("cannot migrate the database: {0}")]
    Migrate(#[source] MigrateError),
}

/// Brings the schema up to date, and answers with the number of migrations that ran.
///
/// The role needs the right to make the schema, or to own it. If nothing is to be done it needs
/// neither, and a database that is read-only is left as it is.
///
/// On a connection of its own, whose end releases the advisory lock, whatever happens. The lock
/// belongs to the session, so the connection must not go through a transaction pooler.
pub async fn migrate(options: &PgConnectOptions) -> Result<usize, OpenError> {
    let mut connection = connect(options).await?;
    let outcome = async {
        for settings in [UNBOUNDED, SESSION] {
            connection.execute(raw_sql(settings)).await.map_err(OpenError::Connect)?;
        }
        bring_up_to_date(&mut connection).await
    };
    let outcome = outcome.await;
    let _ = connection.close().await;
    outcome
}

/// Checks that the schema is that of this release, and changes nothing.
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
        // Not even `if not exists` is let pass without the right to create.
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

/// How many migrations a database has not had. None of those that it has had may be unknown, or
/// another one than that of this release.
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

/// Whether the schema is there. If it is not, the role has the right to make it.
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

/// A migration that the database has had.
struct Applied {
    version: i64,
    checksum: Vec<u8>,
}

/// The migrations that the database has had.
///
/// In statements without a name, of which none needs another: they may go over a transaction
/// pooler.
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

/// The one row of a question. It is a statement without a name, and what is set for it ends with it:
/// it may go over a transaction pooler of which we were not told.
async fn ask(connection: &mut PgConnection, question: &str) -> Result<PgRow, sqlx::Error> {
    connection.fetch_one(raw_sql(AssertSqlSafe(format!("{LOCAL}; {question}")))).await
}

/// Statements that are kept under a name on one connection of Postgres, and looked for on another,
/// fail now and then, or worse. That must not be found out under load.
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

/// What statements count on, whatever database and role were given by `alter ... set`, as commands
/// of a session.
///
/// Names are those of Postgres: on a shared database others may put functions of these names where
/// `search_path` looks first. A string has no escapes unless it says so. Two writers of one thread
/// find out of each other by what the other has committed. Numbers have all of their digits.
///
/// What says that nothing may be written (`default_transaction_read_only`) is obeyed.
pub(super) const SESSION: &str = "set search_path = pg_catalog; \
     set standard_conforming_strings = on; set default_transaction_isolation = 'read committed'; \
     set extra_float_digits = 1; set bytea_output = hex; set idle_session_timeout = 0";

/// The part of it that questions of this file count on, for one of them.
const LOCAL: &str = "set local statement_timeout = '30s'; set local search_path = pg_catalog; \
     set local bytea_output = hex";

/// For migrations, which take as long as they take. The last of them is there since Postgres 17.
const UNBOUNDED: &str = "set statement_timeout = 0; set lock_timeout = 0; \
     set idle_in_transaction_session_timeout = 0; \
     select set_config(name, '0', false) from pg_settings where name = 'transaction_timeout'";

/// Options that all our connections share.
pub(super) fn ours(options: PgConnectOptions) -> PgConnectOptions {
    let options = match options.get_application_name() {
        None => options.application_name("thread-store"),
        Some(_) => options,
    };
    let options = options.disable_statement_logging();
    // Postgres 12 and newer print floats in full by default, and PgBouncer refuses to be asked.
    options.extra_float_digits(None)
}

/// Connects, and checks that the database is one of those supported.
async fn connect(options: &PgConnectOptions) -> Result<PgConnection, OpenError> {
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
    let mut migrator = sqlx::migrate!("./migrations");
    migrator.create_schema(SCHEMA);
    migrator.dangerous_set_table_name(format!("{SCHEMA}.{MIGRATIONS}"));
    migrator
}
