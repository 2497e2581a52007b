//! Verifying tokens here, with the public keys of whoever signed them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::{Map, Value};
use tokio::sync::Mutex;
use tracing::warn;

use super::bearer::BearerToken;
use super::tokens::Refusal;

/// How long a key set is used before it is fetched again. Supabase says not to keep it longer.
const LIFE: Duration = Duration::from_mins(10);
/// Wait between two fetches because of unknown keys or failures, so that made-up key ids cannot
/// be used to hammer the issuer.
const COOL_DOWN: Duration = Duration::from_mins(1);
/// Tolerance for clocks that differ, in seconds.
const LEEWAY: u64 = 5;

/// The signing keys of an issuer, and what its tokens must say.
pub(super) struct Jwks {
    source: Box<dyn KeySource>,
    issuer: String,
    audience: String,
    keys: Mutex<Keys>,
}

/// Where a key set comes from.
pub(super) trait KeySource: Send + Sync + 'static {
    /// Fetches it. The error is for the log.
    fn fetch(&self) -> futures::future::BoxFuture<'_, Result<JwkSet, String>>;
}

#[derive(Default)]
struct Keys {
    set: Option<Arc<JwkSet>>,
    fetched: Option<Instant>,
    tried: Option<Instant>,
    last_failure: Option<Arc<str>>,
}

impl Jwks {
    pub(super) fn new(source: impl KeySource, issuer: String, audience: String) -> Jwks {
        Jwks { source: Box::new(source), issuer, audience, keys: Mutex::default() }
    }

    /// The claims of a token whose signature, times, issuer and audience are right.
    pub(super) async fn verify(&self, token: &BearerToken) -> Result<Map<String, Value>, Refusal> {
        let header = decode_header(token.text()).map_err(|_| Refusal::BadToken)?;
        let kid = header.kid.ok_or(Refusal::BadToken)?;
        let set = self.set_with(&kid).await?;
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

    /// A key set, fetched again if it is old or does not have the key. The old one stays if
    /// that fails.
    async fn set_with(&self, kid: &str) -> Result<Arc<JwkSet>, Refusal> {
        let mut keys = self.keys.lock().await;
        let is_fresh = keys.fetched.is_some_and(|fetched| fetched.elapsed() < LIFE);
        let has_key = keys.set.as_ref().is_some_and(|set| set.find(kid).is_some());
        let may_try = keys.tried.is_none_or(|tried| tried.elapsed() >= COOL_DOWN)
            // Without any set nobody can sign in: that is worth asking more often.
            || (keys.set.is_none()
                && keys.tried.is_none_or(|tried| tried.elapsed() >= Duration::from_secs(1)));
        if !(is_fresh && has_key) && may_try {
            keys.tried = Some(Instant::now());
            match self.source.fetch().await {
                Ok(set) => {
                    keys.set = Some(Arc::new(set));
                    keys.fetched = Some(Instant::now());
                    keys.last_failure = None;
                }
                Err(cause) => {
                    warn!(%cause, "could not fetch the signing keys");
                    keys.last_failure = Some(cause.into());
                }
            }
        }
        match &keys.set {
            Some(set) => Ok(Arc::clone(set)),
            None => Err(Refusal::unavailable(
                keys.last_failure.clone().unwrap_or_else(|| "no signing keys yet".into()),
            )),
        }
    }
}

/// Asymmetric algorithms only: with a shared secret, whoever can check a token can make one.
fn algorithm_of(key: &Jwk) -> Option<Algorithm> {
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
