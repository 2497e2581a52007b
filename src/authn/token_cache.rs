//! The common part of all verifiers of access tokens: cheap refusals first, then one verification
//! for all requests that wait with the same token, and a short, bounded cache of the results.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures::future::BoxFuture;
use http::HeaderMap;
use moka::Expiry;
use moka::future::Cache;
use sha2::{Digest, Sha256};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::bearer::BearerToken;
use super::error::Error;
use super::jwt::Jwt;
use super::refusal::{INVALID_TOKEN, Reason, Refusal, RefusalLog};
use crate::authz::User;
use crate::metrics::metrics;

/// Longest time of one verification, including the wait for its turn.
const DEADLINE: Duration = Duration::from_secs(5);
/// How long a bad token is remembered.
const BAD_TOKEN_LIFE: Duration = Duration::from_secs(5);
/// Maximum number of remembered accepted tokens.
const MAX_ACCEPTED: u64 = 10_000;
/// Limit of the time until a token's own expiry, which may be any number.
const MAX_LIFE: Duration = Duration::from_hours(24);
/// Maximum number of remembered bad tokens. They are stored separately, so that junk evicts no
/// accepted token.
const MAX_BAD: u64 = 1_000;
/// Maximum number of concurrent calls for tokens that were accepted within [`KNOWN_LIFE`].
const MAX_KNOWN_CALLS: usize = 32;
/// Maximum number of concurrent calls for all other tokens, so that a flood of junk does not delay
/// known users.
const MAX_OTHER_CALLS: usize = 32;
/// Maximum number of tokens that wait for such a call. Further ones get 503 at once, because they
/// would fill `MAX_REQUESTS` and known users would get 503.
const MAX_OTHER_WAITING: usize = 512;
/// How long a token counts as known after it was accepted.
const KNOWN_LIFE: Duration = Duration::from_hours(1);

/// Verifies tokens, at some cost.
pub(super) trait Verify: Send + Sync + 'static {
    /// Verifies a token. A call to the auth server waits for a turn of `calls` first.
    fn verify<'a>(
        &'a self,
        token: &'a Token,
        calls: &'a CallLimit,
    ) -> BoxFuture<'a, Result<Verified, Refusal>>;
}

/// A parsed token that is not verified yet.
pub(super) struct Token {
    /// Its text.
    pub(super) text: BearerToken,
    /// Its parsed parts.
    pub(super) jwt: Jwt,
}

/// The outcome of a verification.
pub(super) struct Verified {
    /// The token's user.
    pub(super) user: User,
    /// Longest time for which the result may be remembered.
    pub(super) life: Duration,
}

impl From<User> for Verified {
    fn from(user: User) -> Verified {
        Verified { user, life: MAX_LIFE }
    }
}

/// Limits the concurrent calls to an auth server, and the tokens that wait for one.
pub(super) struct CallLimit {
    calls: Semaphore,
    waiting: Semaphore,
}

impl CallLimit {
    fn new(calls: usize, waiting: usize) -> CallLimit {
        CallLimit { calls: Semaphore::new(calls), waiting: Semaphore::new(waiting) }
    }

    /// Waits for a turn. The turn ends when the permit is dropped.
    pub(super) async fn turn(&self) -> Result<SemaphorePermit<'_>, Refusal> {
        if let Ok(turn) = self.calls.try_acquire() {
            return Ok(turn);
        }
        let _waiting = self
            .waiting
            .try_acquire()
            .map_err(|_| Refusal::Crowded("too many unknown tokens wait for the auth server"))?;
        self.calls.acquire().await.map_err(|error| Refusal::unavailable(error.to_string()))
    }
}

/// SHA-256 of a token. Caches contain no tokens.
type TokenHash = [u8; 32];

/// A verifier with its cache.
pub(super) struct TokenVerifier<V> {
    verifier: V,
    /// `None`: nothing is remembered, and the token of every request is verified.
    accepted: Option<Cache<TokenHash, Accepted>>,
    bad: Cache<TokenHash, ()>,
    known: Cache<TokenHash, ()>,
    known_calls: CallLimit,
    other_calls: CallLimit,
    /// Whether the last verification accepted or refused its token.
    available: RwLock<Option<bool>>,
    log: RefusalLog,
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

impl<V: Verify> TokenVerifier<V> {
    /// Remembers accepted tokens for `life`; zero turns the cache off.
    pub(super) fn new(verifier: V, life: Duration) -> TokenVerifier<V> {
        let accepted = Cache::builder().max_capacity(MAX_ACCEPTED).time_to_live(life);
        let accepted = accepted.expire_after(OwnLife).build();
        TokenVerifier {
            verifier,
            accepted: (!life.is_zero()).then_some(accepted),
            bad: Cache::builder().max_capacity(MAX_BAD).time_to_live(BAD_TOKEN_LIFE).build(),
            known: Cache::builder().max_capacity(MAX_ACCEPTED).time_to_live(KNOWN_LIFE).build(),
            known_calls: CallLimit::new(MAX_KNOWN_CALLS, Semaphore::MAX_PERMITS),
            other_calls: CallLimit::new(MAX_OTHER_CALLS, MAX_OTHER_WAITING),
            available: RwLock::default(),
            log: RefusalLog::default(),
        }
    }

    /// The verifier.
    pub(super) fn verifier(&self) -> &V {
        &self.verifier
    }

    /// Whether the last verification accepted or refused its token. `None`: there was none.
    pub(super) fn is_available(&self) -> Option<bool> {
        *self.available.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The user of a request's token.
    pub(super) async fn user_of(&self, headers: &HeaderMap) -> Result<Arc<User>, Error> {
        let text = BearerToken::from_headers(headers)?;
        let hash: TokenHash = Sha256::digest(text.text()).into();
        if let Some(accepted) = &self.accepted
            && let Some(accepted) = accepted.get(&hash).await
        {
            metrics().auth_hits.increment(1);
            return Ok(accepted.user);
        }
        // Boxed so that this rare future does not enlarge every request's.
        Box::pin(self.verified(text, hash)).await
    }

    async fn verified(&self, text: BearerToken, hash: TokenHash) -> Result<Arc<User>, Error> {
        let refuse = |reason| self.log.note(&Refusal::BadToken(reason));
        let jwt = Jwt::parse(text.text()).map_err(refuse)?;
        let token = Token { text, jwt };
        let left = || token.jwt.claims.seconds("exp").map_or(MAX_LIFE, time_until);
        if left().is_zero() {
            return Err(refuse(Reason::Expired));
        }
        if self.bad.contains_key(&hash) {
            return Err(INVALID_TOKEN);
        }
        metrics().auth_misses.increment(1);
        let verification = async {
            let verified = self.within_deadline(&token, hash).await?;
            // The time that remains now, because the verification took some.
            let life = left().min(verified.life).min(MAX_LIFE);
            Ok(Accepted { user: Arc::new(verified.user), life })
        };
        let outcome = match &self.accepted {
            Some(accepted) => accepted.try_get_with(hash, verification).await,
            None => verification.await.map_err(Arc::new),
        };
        outcome
            .map(|accepted| accepted.user)
            .map_err(|refusal: Arc<Refusal>| self.log.note(&refusal))
    }

    async fn within_deadline(&self, token: &Token, hash: TokenHash) -> Result<Verified, Refusal> {
        let is_known = self.known.contains_key(&hash);
        let calls = if is_known { &self.known_calls } else { &self.other_calls };
        let verification = self.verifier.verify(token, calls);
        let outcome = tokio::time::timeout(DEADLINE, verification).await.unwrap_or_else(|_| {
            Err(Refusal::unavailable(format!("no answer from the auth server within {DEADLINE:?}")))
        });
        match &outcome {
            // Too many waiting tokens are no evidence about the auth server.
            Err(Refusal::Crowded(_)) => {}
            outcome => self.note(outcome.as_ref().err().is_none_or(Refusal::is_final)),
        }
        match &outcome {
            Ok(_) => self.known.insert(hash, ()).await,
            Err(Refusal::BadToken(_)) => self.bad.insert(hash, ()).await,
            Err(_) => {}
        }
        outcome
    }

    fn note(&self, is_available: bool) {
        metrics().auth_available.set(f64::from(is_available));
        *self.available.write().unwrap_or_else(PoisonError::into_inner) = Some(is_available);
    }
}

impl<V> std::fmt::Debug for TokenVerifier<V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenVerifier").finish_non_exhaustive()
    }
}

/// The clock of this machine. It is used only for the times of tokens; all other times come from
/// Postgres.
pub(super) fn seconds_since_1970() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |elapsed| elapsed.as_secs_f64())
}

fn time_until(exp: f64) -> Duration {
    Duration::try_from_secs_f64(exp - seconds_since_1970()).unwrap_or_else(|_| {
        // A time in the past, or too far in the future.
        if exp > 1.0 + seconds_since_1970() { Duration::MAX } else { Duration::ZERO }
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use base64::Engine;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD;
    use http::header;
    use serde_json::json;

    use super::*;

    /// Accepts the tokens whose claim `good` is true.
    #[derive(Default)]
    struct Trusting {
        asked: AtomicUsize,
    }

    impl Verify for Trusting {
        fn verify<'a>(
            &'a self,
            token: &'a Token,
            _: &'a CallLimit,
        ) -> BoxFuture<'a, Result<Verified, Refusal>> {
            self.asked.fetch_add(1, Ordering::SeqCst);
            let claims = &token.jwt.claims;
            let is_good = claims.get("good") == Some(&true.into());
            let identity = claims.text("sub").unwrap_or_default().to_owned();
            let user = User { identity, ..User::default() };
            Box::pin(async move {
                if is_good { Ok(user.into()) } else { Err(Refusal::BadToken(Reason::Signature)) }
            })
        }
    }

    fn headers(number: usize, is_good: bool) -> HeaderMap {
        let claims =
            json!({ "sub": number.to_string(), "good": is_good, "exp": 4_000_000_000_u64 });
        let encode = |text: String| BASE64_URL_SAFE_NO_PAD.encode(text);
        let (header, payload) =
            (encode(json!({ "alg": "X" }).to_string()), encode(claims.to_string()));
        let mut headers = HeaderMap::new();
        let value = format!("Bearer {header}.{payload}.AAAA");
        headers.insert(header::AUTHORIZATION, value.parse().unwrap());
        headers
    }

    async fn sizes(tokens: &TokenVerifier<Trusting>) -> (u64, u64, u64) {
        let accepted = tokens.accepted.as_ref().unwrap();
        accepted.run_pending_tasks().await;
        tokens.known.run_pending_tasks().await;
        tokens.bad.run_pending_tasks().await;
        (accepted.entry_count(), tokens.known.entry_count(), tokens.bad.entry_count())
    }

    #[tokio::test]
    async fn what_is_remembered_is_bounded_and_junk_pushes_nobody_out() {
        let tokens = TokenVerifier::new(Trusting::default(), Duration::from_hours(1));
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
        assert!((1..=MAX_BAD).contains(&bad), "{bad}");
        let asked = tokens.verifier.asked.load(Ordering::SeqCst);
        for number in 0..100 {
            assert!(tokens.user_of(&headers(number, true)).await.is_ok());
        }
        assert_eq!(tokens.verifier.asked.load(Ordering::SeqCst), asked);
        for number in 0..12_000 {
            assert!(tokens.user_of(&headers(number, true)).await.is_ok());
        }
        let (accepted, known, _) = sizes(&tokens).await;
        assert!((1..=MAX_ACCEPTED).contains(&accepted), "{accepted}");
        assert!((1..=MAX_ACCEPTED).contains(&known), "{known}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_for_a_call_is_bounded() {
        let limit = CallLimit::new(2, 3);
        let turns = [limit.turn().await.unwrap(), limit.turn().await.unwrap()];
        let waiting = (0..3).map(async |_| limit.turn().await.map(drop));
        let one_more = async {
            // After the three are in the queue.
            tokio::time::sleep(Duration::from_secs(1)).await;
            let refused = limit.turn().await.map(drop);
            assert!(matches!(refused, Err(Refusal::Crowded(_))), "{refused:?}");
            drop(turns);
        };
        let (waited, ()) = tokio::join!(futures::future::join_all(waiting), one_more);
        assert!(waited.iter().all(Result::is_ok));
    }
}
