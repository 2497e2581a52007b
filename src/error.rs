//! The one place that chooses status codes.
//!
//! Every refusal is an [`Error`], and every error body is `{"detail": "..."}`. What went
//! wrong inside stays inside: a 5xx body names no internals, and its cause travels as a
//! response extension ([`Cause`]) to the access log, which writes it once.

use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use uuid::Uuid;

use crate::json::Unstorable;
use crate::store::{AnswerTooLarge, WriteError};

/// Why a request was not served. The text is what the client reads in `detail`.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No usable credentials (`DECISIONS.md` D1).
    #[error("{0}")]
    Unauthenticated(&'static str),
    /// Credentials that the auth server refuses (D2).
    #[error("{0}")]
    InvalidToken(&'static str),
    /// The auth server cannot be asked now (D3).
    #[error("The authentication service is not available, try again shortly")]
    AuthUnavailable {
        /// How long the client should wait.
        retry_after: Duration,
        /// What happened, for the log.
        cause: String,
    },
    /// What an authenticate or on handler answers for itself.
    #[error("{detail}")]
    Denied {
        /// A 4xx status.
        status: StatusCode,
        /// What the client reads.
        detail: String,
    },
    /// A thread that is missing or belongs to somebody else: deliberately not told apart (D6).
    #[error("Thread with ID {0} not found")]
    ThreadNotFound(Uuid),
    /// One of several threads that is missing or belongs to somebody else.
    #[error("At least one thread not found or not authorized")]
    SomeThreadNotFound,
    /// A checkpoint to write onto that the thread does not have.
    #[error("Checkpoint with ID {0} not found")]
    CheckpointNotFound(String),
    /// A part of the LangGraph Server that this server does not have (D23).
    #[error("thread-store stores threads and does not run graphs: {0} are not served")]
    NotServed(&'static str),
    /// A client-chosen id that is in use.
    #[error("Thread with ID {0} already exists")]
    ThreadExists(Uuid),
    /// As many threads as a user may have (`MAX_THREADS_PER_USER`).
    #[error("A user can have at most {0} threads: delete some to make others")]
    TooManyThreads(u32),
    /// More state than a thread may have (`MAX_STATE_BYTES`).
    #[error("The state of a thread can take at most {0} bytes: prune the thread to write more")]
    StateTooLarge(i64),
    /// A path segment that is no thread id.
    #[error("Invalid thread ID: must be a UUID")]
    InvalidThreadId,
    /// A body that is not JSON or holds what cannot be stored (D10).
    #[error(transparent)]
    Unstorable(#[from] Unstorable),
    /// A field with a value that the API does not take. The text names the field.
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
        "Content-Encoding {0} is not supported: send the body without (Accept-Encoding: identity)"
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
    /// A path that exists, asked with a method that it does not take.
    #[error("Method Not Allowed")]
    MethodNotAllowed,
    /// The server has not opened its database yet.
    #[error("The server is starting, try again shortly")]
    Starting,
    /// The server was told to stop.
    #[error("The server is stopping, try again shortly")]
    Stopping,
    /// More requests at once than the server takes on (`MAX_REQUESTS`).
    #[error("The server is busy, try again shortly")]
    Busy,
    /// More open streams than the server takes on (`MAX_STREAMS`).
    #[error("Too many streams are open, try again shortly")]
    TooManyStreams,
    /// The database cannot be reached now.
    #[error("The database is not available, try again shortly")]
    DatabaseUnavailable(#[source] sqlx::Error),
    /// The database refused a statement.
    #[error("Internal Server Error")]
    Database(#[source] sqlx::Error),
    /// A bug of ours. The text is for the log.
    #[error("Internal Server Error")]
    Internal(String),
}

/// The cause of a 5xx, for the access log alone.
#[derive(Clone, Debug)]
pub struct Cause(pub Arc<str>);

/// Marks the answer that a thread is not there, or not for this user: the time that it takes must
/// not tell which ([`time_padding`](crate::time_padding)).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hidden;

impl Error {
    /// A refusal by a handler. One that is no 4xx counts as the handler's fault.
    pub(crate) fn denied(status: StatusCode, detail: impl Into<String>) -> Error {
        let detail = detail.into();
        if status.is_client_error() {
            Error::Denied { status, detail }
        } else {
            Error::Internal(format!("a handler denied with {status}: {detail}"))
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            // No status that a client would repeat the request after: time does not help.
            Error::Unauthenticated(_) | Error::TooManyThreads(_) | Error::StateTooLarge(_) => {
                StatusCode::FORBIDDEN
            }
            Error::Denied { status, .. } => *status,
            Error::InvalidToken(_) => StatusCode::UNAUTHORIZED,
            Error::ThreadNotFound(_)
            | Error::SomeThreadNotFound
            | Error::CheckpointNotFound(_)
            | Error::NotServed(_)
            | Error::NotFound => StatusCode::NOT_FOUND,
            Error::ThreadExists(_) => StatusCode::CONFLICT,
            Error::InvalidThreadId | Error::Unstorable(_) | Error::Invalid(_) => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
            Error::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Error::UnsupportedEncoding(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Error::BodyTooSlow(_) => StatusCode::REQUEST_TIMEOUT,
            Error::BodyUnreadable => StatusCode::BAD_REQUEST,
            Error::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Error::AuthUnavailable { .. }
            | Error::Starting
            | Error::Stopping
            | Error::Busy
            | Error::TooManyStreams
            | Error::DatabaseUnavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Error::Database(_) | Error::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// How long a client should wait after a 503.
    fn retry_after(&self) -> Duration {
        match self {
            Error::AuthUnavailable { retry_after, .. } => *retry_after,
            _ => Duration::from_secs(1),
        }
    }

    fn cause(&self) -> Option<String> {
        match self {
            Error::AuthUnavailable { cause, .. } | Error::Internal(cause) => Some(cause.clone()),
            Error::DatabaseUnavailable(source) | Error::Database(source) => {
                Some(source.to_string())
            }
            _ => None,
        }
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            error if AnswerTooLarge::is(error) => Error::Invalid(AnswerTooLarge.to_string()),
            sqlx::Error::Database(refusal) => match refusal.code().as_deref() {
                Some(code) if is_too_much_data(code) => Error::Invalid(
                    "a value in the request or in its answer is too large or too deeply nested"
                        .into(),
                ),
                Some(code) if is_outage(code) => Error::DatabaseUnavailable(error),
                _ => Error::Database(error),
            },
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => Error::DatabaseUnavailable(error),
            _ => Error::Database(error),
        }
    }
}

impl From<WriteError> for Error {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Messages(refused) => Error::Invalid(refused.to_string()),
            WriteError::TooManyChannels => Error::Invalid(error.to_string()),
            WriteError::CheckpointNotFound(id) => Error::CheckpointNotFound(id.to_string()),
            WriteError::TooManyThreads(most) => Error::TooManyThreads(most),
            WriteError::StateTooLarge(most) => Error::StateTooLarge(most),
            WriteError::Database(error) => error.into(),
        }
    }
}

/// SQLSTATEs by which Postgres says that a value, not the statement, is the problem: program
/// limits, and JSON or numbers out of range that [`crate::json::check`] let through.
fn is_too_much_data(code: &str) -> bool {
    code.starts_with("54") || matches!(code, "22003" | "22P02" | "22P05")
}

/// SQLSTATEs of a database that is starting, stopping, full, overloaded or read-only: waiting helps.
fn is_outage(code: &str) -> bool {
    let class = ["08", "53", "57P", "58", "40"];
    class.iter().any(|class| code.starts_with(class))
        || matches!(code, "25006" | "25P03" | "55P03" | "57014")
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let mut response = detail(self.status(), &self.to_string());
        if let Some(cause) = self.cause() {
            response.extensions_mut().insert(Cause(cause.into()));
        }
        let status = response.status();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            let seconds = self.retry_after().as_secs().max(1);
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        match &self {
            Error::InvalidToken(_) => {
                response.headers_mut().insert(
                    header::WWW_AUTHENTICATE,
                    HeaderValue::from_static("Bearer error=\"invalid_token\""),
                );
            }
            Error::ThreadNotFound(_) | Error::SomeThreadNotFound => {
                response.extensions_mut().insert(Hidden);
            }
            Error::UnsupportedEncoding(_) => {
                let identity = HeaderValue::from_static("identity");
                response.headers_mut().insert(header::ACCEPT_ENCODING, identity);
            }
            // The rest of the body would be read as another request.
            Error::BodyTooSlow(_) => {
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(header::CONNECTION, close);
            }
            _ => {}
        }
        response
    }
}

/// An error body: `{"detail": "..."}`.
pub(crate) fn detail(status: StatusCode, text: &str) -> Response {
    let body = serde_json::json!({ "detail": text }).to_string();
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}
