//! How a request reaches the agent: over plain HTTP directly, or through reqwest if it needs TLS or
//! a proxy.

use std::time::Duration;

use http::{Response, Uri};
use hyper_util::client::legacy::connect::HttpConnector;
use reqwest::{redirect, retry};
use tokio::time::timeout;
use tower::ServiceExt as _;
use url::{Position, Url};

use super::Ask;
use super::body::Body;
use super::exchange::Exchange;
use crate::authn::{causes, is_loopback};
use crate::http_client;

/// Longest time for opening a connection.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
/// How long a connection is silent before the operating system probes the agent's machine, and the
/// pause between two probes.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Probes without an answer after which a connection is lost.
const PROBES: u32 = 3;
/// How long the agent's machine may leave sent bytes unacknowledged.
#[cfg(any(target_os = "linux", target_os = "android"))]
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);

/// A client that uses a new connection for each request.
#[derive(Debug)]
pub(super) enum Client {
    /// Without TLS and proxy: a run's connection takes a few hundred bytes.
    Plain(HttpConnector),
    /// With TLS or through a proxy.
    Other(reqwest::Client),
}

/// Why there is no answer, with the cause for the log.
#[derive(Debug)]
pub(super) enum Failure {
    /// There was no connection, so nothing has started.
    Unreachable(String),
    /// The connection was lost.
    Lost(String),
}

impl Client {
    /// A client for this address. An agent on this machine is never called through a proxy.
    pub(super) fn to(url: &Url) -> Result<Client, reqwest::Error> {
        let is_here = url.host().is_some_and(|host| is_loopback(&host));
        if url.scheme() == "http" && (is_here || !http_client::has_proxy(url)) {
            return Ok(Client::Plain(connector()));
        }
        let client = http_client::builder()
            .http1_only()
            .connect_timeout(CONNECT_DEADLINE)
            .tcp_keepalive(KEEP_ALIVE)
            .tcp_keepalive_interval(KEEP_ALIVE)
            .pool_max_idle_per_host(0)
            .retry(retry::never())
            .redirect(redirect::Policy::none())
            .referer(false);
        let client = if is_here { client.no_proxy() } else { client };
        Ok(Client::Other(client.build()?))
    }

    /// Sends a request to a URL. Dropping the future or the body of the answer closes the
    /// connection.
    pub(super) async fn send(&self, url: Url, ask: Ask) -> Result<Response<Body>, Failure> {
        match self {
            Client::Plain(connector) => send_plainly(connector.clone(), &url, ask).await,
            Client::Other(client) => {
                let mut request = client.request(ask.method, url).headers(ask.headers);
                if let Some(body) = ask.body {
                    request = request.body(body);
                }
                match request.send().await.map_err(reqwest::Error::without_url) {
                    Ok(answer) => Ok(Response::from(answer).map(Body::Other)),
                    Err(error) if error.is_connect() => Err(Failure::Unreachable(causes(&error))),
                    Err(error) => Err(Failure::Lost(causes(&error))),
                }
            }
        }
    }
}

fn connector() -> HttpConnector {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector.set_keepalive(Some(KEEP_ALIVE));
    connector.set_keepalive_interval(Some(KEEP_ALIVE));
    connector.set_keepalive_retries(Some(PROBES));
    #[cfg(any(target_os = "linux", target_os = "android"))]
    connector.set_tcp_user_timeout(Some(UNACKNOWLEDGED));
    connector
}

async fn send_plainly(
    connector: HttpConnector,
    url: &Url,
    ask: Ask,
) -> Result<Response<Body>, Failure> {
    let address = Uri::try_from(format!("http://{}/", url.authority()));
    let address = address.map_err(|error| Failure::Unreachable(causes(&error)))?;
    let stream = match timeout(CONNECT_DEADLINE, connector.oneshot(address)).await {
        Ok(Ok(stream)) => stream.into_inner(),
        Ok(Err(error)) => return Err(Failure::Unreachable(causes(&error))),
        Err(too_late) => return Err(Failure::Unreachable(causes(&too_late))),
    };
    let target = &url[Position::BeforePath..Position::AfterQuery];
    let answer = Exchange::of(stream, ask, url.authority(), target).await;
    let answer = answer.map_err(|error| Failure::Lost(causes(&error)))?;
    Ok(answer.map(Body::Plain))
}
