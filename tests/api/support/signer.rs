//! Keys that sign tokens, as Supabase and OpenID Connect providers hold them.

use jsonwebtoken::{Algorithm, Header, get_current_timestamp};
use rcgen::KeyPair;
use serde_json::{Value, json};

use super::jwt::{self, Key};
use super::supabase::Reply;

/// A key pair with an id.
pub(crate) struct Signer {
    pub(crate) kid: String,
    pub(crate) algorithm: Algorithm,
    pub(crate) key: Key,
    pub(crate) pair: KeyPair,
}

impl Signer {
    pub(crate) fn es256(kid: &str) -> Signer {
        let (key, pair) = Key::es256();
        Signer { kid: kid.to_owned(), algorithm: Algorithm::ES256, key, pair }
    }

    pub(crate) fn rs256(kid: &str) -> Signer {
        let (key, pair) = Key::rs256();
        Signer { kid: kid.to_owned(), algorithm: Algorithm::RS256, key, pair }
    }

    /// The public half, as a JWK.
    pub(crate) fn public(&self) -> Value {
        let mut public = self.key.public();
        public["kid"] = self.kid.as_str().into();
        public["use"] = "sig".into();
        public["key_ops"] = json!(["verify"]);
        public
    }

    pub(crate) fn header(&self) -> Header {
        Header { kid: Some(self.kid.clone()), ..Header::new(self.algorithm) }
    }

    pub(crate) fn sign(&self, claims: &Value) -> String {
        self.sign_as(&self.header(), claims)
    }

    pub(crate) fn sign_as(&self, header: &Header, claims: &Value) -> String {
        jwt::encode(header, claims, &self.key)
    }
}

/// The answer that publishes keys.
pub(crate) fn key_set(signers: &[&Signer]) -> Reply {
    let keys: Vec<_> = signers.iter().map(|signer| signer.public()).collect();
    Reply::json(200, &json!({ "keys": keys }))
}

/// Seconds since 1970, so many from now.
pub(crate) fn seconds_from_now(seconds: i64) -> i64 {
    get_current_timestamp().cast_signed() + seconds
}
