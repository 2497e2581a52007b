//! Start, serve, drain, stop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tracing::{debug, info, warn};

use super::background::background;
use super::banner::banner;
use super::database::{Running, open_database, open_store};
use super::error::StartError;
use super::listener::{Port, Served};
use super::router;
use super::sign_in::sign_in;
use super::stop_signal::StopSignal;
use crate::agent::Agent;
use crate::auth::Auth;
use crate::authn::{Authenticate, is_unprotected};
use crate::authz::SlotTaken;
use crate::config::Config;
use crate::http::{App, AppShares};
use crate::metrics::metrics;
use crate::store::Changes;

/// How long active requests may take after the signal to stop.
const DRAIN_DEADLINE: Duration = Duration::from_secs(20);

/// A running server.
pub struct Server {
    api: Port,
    metrics: Option<Port>,
    app: Arc<App>,
    database: Running,
    banner: String,
    sweep_interval: Duration,
    shutdown_delay: Duration,
}

impl Server {
    /// Opens the ports, then the database, then the sign-in, so that the cheapest failure comes
    /// first.
    ///
    /// From the beginning `/`, `/ok`, `/info` and `/metrics` answer; all other requests get 503.
    /// The server that this resolves to serves everything, until it is dropped.
    ///
    /// `policy` adds the `on` handlers to the sign-in of the settings.
    pub async fn start(
        config: Config,
        policy: impl FnOnce(Box<dyn Authenticate>) -> Result<Auth, SlotTaken>,
    ) -> Result<Server, StartError> {
        let _ = metrics();
        let routes = Served::new(router::starting(&config));
        let api = open_port("PORT", config.port, &config, routes.clone()).await?;
        let metrics_routes = Served::new(router::metrics(None, &config));
        let metrics = match config.metrics_port {
            Some(port) => {
                let routes = metrics_routes.clone();
                Some(open_port("METRICS_PORT", port, &config, routes).await?)
            }
            None => None,
        };
        debug!("listening on {}, and starting", api.address());
        let agent = agent(&config)?;
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
                    agent,
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

    /// The address that the server listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.api.address()
    }

    /// The address of `/metrics`, if it has a separate port.
    #[must_use]
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics.as_ref().map(Port::address)
    }

    /// The threads that open streams watch.
    #[must_use]
    pub fn changes(&self) -> &Changes {
        self.app.store.changes()
    }

    /// The text to print when the server is ready.
    #[must_use]
    pub fn banner(&self) -> &str {
        &self.banner
    }

    /// Serves until the first `stop`. Then reports that it is not ready, and keeps serving for
    /// `SHUTDOWN_DELAY` or until the next `stop`, so that load balancers can notice. Then accepts
    /// no more connections and lets active requests finish, until the deadline or the next `stop`.
    pub async fn run(self, mut stop: StopSignal) {
        let mut background = background(&self.app.store, self.sweep_interval);
        stop.next().await;
        self.app.draining.cancel();
        if !self.shutdown_delay.is_zero() {
            info!(delay = ?self.shutdown_delay, "stopping soon: no longer ready");
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
        // Waits for the tasks, because a running one would log an error about the closed pool.
        background.shutdown().await;
        // Statements of aborted requests must not keep the program alive.
        let _ = tokio::time::timeout(Duration::from_secs(2), self.app.store.close()).await;
        self.database.stop().await;
        info!("stopped");
    }
}

/// The agent that runs are forwarded to.
fn agent(config: &Config) -> Result<Option<Arc<Agent>>, StartError> {
    let Some(options) = &config.agent else { return Ok(None) };
    if is_unprotected(&options.url) {
        warn!(
            "AGENT_URL is plain http: conversations, AGENT_API_KEY and tokens are sent unencrypted"
        );
    }
    Ok(Some(Arc::new(Agent::new(options)?)))
}

async fn open_port(
    setting: &'static str,
    port: u16,
    config: &Config,
    routes: Served,
) -> Result<Port, StartError> {
    let address = SocketAddr::new(config.host, port);
    let opened = Port::open(address, routes, config.limits).await;
    opened.map_err(|source| StartError::Listen { setting, address, source })
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("api", &self.api).finish_non_exhaustive()
    }
}
