//! Threads in Postgres. The only module that holds SQL of the thread store.
//!
//! Every function that answers a client takes a [`Scope`](crate::auth::Scope) first and puts
//! its filter into every statement (`filter::push_visible`). Nothing found is `None`; only
//! faults are errors.

mod bases;
mod bounded;
mod caps;
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
mod spare;
mod storage;
mod update;
mod values;
mod writers;
mod writes;

use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use uuid::Uuid;

pub(crate) use bounded::AnswerTooLarge;
pub use caps::Caps;
pub use changes::{Changes, Watch};
pub use checkpoints::{Channels, Checkpoint, Position, Progress, Selection};
pub use create::{Created, IfExists, NewThread};
pub use model::{EmptyObject, Nullable, Status, Strategy, Thread, Ttl, TtlStatus};
#[cfg(feature = "local-auth")]
pub(crate) use pool::Connection;
pub(crate) use pool::too_late;
pub use pool::{Options, Pool, Pooler};
pub use prune::Swept;
pub use schema::{OpenError, check_schema, migrate, migrator};
pub use search::{Behind, Columns, Criteria, Extract, Page, Root, SortKey, Step};
pub use storage::Storage;
pub use writes::{Update, first_checkpoint_id_of};

use lanes::Lanes;
use read::Read;
use schema::refuse_unknown_pooler;
use search::Listing;
use update::Patch;
use writers::Writers;
use writes::Append;

/// Channels of a thread, beside `messages`: each checkpoint names them all.
pub(crate) const MOST_CHANNELS: usize = 1_000;

/// The database of threads.
#[derive(Debug, Clone)]
pub struct Store {
    pool: Pool,
    changes: Changes,
    caps: Caps,
    writers: Writers,
    /// Those who make threads while there is a cap, by the fingerprint of their scope.
    makers: Writers,
    reads: Lanes<Read>,
    listings: Lanes<Listing>,
    creations: Lanes<NewThread>,
    updates: Lanes<Patch>,
    appends: Lanes<Append>,
}

/// Why nothing was written.
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
    /// The user has as many threads as a user may have ([`Caps::threads`]).
    #[error("a user can have at most {0} threads")]
    TooManyThreads(u32),
    /// The thread's state would be larger than it may be ([`Caps::state_bytes`]).
    #[error("the state of a thread can take at most {0} bytes")]
    StateTooLarge(i64),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

impl Store {
    /// Brings the schema up to date, and connects.
    ///
    /// Where there is nothing but a pooler in transaction mode, the schema is only checked.
    pub async fn open(
        database: PgConnectOptions,
        options: impl Into<Options>,
    ) -> Result<Store, OpenError> {
        let options = options.into();
        refuse_unknown_pooler(&database, &options).await?;
        match (&options.direct, options.pooler) {
            (Some(direct), _) => migrate(direct).await.map(drop)?,
            (None, Pooler::None) => migrate(&database).await.map(drop)?,
            (None, Pooler::Transaction) => check_schema(&database).await?,
        }
        Store::connect(database, options).await
    }

    /// Checks that the schema is up to date, and connects.
    pub async fn open_unchanged(
        database: PgConnectOptions,
        options: impl Into<Options>,
    ) -> Result<Store, OpenError> {
        let options = options.into();
        refuse_unknown_pooler(&database, &options).await?;
        check_schema(&database).await?;
        Store::connect(database, options).await
    }

    async fn connect(database: PgConnectOptions, options: Options) -> Result<Store, OpenError> {
        let (lanes, caps) = (lanes(options.max_connections), options.caps);
        let pool =
            Pool::connect(schema::ours(database), options).await.map_err(OpenError::Connect)?;
        Ok(Store {
            changes: Changes::new(pool.clone()),
            caps,
            writers: Writers::default(),
            makers: Writers::default(),
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
        sqlx::query("select from thread_store.thread limit 0").execute(&self.pool).await.map(drop)
    }

    /// The connection pool, for the parts of the server that keep tables of their own.
    #[must_use]
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// How long a request may take up the database.
    pub(crate) fn timeout(&self) -> Duration {
        self.pool.timeout()
    }

    /// News of state that was written, by this instance or another.
    #[must_use]
    pub fn changes(&self) -> &Changes {
        &self.changes
    }

    /// Ends all connections, waiting for statements under way.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// Statements of one kind that run at once: as many as this machine has processors, and few enough
/// to leave connections for the other kinds.
fn lanes(max_connections: u32) -> usize {
    let processors = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let most = usize::try_from(max_connections / 4).unwrap_or(usize::MAX);
    processors.max(2).min(most.max(1))
}
