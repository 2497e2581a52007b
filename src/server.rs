//! Start and stop.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::{debug, error, info, warn};

use crate::app::{App, AppShares};
use crate::auth::{
    Auth, Authenticate, NoIssuer, Oidc, SlotTaken, Supabase, SupabaseOptions, is_unprotected,
};
#[cfg(feature = "local-auth")]
use crate::auth::{JwtIssuer, Mode};
use crate::config::{Config, Database, Schema, SignIn, place};
#[cfg(feature = "embedded")]
use crate::embedded::{self, Embedded};
use crate::listener::{Port, Routes};
#[cfg(feature = "local-auth")]
use crate::local_auth::{self, LocalAuth};
use crate::metrics::{Metrics, metrics};
use crate::router;
use crate::store::{self, Changes, OpenError, PutOff, Store};

/// How long requests under way may take once the server was told to stop.
const DRAIN_DEADLINE: Duration = Duration::from_secs(20);

/// How often samples are merged, without which they pile up until somebody asks for metrics.
const METRICS_UPKEEP: Duration = Duration::from_secs(5);

/// A server that is ready, and serves.
pub struct Server {
    api: Port,
    metrics: Option<Port>,
    app: Arc<App>,
    database: Running,
    banner: String,
    sweep_interval: Duration,
    shutdown_delay: Duration,
}

/// Why a server did not start. One line for the operator.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address is taken or not ours.
    #[error("cannot listen on {address}, set {setting} or HOST to another: {source}")]
    Listen {
        /// Which port it is.
        setting: &'static str,
        /// HOST and the port.
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
    /// Takes the ports, then the database, then the sign-in: what fails first is cheapest.
    ///
    /// From the first moment on `/ok` answers, and all else is asked to come back later. The
    /// server that this resolves to serves everything, until it is dropped.
    ///
    /// `policy` puts the on handlers behind the sign-in that the settings ask for.
    pub async fn start(
        config: Config,
        policy: impl FnOnce(Box<dyn Authenticate>) -> Result<Auth, SlotTaken>,
    ) -> Result<Server, StartError> {
        let _ = metrics();
        let routes = Routes::new(router::starting(&config));
        let api = open_port("PORT", config.port, &config, routes.clone()).await?;
        let metrics_routes = Routes::new(router::metrics(None, &config));
        let metrics = match config.metrics_port {
            Some(port) => {
                let routes = metrics_routes.clone();
                Some(open_port("METRICS_PORT", port, &config, routes).await?)
            }
            None => None,
        };
        debug!("listening on {}, and starting", api.address());
        let (options, database, database_name) = open_database(&config).await?;
        let shares = AppShares::new(&config.limits);
        let store = match Box::pin(open_store(&config, options.clone(), &shares)).await {
            Ok(store) => store,
            Err(error) => {
                database.stop().await;
                return Err(error.into());
            }
        };
        let sign_in = Box::pin(sign_in(&config, api.address(), options)).await;
        match sign_in.and_then(|(authenticate, routes)| Ok((policy(authenticate)?, routes))) {
            Ok((auth, sign_in_routes)) => {
                let banner = banner(&config, api.address(), &database_name);
                let app = Arc::new(App {
                    default_ttl: config.thread_ttl.default,
                    ..App::new(store, auth, config.limits, shares)
                });
                metrics_routes.put(router::metrics(Some(Arc::clone(&app)), &config));
                routes.put(router::router(Arc::clone(&app), sign_in_routes, &config));
                info!("listening on {}", api.address());
                let sweep_interval = config.thread_ttl.sweep_interval;
                let shutdown_delay = config.shutdown_delay;
                Ok(Server { api, metrics, app, database, banner, sweep_interval, shutdown_delay })
            }
            Err(error) => {
                store.close().await;
                database.stop().await;
                Err(error)
            }
        }
    }

    /// Where the server listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.api.address()
    }

    /// Where `/metrics` is, if it has a port of its own.
    #[must_use]
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics.as_ref().map(Port::address)
    }

    /// The threads that open streams watch.
    #[must_use]
    pub fn changes(&self) -> &Changes {
        self.app.store.changes()
    }

    /// What to print when the server is ready.
    #[must_use]
    pub fn banner(&self) -> &str {
        &self.banner
    }

    /// Serves until the first `stop`. Then says that it is not ready, and goes on for
    /// `SHUTDOWN_DELAY` or until the next `stop`, so that load balancers can move on. Then takes
    /// no more connections and lets the requests under way finish, until the deadline or the next
    /// `stop`.
    pub async fn run(self, mut stop: StopSignal) {
        let mut background = background(&self.app.store, self.sweep_interval);
        stop.next().await;
        self.app.draining.cancel();
        if !self.shutdown_delay.is_zero() {
            info!(delay = ?self.shutdown_delay, "stopping soon: not ready any more");
            tokio::select! {
                () = tokio::time::sleep(self.shutdown_delay) => {}
                () = stop.next() => {}
            }
        }
        info!("stopping: letting requests finish");
        self.app.stopping.cancel();
        tokio::select! {
            () = self.api.close() => {}
            () = tokio::time::sleep(DRAIN_DEADLINE) => warn!("requests were cut off"),
            () = stop.next() => warn!("requests were cut off"),
        }
        // Waits for them: one that runs on would complain of the closed pool.
        background.shutdown().await;
        // Statements of requests that were cut off must not keep the program alive.
        let _ = tokio::time::timeout(Duration::from_secs(2), self.app.store.close()).await;
        self.database.stop().await;
        info!("stopped");
    }
}

async fn open_port(
    setting: &'static str,
    port: u16,
    config: &Config,
    routes: Routes,
) -> Result<Port, StartError> {
    let address = SocketAddr::new(config.host, port);
    let opened = Port::open(address, routes, config.limits.header_timeout).await;
    opened.map_err(|source| StartError::Listen { setting, address, source })
}

/// What goes on beside requests. Ends when it is dropped.
fn background(store: &Store, sweep_interval: Duration) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    let changes = store.changes().clone();
    tasks.spawn(for_ever("news of changes", move || {
        let changes = changes.clone();
        async move { Box::pin(changes.run()).await }
    }));
    let store = store.clone();
    tasks.spawn(for_ever("the sweeper", move || {
        let store = store.clone();
        async move { sweep(&store, sweep_interval).await }
    }));
    tasks.spawn(for_ever("metrics", || async {
        loop {
            tokio::time::sleep(METRICS_UPKEEP).await;
            Metrics::run_upkeep();
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
async fn sweep(store: &Store, interval: Duration) {
    let mut put_off = PutOff::default();
    loop {
        match store.sweep(&mut put_off).await {
            Ok(swept) if swept.deleted + swept.pruned > 0 => {
                metrics().sweeps.increment(1);
                metrics().swept_deleted.increment(swept.deleted as u64);
                metrics().swept_pruned.increment(swept.pruned as u64);
                info!(deleted = swept.deleted, pruned = swept.pruned, "swept expired threads");
                if !swept.is_last {
                    continue;
                }
            }
            Ok(_) => metrics().sweeps.increment(1),
            Err(error) => {
                metrics().failed_sweeps.increment(1);
                warn!(%error, "could not sweep expired threads");
            }
        }
        tokio::time::sleep(interval).await;
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("api", &self.api).finish_non_exhaustive()
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
            let name = format!("PostgreSQL at {}", place(options));
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
    database: sqlx::postgres::PgConnectOptions,
    shares: &AppShares,
) -> Result<Store, OpenError> {
    let direct = match &config.database {
        Database::External { direct, .. } => direct.clone(),
        #[cfg(feature = "embedded")]
        Database::Embedded { .. } => None,
    };
    let options = store::Options {
        max_connections: config.database_max_connections,
        connections_per_user: config.database_connections_per_user,
        timeout: config.database_timeout,
        pooler: config.database_pooler,
        direct,
        quotas: store::Quotas {
            threads: config.limits.threads_per_user,
            state_bytes: config.limits.state_bytes,
        },
        memory: shares.answer_bytes.clone(),
    };
    match config.schema {
        Schema::Check => Store::open_unchanged(database, options).await,
        Schema::Migrate => Store::open(database, options).await,
    }
}

#[cfg_attr(
    not(feature = "local-auth"),
    expect(clippy::unused_async, unused_variables, reason = "for the local sign-in")
)]
async fn sign_in(
    config: &Config,
    address: SocketAddr,
    database: sqlx::postgres::PgConnectOptions,
) -> Result<(Box<dyn Authenticate>, Option<Router>), StartError> {
    let ttl = config.auth_cache_ttl;
    match &config.sign_in {
        SignIn::Supabase { url, api_key, mode, issuer } => {
            if api_key.is_none() {
                warn!("no SUPABASE_SERVICE_KEY: Supabase's gateway refuses calls without a key");
            }
            if is_unprotected(url) {
                warn!("SUPABASE_URL is plain http: access tokens travel unprotected");
            }
            let api_key = api_key.as_ref();
            let options = SupabaseOptions { url, api_key, mode: *mode, issuer, cache_ttl: ttl };
            let supabase = Arc::new(Supabase::new(&options)?);
            let keys = Arc::clone(&supabase);
            tokio::spawn(async move { keys.fetch_keys().await });
            Ok((Box::new(supabase), None))
        }
        SignIn::Oidc { issuer, audience } => {
            if url::Url::parse(issuer).is_ok_and(|url| is_unprotected(&url)) {
                warn!("OIDC_ISSUER is plain http: the keys that verify tokens travel unprotected");
            }
            let oidc = Arc::new(Oidc::new(issuer, audience.clone(), ttl)?);
            let keys = Arc::clone(&oidc);
            tokio::spawn(async move { keys.fetch_keys().await });
            Ok((Box::new(oidc), None))
        }
        #[cfg(feature = "local-auth")]
        SignIn::Local => {
            let url = url::Url::parse(&format!("http://{address}"))?;
            let direct = match &config.database {
                Database::External { direct: Some(direct), .. } => (**direct).clone(),
                _ => database,
            };
            // Its own connections: few people sign in at once.
            let (pool, cors) = (store::sessions(direct, 4), config.cors.clone());
            let local = LocalAuth::open(pool, &config.data_dir, url.clone(), cors).await?;
            let supabase = Supabase::new(&SupabaseOptions {
                url: &url,
                api_key: None,
                mode: Mode::Remote,
                issuer: &JwtIssuer::OfUrl,
                cache_ttl: ttl,
            })?;
            Ok((Box::new(supabase), Some(local.router())))
        }
    }
}

fn banner(config: &Config, address: SocketAddr, database: &str) -> String {
    use std::fmt::Write;
    let mut text = String::from("\n  thread-store: the threads API of the LangGraph Server\n\n");
    let _ = writeln!(text, "  - API:      http://{address}");
    let _ = writeln!(text, "  - Docs:     http://{address}/docs");
    #[cfg(feature = "app")]
    if config.page.is_some() {
        let _ = writeln!(text, "  - Page:     http://{address}/app/");
    }
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
    ///
    /// Signals that the process inherited as ignored are honoured like others: a script that runs
    /// the server with `&` hands down an ignored SIGINT, and would leave it behind on its port when
    /// it is interrupted itself.
    pub fn of_process() -> std::io::Result<StopSignal> {
        // With SIGCHLD ignored, Postgres's programs could be run and not be waited for.
        drop(signal(SignalKind::child())?);
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
