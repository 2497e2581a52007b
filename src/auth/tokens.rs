//! What all verifiers of bearer tokens share: cheap refusals first, then one verification for
//! all who wait with the same token, and a memory of it that is short and bounded.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::http::HeaderMap;
use futures::future::BoxFuture;
use moka::Expiry;
use moka::future::Cache;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use super::User;
use super::bearer::{BearerToken, UnverifiedClaims};
use crate::error::Error;
use crate::metrics::metrics;

/// For one verification, waiting for its turn included.
const DEADLINE: Duration = Duration::from_secs(5);
/// How long a bad token is remembered.
const BAD_TOKEN_LIFE: Duration = Duration::from_secs(5);
/// Accepted tokens that are remembered.
const MOST_ACCEPTED: u64 = 10_000;
/// Bound for the time until a token's own end, which may be any number.
const LONGEST_LIFE: Duration = Duration::from_hours(24);
/// Bad tokens that are remembered, apart from the accepted, so that junk pushes nobody out.
const MOST_BAD: u64 = 1_000;
/// Verifications under way for tokens that were accepted within the last hour.
const KNOWN_LANE: usize = 32;
/// Verifications under way for all others, so that a flood of junk does not hold up those.
const STRANGER_LANE: usize = 32;
/// How long a token counts as known.
const KNOWN_LIFE: Duration = Duration::from_hours(1);

/// What clients are told to wait when the auth server names no time.
pub(super) const RETRY_AFTER: Duration = Duration::from_secs(2);

/// Why a token was not accepted. Shared by all who waited for the same verification.
#[derive(Debug, Clone)]
pub(super) enum Refusal {
    /// It is no good, and never will be.
    BadToken,
    /// It is no good now.
    Refused,
    /// Nobody can tell now.
    Unavailable { retry_after: Duration, cause: Arc<str> },
}

impl Refusal {
    pub(super) fn unavailable(cause: impl Into<Arc<str>>) -> Refusal {
        Refusal::Unavailable { retry_after: RETRY_AFTER, cause: cause.into() }
    }
}

impl From<&Refusal> for Error {
    fn from(refusal: &Refusal) -> Error {
        match refusal {
            Refusal::BadToken | Refusal::Refused => {
                Error::InvalidToken("The access token is not valid or has expired")
            }
            Refusal::Unavailable { retry_after, cause } => {
                Error::AuthUnavailable { retry_after: *retry_after, cause: cause.to_string() }
            }
        }
    }
}

/// Finds out whether a token is good, at some cost.
pub(super) trait Verify: Send + Sync + 'static {
    /// The claims are the token's own and prove nothing.
    fn verify<'a>(
        &'a self,
        token: &'a BearerToken,
        claims: &'a UnverifiedClaims,
    ) -> BoxFuture<'a, Result<User, Refusal>>;
}

/// SHA-256 of a token. Caches hold no tokens.
type TokenHash = [u8; 32];

/// A verifier with its memory.
pub(super) struct Tokens<V> {
    verifier: V,
    /// `None`: nothing is remembered, every request is verified for itself.
    accepted: Option<Cache<TokenHash, Accepted>>,
    bad: Cache<TokenHash, ()>,
    known: Cache<TokenHash, ()>,
    known_lane: Semaphore,
    stranger_lane: Semaphore,
    /// Whether the last verification came to an end.
    available: RwLock<Option<bool>>,
}

#[derive(Clone)]
struct Accepted {
    user: Arc<User>,
    life: Duration,
}

struct OwnLife;

impl Expiry<TokenHash, Accepted> for OwnLife {
    fn expire_after_create(
        &self,
        _: &TokenHash,
        accepted: &Accepted,
        _: Instant,
    ) -> Option<Duration> {
        Some(accepted.life)
    }
}

impl<V: Verify> Tokens<V> {
    /// Remembers accepted tokens for `life`, zero for not at all.
    pub(super) fn new(verifier: V, life: Duration) -> Tokens<V> {
        let accepted = Cache::builder().max_capacity(MOST_ACCEPTED).time_to_live(life);
        let accepted = accepted.expire_after(OwnLife).build();
        Tokens {
            verifier,
            accepted: (!life.is_zero()).then_some(accepted),
            bad: Cache::builder().max_capacity(MOST_BAD).time_to_live(BAD_TOKEN_LIFE).build(),
            known: Cache::builder().max_capacity(MOST_ACCEPTED).time_to_live(KNOWN_LIFE).build(),
            known_lane: Semaphore::new(KNOWN_LANE),
            stranger_lane: Semaphore::new(STRANGER_LANE),
            available: RwLock::default(),
        }
    }

    /// Whether the last verification found out about its token. `None`: there was none.
    pub(super) fn is_available(&self) -> Option<bool> {
        *self.available.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The user whose token a request carries.
    pub(super) async fn user_of(&self, headers: &HeaderMap) -> Result<Arc<User>, Error> {
        let token = BearerToken::from_headers(headers)?;
        let hash: TokenHash = Sha256::digest(token.text()).into();
        if let Some(accepted) = &self.accepted
            && let Some(accepted) = accepted.get(&hash).await
        {
            metrics().auth_hits.increment(1);
            return Ok(accepted.user);
        }
        // In a box of its own: most requests do not need the room.
        Box::pin(self.verified(token, hash)).await
    }

    async fn verified(&self, token: BearerToken, hash: TokenHash) -> Result<Arc<User>, Error> {
        let claims = token.unverified_claims()?;
        let left = || claims.exp().map_or(LONGEST_LIFE, time_until);
        if left().is_zero() || self.bad.contains_key(&hash) {
            return Err((&Refusal::BadToken).into());
        }
        metrics().auth_misses.increment(1);
        let verification = async {
            let user = self.in_turn(&token, &claims, hash).await?;
            // What is left now: verification took its time.
            Ok(Accepted { user: Arc::new(user), life: left().min(LONGEST_LIFE) })
        };
        let outcome = match &self.accepted {
            Some(accepted) => accepted.try_get_with(hash, verification).await,
            None => verification.await.map_err(Arc::new),
        };
        outcome.map(|accepted| accepted.user).map_err(|refusal: Arc<Refusal>| (&*refusal).into())
    }

    async fn in_turn(
        &self,
        token: &BearerToken,
        claims: &UnverifiedClaims,
        hash: TokenHash,
    ) -> Result<User, Refusal> {
        let is_known = self.known.contains_key(&hash);
        let lane = if is_known { &self.known_lane } else { &self.stranger_lane };
        let verification = async {
            let _turn = lane.acquire().await;
            self.verifier.verify(token, claims).await
        };
        let outcome = tokio::time::timeout(DEADLINE, verification).await.unwrap_or_else(|_| {
            Err(Refusal::unavailable(format!("no answer from the auth server within {DEADLINE:?}")))
        });
        self.note(!matches!(outcome, Err(Refusal::Unavailable { .. })));
        match &outcome {
            Ok(_) => self.known.insert(hash, ()).await,
            Err(Refusal::BadToken) => self.bad.insert(hash, ()).await,
            Err(_) => {}
        }
        outcome
    }

    fn note(&self, is_available: bool) {
        metrics().auth_available.set(f64::from(is_available));
        *self.available.write().unwrap_or_else(PoisonError::into_inner) = Some(is_available);
    }
}

impl<V> std::fmt::Debug for Tokens<V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens").finish_non_exhaustive()
    }
}

/// The clock of this machine. Only token times are compared with it; all else asks Postgres.
pub(super) fn seconds_since_1970() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |elapsed| elapsed.as_secs_f64())
}

fn time_until(exp: f64) -> Duration {
    Duration::try_from_secs_f64(exp - seconds_since_1970()).unwrap_or_else(|_| {
        // A time before now, or one too far away to count.
        if exp > 1.0 + seconds_since_1970() { Duration::MAX } else { Duration::ZERO }
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::http::header;
    use base64::Engine;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD;
    use serde_json::json;

    use super::*;

    /// Accepts what says that it is good.
    #[derive(Default)]
    struct Trusting {
        asked: AtomicUsize,
    }

    impl Verify for Trusting {
        fn verify<'a>(
            &'a self,
            _: &'a BearerToken,
            claims: &'a UnverifiedClaims,
        ) -> BoxFuture<'a, Result<User, Refusal>> {
            self.asked.fetch_add(1, Ordering::SeqCst);
            let is_good = claims.others.get("good") == Some(&true.into());
            let user = User { identity: claims.sub.clone().unwrap_or_default(), ..User::default() };
            Box::pin(async move { if is_good { Ok(user) } else { Err(Refusal::BadToken) } })
        }
    }

    fn headers(number: usize, is_good: bool) -> HeaderMap {
        let claims =
            json!({ "sub": number.to_string(), "good": is_good, "exp": 4_000_000_000_u64 });
        let payload = BASE64_URL_SAFE_NO_PAD.encode(claims.to_string());
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, format!("Bearer a.{payload}.c").parse().unwrap());
        headers
    }

    async fn sizes(tokens: &Tokens<Trusting>) -> (u64, u64, u64) {
        let accepted = tokens.accepted.as_ref().unwrap();
        accepted.run_pending_tasks().await;
        tokens.known.run_pending_tasks().await;
        tokens.bad.run_pending_tasks().await;
        (accepted.entry_count(), tokens.known.entry_count(), tokens.bad.entry_count())
    }

    #[tokio::test]
    async fn what_is_remembered_is_bounded_and_junk_pushes_nobody_out() {
        let tokens = Tokens::new(Trusting::default(), Duration::from_hours(1));
        for number in 0..100 {
            assert_eq!(
                tokens.user_of(&headers(number, true)).await.unwrap().identity,
                number.to_string()
            );
        }
        for number in 0..20_000 {
            assert!(tokens.user_of(&headers(number, false)).await.is_err());
        }
        let (accepted, known, bad) = sizes(&tokens).await;
        assert_eq!((accepted, known), (100, 100));
        assert!((1..=MOST_BAD).contains(&bad), "{bad}");
        let asked = tokens.verifier.asked.load(Ordering::SeqCst);
        for number in 0..100 {
            assert!(tokens.user_of(&headers(number, true)).await.is_ok());
        }
        assert_eq!(tokens.verifier.asked.load(Ordering::SeqCst), asked);
        for number in 0..12_000 {
            assert!(tokens.user_of(&headers(number, true)).await.is_ok());
        }
        let (accepted, known, _) = sizes(&tokens).await;
        assert!((1..=MOST_ACCEPTED).contains(&accepted), "{accepted}");
        assert!((1..=MOST_ACCEPTED).contains(&known), "{known}");
    }
}
