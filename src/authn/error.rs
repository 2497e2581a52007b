//! Why a request has no user.

use std::time::Duration;

use crate::authz::Denied;

/// Why a request has no user. The text is for the client.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No usable credentials: 403 (D1 in the README).
    #[error("{0}")]
    Unauthenticated(&'static str),
    /// Credentials that the auth server refuses: 401 (D2).
    #[error("{0}")]
    InvalidToken(&'static str),
    /// The auth server is not available: 503 (D3).
    #[error("The authentication service is not available, try again shortly")]
    Unavailable {
        /// How long the client should wait.
        retry_after: Duration,
        /// The cause, for the log. Empty if it was logged recently.
        cause: String,
    },
    /// A refusal with the authenticate handler's own text.
    #[error(transparent)]
    Denied(#[from] Denied),
}
