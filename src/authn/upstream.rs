//! Calls to an auth server: one client, with deadlines and bounds.

use std::time::{Duration, Instant};

use reqwest::header::{self, HeaderName};
use reqwest::{Client, Response, redirect};
use serde::de::DeserializeOwned;
use url::Url;

use crate::http_client;
use crate::metrics::metrics;

/// Longest time for opening a connection.
const CONNECT_DEADLINE: Duration = Duration::from_secs(2);
/// Longest time of one call. The caller also limits the total time of its calls.
const DEADLINE: Duration = Duration::from_secs(5);
/// Maximum bytes of an answer.
const MAX_ANSWER: usize = 1024 * 1024;

/// A client that follows no redirects and keeps connections. `url` is its destination: a server on
/// this machine is never called through a proxy.
pub(super) fn client(url: &Url) -> Result<Client, reqwest::Error> {
    let client = http_client::builder()
        .connect_timeout(CONNECT_DEADLINE)
        .timeout(DEADLINE)
        .pool_idle_timeout(Duration::from_secs(30))
        // Otherwise a silently lost connection fails requests until the operating system notices
        // the loss.
        .http2_keep_alive_interval(Duration::from_secs(5))
        .http2_keep_alive_timeout(Duration::from_secs(2))
        .redirect(redirect::Policy::none())
        .user_agent(concat!("thread-store/", env!("CARGO_PKG_VERSION")));
    let is_here = url.host().is_some_and(|host| is_loopback(&host));
    if is_here { client.no_proxy().build() } else { client.build() }
}

/// Why a body was not read.
pub(super) enum Unreadable {
    /// The connection broke off, so a retry may succeed.
    BrokeOff(String),
    /// It is larger than any valid answer.
    TooLarge,
}

/// Reads a body up to a limit.
pub(super) async fn read(mut response: Response) -> Result<Vec<u8>, Unreadable> {
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(None) => return Ok(body),
            Ok(Some(chunk)) if body.len() + chunk.len() > MAX_ANSWER => {
                return Err(Unreadable::TooLarge);
            }
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Err(error) => return Err(Unreadable::BrokeOff(describe(error))),
        }
    }
}

/// The chain of causes, without the URL.
pub(super) fn describe(error: reqwest::Error) -> String {
    causes(&error.without_url())
}

/// The text of an error and of its causes.
pub(crate) fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// Fetches a public JSON document, such as a key set. The second value is the time for which caches
/// had stored it.
pub(super) async fn fetch_json<T: DeserializeOwned>(
    client: &Client,
    url: &str,
) -> Result<(T, Duration), String> {
    let started = Instant::now();
    let fetched = get_json(client, url).await;
    let calls = &metrics().auth_key_calls;
    let ended = if fetched.is_ok() { &calls.accepted } else { &calls.unavailable };
    ended.record(started.elapsed());
    fetched
}

async fn get_json<T: DeserializeOwned>(
    client: &Client,
    url: &str,
) -> Result<(T, Duration), String> {
    // Requests the current version, although not every cache obeys.
    let request = client.get(url).header(header::CACHE_CONTROL, "no-cache");
    let response = request.send().await.map_err(describe)?;
    let status = response.status();
    if !status.is_success() {
        return Err(format!("{url} answered {status}"));
    }
    let age = seconds_in(&response, &header::AGE).unwrap_or_default();
    let body = read(response).await.map_err(|unreadable| match unreadable {
        Unreadable::BrokeOff(cause) => cause,
        Unreadable::TooLarge => format!("{url} answered with more than {MAX_ANSWER} bytes"),
    })?;
    let document = serde_json::from_slice(&body);
    let document = document.map_err(|_| format!("{url} answered without the document"))?;
    Ok((document, age))
}

/// A header that is a number of seconds.
pub(super) fn seconds_in(response: &Response, name: &HeaderName) -> Option<Duration> {
    let seconds = response.headers().get(name)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// Whether others in the network can read requests to this URL: plain HTTP to anything except this
/// machine or a bare service name, which a container network resolves.
pub(crate) fn is_unprotected(url: &Url) -> bool {
    let is_near = url.host().is_none_or(|host| match host {
        url::Host::Domain(name) => is_loopback(&host) || !name.trim_end_matches('.').contains('.'),
        _ => is_loopback(&host),
    });
    url.scheme() == "http" && !is_near
}

/// Whether a host is this machine.
pub(crate) fn is_loopback(host: &url::Host<&str>) -> bool {
    match host {
        url::Host::Ipv4(address) => address.is_loopback(),
        url::Host::Ipv6(address) => address.to_canonical().is_loopback(),
        url::Host::Domain(name) => {
            let name = name.strip_suffix('.').unwrap_or(name);
            name == "localhost" || name.ends_with(".localhost")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_across_a_network_is_unprotected() {
        for url in [
            "http://issuer.example.com",
            "http://issuer.example.com.:8080/x",
            "http://10.1.2.3",
            "http://192.168.0.1:9999",
            "http://[2001:db8::1]",
            "http://0x0a010203",
            "http://notlocalhost.example",
        ] {
            assert!(is_unprotected(&url.parse().unwrap()), "{url}");
        }
        for url in [
            "https://issuer.example.com",
            "https://10.1.2.3",
            "http://localhost:8000",
            "http://auth.localhost",
            "http://127.0.0.1",
            "http://127.1.2.3:9",
            "http://[::1]:8000",
            "http://[::ffff:127.0.0.1]",
            "http://gateway:8000",
            "http://keycloak/realms/x.y",
        ] {
            assert!(!is_unprotected(&url.parse().unwrap()), "{url}");
        }
    }
}
