//! The schema: connecting to a database, checking it, and bringing it up to date.

use std::collections::HashMap;
use std::time::Duration;

use sqlx::migrate::{AppliedMigration, Migrate as _, MigrateError, Migrator};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection};

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
    /// The schema is of a newer release.
    #[error(
        "the database has schema version {0}, which this release does not know: run a newer one"
    )]
    Newer(i64),
    /// The schema lacks migrations of this release, and may not be changed now.
    #[error(
        "the database has {found} of the {needed} migrations of this release: run \
         `thread-store migrate`, or set DATABASE_MIGRATE=true"
    )]
    Behind {
        /// Migrations that the database has.
        found: usize,
        /// Migrations that this release has.
        needed: usize,
    },
    /// The record of migrations cannot be read.
    #[error("cannot read which migrations the database has had: {0}")]
    Unreadable(#[source] MigrateError),
    /// A migration failed.
    #[error("cannot migrate the database: {0}")]
    Migrate(#[source] MigrateError),
}

/// Brings the schema up to date, and answers with the number of migrations that ran.
///
/// On a connection of its own, whose end releases the advisory lock, whatever happens. The lock
/// belongs to the session, so the connection must not go through a transaction pooler.
pub async fn migrate(options: &PgConnectOptions) -> Result<usize, OpenError> {
    let mut connection = connect(options).await?;
    let before = applied(&mut connection).await?.len();
    let outcome = migrator().run(&mut connection).await;
    let after = applied(&mut connection).await;
    let _ = connection.close().await;
    outcome.map_err(|error| match error {
        MigrateError::VersionMissing(version) => OpenError::Newer(version),
        error => OpenError::Migrate(error),
    })?;
    Ok(after?.len().saturating_sub(before))
}

/// Checks that the schema is that of this release, and changes nothing.
pub async fn check_schema(options: &PgConnectOptions) -> Result<(), OpenError> {
    let mut connection = connect(options).await?;
    let applied = applied(&mut connection).await;
    let _ = connection.close().await;
    let (applied, migrator) = (applied?, migrator());
    let known: HashMap<_, _> = migrator.iter().map(|one| (one.version, &one.checksum)).collect();
    for migration in &applied {
        match known.get(&migration.version) {
            None => return Err(OpenError::Newer(migration.version)),
            Some(checksum) if **checksum != migration.checksum => {
                return Err(OpenError::Migrate(MigrateError::VersionMismatch(migration.version)));
            }
            Some(_) => {}
        }
    }
    if applied.len() < known.len() {
        return Err(OpenError::Behind { found: applied.len(), needed: known.len() });
    }
    Ok(())
}

/// The migrations that the database has had.
async fn applied(connection: &mut PgConnection) -> Result<Vec<AppliedMigration>, OpenError> {
    let table = format!("{SCHEMA}.{MIGRATIONS}");
    let is_there: bool = sqlx::query_scalar(
        "select exists (select from pg_tables where schemaname = $1 and tablename = $2)",
    )
    .bind(SCHEMA)
    .bind(MIGRATIONS)
    .fetch_one(&mut *connection)
    .await
    .map_err(OpenError::Connect)?;
    if !is_there {
        return Ok(Vec::new());
    }
    if let Some(version) = connection.dirty_version(&table).await.map_err(OpenError::Unreadable)? {
        return Err(OpenError::Migrate(MigrateError::Dirty(version)));
    }
    connection.list_applied_migrations(&table).await.map_err(OpenError::Unreadable)
}

/// Options that all our connections share.
pub(super) fn ours(options: PgConnectOptions) -> PgConnectOptions {
    options.application_name("thread-store").disable_statement_logging()
}

/// Connects, and checks that the database is one of those supported.
async fn connect(options: &PgConnectOptions) -> Result<PgConnection, OpenError> {
    let options = ours(options.clone());
    let connecting = tokio::time::timeout(CONNECT_DEADLINE, options.connect());
    let connected = connecting.await.unwrap_or_else(|_| Err(sqlx::Error::PoolTimedOut));
    let mut connection = connected.map_err(OpenError::Connect)?;
    let (version, number): (String, i32) = sqlx::query_as(
        "select current_setting('server_version'), current_setting('server_version_num')::int",
    )
    .fetch_one(&mut connection)
    .await
    .map_err(OpenError::Connect)?;
    if number < OLDEST_POSTGRES {
        return Err(OpenError::TooOld(version));
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
