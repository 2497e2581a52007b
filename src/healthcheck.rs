//! The `healthcheck` sub-command, for containers without curl.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, bail};

use crate::config::Config;
use crate::http_client;

/// Checks whether the server on this machine is ready, and not only alive, because a healthy
/// container must be able to serve.
pub async fn healthcheck(config: &Config) -> anyhow::Result<()> {
    // A server that listens on every address is checked on loopback.
    let host = match config.host {
        IpAddr::V4(host) if host.is_unspecified() => IpAddr::from([127, 0, 0, 1]),
        IpAddr::V6(host) if host.is_unspecified() => IpAddr::from(std::net::Ipv6Addr::LOCALHOST),
        host => host,
    };
    let url = format!("http://{}/readyz", SocketAddr::new(host, config.port));
    let client = http_client::builder().no_proxy().timeout(Duration::from_secs(4)).build()?;
    let response =
        client.get(&url).send().await.with_context(|| format!("no answer from {url}"))?;
    if !response.status().is_success() {
        bail!("{url} answered {}", response.status());
    }
    Ok(())
}
