//! The schema: connecting to a database, checking it, and bringing it up to date.

use std::collections::HashMap;
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::{PgConnectOptions, PgRow};
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection as _, Executor as _, PgConnection, Row as _, raw_sql,
};

use super::pool::{Pooler, is_behind_transaction_pooler};
use super::sql::Statement;

/// Schema of all tables, apart from `public`, which Supabase serves to holders of its anon key.
const SCHEMA: &str = "thread_store";

/// Table with the record of the migrations that ran.
const MIGRATIONS: &str = "_sqlx_migrations";

/// For the first connection to the database.
const CONNECT_DEADLINE: Duration = Duration::from_secs(30);

/// Oldest supported Postgres, as `server_version_num` counts.
const OLDEST_POSTGRES: i32 = 140_000;

/// Whether the schema is there.
pub(super) static PING: Statement =
    Statement::new("schema/ping", "select from thread_store.thread limit 0");

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
        "DATABASE_URL goes over a pooler in transaction mode: set DATABASE_POOLER=transaction, or \
         connect to the database itself or to a pooler in session mode"
    )]
    TransactionPooler,
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
    let list = format!("select version, checksum, success from {table} order by version");
    let rows = async {
        let is_there = connection.fetch_one(raw_sql(AssertSqlSafe(is_there))).await?;
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

/// Statements that are kept under a name on one connection of Postgres, and looked for on another,
/// fail now and then, or worse. That must not be found out under load.
pub(super) async fn refuse_unknown_pooler(
    database: &PgConnectOptions,
    pooler: Pooler,
) -> Result<(), OpenError> {
    if pooler == Pooler::Transaction {
        return Ok(());
    }
    let (mut one, mut other) = (connect(database).await?, connect(database).await?);
    let outcome = is_behind_transaction_pooler(&mut one, &mut other).await;
    let _ = one.close().await;
    let _ = other.close().await;
    if outcome.map_err(OpenError::Connect)? {
        return Err(OpenError::TransactionPooler);
    }
    Ok(())
}

/// Whether the tables are split by tenant: partitioned, or distributed over the nodes of a cluster.
pub(super) async fn is_split(options: &PgConnectOptions) -> Result<bool, OpenError> {
    let mut connection = connect(options).await?;
    let split = async {
        let is_partitioned = raw_sql(
            "select coalesce((select relkind = 'p' from pg_class \
             where oid = to_regclass('thread_store.thread')), false), \
             to_regclass('pg_dist_partition') is not null",
        );
        let row = connection.fetch_one(is_partitioned).await?;
        let (is_partitioned, has_citus): (bool, bool) = (row.try_get(0)?, row.try_get(1)?);
        if is_partitioned || !has_citus {
            return Ok(is_partitioned);
        }
        let is_distributed = raw_sql(
            "select exists (select from pg_dist_partition \
             where logicalrelid = to_regclass('thread_store.thread') and partmethod = 'h')",
        );
        connection.fetch_one(is_distributed).await?.try_get(0)
    };
    let split = split.await;
    let _ = connection.close().await;
    split.map_err(OpenError::Connect)
}

/// Options that all our connections share.
pub(super) fn ours(options: PgConnectOptions) -> PgConnectOptions {
    let options = options.application_name("thread-store").disable_statement_logging();
    // Postgres 12 and newer print floats in full by default, and PgBouncer refuses to be asked.
    options.extra_float_digits(None)
}

/// Connects, and checks that the database is one of those supported.
async fn connect(options: &PgConnectOptions) -> Result<PgConnection, OpenError> {
    let options = ours(options.clone());
    let connecting = tokio::time::timeout(CONNECT_DEADLINE, options.connect());
    let connected = connecting.await.unwrap_or_else(|_| Err(sqlx::Error::PoolTimedOut));
    let mut connection = connected.map_err(OpenError::Connect)?;
    let versions = raw_sql(
        "select current_setting('server_version'), current_setting('server_version_num')::int",
    );
    let read = |row: &PgRow| Ok((row.try_get(0)?, row.try_get(1)?));
    let versions = connection.fetch_one(versions).await;
    let (version, number): (String, i32) =
        versions.and_then(|row| read(&row)).map_err(OpenError::Connect)?;
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
