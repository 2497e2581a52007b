//! Failures of requests, and their retries.

use std::time::Duration;

use axum::http::StatusCode;
use serde::Deserialize;

use crate::json::MAX_ECHO;

/// Maximum number of tries of a request before a server counts as unavailable.
const MAX_TRIES: u32 = 8;
/// Pause before the first retry, doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// Longest pause without a `Retry-After`.
const MAX_PAUSE: Duration = Duration::from_secs(30);
/// Longest accepted `Retry-After`.
const MAX_RETRY_AFTER: Duration = Duration::from_mins(5);

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// Other requests would fail too, so the import ends.
    #[error("{0}")]
    Fatal(String),
    /// The server refuses this request.
    #[error("{detail} ({status})")]
    Refused {
        /// The status of the refusal.
        status: StatusCode,
        /// The server's reason.
        detail: String,
    },
    /// The same request may succeed later. Whether it was carried out is unknown.
    #[error("{cause}")]
    Transient {
        /// The cause.
        cause: String,
        /// The server's `Retry-After`.
        retry_after: Option<Duration>,
    },
}

/// Turns 404 into `None`.
pub(super) fn found<T>(outcome: Result<T, Failure>) -> Result<Option<T>, Failure> {
    match outcome {
        Err(Failure::Refused { status: StatusCode::NOT_FOUND, .. }) => Ok(None),
        outcome => outcome.map(Some),
    }
}

/// The pauses between tries, and their limit.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    tries: u32,
}

impl Backoff {
    /// Waits, or gives up.
    pub(super) async fn wait(
        &mut self,
        cause: String,
        retry_after: Option<Duration>,
    ) -> Result<(), Failure> {
        self.tries += 1;
        if self.tries >= MAX_TRIES {
            return Err(Failure::Fatal(format!(
                "{cause}. Run the same command again later to continue from here"
            )));
        }
        let own = FIRST_PAUSE.saturating_mul(1 << (self.tries - 1)).min(MAX_PAUSE);
        let pause = retry_after.map_or(own, |asked| asked.clamp(own, MAX_RETRY_AFTER));
        tracing::debug!(%cause, ?pause, "trying again");
        tokio::time::sleep(pause).await;
        Ok(())
    }
}

#[derive(Deserialize)]
struct ErrorBody {
    detail: String,
}

/// The server's reason as one line without control characters, which could affect a terminal.
pub(super) fn detail(body: &str) -> String {
    let said = serde_json::from_str::<ErrorBody>(body).map_or(body.to_owned(), |body| body.detail);
    let line: Vec<_> = said.split(|c: char| c.is_whitespace() || c.is_control()).collect();
    line.join(" ").chars().take(MAX_ECHO).collect()
}

/// The chain of causes, without the URL.
pub(super) fn causes(error: reqwest::Error) -> String {
    let error = anyhow::Error::new(error.without_url());
    format!("{error:#}")
}
