//! Settings: read once at start from flags, the environment and `.env`, then checked as a whole.
//!
//! This is the only module that reads the environment. A setting is a field with a `clap`
//! attribute, which holds its flag, its variable, its default and its parser, and whose doc
//! comment is its line in `--help`. `.env.example` and `docs/settings.md` repeat those lines, and
//! `tests/documents` checks that they agree. A wrong value is a [`ConfigError`]: one line
//! that names the setting and what it must be, exit code 64.

mod agent;
mod arguments;
mod attach;
mod command_line;
mod cors;
mod database;
mod dotenv;
mod import;
mod limits;
mod logging;
mod page;
mod postgres_options;
mod postgres_parameters;
mod postgres_url;
mod sign_in;
mod thread_ttl;
mod values;

use std::borrow::Cow;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::checkpoints::AesKey;
use crate::store::Pooler;

pub use attach::Attach;
pub use cors::{CorsOrigins, Origin};
pub(crate) use database::place;
pub use database::{Database, Schema};
pub use import::{Import, ImportFrom, Peer};
pub use limits::Limits;
pub use logging::{LogFormat, LogUsers, Logging};
pub use page::Page;
pub use sign_in::SignIn;
pub use thread_ttl::ThreadTtl;

/// The command to run, with its settings.
#[derive(Debug, Clone)]
pub enum Command {
    /// Serve the API.
    Serve(Box<Config>),
    /// Ask the server on this machine whether it is ready.
    Healthcheck(Box<Config>),
    /// Bring the schema of this database up to date.
    Migrate(Database),
    /// Rebuild the digests of threads for lists and searches, with a server's settings.
    Reindex(Box<Config>),
    /// Spread the tables of this database over the nodes of its cluster.
    Distribute(Database),
    /// Copy threads from one server to another.
    Import(Box<Import>),
    /// Serve the threads of an agent.
    Attach(Box<Attach>),
    /// Stop serving the threads of an agent.
    Detach(Database),
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
    /// What the server does with an outdated schema when it starts.
    pub schema: Schema,
    /// Maximum number of connections in the database pool.
    pub database_max_connections: u32,
    /// Maximum number of these connections for one user's requests outside of batches.
    pub database_connections_per_user: u32,
    /// Longest time that a request may spend on the database.
    pub database_timeout: Duration,
    /// The kind of pooler between this server and Postgres.
    pub database_pooler: Pooler,
    /// The sign-in.
    pub sign_in: SignIn,
    /// The page at `/app`; `None`: there is none.
    pub page: Option<Page>,
    /// The agent that runs are forwarded to.
    pub agent: Option<crate::agent::Options>,
    /// How long an accepted token is not verified again.
    pub auth_cache_ttl: Duration,
    /// Directory of the private Postgres and of the local sign-in's secret.
    pub data_dir: PathBuf,
    /// How the line of a request names its user.
    pub log_users: LogUsers,
    /// Port of `/metrics`, if it differs from that of the API; 0 takes a free one.
    pub metrics_port: Option<u16>,
    /// Origins that browsers may call from.
    pub cors: CorsOrigins,
    /// Limits on the resources that clients may occupy.
    pub limits: Limits,
    /// The default ttl of threads.
    pub thread_ttl: ThreadTtl,
    /// The key of values that agents have encrypted.
    pub aes_key: Option<AesKey>,
    /// How long a stopping server keeps serving while `/readyz` is 503.
    pub shutdown_delay: Duration,
}

/// A setting that cannot be used. Its text is one line and never contains a secret.
#[derive(Debug, thiserror::Error)]
#[error("{setting}: {problem}")]
pub struct ConfigError {
    setting: Cow<'static, str>,
    problem: String,
}

impl Command {
    /// Reads `.env`, the environment and the command line.
    ///
    /// `--help` and `--version` print and end the process with exit code 0.
    pub fn from_environment() -> Result<(Command, Logging), ConfigError> {
        dotenv::load()?;
        command_line::parse(std::env::args_os())?.read()
    }
}

impl Config {
    /// The program's own defaults for a test: a server on a free loopback port with the local
    /// sign-in, on a database that the test started. It opens at most 8 connections, because
    /// many test servers share one Postgres.
    ///
    /// It does not read the environment of the test, and no setting is weaker than with
    /// `cargo run`.
    #[cfg(feature = "local-auth")]
    #[doc(hidden)]
    pub fn for_test(
        database: sqlx::postgres::PgConnectOptions,
        data_dir: impl Into<PathBuf>,
    ) -> Result<Config, ConfigError> {
        let defaults = command_line::parse_words(&["thread-store"])?;
        let mut config = defaults.for_server(Database::external(database))?;
        config.port = 0;
        config.database_max_connections = 8;
        config.database_connections_per_user = 2;
        config.data_dir = data_dir.into();
        Ok(config)
    }
}

fn wrong(setting: impl Into<Cow<'static, str>>, problem: impl Into<String>) -> ConfigError {
    ConfigError { setting: setting.into(), problem: problem.into() }
}

#[cfg(all(test, feature = "embedded", feature = "local-auth"))]
mod tests;
