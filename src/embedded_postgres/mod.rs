//! The database of `cargo run`: a private Postgres in `DATA_DIR/pg`.
//!
//! [`Embedded::start`] finds Postgres's programs (or downloads them), creates the cluster on the
//! first run, and starts the server or takes over the server of a killed run. The server listens on
//! a Unix socket in a directory that only its own user may enter, so it needs no password. Unix
//! only.
//!
//! An acknowledged write survives a kill of this program and of every server process: durability is
//! Postgres's own, and is reduced only in tests.

mod account;
mod archive;
mod binaries;
mod cluster;
mod directory;
mod error;
mod lock;

use std::path::PathBuf;

use sqlx::postgres::PgConnectOptions;
use url::Url;

use account::Account;
use binaries::Binaries;
use cluster::Cluster;
use lock::Lock;

pub use error::Error;

/// The options of the embedded database.
#[derive(Debug, Clone)]
pub struct Options {
    /// Setting `DATA_DIR`. The cluster is in its directory `pg`, which the first start creates.
    pub data_dir: PathBuf,
    /// Setting `POSTGRES_BIN`: the directory of `postgres`, `initdb` and `pg_ctl`. `None`:
    /// installed ones are searched for.
    pub bin_dir: Option<PathBuf>,
    /// Setting `POSTGRES_ARCHIVE_URL`: the location of the archives of
    /// theseus-rs/postgresql-binaries, instead of GitHub. It requests that archive explicitly, so
    /// it takes precedence over an installed Postgres (but not over `POSTGRES_BIN`).
    pub archive_url: Option<Url>,
    /// The data that a power cut may lose.
    pub durability: Durability,
}

/// The data that a power cut may lose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// No acknowledged write.
    Durable,
    /// All data, because no write is forced to disk. Only for tests.
    Test,
}

/// A running private Postgres. No other program can start one on the same directory while this
/// value exists.
///
/// Dropping it leaves the server running, for the next start to take over;
/// [`Embedded::stop`] ends it.
#[derive(Debug)]
pub struct Embedded {
    cluster: Cluster,
    version: String,
    shown_directory: PathBuf,
    _lock: Lock,
}

impl Embedded {
    /// Starts the server, or takes over a running one, and creates the cluster and the database
    /// `thread_store` if they do not exist.
    pub async fn start(options: Options) -> Result<Self, Error> {
        let data_dir = directory::prepare(&options.data_dir)?;
        let lock = Lock::acquire(&data_dir)?;
        let home = data_dir.join("pg");
        let account = Account::choose(&home)?;
        account.check_may_enter(&data_dir, "DATA_DIR")?;
        let made_by = cluster::made_by(&home)?;
        let binaries = Binaries::find(&options, &data_dir, &account, made_by).await?;
        let cluster = Cluster {
            sockets: directory::sockets(&data_dir, &account)?,
            home,
            account,
            binaries,
            durability: options.durability,
        };
        if made_by.is_none() {
            cluster.create().await?;
        }
        cluster.bring_up().await?;
        let version = cluster.prepare_database().await?;
        let shown_directory = options.data_dir.join("pg");
        Ok(Self { cluster, version, shown_directory, _lock: lock })
    }

    /// How to connect: the Unix socket, as the cluster's only user, to `thread_store`.
    #[must_use]
    pub fn connect_options(&self) -> PgConnectOptions {
        self.cluster.connect_options(cluster::DATABASE)
    }

    /// One phrase for the start banner: `PostgreSQL 15.18 in .thread-store/pg`.
    #[must_use]
    pub fn describe(&self) -> String {
        format!("PostgreSQL {} in {}", self.version, self.shown_directory.display())
    }

    /// Stops the server: cancels running statements and writes all data, or stops at once if that
    /// takes too long. Nothing is lost either way.
    pub async fn stop(self) -> Result<(), Error> {
        self.cluster.stop().await
    }
}
