//! Threads in Postgres. The only module that holds SQL of the thread store.
//!
//! Every function that answers a client takes a [`Scope`](crate::auth::Scope) first and puts
//! its filter into every statement (`filter::push_visible`). Nothing found is `None`; only
//! faults are errors.

mod bases;
mod bounded;
mod changes;
mod checkpoints;
mod copies;
mod create;
mod filter;
mod inserts;
mod lanes;
mod messages;
mod model;
mod pool;
mod prune;
mod read;
mod schema;
mod search;
mod storage;
mod update;
mod values;
mod writers;
mod writes;

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Executor, PgPool};
use uuid::Uuid;

pub(crate) use bounded::AnswerTooLarge;
pub use changes::{Changes, Watch};
pub use checkpoints::{Channels, Checkpoint, Position, Progress, Selection};
pub use create::{Created, IfExists, NewThread};
pub use model::{EmptyObject, Nullable, Status, Strategy, Thread, Ttl, TtlStatus};
pub use prune::Swept;
pub use schema::{OpenError, check_schema, migrate, migrator};
pub use search::{Behind, Columns, Criteria, Extract, Page, Root, SortKey, Step};
pub use storage::Storage;
pub use writes::{Update, first_checkpoint_id_of};

use lanes::Lanes;
use pool::Pool;
use read::Read;
use search::Listing;
use update::Patch;
use writers::Writers;
use writes::Append;

/// How long a request waits for a database connection before it is answered with 503.
const ACQUIRE_DEADLINE: Duration = Duration::from_secs(5);

/// Channels of a thread, beside `messages`: each checkpoint names them all.
const MOST_CHANNELS: usize = 1_000;

/// Settings of every connection.
///
/// A statement that waits for a lock or runs for longer is answered with 503, and frees its
/// connection. Compiling a statement that looks expensive takes longer than any of ours. And a
/// plan that reads all of a small table is the best one there is, until the table has grown.
/// Statements are planned once: planning takes longer than running most of them, and Postgres would
/// plan a list of one item anew each time, because it expects lists to be longer. Those that need a
/// plan for their values have them in their text.
const SESSION: &str = "set lock_timeout = '4s'; set statement_timeout = '60s'; set jit = 'off'; \
     set enable_seqscan = 'off'; set plan_cache_mode = 'force_generic_plan'";

/// The database of threads.
#[derive(Debug, Clone)]
pub struct Store {
    pool: Pool,
    changes: Changes,
    writers: Writers,
    reads: Lanes<Read>,
    listings: Lanes<Listing>,
    creations: Lanes<NewThread>,
    updates: Lanes<Patch>,
    appends: Lanes<Append>,
}

/// Why state was not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The update cannot be applied. Nothing was written.
    #[error(transparent)]
    Messages(#[from] crate::messages::Refused),
    /// More channels than a checkpoint may have.
    #[error("values: a thread can have at most {MOST_CHANNELS} keys beside messages")]
    TooManyChannels,
    /// The checkpoint to write onto does not exist.
    #[error("Checkpoint with ID {0} not found")]
    CheckpointNotFound(Uuid),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

impl Store {
    /// Brings the schema up to date, and connects.
    pub async fn open(options: PgConnectOptions, max_connections: u32) -> Result<Store, OpenError> {
        migrate(&options).await?;
        Store::connect(options, max_connections).await
    }

    /// Connects to a database whose schema is up to date.
    pub async fn connect(
        options: PgConnectOptions,
        max_connections: u32,
    ) -> Result<Store, OpenError> {
        let pool = PgPoolOptions::new()
            // One more for the connection that listens for changes.
            .max_connections(max_connections.saturating_add(1))
            .acquire_timeout(ACQUIRE_DEADLINE)
            // A broken connection is noticed by the statement that uses it; asking first would
            // cost every request a round trip.
            .test_before_acquire(false)
            .after_connect(|connection, _| {
                Box::pin(async move { connection.execute(SESSION).await.map(drop) })
            })
            .connect_with(schema::ours(options))
            .await
            .map_err(OpenError::Connect)?;
        let lanes = lanes(max_connections);
        let changes = Changes::new(pool.clone());
        let pool = Pool::new(pool);
        Ok(Store {
            changes,
            writers: Writers::default(),
            reads: Lanes::new(pool.clone(), lanes),
            listings: Lanes::new(pool.clone(), lanes),
            creations: Lanes::new(pool.clone(), lanes),
            updates: Lanes::new(pool.clone(), lanes),
            appends: Lanes::new(pool.clone(), lanes),
            pool,
        })
    }

    /// Whether the database answers and has the schema that [`open`](Store::open) left there.
    pub async fn ping(&self) -> Result<(), sqlx::Error> {
        sqlx::query("select from thread_store.thread limit 0")
            .execute(self.pool.unmeasured())
            .await
            .map(drop)
    }

    /// The connection pool, for the parts of the server that keep tables of their own.
    #[must_use]
    pub fn pool(&self) -> &PgPool {
        self.pool.unmeasured()
    }

    /// News of state that was written, by this instance or another.
    #[must_use]
    pub fn changes(&self) -> &Changes {
        &self.changes
    }

    /// Ends all connections, waiting for statements under way.
    pub async fn close(&self) {
        self.pool.unmeasured().close().await;
    }
}

/// Statements of one kind that run at once: as many as this machine has processors, and few enough
/// to leave connections for the other kinds.
fn lanes(max_connections: u32) -> usize {
    let processors = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let most = usize::try_from(max_connections / 4).unwrap_or(usize::MAX);
    processors.max(2).min(most.max(1))
}
