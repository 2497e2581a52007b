//! Threads in Postgres. The only module that holds SQL of the thread store.
//!
//! Every function takes a [`Scope`](crate::auth::Scope) first and puts its filter into every
//! statement it runs (`filter::push_visible`). Nothing found is `None`; only faults
//! are errors.

mod filter;
mod search;
mod threads;

use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, PgPool};

pub use search::{Criteria, Page, SortKey};
pub use threads::{Created, IfExists};

/// Schema of all tables, apart from `public`, which Supabase serves to holders of its anon key.
const SCHEMA: &str = "thread_store";

/// How long a request waits for a database connection before it is answered with 503.
const ACQUIRE_DEADLINE: Duration = Duration::from_secs(5);

/// Oldest supported Postgres, as `server_version_num` counts.
const OLDEST_POSTGRES: i32 = 140_000;

/// The database of threads.
#[derive(Debug, Clone)]
pub struct Store {
    pool: PgPool,
}

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
    /// A migration failed.
    #[error("cannot migrate the database: {0}")]
    Migrate(#[source] MigrateError),
}

impl Store {
    /// Connects, and brings the schema up to date.
    pub async fn open(options: PgConnectOptions, max_connections: u32) -> Result<Store, OpenError> {
        let options = options.application_name("thread-store").disable_statement_logging();
        migrate(&options).await?;
        let pool = PgPoolOptions::new()
            .max_connections(max_connections)
            .acquire_timeout(ACQUIRE_DEADLINE)
            // A broken connection is noticed by the statement that uses it; asking first would
            // cost every request a round trip.
            .test_before_acquire(false)
            .connect_with(options)
            .await
            .map_err(OpenError::Connect)?;
        Ok(Store { pool })
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), sqlx::Error> {
        sqlx::query("select 1").execute(&self.pool).await.map(drop)
    }

    /// The connection pool, for the parts of the server that keep tables of their own.
    #[must_use]
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Ends all connections, waiting for statements under way.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// Runs on a connection of its own: its end releases the advisory lock, whatever happens.
async fn migrate(options: &PgConnectOptions) -> Result<(), OpenError> {
    let mut connection = options.connect().await.map_err(OpenError::Connect)?;
    let (version, number): (String, i32) = sqlx::query_as(
        "select current_setting('server_version'), current_setting('server_version_num')::int",
    )
    .fetch_one(&mut connection)
    .await
    .map_err(OpenError::Connect)?;
    if number < OLDEST_POSTGRES {
        return Err(OpenError::TooOld(version));
    }
    let outcome = migrator().run(&mut connection).await;
    let _ = connection.close().await;
    outcome.map_err(|error| match error {
        MigrateError::VersionMissing(version) => OpenError::Newer(version),
        error => OpenError::Migrate(error),
    })
}

fn migrator() -> Migrator {
    let mut migrator = sqlx::migrate!("./migrations");
    migrator.create_schema(SCHEMA);
    migrator.dangerous_set_table_name(format!("{SCHEMA}._sqlx_migrations"));
    migrator
}
