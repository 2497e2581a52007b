//! The one place that chooses status codes.
//!
//! Every refusal is an [`Error`], and every error body is `{"detail": "..."}`. A 5xx body names no
//! internals. The cause of a 5xx is passed as a response extension ([`Cause`]) to the access log,
//! which writes it once.

use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use uuid::Uuid;

use crate::agent;
use crate::authn;
use crate::authz::Denied;
use crate::json::Unstorable;
use crate::metrics::metrics;
use crate::shares::{Full, Kind};
use crate::store;

/// Why a request was not served. The text is the client's `detail`.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request has no user.
    #[error(transparent)]
    Unauthenticated(authn::Error),
    /// A refusal with the text of an `authenticate` or `on` handler.
    #[error(transparent)]
    Denied(Denied),
    /// A missing or foreign thread, which are deliberately not distinguished (D6).
    #[error("Thread with ID {0} not found")]
    ThreadNotFound(Uuid),
    /// One of several threads is missing or foreign.
    #[error("At least one thread not found or not authorized")]
    SomeThreadNotFound,
    /// A missing checkpoint to write onto, in the client's spelling.
    #[error("Checkpoint with ID {0} not found")]
    CheckpointNotFound(String),
    /// A part of the LangGraph Server that this server does not have (D23).
    #[error("thread-store stores threads and does not run graphs: {0} are not served")]
    NotServed(&'static str),
    /// A part of the agent's API that does not separate users.
    #[error("{0} are not forwarded to the agent, which may not separate this server's users")]
    NotForwarded(&'static str),
    /// A run without a record that it belongs to the thread.
    #[error("Run not found")]
    RunNotFound,
    /// A path segment that is not a run id.
    #[error("Invalid run ID: must be a UUID")]
    InvalidRunId,
    /// A failure of the agent.
    #[error(transparent)]
    Agent(#[from] agent::Error),
    /// A client-chosen id that is in use.
    #[error("Thread with ID {0} already exists")]
    ThreadExists(Uuid),
    /// A path segment that is not a thread id.
    #[error("Invalid thread ID: must be a UUID")]
    InvalidThreadId,
    /// A body that is not JSON or cannot be stored (D10).
    #[error(transparent)]
    Unstorable(#[from] Unstorable),
    /// A field with an invalid value. The text names the field.
    #[error("{0}")]
    Invalid(String),
    /// A body over the limit.
    #[error("Request body is larger than {limit} bytes")]
    BodyTooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// A body in a `Content-Encoding` other than `identity`.
    #[error(
        "Content-Encoding {0} is not supported: send an unencoded body (Accept-Encoding: identity)"
    )]
    UnsupportedEncoding(String),
    /// A body that did not arrive in time.
    #[error("Request body did not arrive within {} seconds", .0.as_secs_f64())]
    BodyTooSlow(Duration),
    /// A body that ended early or broke off.
    #[error("Request body could not be read")]
    BodyUnreadable,
    /// A path that does not exist.
    #[error("Not Found")]
    NotFound,
    /// A path that exists, with a method that it does not support.
    #[error("Method Not Allowed")]
    MethodNotAllowed,
    /// The server has not opened its database yet.
    #[error("The server is starting, try again shortly")]
    Starting,
    /// The server was told to stop.
    #[error("The server is stopping, try again shortly")]
    Stopping,
    /// The user's share of a kind is exhausted.
    #[error("You have too many {0} at once, try again shortly")]
    OverShare(Kind),
    /// The total of a kind is exhausted.
    #[error("The server is busy, try again shortly")]
    Busy(Kind),
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A bug in this server. The text is for the log.
    #[error("Internal Server Error")]
    Internal(String),
}

/// The cause of a 5xx, only for the access log.
#[derive(Clone, Debug)]
pub struct Cause(pub Arc<str>);

impl Error {
    /// The refusal for an exhausted share or total.
    pub(crate) fn full(kind: Kind, full: Full) -> Error {
        metrics().refused(kind, full).increment(1);
        match full {
            // Strangers share one holder, so no single client has exceeded its share.
            Full::Share if kind != Kind::Verifications => Error::OverShare(kind),
            Full::Share | Full::Total => Error::Busy(kind),
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Error::Unauthenticated(error) => status_of_unauthenticated(error),
            Error::Denied(denied) => denied.status,
            Error::ThreadNotFound(_)
            | Error::SomeThreadNotFound
            | Error::CheckpointNotFound(_)
            | Error::NotServed(_)
            | Error::NotForwarded(_)
            | Error::RunNotFound
            | Error::NotFound => StatusCode::NOT_FOUND,
            Error::ThreadExists(_) => StatusCode::CONFLICT,
            Error::InvalidThreadId
            | Error::InvalidRunId
            | Error::Unstorable(_)
            | Error::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Error::Agent(error) => error.status(),
            Error::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Error::UnsupportedEncoding(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Error::BodyTooSlow(_) => StatusCode::REQUEST_TIMEOUT,
            Error::BodyUnreadable => StatusCode::BAD_REQUEST,
            Error::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Error::Starting | Error::Stopping | Error::Busy(_) => StatusCode::SERVICE_UNAVAILABLE,
            Error::OverShare(_) => StatusCode::TOO_MANY_REQUESTS,
            Error::Store(error) => status_of(error),
            Error::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The text for the client.
    fn detail(&self) -> String {
        match self {
            Error::Store(store::Error::Unavailable(_) | store::Error::Overloaded) => {
                "The database is not available, try again shortly".to_owned()
            }
            Error::Store(store::Error::Failed(_)) => "Internal Server Error".to_owned(),
            Error::Store(store::Error::TooManyThreads(max)) => {
                format!("A user can have at most {max} threads: delete some to create others")
            }
            Error::Store(store::Error::StateTooLarge(max)) => format!(
                "The state of a thread can take at most {max} bytes: prune the thread to write more"
            ),
            error => error.to_string(),
        }
    }

    /// How long a client should wait after a 429 or 503.
    fn retry_after(&self) -> Duration {
        match self {
            Error::Unauthenticated(authn::Error::Unavailable { retry_after, .. }) => *retry_after,
            _ => Duration::from_secs(1),
        }
    }

    pub(crate) fn cause(&self) -> Option<String> {
        match self {
            Error::Unauthenticated(authn::Error::Unavailable { cause, .. }) => {
                (!cause.is_empty()).then(|| cause.clone())
            }
            Error::Agent(error) => error.cause().map(str::to_owned),
            Error::Internal(cause) => Some(cause.clone()),
            Error::Store(error) if status_of(error).is_server_error() => Some(error.to_string()),
            _ => None,
        }
    }
}

fn status_of_unauthenticated(error: &authn::Error) -> StatusCode {
    match error {
        authn::Error::Unauthenticated(_) => StatusCode::FORBIDDEN,
        authn::Error::InvalidToken(_) => StatusCode::UNAUTHORIZED,
        authn::Error::Unavailable { .. } => StatusCode::SERVICE_UNAVAILABLE,
        authn::Error::Denied(denied) => denied.status,
    }
}

fn status_of(error: &store::Error) -> StatusCode {
    use store::Error as E;
    match error {
        E::Unavailable(_) | E::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
        E::ValueTooLarge | E::StateUnreadable(_) | E::Messages(_) | E::TooManyChannels => {
            StatusCode::UNPROCESSABLE_ENTITY
        }
        E::CheckpointNotFound(_) => StatusCode::NOT_FOUND,
        // A status after which clients do not retry, because waiting does not help.
        E::TooManyThreads(_) | E::StateTooLarge(_) => StatusCode::FORBIDDEN,
        E::WrittenByAgent | E::DeltaChannels => StatusCode::CONFLICT,
        E::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl From<authn::Error> for Error {
    fn from(error: authn::Error) -> Error {
        match error {
            authn::Error::Denied(denied) => denied.into(),
            error => Error::Unauthenticated(error),
        }
    }
}

/// A refusal by a handler. A status other than 4xx counts as the handler's fault.
impl From<Denied> for Error {
    fn from(denied: Denied) -> Error {
        let Denied { status, detail } = &denied;
        if status.is_client_error() {
            Error::Denied(denied)
        } else {
            Error::Internal(format!("a handler denied with {status}: {detail}"))
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let mut response = detail(self.status(), &self.detail());
        if let Some(cause) = self.cause() {
            response.extensions_mut().insert(Cause(cause.into()));
        }
        let status = response.status();
        if matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
            let seconds = self.retry_after().as_secs().max(1);
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        match &self {
            Error::Unauthenticated(authn::Error::InvalidToken(_)) => {
                response.headers_mut().insert(
                    header::WWW_AUTHENTICATE,
                    HeaderValue::from_static("Bearer error=\"invalid_token\""),
                );
            }
            Error::UnsupportedEncoding(_) => {
                let identity = HeaderValue::from_static("identity");
                response.headers_mut().insert(header::ACCEPT_ENCODING, identity);
            }
            // The rest of the body would be parsed as another request.
            Error::BodyTooSlow(_) => {
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(header::CONNECTION, close);
            }
            _ => {}
        }
        response
    }
}

impl From<Error> for Response {
    fn from(error: Error) -> Response {
        error.into_response()
    }
}

/// An error body: `{"detail": "..."}`.
pub(crate) fn detail(status: StatusCode, text: &str) -> Response {
    let body = serde_json::json!({ "detail": text }).to_string();
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}
