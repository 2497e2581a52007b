//! Failures of the agent.

use http::StatusCode;

/// A failure of the agent. The text is for the client.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The agent cannot be reached, so nothing has started: 503.
    #[error("The agent is not available, try again shortly")]
    Unavailable {
        /// The cause, for the log.
        cause: String,
    },
    /// The agent closed the connection, or its answer cannot be passed on: 502. A run may have started.
    #[error("{detail}")]
    Failed {
        /// The text for the client.
        detail: &'static str,
        /// The cause, for the log.
        cause: String,
    },
    /// The agent refused the request, and the body of its answer is not passed on.
    #[error("The agent answered {0}")]
    Refused(StatusCode),
    /// A user's id or the agent's key cannot be a header value: a fault of this server.
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

    /// The cause, for the log.
    pub(crate) fn cause(&self) -> Option<&str> {
        match self {
            Error::Unavailable { cause } | Error::Failed { cause, .. } => Some(cause),
            Error::NoHeader(what) => Some(what),
            Error::Refused(_) => None,
        }
    }
}
