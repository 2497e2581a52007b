//! Threads in Postgres. The only module that holds SQL of the thread store.
//!
//! Every function that answers a client takes a [`Scope`] first and puts its
//! filter into every statement. Nothing found is `None`; only faults and refusals are errors.
//!
//! Each file of `threads` and `state` is one operation, with its SQL as one text that can be read
//! from top to bottom. Many requests share a statement (`batch`); `sql` fills the holes of a text,
//! and `pool` runs it.

mod agent;
mod attachment;
mod batch;
mod changes;
mod criteria;
mod distribute;
mod error;
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
pub use operation::Held;
pub use pool::Pooler;
pub use schema::{OpenError, check_schema, migrate, migrator};
pub use state::{
    Channels, Checkpoint, History, Position, Progress, RunState, Selection, Storage, Update,
    first_checkpoint_id_of,
};
pub use status::Status;
pub use thread::{Strategy, Thread, Ttl, TtlStatus};
pub use threads::{
    Behind, Created, Found, IfExists, NewThread, Page, Patch, PutOff, Quotas, SortKey, Swept,
    TtlChange,
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
use batch::{Batcher, Workers};
use distribute::tables_of;
use keyed_lock::KeyedLock;
use pool::{Account, Pool, PoolOptions};
use state::{Append, ReadProgress, ReadStates};
use threads::{Change, Get, Insert, Search};

/// Bytes of all answers that are being made or sent, unless the server says otherwise.
const MEMORY: u64 = 128 * 1024 * 1024;

/// How a store uses its database.
#[derive(Clone)]
pub struct Options {
    /// Most connections for statements. One more listens for changes, one more cancels statements.
    pub max_connections: u32,
    /// Most of them for the statements of one user that share none with others.
    pub connections_per_user: u32,
    /// How long a request may spend on the database.
    pub timeout: Duration,
    /// What is between this program and Postgres.
    pub pooler: Pooler,
    /// The way around it, for what needs a session: migrations, and hearing of other instances.
    pub direct: Option<Box<PgConnectOptions>>,
    /// What users may have stored.
    pub quotas: Quotas,
    /// Bytes of answers that are being made or sent.
    pub memory: Shares,
    /// The key of values that agents have encrypted.
    pub aes_key: Option<AesKey>,
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
        }
    }
}

/// By hand, because the connect options print their password.
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

/// So many connections, and nothing else set.
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
    quotas: Quotas,
    memory: Shares,
    agents: Agents,
    /// Those who write to a thread, by the thread and what they may see.
    writers: KeyedLock<(Uuid, i64)>,
    /// Those who create threads while there is a quota, by what they may see.
    creators: KeyedLock<i64>,
    gets: Batcher<Get>,
    searches: Batcher<Search>,
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
    /// Where there is nothing but a pooler in transaction mode, the schema is only checked.
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
        let agents = Agents::new(options.aes_key);
        Ok(Store {
            changes: Changes::new(pool.clone(), agents.clone()),
            quotas: options.quotas,
            memory: options.memory,
            agents,
            writers: KeyedLock::default(),
            creators: KeyedLock::default(),
            gets: Batcher::new(pool.clone(), workers.clone()),
            searches: Batcher::new(pool.clone(), workers.clone()),
            inserts: Batcher::new(pool.clone(), workers.clone()),
            changes_of_threads: Batcher::new(pool.clone(), workers.clone()),
            appends: Batcher::new(pool.clone(), workers.clone()),
            reads: Batcher::new(pool.clone(), workers.clone()),
            agent_reads: Batcher::new(pool.clone(), workers.clone()),
            progresses: Batcher::new(pool.clone(), workers),
            pool,
        })
    }

    /// Whether the database answers and has the schema that [`open`](Store::open) left there. Any
    /// error is [`Error::Unavailable`].
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

    /// How many connections for statements are open, how many of them are idle, and how many there
    /// can be.
    #[must_use]
    pub fn connections(&self) -> (usize, usize, usize) {
        self.pool.size()
    }

    /// The connections for single requests, of which each user has a share.
    #[must_use]
    pub fn single_connections(&self) -> &Shares {
        self.pool.singles()
    }

    /// News of state that was written, by this instance or another.
    #[must_use]
    pub fn changes(&self) -> &Changes {
        &self.changes
    }

    /// Watches a thread from now on. `None`: there is no such thread.
    pub async fn watch(&self, scope: &Scope, thread_id: Uuid) -> Result<Option<Watch>, Error> {
        let asked = self.asked_about(scope, thread_id).await?;
        Ok(asked.map(|asked| self.changes.watch(asked.tenant, thread_id)))
    }

    /// Closes all connections, waiting for statements under way.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// The error for a request that timed out.
pub(crate) fn too_late() -> Error {
    Error::from(pool::too_late())
}
