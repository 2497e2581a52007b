//! Why a token is not accepted: a status for the client, a line in the log for the operator.

use std::collections::HashMap;
use std::hash::Hash;
use std::mem::{Discriminant, discriminant};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tracing::{info, warn};

use super::error::Error;

/// The `Retry-After` if the auth server gives none.
pub(super) const RETRY_AFTER: Duration = Duration::from_secs(2);

/// The answer for every token that is refused, regardless of the reason (D2).
pub(super) const INVALID_TOKEN: Error =
    Error::InvalidToken("The access token is not valid or has expired");

/// Minimum time between two lines in the log with the same reason.
pub(super) const QUIET: Duration = Duration::from_mins(1);

/// Maximum characters of a claim in the log.
const MAX_SHOWN: usize = 200;

/// Why a token was not accepted. Shared by all requests that waited for the same verification.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The token is not valid and never will be: 401.
    BadToken(Reason),
    /// The token is not valid now: 401.
    Refused(Reason),
    /// The token can be neither accepted nor refused now: 503.
    Unavailable {
        /// How long the client should wait.
        retry_after: Duration,
        /// The cause, for the log.
        cause: Arc<str>,
    },
    /// Tokens cannot be verified with the current settings: 503. The text is for the log, once in
    /// [`QUIET`].
    Misconfigured(&'static str),
    /// Too many tokens wait to be verified: 503. The text is for the log, once in [`QUIET`],
    /// because a flood must not fill the log either.
    Crowded(&'static str),
}

/// Why a token is not valid. The text is only for the log, not for clients.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum Reason {
    #[error("it is not a JWT: {0}")]
    Malformed(&'static str),
    #[error("its header has {0}, which is not supported")]
    Extension(&'static str),
    #[error("its type is {}", shown(.0))]
    Type(String),
    #[error("it has no exp")]
    NoEnd,
    #[error("it has expired")]
    Expired,
    #[error("its nbf is ahead of this machine's clock")]
    NotYetValid,
    #[error("its iat is ahead of this machine's clock")]
    IssuedInFuture,
    #[error("its issuer is {}, not {}: check {setting}", issuer(.found.as_deref()), issuer(.expected.as_deref()))]
    Issuer { found: Option<String>, expected: Option<String>, setting: &'static str },
    #[error("its audience is {}, not {}", shown(.found), shown(.expected))]
    Audience { found: String, expected: String },
    #[error("its sub is not the id of a user")]
    Subject,
    #[error("no key in the key set has its algorithm {}", shown(.0))]
    Algorithm(String),
    #[error("it names no key (kid)")]
    NoKeyId,
    #[error("its key {} is not in the key set", shown(.0))]
    UnknownKey(String),
    #[error("its algorithm {} is not that of its key", shown(.0))]
    OtherAlgorithm(String),
    #[error("its signature is wrong")]
    Signature,
    #[error("Supabase refused it: {0}")]
    Upstream(&'static str),
    #[error("its user is deleted or banned")]
    UserGone,
}

impl Refusal {
    pub(super) fn unavailable(cause: impl Into<Arc<str>>) -> Refusal {
        Refusal::Unavailable { retry_after: RETRY_AFTER, cause: cause.into() }
    }

    /// Whether the token is definitely not valid.
    pub(super) fn is_final(&self) -> bool {
        matches!(self, Refusal::BadToken(_) | Refusal::Refused(_))
    }
}

/// Writes reasons to the log, each kind at most once in [`QUIET`].
#[derive(Default)]
pub(super) struct RefusalLog {
    reasons: Throttle<Discriminant<Reason>>,
    warnings: Throttle<&'static str>,
}

impl RefusalLog {
    /// Logs why a token was not accepted, and returns the error for the client.
    pub(super) fn note(&self, refusal: &Refusal) -> Error {
        match refusal {
            Refusal::BadToken(reason) | Refusal::Refused(reason) => {
                if self.reasons.allows(discriminant(reason)) {
                    info!(%reason, "a token was refused");
                }
                INVALID_TOKEN
            }
            Refusal::Unavailable { retry_after, cause } => {
                Error::Unavailable { retry_after: *retry_after, cause: cause.to_string() }
            }
            Refusal::Misconfigured(problem) | Refusal::Crowded(problem) => {
                if self.warnings.allows(problem) {
                    warn!("{problem}");
                }
                Error::Unavailable { retry_after: RETRY_AFTER, cause: String::new() }
            }
        }
    }
}

/// Passes each kind of event at most once in [`QUIET`]. There are few kinds, so it has no bound.
pub(super) struct Throttle<K>(Mutex<HashMap<K, Instant>>);

impl<K> Default for Throttle<K> {
    fn default() -> Throttle<K> {
        Throttle(Mutex::default())
    }
}

impl<K: Eq + Hash> Throttle<K> {
    pub(super) fn allows(&self, kind: K) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let is_quiet = last.get(&kind).is_none_or(|last| now.duration_since(*last) >= QUIET);
        if is_quiet {
            last.insert(kind, now);
        }
        is_quiet
    }
}

fn issuer(issuer: Option<&str>) -> String {
    issuer.map_or_else(|| "none".to_owned(), shown)
}

/// A text from a token, quoted and truncated.
fn shown(text: &str) -> String {
    let quoted = format!("{text:?}");
    match quoted.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => format!("{}...", quoted.get(..end).unwrap_or_default()),
        None => quoted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_token_says_is_quoted_and_cut() {
        let long = Reason::UnknownKey("\n\u{202e}".repeat(1000)).to_string();
        assert!(long.chars().count() < 240 && !long.contains(['\n', '\u{202e}']), "{long}");
        let issuer = |found: Option<&str>, expected: Option<&str>| {
            let (found, expected) = (found.map(str::to_owned), expected.map(str::to_owned));
            Reason::Issuer { found, expected, setting: "SUPABASE_JWT_ISSUER" }.to_string()
        };
        assert_eq!(
            issuer(Some("a\"b"), None),
            "its issuer is \"a\\\"b\", not none: check SUPABASE_JWT_ISSUER"
        );
        assert_eq!(
            issuer(None, Some("https://i")),
            "its issuer is none, not \"https://i\": check SUPABASE_JWT_ISSUER"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn each_kind_passes_once_a_minute() {
        let throttle = Throttle::default();
        for _ in 0..2 {
            assert!(throttle.allows("a"));
            for _ in 0..100 {
                assert!(!throttle.allows("a"));
            }
            tokio::time::advance(QUIET.checked_sub(Duration::from_millis(1)).unwrap()).await;
            assert!(!throttle.allows("a"));
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        assert!(throttle.allows("b") && throttle.allows("a"));
    }
}
