//! Verifying tokens here, with the public keys of whoever signed them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::{Map, Value};
use tokio::sync::watch;
use tracing::warn;

use super::bearer::BearerToken;
use super::tokens::Refusal;

/// Tolerance for clocks that differ, in seconds.
const LEEWAY: u64 = 5;

/// When a key set is fetched.
struct Times {
    /// How long a set is used before it is fetched again. Supabase says not to keep it longer.
    life: Duration,
    /// Wait between two fetches, so that made-up key ids cannot be used to hammer the issuer.
    cool_down: Duration,
    /// The same while there is no set at all: nobody can sign in.
    cool_down_without_set: Duration,
}

const TIMES: Times = Times {
    life: Duration::from_mins(10),
    cool_down: Duration::from_mins(1),
    cool_down_without_set: Duration::from_secs(1),
};

/// The signing keys of an issuer, and what its tokens must say.
pub(super) struct Jwks {
    cupboard: Arc<Cupboard>,
    issuer: String,
    audience: String,
}

/// Where a key set comes from.
pub(super) trait KeySource: Send + Sync + 'static {
    /// Fetches it. The error is for the log.
    fn fetch(&self) -> futures::future::BoxFuture<'_, Result<JwkSet, String>>;
}

/// Keys, and where there are more.
struct Cupboard {
    source: Box<dyn KeySource>,
    times: Times,
    keys: Mutex<Keys>,
}

#[derive(Default)]
struct Keys {
    set: Option<Arc<JwkSet>>,
    fetched: Option<Instant>,
    tried: Option<Instant>,
    last_failure: Option<Arc<str>>,
    /// Closed when the fetch is over.
    under_way: Option<watch::Receiver<()>>,
}

impl Jwks {
    pub(super) fn new(source: impl KeySource, issuer: String, audience: String) -> Jwks {
        Jwks::with_times(source, issuer, audience, TIMES)
    }

    fn with_times(source: impl KeySource, issuer: String, audience: String, times: Times) -> Jwks {
        let cupboard = Cupboard { source: Box::new(source), times, keys: Mutex::default() };
        Jwks { cupboard: Arc::new(cupboard), issuer, audience }
    }

    /// The claims of a token whose signature, times, issuer and audience are right.
    pub(super) async fn verify(&self, token: &BearerToken) -> Result<Map<String, Value>, Refusal> {
        let header = decode_header(token.text()).map_err(|_| Refusal::BadToken)?;
        let set = self.cupboard.set_for(header.kid.as_deref()).await?;
        let kid = header.kid.ok_or(Refusal::BadToken)?;
        let key = set.find(&kid).ok_or(Refusal::Refused)?;
        // The algorithm is the key's. A token that names another is refused by `decode`.
        let algorithm = algorithm_of(key).ok_or(Refusal::BadToken)?;
        let decoding = DecodingKey::from_jwk(key).map_err(|_| Refusal::BadToken)?;
        let mut validation = Validation::new(algorithm);
        validation.leeway = LEEWAY;
        validation.validate_nbf = true;
        validation.set_issuer(&[&self.issuer]);
        validation.set_audience(&[&self.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        decode::<Map<String, Value>>(token.text(), &decoding, &validation)
            .map(|token| token.claims)
            .map_err(|_| Refusal::BadToken)
    }
}

impl Cupboard {
    /// A key set that is good for a decision about a key. Only a key that is not there is
    /// waited for: an old set is used while it is fetched again, and stays if that fails.
    async fn set_for(self: &Arc<Self>, kid: Option<&str>) -> Result<Arc<JwkSet>, Refusal> {
        let under_way = {
            let mut keys = self.keys();
            let has_key = keys.has(kid);
            if !(has_key && keys.is_fresh(&self.times)) && keys.may_try(&self.times) {
                self.begin_fetch(&mut keys);
            }
            if has_key { None } else { keys.under_way.clone() }
        };
        if let Some(mut under_way) = under_way {
            // An error says that it is over.
            while under_way.changed().await.is_ok() {}
        }
        self.keys().judge(kid)
    }

    /// Fetches in a task of its own: whoever hangs up does not end it for all.
    fn begin_fetch(self: &Arc<Self>, keys: &mut Keys) {
        let (over, under_way) = watch::channel(());
        keys.tried = Some(Instant::now());
        keys.under_way = Some(under_way);
        let cupboard = Arc::clone(self);
        tokio::spawn(async move {
            let outcome = cupboard.source.fetch().await;
            cupboard.keys().put(outcome);
            drop(over);
        });
    }

    fn keys(&self) -> MutexGuard<'_, Keys> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Keys {
    fn has(&self, kid: Option<&str>) -> bool {
        let set = self.set.as_ref().filter(|set| is_usable(set));
        set.is_some_and(|set| kid.is_none_or(|kid| set.find(kid).is_some()))
    }

    fn is_fresh(&self, times: &Times) -> bool {
        self.fetched.is_some_and(|fetched| fetched.elapsed() < times.life)
    }

    fn may_try(&self, times: &Times) -> bool {
        let is_under_way = self.under_way.as_ref().is_some_and(|fetch| fetch.has_changed().is_ok());
        let wait = if self.set.is_some() { times.cool_down } else { times.cool_down_without_set };
        !is_under_way && self.tried.is_none_or(|tried| tried.elapsed() >= wait)
    }

    fn put(&mut self, outcome: Result<JwkSet, String>) {
        match outcome {
            Ok(set) => {
                if !is_usable(&set) {
                    warn!("{NO_KEYS}");
                }
                self.set = Some(Arc::new(set));
                self.fetched = Some(Instant::now());
                self.last_failure = None;
            }
            Err(cause) => {
                warn!(%cause, "could not fetch the signing keys");
                self.last_failure = Some(cause.into());
            }
        }
    }

    /// An unknown key is a refusal only if the issuer was asked for it and has said no.
    fn judge(&self, kid: Option<&str>) -> Result<Arc<JwkSet>, Refusal> {
        let failure = || self.last_failure.clone().unwrap_or_else(|| "no signing keys yet".into());
        match &self.set {
            None => Err(Refusal::unavailable(failure())),
            Some(set) if !is_usable(set) => Err(Refusal::unavailable(NO_KEYS)),
            Some(_) if !self.has(kid) && self.last_failure.is_some() => {
                Err(Refusal::unavailable(failure()))
            }
            Some(set) => Ok(Arc::clone(set)),
        }
    }
}

/// A project that signs with a shared secret publishes no keys. That is a wrong setting, which
/// says nothing about its users' tokens.
const NO_KEYS: &str = "the issuer publishes no ES256 or RS256 key: a Supabase project that signs \
                       with a shared secret needs SUPABASE_AUTH_MODE=remote";

fn is_usable(set: &JwkSet) -> bool {
    set.keys.iter().any(|key| algorithm_of(key).is_some())
}

/// Asymmetric algorithms only: with a shared secret, whoever can check a token can make one.
fn algorithm_of(key: &Jwk) -> Option<Algorithm> {
    if key.common.public_key_use == Some(PublicKeyUse::Encryption) {
        return None;
    }
    match &key.algorithm {
        AlgorithmParameters::EllipticCurve(curve) if curve.curve == EllipticCurve::P256 => {
            Some(Algorithm::ES256)
        }
        AlgorithmParameters::RSA(_) => match key.common.key_algorithm {
            None | Some(jsonwebtoken::jwk::KeyAlgorithm::RS256) => Some(Algorithm::RS256),
            Some(_) => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::http::{HeaderMap, header};
    use futures::future::BoxFuture;
    use jsonwebtoken::{EncodingKey, Header, encode};
    use serde_json::json;

    use super::*;

    const QUICK: Times = Times {
        life: Duration::from_millis(200),
        cool_down: Duration::from_millis(100),
        cool_down_without_set: Duration::from_millis(20),
    };

    /// An issuer that a test can change.
    #[derive(Clone, Default)]
    struct Issuer {
        answer: Arc<Mutex<Option<Value>>>,
        delay: Arc<Mutex<Duration>>,
        fetches: Arc<AtomicUsize>,
    }

    impl KeySource for Issuer {
        fn fetch(&self) -> BoxFuture<'_, Result<JwkSet, String>> {
            self.fetches.fetch_add(1, Ordering::SeqCst);
            let answer = self.answer.lock().unwrap().clone();
            let delay = *self.delay.lock().unwrap();
            Box::pin(async move {
                tokio::time::sleep(delay).await;
                let answer = answer.ok_or_else(|| "down".to_owned())?;
                serde_json::from_value(answer).map_err(|error| error.to_string())
            })
        }
    }

    impl Issuer {
        fn publish(&self, keys: &[&Signer]) {
            let keys: Vec<_> = keys.iter().map(|signer| signer.public.clone()).collect();
            *self.answer.lock().unwrap() = Some(json!({ "keys": keys }));
        }

        fn fail(&self) {
            *self.answer.lock().unwrap() = None;
        }

        fn fetches(&self) -> usize {
            self.fetches.load(Ordering::SeqCst)
        }

        fn jwks(&self, times: Times) -> Jwks {
            Jwks::with_times(self.clone(), "https://i".to_owned(), "a".to_owned(), times)
        }
    }

    struct Signer {
        key: EncodingKey,
        public: Value,
    }

    impl Signer {
        fn new(kid: &str) -> Signer {
            let pem = rcgen::KeyPair::generate().unwrap().serialize_pem();
            let key = EncodingKey::from_ec_pem(pem.as_bytes()).unwrap();
            let public = Jwk::from_encoding_key(&key, Algorithm::ES256).unwrap();
            let mut public = serde_json::to_value(public).unwrap();
            public["kid"] = kid.into();
            Signer { key, public }
        }

        fn token(&self) -> BearerToken {
            let kid = self.public["kid"].as_str().map(str::to_owned);
            let header = Header { kid, ..Header::new(Algorithm::ES256) };
            let exp = jsonwebtoken::get_current_timestamp() + 60;
            let claims = json!({ "iss": "https://i", "aud": "a", "sub": "s", "exp": exp });
            let token = encode(&header, &claims, &self.key).unwrap();
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, format!("Bearer {token}").parse().unwrap());
            BearerToken::from_headers(&headers).unwrap()
        }
    }

    async fn pause(times: u32) {
        tokio::time::sleep(Duration::from_millis(50) * times).await;
    }

    #[tokio::test]
    async fn a_set_is_fetched_once_for_all_and_again_when_it_is_old() {
        let (issuer, signer) = (Issuer::default(), Signer::new("1"));
        issuer.publish(&[&signer]);
        let jwks = issuer.jwks(QUICK);
        let token = signer.token();
        futures::future::join_all((0..20).map(|_| jwks.verify(&token)))
            .await
            .iter()
            .for_each(|outcome| assert!(outcome.is_ok()));
        assert_eq!(issuer.fetches(), 1);
        pause(5).await;
        assert!(jwks.verify(&token).await.is_ok());
        pause(1).await;
        assert_eq!(issuer.fetches(), 2);
    }

    #[tokio::test]
    async fn unknown_keys_cause_one_fetch_in_a_cool_down() {
        let (issuer, signer) = (Issuer::default(), Signer::new("1"));
        issuer.publish(&[&signer]);
        let long = Times { life: Duration::from_hours(1), ..QUICK };
        let jwks = issuer.jwks(long);
        for number in 0..50 {
            let stranger =
                Signer { public: json!({ "kid": number.to_string() + "x" }), ..Signer::new("") };
            let refused = jwks.verify(&stranger.token()).await;
            assert!(matches!(refused, Err(Refusal::Refused)), "{refused:?}");
        }
        // Fifty tokens may take longer than one cool-down, but not fifty.
        assert!(issuer.fetches() < 10, "{}", issuer.fetches());
        assert!(jwks.verify(&signer.token()).await.is_ok());
    }

    #[tokio::test]
    async fn a_rotated_key_is_found_after_the_cool_down_and_a_revoked_one_is_dropped() {
        let (issuer, old, new) = (Issuer::default(), Signer::new("1"), Signer::new("2"));
        issuer.publish(&[&old]);
        let jwks = issuer.jwks(Times { life: Duration::from_hours(1), ..QUICK });
        assert!(jwks.verify(&old.token()).await.is_ok());
        issuer.publish(&[&new]);
        pause(3).await;
        assert!(jwks.verify(&old.token()).await.is_ok(), "nobody has asked yet");
        assert!(jwks.verify(&new.token()).await.is_ok());
        assert!(matches!(jwks.verify(&old.token()).await, Err(Refusal::Refused)));
        assert_eq!(issuer.fetches(), 2);
    }

    #[tokio::test]
    async fn the_old_set_stays_when_a_fetch_fails_and_an_unknown_key_is_then_an_open_question() {
        let (issuer, old, new) = (Issuer::default(), Signer::new("1"), Signer::new("2"));
        issuer.publish(&[&old]);
        let jwks = issuer.jwks(QUICK);
        assert!(jwks.verify(&old.token()).await.is_ok());
        issuer.fail();
        for _ in 0..3 {
            pause(5).await;
            assert!(jwks.verify(&old.token()).await.is_ok());
            pause(1).await;
            let open = jwks.verify(&new.token()).await;
            assert!(matches!(open, Err(Refusal::Unavailable { .. })), "{open:?}");
        }
        assert!(issuer.fetches() >= 4);
        issuer.publish(&[&old, &new]);
        pause(3).await;
        assert!(jwks.verify(&new.token()).await.is_ok());
    }

    #[tokio::test]
    async fn nobody_with_a_known_key_waits_for_a_slow_issuer() {
        let (issuer, signer) = (Issuer::default(), Signer::new("1"));
        issuer.publish(&[&signer]);
        let jwks = issuer.jwks(QUICK);
        let token = signer.token();
        assert!(jwks.verify(&token).await.is_ok());
        *issuer.delay.lock().unwrap() = Duration::from_hours(1);
        pause(5).await;
        let outcome = tokio::time::timeout(Duration::from_secs(5), jwks.verify(&token)).await;
        assert!(outcome.unwrap().is_ok());
        pause(1).await;
        assert_eq!(issuer.fetches(), 2);
    }

    #[tokio::test]
    async fn whoever_hangs_up_does_not_end_a_fetch() {
        let (issuer, old, new) = (Issuer::default(), Signer::new("1"), Signer::new("2"));
        issuer.publish(&[&old]);
        let jwks = issuer.jwks(Times { cool_down: Duration::from_hours(1), ..QUICK });
        issuer.publish(&[&old, &new]);
        *issuer.delay.lock().unwrap() = Duration::from_millis(100);
        let token = new.token();
        let hung_up = tokio::time::timeout(Duration::from_millis(10), jwks.verify(&token)).await;
        assert!(hung_up.is_err());
        assert!(jwks.verify(&token).await.is_ok());
        assert_eq!(issuer.fetches(), 1);
    }

    #[tokio::test]
    async fn without_a_set_it_is_asked_for_more_often() {
        let (issuer, signer) = (Issuer::default(), Signer::new("1"));
        let jwks = issuer.jwks(Times { cool_down: Duration::from_hours(1), ..QUICK });
        let token = signer.token();
        let open = jwks.verify(&token).await;
        assert!(matches!(open, Err(Refusal::Unavailable { .. })), "{open:?}");
        issuer.publish(&[&signer]);
        pause(1).await;
        assert!(jwks.verify(&token).await.is_ok());
    }

    #[tokio::test]
    async fn a_set_without_a_key_that_can_be_used_settles_nothing() {
        let mut encrypting = Signer::new("1");
        encrypting.public["use"] = "enc".into();
        let mut secret = Signer::new("1");
        secret.public = json!({ "kty": "oct", "kid": "1", "k": "c2VjcmV0", "alg": "HS256" });
        for keys in [vec![], vec![&encrypting], vec![&secret]] {
            let issuer = Issuer::default();
            issuer.publish(&keys);
            let open = issuer.jwks(QUICK).verify(&Signer::new("1").token()).await;
            assert!(matches!(open, Err(Refusal::Unavailable { .. })), "{open:?}");
        }
    }

    #[tokio::test]
    async fn keys_of_kinds_to_come_do_not_spoil_a_set() {
        let (issuer, signer) = (Issuer::default(), Signer::new("1"));
        let odd = [
            json!({ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "alg": "EdDSA", "kid": "2" }),
            json!({ "kty": "OKP", "crv": "X448", "x": "AA", "kid": "3", "use": "new" }),
            json!({ "kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA", "alg": "ES256K", "kid": "4" }),
            json!({ "kty": "AKP", "alg": "ML-DSA-44", "pub": "AA", "kid": "5", "key_ops": ["verify", "new"] }),
        ];
        for odd in odd {
            let odd = Signer { public: odd, ..Signer::new("") };
            issuer.publish(&[&odd, &signer]);
            let outcome = issuer.jwks(QUICK).verify(&signer.token()).await;
            assert!(outcome.is_ok(), "{}: {outcome:?}", odd.public);
        }
    }
}
