//! Verification of tokens with the public keys that their issuer publishes (JWKS).
//!
//! The rules are those of RFC 8725 and RFC 9068: the key determines the algorithm, the claims must
//! be the expected ones, and only `kid` in the token selects a key.

mod cache;
mod claims;
mod key_set;

use std::time::Duration;

use jsonwebtoken::crypto;
use tracing::{info, warn};

pub(super) use self::cache::{Fetched, KeySource};
use self::cache::{KeySetCache, Lookup};
pub(super) use self::claims::{Claim, ExpectedClaims};
use self::key_set::{Candidates, KeySet};
use super::refusal::{Reason, Refusal};
use super::token_cache::Token;
use crate::jws;

const CROWDED: Refusal = Refusal::Crowded("too many tokens wait for the signing keys");

/// The keys of an issuer, and the claims that its tokens must have.
pub(super) struct Jwks {
    cache: KeySetCache,
    expected: ExpectedClaims,
    without_keys: WithoutKeys,
}

/// The meaning of an issuer without a usable key.
#[derive(Debug, Clone, Copy)]
pub(super) enum WithoutKeys {
    /// No token can be verified. The text names the setting and the remedy.
    Misconfigured(&'static str),
    /// Tokens are verified by other means. The text is for the log.
    AskedElsewhere(&'static str),
}

/// Why the keys did not accept a token.
#[derive(Debug)]
pub(super) enum Unverified {
    /// The token is not valid.
    Refused(Refusal),
    /// The keys cannot decide. The refusal applies if the mode has no other means to verify.
    Unjudged(Refusal),
}

impl Jwks {
    /// Verifies with the keys of `source`.
    pub(super) fn new(
        source: impl KeySource,
        expected: ExpectedClaims,
        without_keys: WithoutKeys,
    ) -> Jwks {
        jws::install();
        Jwks { cache: KeySetCache::new(source), expected, without_keys }
    }

    /// Fetches the key set, and logs a warning if it has no usable key.
    pub(super) async fn fetch(&self) {
        if matches!(self.cache.any().await, Lookup::Found { set, .. } if set.is_empty()) {
            match self.without_keys {
                WithoutKeys::Misconfigured(problem) => warn!("{problem}"),
                WithoutKeys::AskedElsewhere(consequence) => info!("{consequence}"),
            }
        }
    }

    /// Checks signature and claims of a token. Returns for how long the result holds, because the
    /// key may be withdrawn.
    pub(super) async fn verify(&self, token: &Token) -> Result<Duration, Unverified> {
        let header = &token.jwt.header;
        if !key_set::is_supported(&header.alg) {
            return Err(self.unsupported(token).await);
        }
        let refused = |reason| Unverified::Refused(Refusal::BadToken(reason));
        // Before the key, so that a token with invalid claims causes no fetch.
        if let Err(reason) = self.expected.check(&token.jwt.claims) {
            // If no keys of the configured issuer can be fetched, the setting may be wrong.
            if matches!(reason, Reason::Issuer { .. })
                && let Some(cause) = self.cache.outage()
            {
                return Err(Unverified::Unjudged(Refusal::unavailable(cause)));
            }
            return Err(refused(reason));
        }
        let kid = header.kid.as_deref().filter(|kid| !kid.is_empty());
        let kid = kid.ok_or_else(|| refused(Reason::NoKeyId))?;
        match self.cache.with_key(kid, token.jwt.claims.seconds("iat")).await {
            Lookup::Found { set, .. } if set.is_empty() => Err(self.no_keys()),
            Lookup::Found { set, life } => match set.candidates(kid, &header.alg) {
                Candidates::Keys(keys) => {
                    let is_signed = keys.into_iter().any(|key| is_signed(token, key));
                    is_signed.then_some(life).ok_or_else(|| refused(Reason::Signature))
                }
                Candidates::OfOtherAlgorithm => {
                    Err(refused(Reason::OtherAlgorithm(header.alg.clone())))
                }
                // The key may be published later, so this refusal is not permanent.
                Candidates::None => {
                    Err(Unverified::Refused(Refusal::Refused(Reason::UnknownKey(kid.to_owned()))))
                }
            },
            Lookup::Open(cause) => Err(Unverified::Unjudged(Refusal::unavailable(cause))),
            Lookup::Crowded => Err(Unverified::Unjudged(CROWDED)),
        }
    }

    /// A token with an unsupported algorithm: one with a shared secret, or an unknown one. The
    /// token is a forgery if it names one of the published keys.
    async fn unsupported(&self, token: &Token) -> Unverified {
        let header = &token.jwt.header;
        let is_ours = |set: &KeySet| {
            let kid = header.kid.as_deref().unwrap_or_default();
            !matches!(set.candidates(kid, &header.alg), Candidates::None)
        };
        if self.cache.current().is_some_and(|set| is_ours(&set)) {
            let reason = Reason::OtherAlgorithm(header.alg.clone());
            return Unverified::Refused(Refusal::BadToken(reason));
        }
        if let WithoutKeys::AskedElsewhere(_) = self.without_keys {
            let reason = Reason::Algorithm(header.alg.clone());
            return Unverified::Unjudged(Refusal::BadToken(reason));
        }
        match self.cache.any().await {
            Lookup::Found { set, .. } if set.is_empty() => self.no_keys(),
            Lookup::Found { .. } => {
                Unverified::Refused(Refusal::BadToken(Reason::Algorithm(header.alg.clone())))
            }
            Lookup::Open(cause) => Unverified::Unjudged(Refusal::unavailable(cause)),
            Lookup::Crowded => Unverified::Unjudged(CROWDED),
        }
    }

    fn no_keys(&self) -> Unverified {
        Unverified::Unjudged(match self.without_keys {
            WithoutKeys::Misconfigured(problem) => Refusal::Misconfigured(problem),
            WithoutKeys::AskedElsewhere(consequence) => Refusal::unavailable(consequence),
        })
    }
}

fn is_signed(token: &Token, key: &key_set::Key) -> bool {
    token.text.text().rsplit_once('.').is_some_and(|(message, signature)| {
        crypto::verify(signature, message.as_bytes(), &key.decoding, key.algorithm)
            .is_ok_and(|is_signed| is_signed)
    })
}

#[cfg(test)]
#[path = "../../../tests/api/support/jwt.rs"]
#[expect(dead_code, reason = "shared with other tests")]
mod jwt;
#[cfg(test)]
mod tests;
