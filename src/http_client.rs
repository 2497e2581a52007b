//! Requests of this program to other servers.

/// A client to be configured: deadlines are its user's to set. TLS is that of ring, which every
/// client of the process has to find installed.
#[expect(clippy::disallowed_methods, reason = "the one place")]
pub fn builder() -> reqwest::ClientBuilder {
    // It is installed already, then.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
}
