//! The keys of a published key set (RFC 7517) that can verify tokens.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{
    AlgorithmParameters, EllipticCurve, EllipticCurveKeyParameters, Jwk, KeyAlgorithm,
    KeyOperations, PublicKeyUse, RSAKeyParameters,
};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;

/// Accepted sizes of an RSA key in bits: smaller keys are insecure (RFC 8725, section 3.5; RFC
/// 7518, section 3.3), larger ones are not supported.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// Bytes of a coordinate on P-256.
const P256_BYTES: usize = 32;

/// A key set as published. Keys are parsed one by one, because an unknown kind of key must not
/// invalidate the others (RFC 7517, section 5).
#[derive(Debug, Default, Deserialize)]
pub(in crate::authn) struct JwkSet {
    keys: Vec<Value>,
}

/// The keys that can be used.
#[derive(Debug, Default)]
pub(super) struct KeySet(Vec<Key>);

/// A public key that verifies with one algorithm.
pub(super) struct Key {
    kid: String,
    /// Its algorithm.
    pub(super) algorithm: Algorithm,
    /// The key itself.
    pub(super) decoding: DecodingKey,
}

/// The keys that may have signed a token.
pub(super) enum Candidates<'a> {
    /// Keys with the token's id, for its algorithm. Several only if the issuer gives several
    /// keys one id.
    Keys(Vec<&'a Key>),
    /// The keys with this id are for another algorithm.
    OfOtherAlgorithm,
    /// No key has this id.
    None,
}

/// Whether tokens with this algorithm can be verified here. Only asymmetric ones can, because a
/// shared secret that verifies tokens can also sign them.
pub(super) fn is_supported(alg: &str) -> bool {
    algorithm_named(alg).is_some()
}

fn algorithm_named(alg: &str) -> Option<Algorithm> {
    match alg {
        "ES256" => Some(Algorithm::ES256),
        "RS256" => Some(Algorithm::RS256),
        _ => None,
    }
}

impl KeySet {
    /// Whether the set has no usable key.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether there is a key with this id.
    pub(super) fn has(&self, kid: &str) -> bool {
        self.0.iter().any(|key| key.kid == kid)
    }

    /// The keys with this id for the algorithm of a token.
    pub(super) fn candidates(&self, kid: &str, alg: &str) -> Candidates<'_> {
        let algorithm = algorithm_named(alg);
        let named: Vec<_> = self.0.iter().filter(|key| key.kid == kid).collect();
        if named.is_empty() {
            return Candidates::None;
        }
        let keys: Vec<_> =
            named.into_iter().filter(|key| Some(key.algorithm) == algorithm).collect();
        if keys.is_empty() { Candidates::OfOtherAlgorithm } else { Candidates::Keys(keys) }
    }
}

impl From<JwkSet> for KeySet {
    fn from(set: JwkSet) -> KeySet {
        let keys = set.keys.into_iter();
        let keys = keys.filter_map(|key| serde_json::from_value::<Jwk>(key).ok());
        KeySet(keys.filter_map(|key| Key::read(&key)).collect())
    }
}

impl Key {
    /// `None` for a key with another use, a weak key, or an unsupported kind.
    fn read(key: &Jwk) -> Option<Key> {
        let is_for_signatures =
            matches!(&key.common.public_key_use, None | Some(PublicKeyUse::Signature));
        let operations = key.common.key_operations.as_ref();
        let is_for_verifying =
            operations.is_none_or(|operations| operations.contains(&KeyOperations::Verify));
        let (algorithm, own_name) = match &key.algorithm {
            AlgorithmParameters::EllipticCurve(curve) if is_p256(curve) => {
                (Algorithm::ES256, KeyAlgorithm::ES256)
            }
            AlgorithmParameters::RSA(rsa) if RSA_BITS.contains(&bits(rsa)?) => {
                (Algorithm::RS256, KeyAlgorithm::RS256)
            }
            _ => return None,
        };
        let is_for_algorithm = key.common.key_algorithm.is_none_or(|named| named == own_name);
        let kid = key.common.key_id.clone().filter(|kid| !kid.is_empty())?;
        let decoding = DecodingKey::from_jwk(key).ok()?;
        (is_for_signatures && is_for_verifying && is_for_algorithm).then_some(Key {
            kid,
            algorithm,
            decoding,
        })
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key")
            .field("kid", &self.kid)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

fn is_p256(key: &EllipticCurveKeyParameters) -> bool {
    let is_coordinate = |text: &str| {
        BASE64_URL_SAFE_NO_PAD.decode(text).is_ok_and(|bytes| bytes.len() == P256_BYTES)
    };
    key.curve == EllipticCurve::P256 && is_coordinate(&key.x) && is_coordinate(&key.y)
}

/// The size of an RSA key's modulus.
fn bits(key: &RSAKeyParameters) -> Option<usize> {
    let modulus = BASE64_URL_SAFE_NO_PAD.decode(&key.n).ok()?;
    let (zeros, first) = modulus.iter().enumerate().find(|(_, byte)| **byte != 0)?;
    Some((modulus.len() - zeros) * 8 - first.leading_zeros() as usize)
}
