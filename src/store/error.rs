//! The errors of the store.

use std::sync::Arc;

use uuid::Uuid;

use crate::messages;

/// The SQLSTATE of a statement that waited longer for a lock than `lock_timeout`.
const LOCK_NOT_AVAILABLE: &str = "55P03";

/// Maximum bytes of a state that can be read as a whole.
pub(super) const MAX_STATE_ANSWER: i64 = 64 * 1024 * 1024;

/// Maximum number of channels of a thread in addition to `messages`: each checkpoint lists them
/// all.
pub(crate) const MAX_CHANNELS: usize = 1_000;

/// Why a request was not answered. Nothing was written, unless the variant says otherwise.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The database cannot be reached, is overloaded, or took too long. A retry may succeed. The
    /// operation may or may not have been done.
    #[error("the database is not available: {0}")]
    Unavailable(Arc<sqlx::Error>),
    /// Too many requests wait. A retry may succeed.
    #[error("too many requests wait for the database")]
    Overloaded,
    /// A value in the request or in its answer exceeds a limit of Postgres.
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
    /// The state of the thread is in the tables of an agent, and only the agent writes it.
    #[error(
        "an agent writes the state of this thread: update it through the agent, for example with \
         graph.update_state"
    )]
    WrittenByAgent,
    /// The state of the thread cannot be pruned to the newest, because the newest depends on older
    /// ones.
    #[error("keep_latest is refused: a thread with delta channels needs its older states")]
    DeltaChannels,
    /// The user has reached the maximum number of threads.
    #[error("a user can have at most {0} threads")]
    TooManyThreads(u32),
    /// The state of the thread, including its history, would exceed the maximum.
    #[error("the state of a thread can take at most {0} bytes")]
    StateTooLarge(i64),
    /// The database refused a statement, because of a bug or an unexpected schema.
    #[error("the database refused a statement: {0}")]
    Failed(Arc<sqlx::Error>),
}

impl Error {
    /// Whether the cause is one request's data, so that others of its batch can be answered.
    pub(super) fn is_of_data(&self) -> bool {
        match self {
            Error::Unavailable(_) | Error::Overloaded => false,
            Error::Failed(error) => sqlstate(error).is_some_and(|code| {
                // Invalid data, or a violated constraint.
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

/// Whether a statement was cancelled because it waited too long for a lock.
pub(super) fn is_lock_timeout(error: &sqlx::Error) -> bool {
    sqlstate(error).is_some_and(|code| code == LOCK_NOT_AVAILABLE)
}

fn sqlstate(error: &sqlx::Error) -> Option<String> {
    let sqlx::Error::Database(refusal) = error else { return None };
    refusal.code().map(std::borrow::Cow::into_owned)
}

/// SQLSTATEs that a value causes, not the statement: program limits, and JSON or numbers out of
/// range that [`crate::json::check`] let through.
fn is_too_large(code: &str) -> bool {
    code.starts_with("54") || matches!(code, "22003" | "22P02" | "22P05")
}

/// SQLSTATEs of a database that is starting, stopping, full, overloaded, read-only, or too slow: a
/// retry may succeed.
fn is_outage(code: &str) -> bool {
    let class = ["08", "53", "57P", "58", "40"];
    class.iter().any(|class| code.starts_with(class))
        || matches!(code, "25006" | "25P03" | LOCK_NOT_AVAILABLE | "57014")
}

#[cfg(all(test, feature = "embedded"))]
mod tests {
    use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _};

    use super::*;
    use crate::test_postgres::test_cluster;

    /// Whether a batch is tried again request by request, and whether the client is told to retry.
    #[tokio::test]
    async fn only_an_error_of_data_is_one_requests_own() {
        let database = test_cluster().await.database().await;
        let mut connection = database.connect().await.unwrap();
        for (code, is_of_data, is_unavailable) in [
            // The statement or the wait for a lock took too long.
            ("57014", false, true),
            ("55P03", false, true),
            ("57P01", false, true),
            ("40P01", false, true),
            ("53300", false, true),
            ("42P01", false, false),
            ("22021", true, false),
            ("23505", true, false),
            ("54000", true, false),
        ] {
            let raise = format!("do $$ begin raise sqlstate '{code}'; end $$");
            let error = connection.execute(AssertSqlSafe(raise)).await.unwrap_err();
            let error = Error::from(error);
            assert_eq!(error.is_of_data(), is_of_data, "{code}");
            assert_eq!(matches!(error, Error::Unavailable(_)), is_unavailable, "{code}");
        }
        connection.close().await.unwrap();
    }
}
