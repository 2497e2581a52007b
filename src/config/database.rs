//! The database that keeps the threads, and how a server connects to it.

use std::fmt;
use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use url::Url;

use super::postgres_options::{connect_options, environment};
use super::postgres_url::{Address, address};
use super::values::{choice, http_url, number, path, seconds};
use super::{ConfigError, wrong};
use crate::store::Pooler;

/// The settings of the database, before they are checked together.
#[derive(clap::Args)]
pub(super) struct DatabaseArguments {
    /// Postgres 14 to 18, `postgres://user:password@host:port/database`. Unset: a private Postgres
    /// is started in `DATA_DIR/pg`
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    #[arg(value_name = "URL", value_parser = address)]
    database_url: Option<Address>,

    /// The same database without a transaction pooler in between, for migrations and for
    /// notifications from other servers. Unset: `DATABASE_URL`
    #[arg(long, env = "DATABASE_DIRECT_URL", hide_env_values = true)]
    #[arg(value_name = "URL", value_parser = address)]
    database_direct_url: Option<Address>,

    /// Whether the server brings the schema up to date when it starts: `true`, or `false` to
    /// refuse an outdated schema, which `thread-store migrate` updates
    #[arg(long, env = "DATABASE_MIGRATE", default_value = "true")]
    #[arg(value_name = "BOOLEAN", value_parser = choice(&SCHEMA))]
    pub(super) database_migrate: Schema,

    /// Maximum number of connections to the database that this server opens, 1 to 1000
    #[arg(long, env = "DATABASE_MAX_CONNECTIONS", default_value = "16")]
    #[arg(value_name = "NUMBER", value_parser = number::<u32, 1, 1000>)]
    pub(super) database_max_connections: u32,

    /// Maximum number of connections for one user's requests that do not share a statement with
    /// others, 1 to 1000. Further requests wait. Unset: a quarter of `DATABASE_MAX_CONNECTIONS`
    #[arg(long, env = "DATABASE_CONNECTIONS_PER_USER")]
    #[arg(value_name = "NUMBER", value_parser = number::<u32, 1, 1000>)]
    pub(super) database_connections_per_user: Option<u32>,

    /// Maximum seconds that a request may spend on the database, 1 to 3600. Slower requests get 503
    #[arg(long, env = "DATABASE_TIMEOUT", default_value = "10")]
    #[arg(value_name = "SECONDS", value_parser = seconds::<1, 3600>)]
    pub(super) database_timeout: Duration,

    /// Pooler between this server and Postgres: `none`, also for a pooler in session mode, or
    /// `transaction` for one in transaction mode (PgBouncer, Supabase's on port 6543)
    #[arg(long, env = "DATABASE_POOLER", default_value = "none")]
    #[arg(value_name = "MODE", value_parser = choice(&POOLERS))]
    pub(super) database_pooler: Pooler,

    /// Directory of the private Postgres and of the local sign-in's secret
    #[arg(long, env = "DATA_DIR", default_value = ".thread-store")]
    #[arg(value_name = "PATH", value_parser = path)]
    pub(super) data_dir: PathBuf,

    /// Directory with `postgres`, `initdb` and `pg_ctl` for the private Postgres. Unset: the
    /// ones on `PATH`, else the newest installed, else a download
    #[arg(long, env = "POSTGRES_BIN")]
    #[arg(value_name = "PATH", value_parser = path)]
    postgres_bin: Option<PathBuf>,

    /// Where PostgreSQL is downloaded from if none is installed. Unset: the releases of
    /// theseus-rs/postgresql-binaries on GitHub
    #[arg(long, env = "POSTGRES_ARCHIVE_URL")]
    #[arg(value_name = "URL", value_parser = http_url)]
    postgres_archive_url: Option<Url>,
}

/// What the server does with an outdated schema when it starts (`DATABASE_MIGRATE`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schema {
    /// Brings it up to date.
    Migrate,
    /// Refuses it.
    Check,
}

const SCHEMA: [(&str, Schema); 2] = [("true", Schema::Migrate), ("false", Schema::Check)];

const POOLERS: [(&str, Pooler); 2] = [("none", Pooler::None), ("transaction", Pooler::Transaction)];

/// Where threads are kept.
#[derive(Clone)]
pub enum Database {
    /// A Postgres that this program does not run.
    External {
        /// `DATABASE_URL`.
        url: Box<PgConnectOptions>,
        /// `DATABASE_DIRECT_URL`: the same database, for work that needs a session.
        direct: Option<Box<PgConnectOptions>>,
    },
    /// A private Postgres in `DATA_DIR/pg`, started and stopped by this program.
    #[cfg(feature = "embedded")]
    Embedded {
        /// `POSTGRES_BIN`.
        bin_dir: Option<PathBuf>,
        /// `POSTGRES_ARCHIVE_URL`.
        archive_url: Option<Url>,
    },
}

impl Database {
    /// A Postgres that this program does not run, without a pooler.
    #[must_use]
    pub fn external(url: PgConnectOptions) -> Database {
        Database::External { url: Box::new(url), direct: None }
    }

    fn is_external(&self) -> bool {
        matches!(self, Database::External { .. })
    }

    /// Whether there is no connection that bypasses the pooler, for work that needs a session.
    pub(super) fn has_no_direct_url(&self) -> bool {
        matches!(self, Database::External { direct: None, .. })
    }
}

/// Written by hand, because the connect options print their password.
impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Database::External { url, direct } => f
                .debug_struct("External")
                .field("url", &place(url))
                .field("direct", &direct.as_ref().map(|direct| place(direct)))
                .finish(),
            #[cfg(feature = "embedded")]
            Database::Embedded { bin_dir, archive_url } => f
                .debug_struct("Embedded")
                .field("bin_dir", bin_dir)
                .field("archive_url", &archive_url.as_ref().map(Url::as_str))
                .finish(),
        }
    }
}

/// The address of a database without user and password, for messages: `db.example:5432/threads`.
pub(crate) fn place(options: &PgConnectOptions) -> String {
    let host = match (options.get_socket(), options.get_host()) {
        (Some(directory), _) => directory.display().to_string(),
        (None, host) if host.parse::<Ipv6Addr>().is_ok() => format!("[{host}]"),
        (None, host) => host.to_owned(),
    };
    let database = options.get_database().unwrap_or(options.get_username());
    format!("{host}:{}/{database}", options.get_port())
}

impl DatabaseArguments {
    /// The database, after its settings were checked together.
    pub(super) fn database(&self) -> Result<Database, ConfigError> {
        let database = match self.external()? {
            Some(database) => database,
            None => self.private()?,
        };
        if self.database_pooler == Pooler::Transaction && !database.is_external() {
            return Err(wrong("DATABASE_POOLER", "must be `none` unless DATABASE_URL is set"));
        }
        if self.database_max_connections > MOST_PRIVATE && !database.is_external() {
            return Err(wrong(
                "DATABASE_MAX_CONNECTIONS",
                format!("must be a number from 1 to {MOST_PRIVATE} unless DATABASE_URL is set"),
            ));
        }
        if self.database_migrate == Schema::Check && !database.is_external() {
            return Err(wrong("DATABASE_MIGRATE", "must be `true` unless DATABASE_URL is set"));
        }
        Ok(database)
    }

    /// The database of `thread-store migrate`.
    pub(super) fn database_to_migrate(&self) -> Result<Database, ConfigError> {
        let database = self.external()?.ok_or_else(|| {
            wrong(
                "DATABASE_URL",
                "is required: a private Postgres is migrated by the server that starts it",
            )
        })?;
        if self.database_pooler == Pooler::Transaction && database.has_no_direct_url() {
            return Err(wrong(
                "DATABASE_DIRECT_URL",
                "is required: migrations hold a lock that a transaction pooler would not keep",
            ));
        }
        Ok(database)
    }

    /// One user's share of the connections.
    pub(super) fn connections_per_user(&self) -> u32 {
        let usual = (self.database_max_connections / 4).max(1);
        self.database_connections_per_user.unwrap_or(usual)
    }

    fn external(&self) -> Result<Option<Database>, ConfigError> {
        let Some(url) = &self.database_url else {
            return match self.database_direct_url {
                Some(_) => Err(wrong("DATABASE_URL", "is required with DATABASE_DIRECT_URL")),
                None => Ok(None),
            };
        };
        let asks_for_pooler = |url: &Address| url.get("pgbouncer") == Some("true");
        if asks_for_pooler(url) && self.database_pooler != Pooler::Transaction {
            return Err(wrong(
                "DATABASE_URL",
                "`pgbouncer=true` must come with DATABASE_POOLER=transaction",
            ));
        }
        if self.database_direct_url.as_ref().is_some_and(asks_for_pooler) {
            return Err(wrong("DATABASE_DIRECT_URL", "must not go through a pooler"));
        }
        let environment = environment()?;
        let options = |setting, url| connect_options(setting, url, &environment).map(Box::new);
        let direct = self.database_direct_url.as_ref();
        Ok(Some(Database::External {
            url: options("DATABASE_URL", url)?,
            direct: direct.map(|url| options("DATABASE_DIRECT_URL", url)).transpose()?,
        }))
    }

    #[cfg(feature = "embedded")]
    fn private(&self) -> Result<Database, ConfigError> {
        // The only variable of libpq that the driver cannot be told to ignore.
        if super::postgres_options::read("PGOPTIONS")?.is_some() {
            return Err(wrong("PGOPTIONS", "must not be set unless DATABASE_URL is set"));
        }
        let (bin_dir, archive_url) = (self.postgres_bin.clone(), self.postgres_archive_url.clone());
        Ok(Database::Embedded { bin_dir, archive_url })
    }

    #[cfg(not(feature = "embedded"))]
    #[expect(clippy::unused_self, reason = "for the private Postgres")]
    fn private(&self) -> Result<Database, ConfigError> {
        Err(wrong("DATABASE_URL", "is required: this build has no private Postgres"))
    }
}

/// Maximum number of connections to the private Postgres, which accepts 100 in total.
const MOST_PRIVATE: u32 = 80;
