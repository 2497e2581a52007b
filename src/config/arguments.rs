//! The command line, and the settings of each command.

use std::net::IpAddr;
use std::time::Duration;

use clap::{Parser, Subcommand};

use super::agent::AgentArguments;
use super::attach::{AttachArguments, CheckpointArguments};
use super::cors::{CorsOrigins, origins};
use super::database::{Database, DatabaseArguments, Schema};
use super::import::ImportArguments;
use super::limits::Limits;
use super::logging::{LOG_USERS, LogUsers, Logging};
use super::page::PageArguments;
use super::sign_in::{SignInArguments, is_ours};
use super::thread_ttl::{ThreadTtl, thread_ttl};
use super::values::{choice, host, number, seconds};
use super::{Command, Config, ConfigError, wrong};
use crate::store::Pooler;

/// The command line. Each value is valid by itself; [`Arguments::read`] checks them together.
#[derive(Parser)]
#[command(name = "thread-store", version, about, max_term_width = 100)]
#[command(after_help = "Flags override the environment, and the environment overrides `.env`. An \
                        empty value counts as unset.")]
pub(super) struct Arguments {
    /// Command to run; without one the server runs
    #[command(subcommand)]
    command: Option<Subcommands>,

    /// Address to listen on: an IP address or `localhost`
    #[arg(long, env = "HOST", default_value = "127.0.0.1")]
    #[arg(value_name = "ADDRESS", value_parser = host)]
    host: IpAddr,

    /// Port to listen on, 0 to 65535; 0 takes a free one
    #[arg(long, env = "PORT", default_value = "2024")]
    #[arg(value_name = "PORT", value_parser = number::<u16, 0, 65_535>)]
    port: u16,

    #[command(flatten)]
    database: DatabaseArguments,

    #[command(flatten)]
    sign_in: SignInArguments,

    #[command(flatten)]
    page: PageArguments,

    #[command(flatten)]
    agent: AgentArguments,

    #[command(flatten)]
    logging: Logging,

    /// How the line of a request names its user: `hash`, `plain` (the id) or `off`
    #[arg(long, env = "LOG_USERS", default_value = "hash")]
    #[arg(value_name = "FORM", value_parser = choice(&LOG_USERS))]
    log_users: LogUsers,

    /// Separate port for `/metrics`, which `PORT` then does not serve, 0 to 65535; 0 takes a free
    /// one
    #[arg(long, env = "METRICS_PORT")]
    #[arg(value_name = "PORT", value_parser = number::<u16, 0, 65_535>)]
    metrics_port: Option<u16>,

    /// Origins that browsers may call from, separated by commas: `https://app.example`, or
    /// `https://*.app.example` for all its subdomains. `*` is any origin
    #[arg(long, env = "CORS_ALLOW_ORIGINS", default_value = "*")]
    #[arg(value_name = "ORIGINS", value_parser = origins)]
    cors_allow_origins: CorsOrigins,

    #[command(flatten)]
    limits: Limits,

    /// How long to keep threads that are created without a `ttl`: a number of minutes, or JSON such
    /// as `{"strategy": "delete", "default_ttl": 43200, "sweep_interval_minutes": 5}`. Unset:
    /// forever
    #[arg(long, env = "LANGGRAPH_THREAD_TTL")]
    #[arg(value_name = "TTL", value_parser = thread_ttl)]
    langgraph_thread_ttl: Option<ThreadTtl>,

    #[command(flatten)]
    checkpoints: CheckpointArguments,

    /// Seconds for which a stopping server keeps serving while `/readyz` is 503, so that load
    /// balancers notice, 0 to 600
    #[arg(long, env = "SHUTDOWN_DELAY", default_value = "0")]
    #[arg(value_name = "SECONDS", value_parser = seconds::<0, 600>)]
    shutdown_delay: Duration,
}

/// The commands as they are typed.
#[derive(Subcommand)]
enum Subcommands {
    /// Serve the API (the default)
    Serve,
    /// Check whether the server on HOST and PORT is ready: exit code 0 if it is, 1 if not
    Healthcheck,
    /// Bring the schema of `DATABASE_URL` up to date, over `DATABASE_DIRECT_URL` if it is set
    Migrate,
    /// Rebuild titles, previews and the text that is searched from all threads
    Reindex,
    /// Spread the tables of `DATABASE_URL` over the nodes of its Citus cluster. Stop all servers
    /// first
    Distribute,
    /// Copy threads with their history from one server to another, over the public API of both
    Import(Box<ImportArguments>),
    /// Serve the threads of an agent that writes to `DATABASE_URL` with LangGraph's `PostgresSaver`
    Attach(AttachArguments),
    /// Undo `attach`: restore the agent's tables, and keep the threads
    Detach,
}

impl Arguments {
    /// The command, with the settings that it needs. Settings are checked together only for
    /// commands that use them.
    pub(super) fn read(mut self) -> Result<(Command, Logging), ConfigError> {
        let logging = self.logging.clone();
        let command = match self.command.take() {
            None | Some(Subcommands::Serve) => Command::Serve(Box::new(self.server()?)),
            Some(Subcommands::Healthcheck) => Command::Healthcheck(Box::new(self.server()?)),
            Some(Subcommands::Migrate) => Command::Migrate(self.database.database_to_migrate()?),
            Some(Subcommands::Reindex) => Command::Reindex(Box::new(self.server()?)),
            Some(Subcommands::Distribute) => {
                Command::Distribute(self.database.database_to_migrate()?)
            }
            Some(Subcommands::Import(arguments)) => {
                Command::Import(Box::new(arguments.validate()?))
            }
            Some(Subcommands::Attach(arguments)) => {
                let database = self.database.database_to_migrate();
                let attach = arguments.attach(database, self.checkpoints.langgraph_aes_key)?;
                Command::Attach(Box::new(attach))
            }
            Some(Subcommands::Detach) => Command::Detach(self.database.database_to_migrate()?),
        };
        Ok((command, logging))
    }

    fn server(self) -> Result<Config, ConfigError> {
        let database = self.database.database()?;
        self.for_server(database)
    }

    /// The settings of a server on this database.
    pub(super) fn for_server(self, database: Database) -> Result<Config, ConfigError> {
        if self.port != 0 && self.metrics_port == Some(self.port) {
            return Err(wrong("METRICS_PORT", "must differ from PORT"));
        }
        let sign_in = self.sign_in.sign_in(self.host, self.port)?;
        let agent = self.agent.agent(|url| is_ours(url, self.host, self.port))?;
        let (schema, pooler) = (self.database.database_migrate, self.database.database_pooler);
        if sign_in.is_local() && schema == Schema::Check {
            return Err(wrong(
                "DATABASE_MIGRATE",
                "must be `true` with the local sign-in, which creates its own tables",
            ));
        }
        if sign_in.is_local() && pooler == Pooler::Transaction && database.has_no_direct_url() {
            return Err(wrong(
                "DATABASE_DIRECT_URL",
                "is required with the local sign-in behind a transaction pooler: it creates tables",
            ));
        }
        Ok(Config {
            host: self.host,
            port: self.port,
            database,
            schema,
            database_max_connections: self.database.database_max_connections,
            database_connections_per_user: self.database.connections_per_user(),
            database_timeout: self.database.database_timeout,
            database_pooler: pooler,
            page: self.page.page(&sign_in, self.sign_in.keys())?,
            sign_in,
            agent,
            auth_cache_ttl: self.sign_in.supabase_auth_cache_ttl,
            data_dir: self.database.data_dir,
            log_users: self.log_users,
            metrics_port: self.metrics_port,
            cors: self.cors_allow_origins,
            limits: self.limits,
            thread_ttl: self.langgraph_thread_ttl.unwrap_or_default(),
            aes_key: self.checkpoints.langgraph_aes_key,
            shutdown_delay: self.shutdown_delay,
        })
    }
}
