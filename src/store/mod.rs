//! Threads in Postgres. The only module with SQL of the thread store.
//!
//! Every function that answers a client takes a [`Scope`] first and adds its filter to every
//! statement. A missing thread is `None`; only faults and refusals are errors.
//!
//! Each file of `threads` and `state` is one operation, with its SQL as one text that can be read
//! from top to bottom. Many requests share a statement (`batch`); `sql` fills the holes of a text,
//! and `pool` executes it.

mod agent;
mod attachment;
mod batch;
mod changes;
mod criteria;
mod digest;
mod distribute;
mod due;
mod error;
mod filter;
mod keyed_lock;
mod migrations;
mod operation;
mod pool;
mod runs;
mod schema;
mod session;
mod sql;
mod state;
#[cfg(test)]
mod statements;
mod status;
mod summary;
mod tables;
mod thread;
mod thread_lock;
mod threads;

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use uuid::Uuid;

pub use agent::{
    AttachError, Attaching, CheckError, Settled, Survey, TakenIn, detach, thread_id_of,
};
pub use attachment::Attachment;
pub use changes::{Changes, Watch};
pub use criteria::Criteria;
pub use distribute::distribute;
pub use error::Error;
pub(crate) use error::MAX_CHANNELS;
pub use filter::{Comparison, Field, Filter, Test, Time};
pub use operation::Held;
pub use pool::Pooler;
pub use schema::{OpenError, check_schema, migrate, migrator};
pub use state::{
    Channels, Checkpoint, History, Position, Progress, RunState, Selection, Storage, Update,
    first_checkpoint_id_of,
};
pub use status::Status;
pub use summary::Summary;
pub use thread::{Strategy, Thread, Ttl, TtlStatus};
pub use threads::{
    Behind, Created, Found, IfExists, NewThread, Page, Patch, PutOff, Quotas, SortKey, Swept,
    TtlChange, Wanted,
};

pub(crate) use batch::{BATCHED_REQUESTS, BATCHES};
#[cfg(feature = "local-auth")]
pub(crate) use migrations::{File as Migration, migrator_of};
pub(crate) use pool::DATABASE_WAIT;
#[cfg(feature = "local-auth")]
pub(crate) use pool::sessions;
pub(crate) use schema::refuse_unknown_pooler;

use crate::authz::Scope;
use crate::checkpoints::AesKey;
use crate::shares::{Holder, Shares};
use agent::ReadAgentStates;
use attachment::Agents;
use batch::{Batcher, Joined, Workers};
use distribute::tables_of;
use due::Due;
use keyed_lock::KeyedLock;
use pool::{Account, Pool, PoolOptions};
use state::{Append, ReadProgress, ReadStates};
use threads::{Change, Get, Insert, Search};

/// Default maximum bytes of answers that are being made or sent.
const MEMORY: u64 = 128 * 1024 * 1024;

/// How a store uses its database.
#[derive(Clone)]
pub struct Options {
    /// Maximum number of connections for statements. One more connection listens for changes, and
    /// one more cancels statements.
    pub max_connections: u32,
    /// Maximum number of them for one user's statements outside of batches.
    pub connections_per_user: u32,
    /// How long a request may spend on the database.
    pub timeout: Duration,
    /// The kind of pooler between this program and Postgres.
    pub pooler: Pooler,
    /// The connection that bypasses the pooler, for work that needs a session: migrations, and
    /// notifications of other instances.
    pub direct: Option<Box<PgConnectOptions>>,
    /// Limits on users' storage.
    pub quotas: Quotas,
    /// Bytes of answers that are being made or sent.
    pub memory: Shares,
    /// The key of values that agents have encrypted.
    pub aes_key: Option<AesKey>,
    /// The key for the owner in forwarded runs, if runs are forwarded.
    pub owner_key: Option<String>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            max_connections: 16,
            connections_per_user: 4,
            timeout: Duration::from_secs(10),
            pooler: Pooler::None,
            direct: None,
            quotas: Quotas::default(),
            memory: Shares::new(MEMORY, MEMORY / 4),
            aes_key: None,
            owner_key: None,
        }
    }
}

/// Written by hand, because the connect options print their password.
impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("max_connections", &self.max_connections)
            .field("timeout", &self.timeout)
            .field("pooler", &self.pooler)
            .field("is_direct", &self.direct.is_some())
            .finish_non_exhaustive()
    }
}

/// Options with this maximum number of connections, and defaults otherwise.
impl From<u32> for Options {
    fn from(max_connections: u32) -> Options {
        Options { max_connections, ..Options::default() }
    }
}

/// The database of threads.
#[derive(Debug, Clone)]
pub struct Store {
    pool: Pool,
    changes: Changes,
    digests: Due,
    workers: Workers,
    quotas: Quotas,
    memory: Shares,
    agents: Agents,
    /// Locks of writers, by thread and scope.
    writers: KeyedLock<(Uuid, i64)>,
    /// Locks of creations under a quota, by scope.
    creators: KeyedLock<i64>,
    gets: Batcher<Get>,
    searches: Batcher<Search>,
    counts: Joined<(Holder, i64, String), Result<i64, Error>>,
    inserts: Batcher<Insert>,
    changes_of_threads: Batcher<Change>,
    appends: Batcher<Append>,
    reads: Batcher<ReadStates>,
    agent_reads: Batcher<ReadAgentStates>,
    progresses: Batcher<ReadProgress>,
}

impl Store {
    /// Brings the schema up to date, and connects.
    ///
    /// If the only connection is through a pooler in transaction mode, the schema is only checked.
    pub async fn open(
        database: PgConnectOptions,
        options: impl Into<Options>,
    ) -> Result<Store, OpenError> {
        let options = options.into();
        if options.pooler == Pooler::None {
            refuse_unknown_pooler(&database).await?;
        }
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
        if options.pooler == Pooler::None {
            refuse_unknown_pooler(&database).await?;
        }
        check_schema(&database).await?;
        Store::connect(database, options).await
    }

    async fn connect(database: PgConnectOptions, options: Options) -> Result<Store, OpenError> {
        let tables = tables_of(&database).await?;
        let settings = PoolOptions {
            max_connections: options.max_connections,
            per_holder: options.connections_per_user,
            timeout: options.timeout,
            pooler: options.pooler,
            direct: options.direct.map(|direct| *direct),
            tables,
        };
        let pool = Pool::connect(session::ours(database), settings).await;
        let pool = pool.map_err(OpenError::Connect)?;
        let processors = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        let each = processors.max(2).min(pool.batches());
        let workers = Workers::new(pool.batches(), each);
        let agents = Agents::new(options.aes_key, options.owner_key);
        Ok(Store {
            changes: Changes::new(pool.clone(), agents.clone()),
            digests: Due::default(),
            quotas: options.quotas,
            memory: options.memory,
            agents,
            writers: KeyedLock::default(),
            creators: KeyedLock::default(),
            gets: Batcher::new(pool.clone(), workers.clone()),
            searches: Batcher::new(pool.clone(), workers.clone()),
            counts: Joined::default(),
            inserts: Batcher::new(pool.clone(), workers.clone()),
            changes_of_threads: Batcher::new(pool.clone(), workers.clone()),
            appends: Batcher::new(pool.clone(), workers.clone()),
            reads: Batcher::new(pool.clone(), workers.clone()),
            agent_reads: Batcher::new(pool.clone(), workers.clone()),
            progresses: Batcher::new(pool.clone(), workers.clone()),
            workers,
            pool,
        })
    }

    /// Whether the database answers and has the schema of [`open`](Store::open). Any error is
    /// [`Error::Unavailable`].
    pub async fn ping(&self) -> Result<(), Error> {
        let ping = async {
            let mut lease = self.pool.acquire(Account::Holder(Holder::SERVER)).await?;
            lease.execute(sqlx::query(schema::PING.text())).await?;
            lease.commit().await
        };
        ping.await.map_err(|error| Error::Unavailable(Arc::new(error)))
    }

    /// How long a request may spend on the database.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.pool.timeout()
    }

    /// The number of open connections for statements, of idle ones among them, and the maximum.
    #[must_use]
    pub fn connections(&self) -> (usize, usize, usize) {
        self.pool.size()
    }

    /// The connections for requests outside of batches, of which each user has a share.
    #[must_use]
    pub fn single_connections(&self) -> &Shares {
        self.pool.singles()
    }

    /// Wake-ups after writes of state, by this instance or another.
    #[must_use]
    pub fn changes(&self) -> &Changes {
        &self.changes
    }

    /// Watches a thread from now on. `None`: there is no such thread.
    pub async fn watch(&self, scope: &Scope, thread_id: Uuid) -> Result<Option<Watch>, Error> {
        let asked = self.asked_about(scope, thread_id).await?;
        Ok(asked.map(|asked| self.changes.watch(asked.tenant, thread_id)))
    }

    /// Closes all connections after running statements have ended.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// The error for a request that timed out.
pub(crate) fn too_late() -> Error {
    Error::from(pool::too_late())
}
