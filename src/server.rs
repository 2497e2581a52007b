//! Start and stop.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::app::App;
use crate::auth::{Auth, Authenticate, NoIssuer, Oidc, SlotTaken, Supabase};
use crate::config::{Config, Database, Schema, SignIn};
#[cfg(feature = "embedded")]
use crate::embedded::{self, Embedded};
#[cfg(feature = "local-auth")]
use crate::local_auth::{self, LocalAuth};
use crate::router::router;
use crate::store::{self, Changes, OpenError, Store};
use crate::telemetry;

/// How long requests under way may take once the server was told to stop.
const DRAIN_DEADLINE: Duration = Duration::from_secs(20);

/// How often samples are merged, without which they pile up until somebody asks for metrics.
const METRICS_UPKEEP: Duration = Duration::from_secs(5);
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
    /// Two on handlers for one slot.
    #[error(transparent)]
    Policy(#[from] SlotTaken),
    /// There is no handler for the OpenID Connect provider.
    #[error("OIDC_ISSUER: {0}")]
    Oidc(#[from] NoIssuer),
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
    ///
    /// `policy` puts the on handlers behind the sign-in that the settings ask for.
    pub async fn start(
        config: Config,
        policy: impl FnOnce(Box<dyn Authenticate>) -> Result<Auth, SlotTaken>,
    ) -> Result<Server, StartError> {
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
        let store = match open_store(&config, options).await {
            Ok(store) => store,
            Err(error) => {
                database.stop().await;
                return Err(error.into());
            }
        };
        let sign_in = sign_in(&config, address, &store).await;
        match sign_in.and_then(|(authenticate, routes)| Ok((policy(authenticate)?, routes))) {
            Ok((auth, sign_in_routes)) => {
                let banner = banner(&config, address, &database_name);
                let stopping = CancellationToken::new();
                let app = App { store: store.clone(), auth, stopping: stopping.clone() };
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

    /// Serves until the first `stop`, then lets the requests under way finish, until the
    /// deadline or the second `stop`.
    pub async fn run(self, mut stop: StopSignal) -> std::io::Result<()> {
        info!("listening on {}", self.listener.local_addr()?);
        let (stopping, stopped) = tokio::sync::oneshot::channel();
        let streams = self.stopping;
        let graceful = async move {
            stop.next().await;
            info!("stopping: letting requests finish");
            streams.cancel();
            let _ = stopping.send(stop);
        };
        let serve = axum::serve(self.listener, self.router).with_graceful_shutdown(graceful);
        let deadline = async {
            let Ok(mut stop) = stopped.await else { return std::future::pending().await };
            tokio::select! {
                () = tokio::time::sleep(DRAIN_DEADLINE) => {}
                () = stop.next() => {}
            }
        };
        let mut background = background(&self.store);
        let outcome = tokio::select! {
            outcome = serve => outcome,
            () = deadline => {
                warn!("requests were cut off");
                Ok(())
            }
        };
        // Waits for them: one that runs on would complain of the closed pool.
        background.shutdown().await;
        // Statements of requests that were cut off must not keep the program alive.
        let _ = tokio::time::timeout(Duration::from_secs(2), self.store.close()).await;
        self.database.stop().await;
        info!("stopped");
        outcome
    }
}

/// What goes on beside requests. Ends when it is dropped.
fn background(store: &Store) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    let changes = store.changes().clone();
    tasks.spawn(for_ever("news of changes", move || {
        let changes = changes.clone();
        async move { changes.run().await }
    }));
    let store = store.clone();
    tasks.spawn(for_ever("the sweeper", move || {
        let store = store.clone();
        async move { sweep(&store).await }
    }));
    tasks.spawn(for_ever("metrics", || async {
        loop {
            tokio::time::sleep(METRICS_UPKEEP).await;
            telemetry::metrics().run_upkeep();
        }
    }));
    tasks
}

/// Starts a task again if a bug ends it.
async fn for_ever<F>(name: &'static str, task: impl Fn() -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    loop {
        let mut running = JoinSet::new();
        running.spawn(task());
        if let Some(Err(error)) = running.join_next().await {
            error!(%error, "{name} broke, and is started again");
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
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
        Database::External { url: options, .. } => {
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

/// Brings the schema up to date, or checks that it is, before anything else connects.
async fn open_store(
    config: &Config,
    options: sqlx::postgres::PgConnectOptions,
) -> Result<Store, OpenError> {
    match (config.schema, &config.database) {
        (Schema::Check, _) => store::check_schema(&options).await?,
        (Schema::Migrate, Database::External { direct: Some(direct), .. }) => {
            store::migrate(direct).await.map(drop)?;
        }
        (Schema::Migrate, _) => store::migrate(&options).await.map(drop)?,
    }
    Store::connect(options, config.database_max_connections).await
}

#[cfg_attr(
    not(feature = "local-auth"),
    expect(clippy::unused_async, unused_variables, reason = "for the local sign-in")
)]
async fn sign_in(
    config: &Config,
    address: SocketAddr,
    store: &Store,
) -> Result<(Box<dyn Authenticate>, Option<Router>), StartError> {
    let ttl = config.auth_cache_ttl;
    match &config.sign_in {
        SignIn::Supabase { url, api_key, mode } => {
            if api_key.is_none() {
                warn!("no SUPABASE_SERVICE_KEY: Supabase's gateway refuses calls without a key");
            }
            if url.scheme() == "http" && url.domain().is_some_and(|name| name.contains('.')) {
                warn!("SUPABASE_URL is plain http: access tokens travel unprotected");
            }
            Ok((Box::new(Supabase::new(url, api_key.as_ref(), *mode, ttl)?), None))
        }
        SignIn::Oidc { issuer, audience } => {
            Ok((Box::new(Oidc::new(issuer, audience.clone(), ttl)?), None))
        }
        #[cfg(feature = "local-auth")]
        SignIn::Local => {
            let url = url::Url::parse(&format!("http://{address}"))?;
            let issuer = format!("http://{address}/auth/v1");
            let local = LocalAuth::open(store.pool().clone(), &config.data_dir, issuer).await?;
            let supabase = Supabase::new(&url, None, crate::auth::Mode::Remote, ttl)?;
            Ok((Box::new(supabase), Some(local.router())))
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
        SignIn::Oidc { issuer, .. } => {
            let _ = writeln!(text, "  - Sign-in:  OpenID Connect at {issuer}");
        }
        #[cfg(feature = "local-auth")]
        SignIn::Local => {
            let _ = writeln!(
                text,
                "  - Sign-in:  local, for development. In the client's terminal, not this one:\n"
            );
            let _ = writeln!(text, "      export SUPABASE_URL=http://{address}");
            let _ = writeln!(text, "      export SUPABASE_ANON_KEY=local");
        }
    }
    text.push('\n');
    text
}

/// What tells a server to stop: SIGINT and SIGTERM, or the other end of a channel.
#[derive(Debug)]
pub struct StopSignal(mpsc::UnboundedReceiver<()>);

impl StopSignal {
    /// From the signals of this process, from now on.
    pub fn of_process() -> std::io::Result<StopSignal> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let (sender, signals) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                if sender.send(()).is_err() {
                    return;
                }
            }
        });
        Ok(StopSignal(signals))
    }

    /// From whoever holds the sender. Dropping it says stop, too.
    #[must_use]
    pub fn of_channel() -> (mpsc::UnboundedSender<()>, StopSignal) {
        let (sender, signals) = mpsc::unbounded_channel();
        (sender, StopSignal(signals))
    }

    /// Resolves when told to stop once more than before.
    pub async fn next(&mut self) {
        self.0.recv().await;
    }
}
