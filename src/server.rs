//! Start and stop.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::app::App;
use crate::auth::Supabase;
use crate::config::{Config, Database, SignIn};
#[cfg(feature = "embedded")]
use crate::embedded::{self, Embedded};
#[cfg(feature = "local-auth")]
use crate::local_auth::{self, LocalAuth};
use crate::router::router;
use crate::store::{Changes, OpenError, Store};
use crate::telemetry;

/// How long requests under way may take once the server was told to stop.
const DRAIN_DEADLINE: Duration = Duration::from_secs(20);

/// Wait between two sweeps of expired threads. Readers do not see them meanwhile.
const SWEEP_INTERVAL: Duration = Duration::from_secs(30);

/// A server that is ready to serve.
pub struct Server {
    listener: TcpListener,
    router: Router,
    store: Store,
    database: Running,
    banner: String,
    stopping: CancellationToken,
}

/// Why a server did not start. One line for the operator.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address is taken or not ours.
    #[error("cannot listen on {address}, set PORT or HOST to another: {source}")]
    Listen {
        /// HOST and PORT.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The embedded database did not start.
    #[cfg(feature = "embedded")]
    #[error(transparent)]
    Embedded(#[from] embedded::Error),
    /// The database cannot be used.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The local sign-in did not start.
    #[cfg(feature = "local-auth")]
    #[error("the local sign-in did not start: {0}")]
    LocalAuth(#[from] local_auth::Error),
    /// The HTTP client for the sign-in cannot be made.
    #[error("cannot make an HTTP client: {0}")]
    Client(#[from] reqwest::Error),
    /// The URL of this server's own sign-in cannot be made.
    #[cfg(feature = "local-auth")]
    #[error("cannot make a URL of this server's address: {0}")]
    Url(#[from] url::ParseError),
}

/// The database under the store, as far as this program answers for it.
enum Running {
    External,
    #[cfg(feature = "embedded")]
    Embedded(Box<Embedded>),
}

impl Running {
    #[cfg_attr(
        not(feature = "embedded"),
        expect(clippy::unused_async, reason = "for the embedded one")
    )]
    async fn stop(self) {
        #[cfg(feature = "embedded")]
        if let Running::Embedded(database) = self
            && let Err(error) = database.stop().await
        {
            warn!(%error, "the embedded database did not stop cleanly");
        }
    }
}

impl Server {
    /// Takes the port, then the database, then the sign-in: what fails first is cheapest.
    pub async fn start(config: Config) -> Result<Server, StartError> {
        telemetry::metrics();
        let address = SocketAddr::new(config.host, config.port);
        let listening = async {
            let listener = TcpListener::bind(address).await?;
            let address = listener.local_addr()?;
            Ok((listener, address))
        };
        let (listener, address) =
            listening.await.map_err(|source| StartError::Listen { address, source })?;
        let (options, database, database_name) = open_database(&config).await?;
        let store = match Store::open(options, config.database_max_connections).await {
            Ok(store) => store,
            Err(error) => {
                database.stop().await;
                return Err(error.into());
            }
        };
        match sign_in(&config, address, &store).await {
            Ok((supabase, sign_in_routes)) => {
                let banner = banner(&config, address, &database_name);
                let stopping = CancellationToken::new();
                let app = App {
                    store: store.clone(),
                    authenticate: Box::new(supabase),
                    stopping: stopping.clone(),
                };
                let router = router(Arc::new(app), sign_in_routes);
                Ok(Server { listener, router, store, database, banner, stopping })
            }
            Err(error) => {
                store.close().await;
                database.stop().await;
                Err(error)
            }
        }
    }

    /// Where the server listens.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The threads that open streams watch.
    #[must_use]
    pub fn changes(&self) -> &Changes {
        self.store.changes()
    }

    /// What to print when the server is ready.
    #[must_use]
    pub fn banner(&self) -> &str {
        &self.banner
    }

    /// Serves until `stop`, then lets the requests under way finish.
    pub async fn run(self, stop: impl Future<Output = ()> + Send + 'static) -> std::io::Result<()> {
        let (stopping, stopped) = tokio::sync::oneshot::channel();
        let streams = self.stopping;
        let graceful = async move {
            stop.await;
            info!("stopping: letting requests finish");
            streams.cancel();
            let _ = stopping.send(());
        };
        let serve = axum::serve(self.listener, self.router).with_graceful_shutdown(graceful);
        let deadline = async {
            if stopped.await.is_ok() {
                tokio::time::sleep(DRAIN_DEADLINE).await;
            } else {
                std::future::pending::<()>().await;
            }
        };
        let mut background = background(&self.store);
        let outcome = tokio::select! {
            outcome = serve => outcome,
            () = deadline => {
                warn!("requests were cut off after {DRAIN_DEADLINE:?}");
                Ok(())
            }
        };
        // Waits for them: one that runs on would complain of the closed pool.
        background.shutdown().await;
        // Statements of requests that were cut off must not keep the program alive.
        let _ = tokio::time::timeout(Duration::from_secs(2), self.store.close()).await;
        self.database.stop().await;
        outcome
    }
}

/// What goes on beside requests. Ends when it is dropped.
fn background(store: &Store) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    let changes = store.changes().clone();
    tasks.spawn(async move { changes.run().await });
    let store = store.clone();
    tasks.spawn(async move { sweep(&store).await });
    tasks
}

/// Carries out what threads' ttl asks for, in small batches.
async fn sweep(store: &Store) {
    loop {
        match store.sweep().await {
            Ok(swept) if swept.deleted + swept.shrunk > 0 => {
                info!(deleted = swept.deleted, shrunk = swept.shrunk, "swept expired threads");
                if !swept.is_last {
                    continue;
                }
            }
            Ok(_) => {}
            Err(error) => warn!(%error, "could not sweep expired threads"),
        }
        tokio::time::sleep(SWEEP_INTERVAL).await;
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("listener", &self.listener).finish_non_exhaustive()
    }
}

#[cfg_attr(
    not(feature = "embedded"),
    expect(clippy::unused_async, reason = "for the embedded one")
)]
async fn open_database(
    config: &Config,
) -> Result<(sqlx::postgres::PgConnectOptions, Running, String), StartError> {
    match &config.database {
        Database::External(options) => {
            let name = format!(
                "PostgreSQL at {}:{}/{}",
                options.get_host(),
                options.get_port(),
                options.get_database().unwrap_or_default()
            );
            Ok(((**options).clone(), Running::External, name))
        }
        #[cfg(feature = "embedded")]
        Database::Embedded { bin_dir, archive_url } => {
            let database = Embedded::start(embedded::Options {
                data_dir: config.data_dir.clone(),
                bin_dir: bin_dir.clone(),
                archive_url: archive_url.clone(),
                durability: embedded::Durability::Durable,
            })
            .await?;
            let name = database.describe();
            Ok((database.connect_options(), Running::Embedded(Box::new(database)), name))
        }
    }
}

#[cfg_attr(
    not(feature = "local-auth"),
    expect(clippy::unused_async, unused_variables, reason = "for the local sign-in")
)]
async fn sign_in(
    config: &Config,
    address: SocketAddr,
    store: &Store,
) -> Result<(Supabase, Option<Router>), StartError> {
    match &config.sign_in {
        SignIn::Supabase { url, api_key } => {
            if api_key.is_none() {
                warn!("no SUPABASE_SERVICE_KEY: Supabase's gateway refuses calls without a key");
            }
            if url.scheme() == "http" && url.domain().is_some_and(|name| name.contains('.')) {
                warn!("SUPABASE_URL is plain http: access tokens travel unprotected");
            }
            Ok((Supabase::new(url, api_key.as_ref())?, None))
        }
        #[cfg(feature = "local-auth")]
        SignIn::Local => {
            let url = url::Url::parse(&format!("http://{address}"))?;
            let issuer = format!("http://{address}/auth/v1");
            let local = LocalAuth::open(store.pool().clone(), &config.data_dir, issuer).await?;
            Ok((Supabase::new(&url, None)?, Some(local.router())))
        }
    }
}

fn banner(config: &Config, address: SocketAddr, database: &str) -> String {
    use std::fmt::Write;
    let mut text = String::from("\n  thread-store: the threads API of the LangGraph Server\n\n");
    let _ = writeln!(text, "  - API:      http://{address}");
    let _ = writeln!(text, "  - Docs:     http://{address}/docs");
    let _ = writeln!(text, "  - Database: {database}");
    match &config.sign_in {
        SignIn::Supabase { url, .. } => {
            let _ = writeln!(text, "  - Sign-in:  Supabase at {url}");
        }
        #[cfg(feature = "local-auth")]
        SignIn::Local => {
            let _ = writeln!(text, "  - Sign-in:  local, for development. For the client:\n");
            let _ = writeln!(text, "      export SUPABASE_URL=http://{address}");
            let _ = writeln!(text, "      export SUPABASE_ANON_KEY=local");
        }
    }
    text.push('\n');
    text
}

/// Resolves on SIGINT or SIGTERM.
pub fn stop_signal() -> std::io::Result<impl Future<Output = ()> + Send + 'static> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}
