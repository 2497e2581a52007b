//! The checks of an access token's claims.

use serde_json::Value;

use crate::authn::jwt::Claims;
use crate::authn::refusal::Reason;
use crate::authn::token_cache::seconds_since_1970;

/// Tolerance for an issuer's clock that is ahead of this machine's, in seconds. `exp` has no
/// tolerance: with a clock that is behind, this machine already accepts tokens for too long.
pub(super) const LEEWAY: f64 = 30.0;

/// Maximum bytes of `sub` (OpenID Connect Core 1.0, section 2).
const MAX_SUB: usize = 255;

/// A requirement for a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::authn) enum Claim {
    /// Exactly this text.
    Exactly(String),
    /// Tokens that have the claim are refused.
    Absent,
}

/// The claims that an issuer's tokens must have.
#[derive(Debug)]
pub(in crate::authn) struct ExpectedClaims {
    /// The claim `iss`.
    pub(in crate::authn) issuer: Claim,
    /// The name of the setting for the issuer, for the log.
    pub(in crate::authn) issuer_setting: &'static str,
    /// The text that must be `aud` or one of its values.
    pub(in crate::authn) audience: String,
}

impl ExpectedClaims {
    /// Checks everything except the signature. Issuer and audience come first, because their errors
    /// help an operator most.
    pub(super) fn check(&self, claims: &Claims) -> Result<(), Reason> {
        self.check_issuer(claims)?;
        self.check_audience(claims)?;
        check_times(claims)?;
        check_subject(claims)
    }

    fn check_issuer(&self, claims: &Claims) -> Result<(), Reason> {
        let expected = match &self.issuer {
            Claim::Exactly(issuer) => Some(issuer.as_str()),
            Claim::Absent => None,
        };
        let found = claims.text("iss");
        if found == expected {
            return Ok(());
        }
        let (found, expected) = (found.map(str::to_owned), expected.map(str::to_owned));
        Err(Reason::Issuer { found, expected, setting: self.issuer_setting })
    }

    fn check_audience(&self, claims: &Claims) -> Result<(), Reason> {
        let found = claims.get("aud");
        let is_ours = match found {
            Some(Value::String(one)) => *one == self.audience,
            Some(Value::Array(all)) => all.iter().any(|one| *one == self.audience),
            _ => false,
        };
        if is_ours {
            return Ok(());
        }
        let found = found.map_or_else(|| "none".to_owned(), Value::to_string);
        Err(Reason::Audience { found, expected: self.audience.clone() })
    }
}

fn check_times(claims: &Claims) -> Result<(), Reason> {
    let now = seconds_since_1970();
    let exp = claims.seconds("exp").ok_or(Reason::NoEnd)?;
    if exp <= now {
        return Err(Reason::Expired);
    }
    if claims.seconds("nbf").is_some_and(|nbf| nbf > now + LEEWAY) {
        return Err(Reason::NotYetValid);
    }
    if claims.seconds("iat").is_some_and(|iat| iat > now + LEEWAY) {
        return Err(Reason::IssuedInFuture);
    }
    Ok(())
}

/// The subject becomes the owner of threads, so it must be a name that can be stored and displayed.
fn check_subject(claims: &Claims) -> Result<(), Reason> {
    let sub = claims.text("sub").unwrap_or_default();
    let is_name =
        !sub.trim().is_empty() && sub.len() <= MAX_SUB && !sub.chars().any(char::is_control);
    if is_name { Ok(()) } else { Err(Reason::Subject) }
}
