//! Why a server did not start.

use std::net::SocketAddr;

use crate::authn::NoIssuer;
use crate::authz::SlotTaken;
#[cfg(feature = "embedded")]
use crate::embedded_postgres;
#[cfg(feature = "local-auth")]
use crate::local_sign_in;
use crate::store::OpenError;

/// Why a server did not start, in one line for the operator.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address is in use, or does not belong to this machine.
    #[error("cannot listen on {address}, set {setting} or HOST to another: {source}")]
    Listen {
        /// The setting of the port.
        setting: &'static str,
        /// HOST and the port.
        address: SocketAddr,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The embedded database did not start.
    #[cfg(feature = "embedded")]
    #[error(transparent)]
    Embedded(#[from] embedded_postgres::Error),
    /// The database cannot be used.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The local sign-in did not start.
    #[cfg(feature = "local-auth")]
    #[error("the local sign-in did not start: {0}")]
    LocalAuth(#[from] local_sign_in::Error),
    /// Two `on` handlers for one slot.
    #[error(transparent)]
    Policy(#[from] SlotTaken),
    /// There is no handler for the OpenID Connect provider.
    #[error("OIDC_ISSUER: {0}")]
    Oidc(#[from] NoIssuer),
    /// The HTTP client for the sign-in or for the agent cannot be created.
    #[error("cannot create an HTTP client: {0}")]
    Client(#[from] reqwest::Error),
    /// The URL of this server's own sign-in cannot be built.
    #[cfg(feature = "local-auth")]
    #[error("cannot build a URL from this server's address: {0}")]
    Url(#[from] url::ParseError),
}
