//! Why the agent has not answered as it should.

use http::StatusCode;

/// Why the agent has not answered as it should. The text is what the client reads.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be reached, so it has not begun anything: 503.
    #[error("The agent is not available, try again shortly")]
    Unavailable {
        /// What happened, for the log.
        cause: String,
    },
    /// It has broken off, or its answer cannot be passed on: 502. A run may have begun.
    #[error("{detail}")]
    Failed {
        /// What the client reads.
        detail: &'static str,
        /// What happened, for the log.
        cause: String,
    },
    /// It refuses the request in words that no client reads.
    #[error("The agent answered {0}")]
    Refused(StatusCode),
    /// A user, or the agent's key, that no header can name: a fault of this server.
    #[error("Internal Server Error")]
    NoHeader(&'static str),
}

impl Error {
    /// The status of the answer to the client.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Error::Unavailable { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Error::Failed { .. } => StatusCode::BAD_GATEWAY,
            Error::Refused(status) => *status,
            Error::NoHeader(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// What happened, for the log.
    pub(crate) fn cause(&self) -> Option<&str> {
        match self {
            Error::Unavailable { cause } | Error::Failed { cause, .. } => Some(cause),
            Error::NoHeader(what) => Some(what),
            Error::Refused(_) => None,
        }
    }
}
