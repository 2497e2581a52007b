//! Settings: read once at start from flags, the environment and `.env`, then validated as a whole.
//!
//! This is the only module that reads the environment. Every flag has the name of its
//! variable, so `--help` is the reference and `.env.example` repeats it. A wrong value is a
//! [`ConfigError`]: one line that names the setting and what it takes, exit code 64.

mod import;

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use axum::http::HeaderValue;
use clap::{Parser, Subcommand};
use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::PgConnectOptions;
use tracing_subscriber::EnvFilter;
use url::Url;

use crate::auth::{JwtIssuer, Mode};
use crate::store::Pooler;

pub use import::{Import, Peer};

/// The command line, before validation. Empty values count as unset, because a compose
/// file passes `NAME=` for a variable that its `.env` leaves out.
#[derive(Parser)]
#[command(name = "thread-store", version, about, max_term_width = 100)]
#[command(after_help = "Flags win over the environment, the environment over `.env`.")]
struct Arguments {
    /// What to do; without a command the server runs
    #[command(subcommand)]
    command: Option<Subcommands>,

    /// Address to listen on: an IP address or `localhost`
    #[arg(long, env = "HOST", default_value = "127.0.0.1")]
    host: String,

    /// Port to listen on, 0 to 65535 (0 takes a free one)
    #[arg(long, env = "PORT", default_value = "2024")]
    port: String,

    /// Postgres 14 to 18, `postgres://user:password@host:port/database`. Unset: a private
    /// Postgres is started in `DATA_DIR/pg`
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,

    /// The same database without a transaction pooler between, for migrations, which hold a
    /// session lock, and to hear of other servers. Unset: `DATABASE_URL`
    #[arg(long, env = "DATABASE_DIRECT_URL", hide_env_values = true)]
    database_direct_url: Option<String>,

    /// Whether the server brings the schema up to date when it starts: `true`, or `false` to
    /// refuse a database that is behind. Then `thread-store migrate` does it
    #[arg(long, env = "DATABASE_MIGRATE", default_value = "true")]
    database_migrate: String,

    /// Most connections to the database that this server opens, 1 to 1000
    #[arg(long, env = "DATABASE_MAX_CONNECTIONS", default_value = "16")]
    database_max_connections: String,

    /// Seconds for which a request may take up the database, 1 to 3600. What takes longer gets 503
    #[arg(long, env = "DATABASE_TIMEOUT", default_value = "10")]
    database_timeout: String,

    /// What is between this server and Postgres: `none`, or a pooler in session mode; or
    /// `transaction`, a pooler in transaction mode (`PgBouncer`, Supabase's on port 6543)
    #[arg(long, env = "DATABASE_POOLER", default_value = "none")]
    database_pooler: String,

    /// Supabase project that signs users in, `https://<project>.supabase.co`. Unset: a local
    /// sign-in for development at `/auth/v1`, on a loopback `HOST` only
    #[arg(long, env = "SUPABASE_URL")]
    supabase_url: Option<String>,

    /// API key of the Supabase project, sent as `apikey`. The publishable (anon) key is
    /// enough. Also read from `SUPABASE_SECRET_KEY`, `SUPABASE_ANON_KEY` and
    /// `SUPABASE_PUBLISHABLE_KEY`, in this order
    #[arg(long, env = "SUPABASE_SERVICE_KEY", hide_env_values = true)]
    supabase_service_key: Option<String>,

    /// How Supabase's tokens are verified: `remote` (ask Supabase), `jwks` (here, with its
    /// public keys: a sign-out counts when the token ends) or `jwks+remote` (both)
    #[arg(long, env = "SUPABASE_AUTH_MODE", default_value = "remote")]
    supabase_auth_mode: String,

    /// Issuer (`iss`) that tokens must name in the modes with `jwks`, exactly; `none` for tokens
    /// that name none. Unset: `SUPABASE_URL/auth/v1`
    #[arg(long, env = "SUPABASE_JWT_ISSUER")]
    supabase_jwt_issuer: Option<String>,

    /// Seconds for which an accepted token is not verified again, 0 to 3600. A sign-out counts
    /// after that time at the latest
    #[arg(long, env = "SUPABASE_AUTH_CACHE_TTL", default_value = "10")]
    supabase_auth_cache_ttl: String,

    /// OpenID Connect provider that signs users in, instead of Supabase: its issuer URL, exactly
    /// as its tokens spell it
    #[arg(long, env = "OIDC_ISSUER")]
    oidc_issuer: Option<String>,

    /// Audience that the provider's access tokens must be for
    #[arg(long, env = "OIDC_AUDIENCE")]
    oidc_audience: Option<String>,

    #[arg(long, env = "SUPABASE_SECRET_KEY", hide_env_values = true, hide = true)]
    supabase_secret_key: Option<String>,

    #[arg(long, env = "SUPABASE_ANON_KEY", hide_env_values = true, hide = true)]
    supabase_anon_key: Option<String>,

    #[arg(long, env = "SUPABASE_PUBLISHABLE_KEY", hide_env_values = true, hide = true)]
    supabase_publishable_key: Option<String>,

    /// Directory of the embedded database and of the local sign-in's secret
    #[arg(long, env = "DATA_DIR", default_value = ".thread-store")]
    data_dir: String,

    /// Directory with `postgres`, `initdb` and `pg_ctl` for the embedded database. Unset: the
    /// ones on `PATH`, else the newest installed, else a download
    #[arg(long, env = "POSTGRES_BIN")]
    postgres_bin: Option<String>,

    /// Where `PostgreSQL` is downloaded from when none is installed. Unset: the releases of
    /// theseus-rs/postgresql-binaries on GitHub
    #[arg(long, env = "POSTGRES_ARCHIVE_URL")]
    postgres_archive_url: Option<String>,

    /// Which log lines to write, as `tracing` filters: `info`, `thread_store=debug`, ...
    #[arg(long, env = "RUST_LOG", default_value = "info")]
    rust_log: String,

    /// Form of the log lines: `pretty` or `json`
    #[arg(long, env = "LOG_FORMAT", default_value = "pretty")]
    log_format: String,

    /// How the line of a request names its user: `hash`, `plain` (the id) or `off`
    #[arg(long, env = "LOG_USERS", default_value = "hash")]
    log_users: String,

    /// Port of its own for `/metrics`, which is then not on `PORT`; 0 takes a free one
    #[arg(long, env = "METRICS_PORT")]
    metrics_port: Option<String>,

    /// Origins that browsers may call from, separated by commas: `https://app.example`; `*` for
    /// any
    #[arg(long, env = "CORS_ALLOW_ORIGINS", default_value = "*")]
    cors_allow_origins: String,

    /// Largest request body in bytes, 1024 to 1073741824
    #[arg(long, env = "MAX_BODY_BYTES", default_value = "314572800")]
    max_body_bytes: String,

    /// Most requests for threads that are worked on at once, 1 to 1000000. More get 503
    #[arg(long, env = "MAX_REQUESTS", default_value = "2048")]
    max_requests: String,

    /// Most open streams, 0 to 1000000. More get 503
    #[arg(long, env = "MAX_STREAMS", default_value = "10000")]
    max_streams: String,

    /// Most threads of one user, 1 to 1000000. More are refused with 403. Unset: any number
    #[arg(long, env = "MAX_THREADS_PER_USER")]
    max_threads_per_user: Option<String>,

    /// Most bytes of the state of one thread as stored, 1024 to 1099511627776. More is refused
    /// with 403. Unset: any number
    #[arg(long, env = "MAX_STATE_BYTES")]
    max_state_bytes: Option<String>,

    /// Seconds within which a new connection has to bring the head of a request, 1 to 3600
    #[arg(long, env = "HEADER_TIMEOUT", default_value = "10")]
    header_timeout: String,

    /// Seconds within which a request's body has to arrive, 1 to 3600
    #[arg(long, env = "BODY_TIMEOUT", default_value = "60")]
    body_timeout: String,

    /// Seconds for which a server that was told to stop goes on serving, with `/readyz` at 503, 0
    /// to 600: for load balancers to notice
    #[arg(long, env = "SHUTDOWN_DELAY", default_value = "0")]
    shutdown_delay: String,
}

/// The commands as they are typed.
#[derive(Subcommand)]
enum Subcommands {
    /// Serve the API (the default)
    Serve,
    /// Ask the server on HOST and PORT whether it is ready: exit code 0 if it is, 1 if not
    Healthcheck,
    /// Bring the schema of `DATABASE_URL` up to date, over `DATABASE_DIRECT_URL` if it is set
    Migrate,
    /// Copy threads with their history from one server to another, over the public API of both
    Import(Box<import::Arguments>),
}

/// What the program was asked to do, with the settings for it.
#[derive(Debug, Clone)]
pub enum Command {
    /// Serve the API.
    Serve(Box<Config>),
    /// Ask the server on this machine whether it is alive.
    Healthcheck(Box<Config>),
    /// Bring the schema of this database up to date.
    Migrate(Database),
    /// Copy threads from one server to another.
    Import(Box<Import>),
}

/// What is logged, and how.
#[derive(Debug, Clone)]
pub struct Logging {
    /// Which log lines are written.
    pub filter: String,
    /// Form of the log lines.
    pub format: LogFormat,
}

/// Validated settings of one server.
#[derive(Debug, Clone)]
pub struct Config {
    /// Address to listen on.
    pub host: IpAddr,
    /// Port to listen on; 0 takes a free one.
    pub port: u16,
    /// Where threads are kept.
    pub database: Database,
    /// What a start does about a schema that is behind.
    pub schema: Schema,
    /// Most connections in the database pool.
    pub database_max_connections: u32,
    /// How long a request may take up the database.
    pub database_timeout: Duration,
    /// What is between this server and Postgres.
    pub database_pooler: Pooler,
    /// Who signs users in.
    pub sign_in: SignIn,
    /// How long an accepted token is not verified again.
    pub auth_cache_ttl: Duration,
    /// Directory for everything that the program itself keeps on disk.
    pub data_dir: PathBuf,
    /// How the line of a request names its user.
    pub log_users: LogUsers,
    /// Port of `/metrics`, if it is not that of the API; 0 takes a free one.
    pub metrics_port: Option<u16>,
    /// Origins that browsers may call from.
    pub cors: CorsOrigins,
    /// What clients may take up.
    pub limits: Limits,
    /// How long a server that was told to stop goes on serving while it says that it is not ready.
    pub shutdown_delay: Duration,
}

/// Bounds on what clients may take up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Largest request body in bytes.
    pub body_bytes: usize,
    /// Requests for threads that are worked on at once.
    pub requests: usize,
    /// Streams that are open at once.
    pub streams: usize,
    /// Threads of one user, if that is bounded.
    pub threads_per_user: Option<u32>,
    /// Stored bytes of the state of one thread, if that is bounded.
    pub state_bytes: Option<i64>,
    /// For a new connection to bring the head of its first request.
    pub header_timeout: Duration,
    /// For the body of a request to arrive.
    pub body_timeout: Duration,
}

/// The bounds of a server for which nothing is set.
impl Default for Limits {
    fn default() -> Limits {
        Limits {
            // The reference server's own (`THREADS_API.md` section 2).
            body_bytes: 300 * 1024 * 1024,
            requests: 2048,
            streams: 10_000,
            threads_per_user: None,
            state_bytes: None,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_mins(1),
        }
    }
}

/// Origins that browsers may call from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum CorsOrigins {
    /// Any, as on the reference server.
    #[default]
    Any,
    /// These, each spelled as browsers send it.
    These(Vec<HeaderValue>),
}

impl CorsOrigins {
    /// Whether an origin is one of those that the setting names. `*` names none.
    #[cfg(feature = "local-auth")]
    pub(crate) fn names(&self, origin: &HeaderValue) -> bool {
        matches!(self, CorsOrigins::These(origins) if origins.contains(origin))
    }
}

/// How the line of a request names its user.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogUsers {
    /// By a hash of the id: the lines of one user belong together, and do not tell who it is.
    #[default]
    Hash,
    /// By the id.
    Plain,
    /// Not at all.
    Off,
}

/// What a start does about a schema that is behind (`DATABASE_MIGRATE`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schema {
    /// Brings it up to date.
    Migrate,
    /// Refuses it.
    Check,
}

/// Where threads are kept.
#[derive(Clone)]
pub enum Database {
    /// A Postgres that somebody else runs.
    External {
        /// `DATABASE_URL`.
        url: Box<PgConnectOptions>,
        /// `DATABASE_DIRECT_URL`: the same database, for what needs a session of its own.
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

/// By hand, because the connect options print their password.
impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Database::External { url, direct } => f
                .debug_struct("External")
                .field("host", &url.get_host())
                .field("port", &url.get_port())
                .field("database", &url.get_database())
                .field("is_direct", &direct.is_none())
                .finish_non_exhaustive(),
            #[cfg(feature = "embedded")]
            Database::Embedded { bin_dir, archive_url } => f
                .debug_struct("Embedded")
                .field("bin_dir", bin_dir)
                .field("archive_url", &archive_url.as_ref().map(Url::as_str))
                .finish(),
        }
    }
}

/// Who signs users in.
#[derive(Debug, Clone)]
pub enum SignIn {
    /// A Supabase project.
    Supabase {
        /// `SUPABASE_URL` without a trailing slash.
        url: Url,
        /// Sent as `apikey` with every call.
        api_key: Option<SecretString>,
        /// `SUPABASE_AUTH_MODE`.
        mode: Mode,
        /// `SUPABASE_JWT_ISSUER`.
        issuer: JwtIssuer,
    },
    /// Any OpenID Connect provider.
    Oidc {
        /// `OIDC_ISSUER`, as given.
        issuer: String,
        /// `OIDC_AUDIENCE`.
        audience: String,
    },
    /// The development sign-in of this server.
    #[cfg(feature = "local-auth")]
    Local,
}

/// Form of the log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// One JSON object a line.
    Json,
}

/// A setting that cannot be used. Its text is one line and never holds a secret.
#[derive(Debug, thiserror::Error)]
#[error("{setting}: {problem}")]
pub struct ConfigError {
    setting: &'static str,
    problem: String,
}

fn wrong(setting: &'static str, problem: impl Into<String>) -> ConfigError {
    ConfigError { setting, problem: problem.into() }
}

impl Command {
    /// Reads `.env`, the environment and the command line.
    ///
    /// `--help`, `--version` and flags that do not exist end the process, as clap does, the
    /// last with exit code 64.
    pub fn from_environment() -> Result<(Command, Logging), ConfigError> {
        match dotenvy::dotenv() {
            Ok(_) => {}
            Err(error) if error.not_found() => {}
            Err(dotenvy::Error::LineParse(..)) => {
                return Err(wrong(".env", "has a line that is not NAME=value"));
            }
            Err(_) => return Err(wrong(".env", "cannot be read")),
        }
        let arguments = Arguments::try_parse().unwrap_or_else(|error| {
            if error.use_stderr() {
                let _ = error.print();
                std::process::exit(64);
            }
            error.exit()
        });
        arguments.read()
    }
}

impl Arguments {
    /// Only what a command needs has to be right.
    fn read(mut self) -> Result<(Command, Logging), ConfigError> {
        let logging = self.logging()?;
        let command = match self.command.take() {
            None | Some(Subcommands::Serve) => Command::Serve(Box::new(self.validate()?)),
            Some(Subcommands::Healthcheck) => Command::Healthcheck(Box::new(self.validate()?)),
            Some(Subcommands::Migrate) => Command::Migrate(self.database_to_migrate()?),
            Some(Subcommands::Import(arguments)) => {
                Command::Import(Box::new(arguments.validate()?))
            }
        };
        Ok((command, logging))
    }

    fn logging(&self) -> Result<Logging, ConfigError> {
        if EnvFilter::try_new(&self.rust_log).is_err() {
            return Err(wrong(
                "RUST_LOG",
                "takes tracing filters such as `info` or `thread_store=debug`",
            ));
        }
        let format = match self.log_format.as_str() {
            "pretty" | "" => LogFormat::Pretty,
            "json" => LogFormat::Json,
            other => {
                return Err(wrong(
                    "LOG_FORMAT",
                    format!("takes `pretty` or `json`, not {other:?}"),
                ));
            }
        };
        Ok(Logging { filter: self.rust_log.clone(), format })
    }

    fn validate(mut self) -> Result<Config, ConfigError> {
        let host = parse_host(&self.host)?;
        let port = or(&self.port, "2024");
        let port = port
            .parse()
            .map_err(|_| wrong("PORT", format!("takes a number from 0 to 65535, not {port:?}")))?;
        let database_max_connections = or(&self.database_max_connections, "16")
            .parse()
            .ok()
            .filter(|n| (1..=1000).contains(n))
            .ok_or_else(|| wrong("DATABASE_MAX_CONNECTIONS", "takes a number from 1 to 1000"))?;
        let auth_cache_ttl =
            or(&self.supabase_auth_cache_ttl, "10").parse().ok().filter(|ttl| *ttl <= 3600);
        let auth_cache_ttl = auth_cache_ttl.ok_or_else(|| {
            wrong("SUPABASE_AUTH_CACHE_TTL", "takes a number of seconds from 0 to 3600")
        })?;
        let log_users = match self.log_users.as_str() {
            "hash" | "" => LogUsers::Hash,
            "plain" => LogUsers::Plain,
            "off" => LogUsers::Off,
            _ => return Err(wrong("LOG_USERS", "takes `hash`, `plain` or `off`")),
        };
        let metrics_port = self.metrics_port(port)?;
        let cors = cors_origins(&self.cors_allow_origins)?;
        let limits = self.limits()?;
        let shutdown_delay = seconds("SHUTDOWN_DELAY", &self.shutdown_delay, 0, 0, 600)?;
        let database = self.database()?;
        #[cfg(feature = "embedded")]
        if matches!(database, Database::Embedded { .. }) && database_max_connections > 80 {
            return Err(wrong(
                "DATABASE_MAX_CONNECTIONS",
                "takes a number from 1 to 80 with the embedded database",
            ));
        }
        let database_timeout = or(&self.database_timeout, "10").parse().ok();
        let database_timeout = database_timeout
            .filter(|seconds| (1..=3600).contains(seconds))
            .ok_or_else(|| wrong("DATABASE_TIMEOUT", "takes a number of seconds from 1 to 3600"))?;
        let sign_in = self.sign_in(host, port)?;
        let schema = self.schema(&database, &sign_in)?;
        let database_pooler = self.database_pooler(&database)?;
        #[cfg(feature = "local-auth")]
        if matches!(sign_in, SignIn::Local)
            && database_pooler == Pooler::Transaction
            && matches!(database, Database::External { direct: None, .. })
        {
            return Err(wrong(
                "DATABASE_DIRECT_URL",
                "is required with the local sign-in behind a transaction pooler: it makes tables",
            ));
        }
        Ok(Config {
            host,
            port,
            database,
            schema,
            database_max_connections,
            database_timeout: Duration::from_secs(database_timeout),
            database_pooler,
            sign_in,
            auth_cache_ttl: Duration::from_secs(auth_cache_ttl),
            data_dir: PathBuf::from(or(&self.data_dir, ".thread-store")),
            log_users,
            metrics_port,
            cors,
            limits,
            shutdown_delay,
        })
    }

    fn limits(&self) -> Result<Limits, ConfigError> {
        let body = number("MAX_BODY_BYTES", &self.max_body_bytes, 314_572_800, 1024, 1 << 30)?;
        let requests = number("MAX_REQUESTS", &self.max_requests, 2048, 1, 1_000_000)?;
        let streams = number("MAX_STREAMS", &self.max_streams, 10_000, 0, 1_000_000)?;
        let (threads, bytes) = (&self.max_threads_per_user, &self.max_state_bytes);
        let threads_per_user = cap("MAX_THREADS_PER_USER", threads.as_deref(), 1, 1_000_000)?;
        let state_bytes = cap("MAX_STATE_BYTES", bytes.as_deref(), 1024, 1 << 40)?;
        Ok(Limits {
            body_bytes: usize::try_from(body).unwrap_or(usize::MAX),
            requests: usize::try_from(requests).unwrap_or(usize::MAX),
            streams: usize::try_from(streams).unwrap_or(usize::MAX),
            threads_per_user: threads_per_user.map(|most| u32::try_from(most).unwrap_or(u32::MAX)),
            state_bytes: state_bytes.map(|most| i64::try_from(most).unwrap_or(i64::MAX)),
            header_timeout: seconds("HEADER_TIMEOUT", &self.header_timeout, 10, 1, 3600)?,
            body_timeout: seconds("BODY_TIMEOUT", &self.body_timeout, 60, 1, 3600)?,
        })
    }

    fn metrics_port(&mut self, port: u16) -> Result<Option<u16>, ConfigError> {
        let Some(text) = non_empty(self.metrics_port.take()) else { return Ok(None) };
        match text.parse() {
            Ok(metrics_port) if metrics_port == port && port != 0 => {
                Err(wrong("METRICS_PORT", "takes another port than PORT"))
            }
            Ok(metrics_port) => Ok(Some(metrics_port)),
            Err(_) => Err(wrong("METRICS_PORT", "takes a number from 0 to 65535")),
        }
    }

    /// `DATABASE_URL` and `DATABASE_DIRECT_URL`, if there is an external database.
    fn external_database(&mut self) -> Result<Option<Database>, ConfigError> {
        let direct = non_empty(self.database_direct_url.take());
        let direct = direct.map(|url| postgres_url("DATABASE_DIRECT_URL", &url)).transpose()?;
        match non_empty(self.database_url.take()) {
            Some(url) => {
                let url = postgres_url("DATABASE_URL", &url)?;
                Ok(Some(Database::External { url, direct }))
            }
            None if direct.is_some() => {
                Err(wrong("DATABASE_URL", "is required with DATABASE_DIRECT_URL"))
            }
            None => Ok(None),
        }
    }

    fn database_to_migrate(&mut self) -> Result<Database, ConfigError> {
        let database = self.external_database()?.ok_or_else(|| {
            wrong(
                "DATABASE_URL",
                "is required: a private Postgres is migrated by the server that starts it",
            )
        })?;
        if self.database_pooler(&database)? == Pooler::Transaction
            && matches!(database, Database::External { direct: None, .. })
        {
            return Err(wrong(
                "DATABASE_DIRECT_URL",
                "is required: migrations hold a lock that a transaction pooler would not keep",
            ));
        }
        Ok(database)
    }

    fn database_pooler(&self, database: &Database) -> Result<Pooler, ConfigError> {
        match (or(&self.database_pooler, "none"), database) {
            ("none", _) => Ok(Pooler::None),
            ("transaction", Database::External { .. }) => Ok(Pooler::Transaction),
            #[cfg(feature = "embedded")]
            ("transaction", Database::Embedded { .. }) => {
                Err(wrong("DATABASE_POOLER", "takes nothing but `none` without DATABASE_URL"))
            }
            _ => Err(wrong("DATABASE_POOLER", "takes `none` or `transaction`")),
        }
    }

    fn schema(&self, database: &Database, sign_in: &SignIn) -> Result<Schema, ConfigError> {
        match or(&self.database_migrate, "true") {
            "true" => return Ok(Schema::Migrate),
            "false" => {}
            _ => return Err(wrong("DATABASE_MIGRATE", "takes `true` or `false`")),
        }
        let why_not: Option<&str> = match (database, sign_in) {
            #[cfg(feature = "embedded")]
            (Database::Embedded { .. }, _) => Some("without DATABASE_URL"),
            #[cfg(feature = "local-auth")]
            (_, SignIn::Local) => Some("with the local sign-in, which makes tables of its own"),
            _ => None,
        };
        match why_not {
            None => Ok(Schema::Check),
            Some(why) => Err(wrong("DATABASE_MIGRATE", format!("takes nothing but `true` {why}"))),
        }
    }

    #[cfg(feature = "embedded")]
    fn database(&mut self) -> Result<Database, ConfigError> {
        if let Some(database) = self.external_database()? {
            return Ok(database);
        }
        let archive_url = non_empty(self.postgres_archive_url.take())
            .map(|url| http_url("POSTGRES_ARCHIVE_URL", &url))
            .transpose()?;
        let bin_dir = non_empty(self.postgres_bin.take()).map(PathBuf::from);
        Ok(Database::Embedded { bin_dir, archive_url })
    }

    #[cfg(not(feature = "embedded"))]
    fn database(&mut self) -> Result<Database, ConfigError> {
        self.external_database()?.ok_or_else(|| {
            wrong("DATABASE_URL", "is required: this build has no embedded database")
        })
    }

    fn sign_in(&mut self, host: IpAddr, port: u16) -> Result<SignIn, ConfigError> {
        let keys = [
            self.supabase_service_key.take(),
            self.supabase_secret_key.take(),
            self.supabase_anon_key.take(),
            self.supabase_publishable_key.take(),
        ];
        let api_key = keys.into_iter().find_map(non_empty).map(SecretString::from);
        if let Some(key) = &api_key
            && !key.expose_secret().bytes().all(|byte| byte.is_ascii_graphic())
        {
            return Err(wrong("SUPABASE_SERVICE_KEY", "takes an API key, which has no spaces"));
        }
        let mode = match self.supabase_auth_mode.as_str() {
            "remote" | "" => Mode::Remote,
            "jwks" => Mode::Jwks,
            "jwks+remote" => Mode::JwksAndRemote,
            _ => {
                return Err(wrong("SUPABASE_AUTH_MODE", "takes `remote`, `jwks` or `jwks+remote`"));
            }
        };
        let issuer = jwt_issuer(non_empty(self.supabase_jwt_issuer.take()))?;
        match (non_empty(self.supabase_url.take()), self.oidc()?) {
            (Some(_), Some(_)) => {
                Err(wrong("OIDC_ISSUER", "cannot be set together with SUPABASE_URL"))
            }
            (Some(url), None) => {
                let url = http_url("SUPABASE_URL", &url)?;
                if is_ours(&url, host, port) {
                    return Err(wrong(
                        "SUPABASE_URL",
                        "is this server's own address: unset it here for the local sign-in, it is \
                         meant for the clients",
                    ));
                }
                Ok(SignIn::Supabase { url, api_key, mode, issuer })
            }
            (None, Some(provider)) => Ok(provider),
            (None, None) if mode != Mode::Remote => Err(wrong(
                "SUPABASE_AUTH_MODE",
                "takes nothing but `remote` without SUPABASE_URL: the local sign-in has no public keys",
            )),
            (None, None) => local_sign_in(host),
        }
    }

    fn oidc(&mut self) -> Result<Option<SignIn>, ConfigError> {
        match (non_empty(self.oidc_issuer.take()), non_empty(self.oidc_audience.take())) {
            (None, None) => Ok(None),
            (Some(issuer), Some(audience)) => {
                http_url("OIDC_ISSUER", &issuer)?;
                Ok(Some(SignIn::Oidc { issuer, audience }))
            }
            (Some(_), None) => Err(wrong(
                "OIDC_AUDIENCE",
                "is required with OIDC_ISSUER: the audience of the provider's access tokens",
            )),
            (None, Some(_)) => Err(wrong("OIDC_ISSUER", "is required with OIDC_AUDIENCE")),
        }
    }
}

#[cfg(feature = "local-auth")]
fn local_sign_in(host: IpAddr) -> Result<SignIn, ConfigError> {
    if host.is_loopback() {
        return Ok(SignIn::Local);
    }
    Err(wrong(
        "SUPABASE_URL",
        format!(
            "is required on HOST {host} (or OIDC_ISSUER): the local sign-in lets anybody who can reach it sign up, \
             so it runs on a loopback HOST only"
        ),
    ))
}

#[cfg(not(feature = "local-auth"))]
fn local_sign_in(_: IpAddr) -> Result<SignIn, ConfigError> {
    Err(wrong("SUPABASE_URL", "or OIDC_ISSUER is required: this build has no local sign-in"))
}

/// `none`, or what tokens say of their issuer, which is compared letter by letter.
fn jwt_issuer(value: Option<String>) -> Result<JwtIssuer, ConfigError> {
    match value {
        None => Ok(JwtIssuer::OfUrl),
        Some(none) if none == "none" => Ok(JwtIssuer::Absent),
        Some(issuer) if issuer.chars().all(|c| !c.is_whitespace() && !c.is_control()) => {
            Ok(JwtIssuer::Exactly(issuer))
        }
        Some(_) => Err(wrong(
            "SUPABASE_JWT_ISSUER",
            "must be an issuer without spaces, such as https://<project>.supabase.co/auth/v1, or `none`",
        )),
    }
}

/// The value, or its default if it is empty.
fn or<'a>(value: &'a str, default: &'a str) -> &'a str {
    let value = value.trim();
    if value.is_empty() { default } else { value }
}

/// A whole number within bounds.
fn number(
    setting: &'static str,
    value: &str,
    default: u64,
    least: u64,
    most: u64,
) -> Result<u64, ConfigError> {
    match value.trim() {
        "" => Ok(default),
        digits => digits
            .parse()
            .ok()
            .filter(|number| (least..=most).contains(number))
            .ok_or_else(|| wrong(setting, format!("takes a number from {least} to {most}"))),
    }
}

/// A whole number within bounds, or nothing.
fn cap(
    setting: &'static str,
    value: Option<&str>,
    least: u64,
    most: u64,
) -> Result<Option<u64>, ConfigError> {
    let value = value.map(str::trim).filter(|value| !value.is_empty());
    value.map(|digits| number(setting, digits, most, least, most)).transpose()
}

fn seconds(
    setting: &'static str,
    value: &str,
    default: u64,
    least: u64,
    most: u64,
) -> Result<Duration, ConfigError> {
    number(setting, value, default, least, most).map(Duration::from_secs)
}

/// `*`, or origins as browsers spell them, which is what they are compared with.
fn cors_origins(value: &str) -> Result<CorsOrigins, ConfigError> {
    let value = or(value, "*");
    if value == "*" {
        return Ok(CorsOrigins::Any);
    }
    let origin = |text: &str| {
        let is_origin = Url::parse(text).is_ok_and(|url| {
            matches!(url.scheme(), "http" | "https") && url.origin().ascii_serialization() == text
        });
        HeaderValue::from_str(text).ok().filter(|_| is_origin).ok_or_else(|| {
            let takes = "takes `*`, or origins such as `https://app.example` separated by commas";
            wrong("CORS_ALLOW_ORIGINS", format!("{takes}, not {text:?}"))
        })
    };
    let origins = value.split(',').map(str::trim).filter(|text| !text.is_empty()).map(origin);
    origins.collect::<Result<_, _>>().map(CorsOrigins::These)
}

fn non_empty(value: Option<String>) -> Option<String> {
    value.map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
}

fn parse_host(host: &str) -> Result<IpAddr, ConfigError> {
    match host.trim() {
        "localhost" | "" => Ok(IpAddr::from([127, 0, 0, 1])),
        host => host.trim_matches(['[', ']']).parse().map_err(|_| {
            wrong("HOST", format!("takes an IP address or `localhost`, not {host:?}"))
        }),
    }
}

fn postgres_url(setting: &'static str, url: &str) -> Result<Box<PgConnectOptions>, ConfigError> {
    const TAKES: &str = "takes postgres://user:password@host:port/database";
    // The value holds a password, so neither it nor the parser's message about it is shown.
    if !(url.starts_with("postgres://") || url.starts_with("postgresql://")) {
        return Err(wrong(setting, TAKES));
    }
    url.parse::<PgConnectOptions>().map(Box::new).map_err(|_| wrong(setting, TAKES))
}

/// Whether a URL is that of the server itself, as its banner gives it to clients.
fn is_ours(url: &Url, host: IpAddr, port: u16) -> bool {
    let is_our_host = match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback() || host == address,
        Some(url::Host::Ipv6(address)) => address.is_loopback() || host == address,
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    };
    is_our_host && url.scheme() == "http" && url.port_or_known_default() == Some(port)
}

/// An http(s) URL that paths can be appended to.
fn http_url(setting: &'static str, value: &str) -> Result<Url, ConfigError> {
    let url = Url::parse(value)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        .ok_or_else(|| wrong(setting, "takes an http:// or https:// URL"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong(setting, "takes a URL without a user name and password"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong(setting, "takes a URL without `?` and `#`"));
    }
    Ok(url)
}

#[cfg(all(test, feature = "embedded", feature = "local-auth"))]
mod tests {
    use super::*;

    fn config(arguments: &[&str]) -> Result<Config, String> {
        let arguments = [&["thread-store"], arguments].concat();
        let arguments = Arguments::try_parse_from(arguments).map_err(|error| error.to_string())?;
        match arguments.read().map_err(|error| error.to_string())? {
            (Command::Serve(config), _) => Ok(*config),
            (other, _) => Err(format!("{other:?}")),
        }
    }

    #[test]
    fn defaults_serve_on_loopback_with_nothing_to_install() {
        let config = config(&[]).unwrap();
        assert_eq!((config.host.to_string().as_str(), config.port), ("127.0.0.1", 2024));
        assert!(matches!(config.database, Database::Embedded { .. }));
        assert!(matches!(config.sign_in, SignIn::Local));
        assert_eq!(config.data_dir, PathBuf::from(".thread-store"));
    }

    #[test]
    fn a_wrong_value_is_one_line_that_names_the_setting() {
        for (arguments, setting) in [
            (["--port", "70000"], "PORT"),
            (["--port", "x"], "PORT"),
            (["--host", "example"], "HOST"),
            (["--database-url", "mysql://u:hunter2@h/d"], "DATABASE_URL"),
            (["--database-url", "postgres://u:hunter2@h:port/d"], "DATABASE_URL"),
            (["--database-direct-url", "mysql://u:hunter2@h/d"], "DATABASE_DIRECT_URL"),
            (["--database-direct-url", "postgres://u:hunter2@h/d"], "DATABASE_URL"),
            (["--database-migrate", "later"], "DATABASE_MIGRATE"),
            (["--database-migrate", "false"], "DATABASE_MIGRATE"),
            (["--database-max-connections", "0"], "DATABASE_MAX_CONNECTIONS"),
            (["--supabase-url", "example.supabase.co"], "SUPABASE_URL"),
            (["--supabase-url", "https://u:hunter2@example.com"], "SUPABASE_URL"),
            (["--supabase-url", "https://example.com/?x=1"], "SUPABASE_URL"),
            (["--supabase-service-key", "hunter2 x"], "SUPABASE_SERVICE_KEY"),
            (["--postgres-archive-url", "ftp://x"], "POSTGRES_ARCHIVE_URL"),
            (["--rust-log", "a=b=c"], "RUST_LOG"),
            (["--log-format", "xml"], "LOG_FORMAT"),
            (["--supabase-auth-mode", "local"], "SUPABASE_AUTH_MODE"),
            (["--supabase-auth-mode", "jwks"], "SUPABASE_AUTH_MODE"),
            (["--supabase-jwt-issuer", "a b"], "SUPABASE_JWT_ISSUER"),
            (["--supabase-auth-cache-ttl", "1h"], "SUPABASE_AUTH_CACHE_TTL"),
            (["--supabase-auth-cache-ttl", "3601"], "SUPABASE_AUTH_CACHE_TTL"),
            (["--log-users", "name"], "LOG_USERS"),
            (["--metrics-port", "2024"], "METRICS_PORT"),
            (["--metrics-port", "x"], "METRICS_PORT"),
            (["--cors-allow-origins", "app.example"], "CORS_ALLOW_ORIGINS"),
            (["--cors-allow-origins", "https://app.example/"], "CORS_ALLOW_ORIGINS"),
            (["--cors-allow-origins", "https://app.example,*"], "CORS_ALLOW_ORIGINS"),
            (["--max-body-bytes", "1k"], "MAX_BODY_BYTES"),
            (["--max-requests", "0"], "MAX_REQUESTS"),
            (["--max-streams", "1000001"], "MAX_STREAMS"),
            (["--max-threads-per-user", "0"], "MAX_THREADS_PER_USER"),
            (["--max-threads-per-user", "1000001"], "MAX_THREADS_PER_USER"),
            (["--max-threads-per-user", "ten"], "MAX_THREADS_PER_USER"),
            (["--max-state-bytes", "1023"], "MAX_STATE_BYTES"),
            (["--max-state-bytes", "1GB"], "MAX_STATE_BYTES"),
            (["--header-timeout", "0"], "HEADER_TIMEOUT"),
            (["--body-timeout", "3601"], "BODY_TIMEOUT"),
            (["--shutdown-delay", "601"], "SHUTDOWN_DELAY"),
            (["--oidc-issuer", "https://example.com"], "OIDC_AUDIENCE"),
            (["--oidc-audience", "api"], "OIDC_ISSUER"),
        ] {
            let line = config(&arguments).unwrap_err();
            assert!(line.starts_with(&format!("{setting}: ")), "{line}");
            assert!(!line.contains('\n') && !line.contains("hunter2"), "{line}");
        }
    }

    #[test]
    fn limits_that_are_not_set_are_those_of_the_documentation() {
        let config = config(&[]).unwrap();
        assert_eq!((config.limits, config.cors), (Limits::default(), CorsOrigins::Any));
    }

    #[test]
    fn without_supabase_only_a_loopback_host_is_served() {
        assert!(config(&["--host", "::1"]).is_ok());
        let refused = config(&["--host", "0.0.0.0"]).unwrap_err();
        assert!(refused.starts_with("SUPABASE_URL: is required on HOST 0.0.0.0"), "{refused}");
        let open = ["--host", "0.0.0.0", "--supabase-url", "https://example.supabase.co/"];
        assert!(config(&open).is_ok());
    }

    #[test]
    fn the_servers_own_address_is_not_taken_for_a_supabase_project() {
        for url in ["http://127.0.0.1:2024", "http://localhost:2024/", "http://[::1]:2024"] {
            let refused = config(&["--supabase-url", url]).unwrap_err();
            assert!(refused.starts_with("SUPABASE_URL: is this server's own address"), "{refused}");
        }
        assert!(config(&["--supabase-url", "http://127.0.0.1:8000"]).is_ok());
    }

    #[test]
    fn any_of_the_key_settings_is_taken_and_none_is_printed() {
        for flag in ["service", "secret", "anon", "publishable"] {
            let flag = format!("--supabase-{flag}-key");
            let config =
                config(&["--supabase-url", "https://example.com", &flag, "hunter2"]).unwrap();
            let SignIn::Supabase { api_key, .. } = &config.sign_in else { panic!("not Supabase") };
            assert_eq!(api_key.as_ref().unwrap().expose_secret(), "hunter2");
            assert!(!format!("{config:?}").contains("hunter2"));
        }
    }

    #[test]
    fn the_database_password_is_not_in_debug_output() {
        let config = config(&["--database-url", "postgres://u:hunter2@h/d"]).unwrap();
        let debug = format!("{config:?}");
        assert!(debug.contains("\"h\"") && !debug.contains("hunter2"), "{debug}");
    }

    #[test]
    fn empty_values_count_as_unset() {
        let names =
            ["database-url", "supabase-url", "supabase-service-key", "port", "host", "data-dir"];
        let names = names.iter().chain(&["database-max-connections", "supabase-auth-cache-ttl"]);
        let names = names.chain(&["log-users", "metrics-port", "cors-allow-origins"]);
        let names = names.chain(&["max-body-bytes", "max-requests", "max-streams"]);
        let names = names.chain(&["max-threads-per-user", "max-state-bytes"]);
        let names = names.chain(&["header-timeout", "body-timeout", "shutdown-delay"]);
        let empty: Vec<_> = names.map(|name| format!("--{name}=")).collect();
        let config = config(&empty.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
        assert_eq!((config.port, config.data_dir), (2024, PathBuf::from(".thread-store")));
        assert!(matches!(config.database, Database::Embedded { .. }));
        assert!(matches!(config.sign_in, SignIn::Local));
    }
}
