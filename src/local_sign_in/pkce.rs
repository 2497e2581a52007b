//! Proof Key for Code Exchange (RFC 7636): only the client that requested a link can use its code.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::error::Refusal;

/// The challenge in a client's request for a link.
#[derive(Default, Deserialize)]
pub(super) struct SentChallenge {
    code_challenge: Option<String>,
    code_challenge_method: Option<String>,
}

/// A challenge that only its verifier matches.
pub(super) struct Challenge {
    /// The text itself.
    pub(super) code_challenge: String,
    /// The method by which it was made from the verifier: `s256` or `plain`.
    pub(super) code_challenge_method: String,
}

impl SentChallenge {
    /// The challenge, if the client uses PKCE.
    pub(super) fn read(self) -> Result<Option<Challenge>, Refusal> {
        let present = |text: Option<String>| text.filter(|text| !text.is_empty());
        let (challenge, method) =
            match (present(self.code_challenge), present(self.code_challenge_method)) {
                (None, None) => return Ok(None),
                (Some(challenge), Some(method)) => (challenge, method.to_lowercase()),
                _ => {
                    let msg = "PKCE flow requires code_challenge_method and code_challenge";
                    return Err(Refusal::validation(msg));
                }
            };
        if !(43..=128).contains(&challenge.len()) {
            let msg = "code challenge has to be between 43 and 128 characters";
            return Err(Refusal::validation(msg));
        }
        let is_unreserved = |c: char| c.is_ascii_alphanumeric() || "-._~".contains(c);
        if !challenge.chars().all(is_unreserved) {
            let msg = "code challenge can only contain alphanumeric characters, hyphens, periods, \
                       underscores and tildes";
            return Err(Refusal::validation(msg));
        }
        if !["s256", "plain"].contains(&method.as_str()) {
            return Err(Refusal::validation("code challenge method not supported"));
        }
        Ok(Some(Challenge { code_challenge: challenge, code_challenge_method: method }))
    }
}

impl Challenge {
    /// Whether a verifier matches the challenge.
    pub(super) fn is_answered_by(&self, verifier: &SecretString) -> bool {
        let verifier = verifier.expose_secret();
        if self.code_challenge_method == "plain" {
            return verifier == self.code_challenge;
        }
        BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(verifier)) == self.code_challenge
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn challenge(text: &str, method: &str) -> Option<Challenge> {
        let sent = SentChallenge {
            code_challenge: Some(text.to_owned()),
            code_challenge_method: Some(method.to_owned()),
        };
        sent.read().ok().flatten()
    }

    /// The example of RFC 7636, appendix B.
    #[test]
    fn a_verifier_answers_its_challenge_alone() {
        let verifier = SecretString::from("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
        let hashed = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
        let s256 = challenge(hashed, "S256").unwrap();
        assert!(s256.is_answered_by(&verifier) && !s256.is_answered_by(&hashed.into()));
        let plain = challenge(hashed, "plain").unwrap();
        assert!(plain.is_answered_by(&hashed.into()) && !plain.is_answered_by(&verifier));
    }

    #[test]
    fn challenges_of_another_form_are_refused() {
        assert!(challenge(&"a".repeat(43), "s256").is_some());
        assert!(challenge(&"a".repeat(128), "plain").is_some());
        for (text, method) in [
            ("a".repeat(42), "s256"),
            ("a".repeat(129), "s256"),
            ("a".repeat(42) + "+", "s256"),
            ("a".repeat(43), "s512"),
            ("a".repeat(43), ""),
            (String::new(), "s256"),
        ] {
            assert!(challenge(&text, method).is_none(), "{text} {method}");
        }
    }
}
