//! Why a request has no user.

use std::time::Duration;

use crate::authz::Denied;

/// Why a request has no user. The text is what the client reads.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No usable credentials: 403 (D1 in the README).
    #[error("{0}")]
    Unauthenticated(&'static str),
    /// Credentials that the auth server refuses: 401 (D2).
    #[error("{0}")]
    InvalidToken(&'static str),
    /// The auth server cannot be asked now: 503 (D3).
    #[error("The authentication service is not available, try again shortly")]
    Unavailable {
        /// How long the client should wait.
        retry_after: Duration,
        /// What happened, for the log. Empty if it was logged a moment ago.
        cause: String,
    },
    /// What an authenticate handler answers for itself.
    #[error(transparent)]
    Denied(#[from] Denied),
}
