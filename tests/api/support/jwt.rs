//! Key pairs and secrets that sign JSON Web Tokens, also with algorithms that the program does not
//! know.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, Header};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use ring::hmac;
use ring::rand::SystemRandom;
use ring::rsa::PublicKeyComponents;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256,
    RSA_PKCS1_SHA512, RSA_PSS_SHA256, RsaEncoding, RsaKeyPair,
};
use serde::Serialize;
use serde_json::{Value, json};

/// What signs a token.
pub(crate) enum Key {
    Secret(Vec<u8>),
    Ec(EcdsaKeyPair),
    Rsa(RsaKeyPair),
}

impl Key {
    /// A new key pair on P-256.
    pub(crate) fn es256() -> (Key, KeyPair) {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let (algorithm, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let key = EcdsaKeyPair::from_pkcs8(algorithm, pair.serialized_der(), &random);
        (Key::Ec(key.unwrap()), pair)
    }

    /// The one RSA key pair of the tests: ring makes none.
    pub(crate) fn rs256() -> (Key, KeyPair) {
        let pkcs8 = include_bytes!("rsa2048.pk8").as_slice();
        (Key::Rsa(RsaKeyPair::from_pkcs8(pkcs8).unwrap()), KeyPair::try_from(pkcs8).unwrap())
    }

    /// The public half, as a JWK without an id.
    pub(crate) fn public(&self) -> Value {
        let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        match self {
            Key::Secret(_) => json!({ "kty": "oct" }),
            Key::Ec(key) => {
                let (x, y) = key.public_key().as_ref()[1..].split_at(32);
                json!({ "kty": "EC", "alg": "ES256", "crv": "P-256", "x": encode(x), "y": encode(y) })
            }
            Key::Rsa(key) => {
                let PublicKeyComponents { n, e } =
                    PublicKeyComponents::<Vec<u8>>::from(key.public());
                json!({ "kty": "RSA", "alg": "RS256", "n": encode(&n), "e": encode(&e) })
            }
        }
    }

    /// The signature of a message, in base64url.
    pub(crate) fn sign(&self, algorithm: Algorithm, message: &[u8]) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(match (self, algorithm) {
            (Key::Secret(secret), Algorithm::HS256) => mac(hmac::HMAC_SHA256, secret, message),
            (Key::Secret(secret), Algorithm::HS384) => mac(hmac::HMAC_SHA384, secret, message),
            (Key::Secret(secret), Algorithm::HS512) => mac(hmac::HMAC_SHA512, secret, message),
            (Key::Ec(key), Algorithm::ES256) => {
                key.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec()
            }
            (Key::Rsa(key), Algorithm::RS256) => rsa(&RSA_PKCS1_SHA256, key, message),
            (Key::Rsa(key), Algorithm::RS512) => rsa(&RSA_PKCS1_SHA512, key, message),
            (Key::Rsa(key), Algorithm::PS256) => rsa(&RSA_PSS_SHA256, key, message),
            (_, other) => unreachable!("{other:?} is not an algorithm of this key"),
        })
    }
}

fn mac(algorithm: hmac::Algorithm, secret: &[u8], message: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(algorithm, secret), message).as_ref().to_vec()
}

fn rsa(encoding: &'static dyn RsaEncoding, key: &RsaKeyPair, message: &[u8]) -> Vec<u8> {
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(encoding, &SystemRandom::new(), message, &mut signature).unwrap();
    signature
}

/// A token with these texts as header and payload.
pub(crate) fn sign_texts(header: &str, payload: &str, key: &Key, algorithm: Algorithm) -> String {
    let encode = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
    let message = format!("{}.{}", encode(header), encode(payload));
    format!("{message}.{}", key.sign(algorithm, message.as_bytes()))
}

/// A token with the algorithm of its header.
pub(crate) fn encode(header: &Header, claims: &impl Serialize, key: &Key) -> String {
    let text = serde_json::to_string(header).unwrap();
    sign_texts(&text, &serde_json::to_string(claims).unwrap(), key, header.alg)
}
