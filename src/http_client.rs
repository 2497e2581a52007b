//! HTTP clients for requests to other servers.

use hyper_util::client::proxy::matcher::Matcher;
use url::Url;

/// A builder of clients without deadlines, which the caller must set. TLS uses ring, which is
/// installed for the whole process.
#[expect(clippy::disallowed_methods, reason = "the one place")]
pub fn builder() -> reqwest::ClientBuilder {
    // An error means that the provider is already installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
}

/// Whether these clients use a proxy of the environment for a URL.
#[must_use]
pub fn has_proxy(url: &Url) -> bool {
    let address = http::Uri::try_from(url.as_str());
    address.is_ok_and(|address| Matcher::from_system().intercept(&address).is_some())
}
