//! Why a request got no answer to work with, and for how long it is tried again.

use std::time::Duration;

use axum::http::StatusCode;
use serde::Deserialize;

use crate::json::MAX_ECHO;

/// Tries of a request before a server counts as not available.
const MAX_TRIES: u32 = 8;
/// Wait before the first retry, doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// Longest wait that the server does not ask for.
const MAX_PAUSE: Duration = Duration::from_secs(30);
/// Longest wait that a server may ask for.
const MAX_RETRY_AFTER: Duration = Duration::from_mins(5);

/// Why a request got no answer to work with.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// Nothing else will go better: the import ends.
    #[error("{0}")]
    Fatal(String),
    /// The server does not take this request.
    #[error("{detail} ({status})")]
    Refused {
        /// A status that is no success.
        status: StatusCode,
        /// What the server said.
        detail: String,
    },
    /// The same request may succeed later. It is not known whether it was carried out.
    #[error("{cause}")]
    Transient {
        /// What happened.
        cause: String,
        /// How long the server asks to wait.
        retry_after: Option<Duration>,
    },
}

/// Not found is an answer.
pub(super) fn found<T>(outcome: Result<T, Failure>) -> Result<Option<T>, Failure> {
    match outcome {
        Err(Failure::Refused { status: StatusCode::NOT_FOUND, .. }) => Ok(None),
        outcome => outcome.map(Some),
    }
}

/// Waits between tries, and when to stop trying.
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
                "{cause}. Run the same command again later, and it goes on from here"
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

/// What a server said, as one line that cannot do anything to a terminal.
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
