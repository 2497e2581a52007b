//! The database of `cargo run`: a private Postgres in `DATA_DIR/pg`.
//!
//! [`Embedded::start`] finds Postgres's programs (or downloads them), makes the
//! cluster on the first run, starts the server or takes over the one that a killed
//! run left behind. The server listens on a Unix socket in a directory that only its
//! own user may enter, so it needs no password. Unix only.
//!
//! An acknowledged write survives the death of this program and of every server
//! process: durability is Postgres's own, nothing is relaxed outside tests.

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

/// What the embedded database is made from and where it lives.
#[derive(Debug, Clone)]
pub struct Options {
    /// Setting `DATA_DIR`. The cluster goes to `pg` in it, made on the first start.
    pub data_dir: PathBuf,
    /// Setting `POSTGRES_BIN`: the directory of `postgres`, `initdb` and `pg_ctl`.
    /// With none, the installed ones are looked for.
    pub bin_dir: Option<PathBuf>,
    /// Setting `POSTGRES_ARCHIVE_URL`: where the archives of
    /// theseus-rs/postgresql-binaries are, in place of GitHub. Whoever sets it asks
    /// for that archive, so it outranks an installed Postgres (not `POSTGRES_BIN`).
    pub archive_url: Option<Url>,
    /// How much a power cut may cost.
    pub durability: Durability,
}

/// How much a power cut may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Nothing that was acknowledged.
    Durable,
    /// Everything: no write is forced to disk. For tests only.
    Test,
}

/// A running private Postgres, which no other program can start on the same
/// directory while this value lives.
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
    /// Starts the server, or takes over one that is still running, and makes the
    /// cluster and the database `thread_store` if they do not exist.
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

    /// One phrase for the start banner: `Postgres 15.18 in .thread-store/pg`.
    #[must_use]
    pub fn describe(&self) -> String {
        format!("PostgreSQL {} in {}", self.version, self.shown_directory.display())
    }

    /// Ends the server after the running statements were cut short and everything
    /// was written down; without that, when it takes too long. Nothing is lost either way.
    pub async fn stop(self) -> Result<(), Error> {
        self.cluster.stop().await
    }
}
