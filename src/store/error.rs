//! Why the store did not do what it was asked.

use std::sync::Arc;

use uuid::Uuid;

use crate::messages;

/// Bytes of one state beyond which it cannot be read as a whole.
pub(super) const MAX_STATE_ANSWER: i64 = 64 * 1024 * 1024;

/// Channels of a thread beside `messages`: each checkpoint names them all.
pub(crate) const MAX_CHANNELS: usize = 1_000;

/// Why a request was not answered. Nothing was written, unless the variant says otherwise.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The database cannot be reached, is overloaded, or took too long. Waiting helps. What was
    /// asked for may have been done or not.
    #[error("the database is not available: {0}")]
    Unavailable(Arc<sqlx::Error>),
    /// More requests wait than are taken. Waiting helps.
    #[error("too many requests wait for the database")]
    Overloaded,
    /// A value in the request or in its answer is more than Postgres can hold.
    #[error("a value in the request or in its answer is too large or too deeply nested")]
    ValueTooLarge,
    /// A state of this many bytes cannot be read as a whole.
    #[error(
        "values: this state takes {0} bytes, more than the {MAX_STATE_ANSWER} bytes of one answer: \
         select single keys of it"
    )]
    StateUnreadable(i64),
    /// An update of `messages` cannot be applied.
    #[error(transparent)]
    Messages(#[from] messages::Refused),
    /// More channels than a checkpoint may have.
    #[error("values: a thread can have at most {MAX_CHANNELS} keys beside messages")]
    TooManyChannels,
    /// The checkpoint to write onto does not exist.
    #[error("Checkpoint with ID {0} not found")]
    CheckpointNotFound(Uuid),
    /// The state of the thread is in the tables of an agent, which alone writes it.
    #[error(
        "an agent writes the state of this thread: update it through the agent, for example with \
         graph.update_state"
    )]
    WrittenByAgent,
    /// The state of the thread cannot be pruned to the newest, because that is made of older ones.
    #[error(
        "the newest state of a thread with delta channels is made of older ones: keep_latest is refused"
    )]
    DeltaChannels,
    /// The user has as many threads as a user may have.
    #[error("a user can have at most {0} threads")]
    TooManyThreads(u32),
    /// The state of the thread would take more bytes than it may, history included.
    #[error("the state of a thread can take at most {0} bytes")]
    StateTooLarge(i64),
    /// The database refused a statement: a bug, or a database that is not as it should be.
    #[error("the database refused a statement: {0}")]
    Failed(Arc<sqlx::Error>),
}

impl Error {
    /// Whether one request's data is the reason, so that others of its batch can be answered.
    pub(super) fn is_of_data(&self) -> bool {
        match self {
            Error::Unavailable(_) | Error::Overloaded => false,
            Error::Failed(error) => sqlstate(error).is_some_and(|code| {
                // Data that does not fit, or a constraint.
                code.starts_with("22") || code.starts_with("23")
            }),
            _ => true,
        }
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Error {
        match sqlstate(&error) {
            Some(code) if is_too_large(&code) => return Error::ValueTooLarge,
            Some(code) if is_outage(&code) => return Error::Unavailable(Arc::new(error)),
            _ => {}
        }
        match error {
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => Error::Unavailable(Arc::new(error)),
            error => Error::Failed(Arc::new(error)),
        }
    }
}

fn sqlstate(error: &sqlx::Error) -> Option<String> {
    let sqlx::Error::Database(refusal) = error else { return None };
    refusal.code().map(std::borrow::Cow::into_owned)
}

/// SQLSTATEs by which Postgres says that a value, not the statement, is the problem: program
/// limits, and JSON or numbers out of range that [`crate::json::check`] let through.
fn is_too_large(code: &str) -> bool {
    code.starts_with("54") || matches!(code, "22003" | "22P02" | "22P05")
}

/// SQLSTATEs of a database that is starting, stopping, full, overloaded, read-only, or too slow:
/// waiting helps.
fn is_outage(code: &str) -> bool {
    let class = ["08", "53", "57P", "58", "40"];
    class.iter().any(|class| code.starts_with(class))
        || matches!(code, "25006" | "25P03" | "55P03" | "57014")
}
