//! The `Authorization` header, read strictly.

use std::fmt;

use axum::http::{HeaderMap, HeaderValue, header};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Map, Number, Value};

use crate::error::Error;

/// Longest token that is looked at, in bytes. A usual one has 700 to 1,000.
const MAX_TOKEN: usize = 16 * 1024;

const REFUSED: Error = Error::InvalidToken("The access token is not valid");

/// A token with the shape of a JWT. Nothing about it is verified yet.
#[derive(Clone)]
pub struct BearerToken(String);

/// The claims that are looked at before a token is sent to the auth server. They can only
/// refuse a token, never accept one.
#[derive(Deserialize)]
pub(super) struct UnverifiedClaims {
    /// Whom the token speaks for.
    #[serde(default)]
    pub(super) sub: Option<String>,
    /// When it ends, in seconds since 1970.
    #[serde(default)]
    exp: Option<Number>,
    /// All the others.
    #[serde(flatten)]
    pub(super) others: Map<String, Value>,
}

impl UnverifiedClaims {
    /// When the token ends, in seconds since 1970.
    pub(super) fn exp(&self) -> Option<f64> {
        self.exp.as_ref().and_then(Number::as_f64)
    }

    /// The whole set.
    pub(super) fn all(&self) -> Map<String, Value> {
        let mut all = self.others.clone();
        all.extend(self.sub.clone().map(|sub| ("sub".to_owned(), sub.into())));
        all.extend(self.exp.clone().map(|exp| ("exp".to_owned(), exp.into())));
        all
    }
}

impl BearerToken {
    /// Reads the one `Authorization` header: `Bearer`, in any case, and one token.
    ///
    /// Anything else is [`Error::Unauthenticated`] (`DECISIONS.md` D1); a token that cannot be
    /// a JWT is [`Error::InvalidToken`] (D2).
    pub fn from_headers(headers: &HeaderMap) -> Result<BearerToken, Error> {
        let mut values = headers.get_all(header::AUTHORIZATION).iter();
        let value = match (values.next(), values.next()) {
            (None, _) => {
                return Err(Error::Unauthenticated(
                    "Authorization header is missing: send `Authorization: Bearer <access token>`",
                ));
            }
            (Some(value), None) => value,
            (Some(_), Some(_)) => {
                return Err(Error::Unauthenticated(
                    "More than one Authorization header was sent: send exactly one",
                ));
            }
        };
        let token = token_of(value)?;
        let is_jwt_text =
            token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        if token.len() > MAX_TOKEN || !is_jwt_text || token.split('.').count() != 3 {
            return Err(REFUSED);
        }
        Ok(BearerToken(token.to_owned()))
    }

    /// The token itself.
    pub(super) fn text(&self) -> &str {
        &self.0
    }

    /// What the token says of itself.
    pub(super) fn unverified_claims(&self) -> Result<UnverifiedClaims, Error> {
        let payload = self.0.split('.').nth(1).ok_or(REFUSED)?;
        let payload = BASE64_URL_SAFE_NO_PAD.decode(payload).map_err(|_| REFUSED)?;
        serde_json::from_slice(&payload).map_err(|_| REFUSED)
    }

    /// The header to send to the auth server, rebuilt from the parsed token. `None`: never, for
    /// the characters of a token are those of a header.
    pub(super) fn to_header(&self) -> Option<HeaderValue> {
        let mut value = HeaderValue::try_from(format!("Bearer {}", self.0)).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

fn token_of(value: &HeaderValue) -> Result<&str, Error> {
    let text = value.to_str().map_err(|_| REFUSED)?;
    let mut words = text.split_ascii_whitespace();
    match (words.next(), words.next(), words.next()) {
        (Some(scheme), Some(token), None) if scheme.eq_ignore_ascii_case("bearer") => Ok(token),
        (Some(scheme), _, _) if !scheme.eq_ignore_ascii_case("bearer") => {
            Err(Error::Unauthenticated(
                "Authorization scheme is not Bearer: send `Authorization: Bearer <access token>`",
            ))
        }
        _ => Err(Error::Unauthenticated(
            "Authorization header is malformed: send `Authorization: Bearer <access token>`",
        )),
    }
}

impl fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BearerToken(..)")
    }
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use axum::response::IntoResponse;
    use proptest::prelude::*;

    use super::*;

    fn status(values: &[&str]) -> u16 {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, value.parse().unwrap());
        }
        match BearerToken::from_headers(&headers) {
            Ok(_) => StatusCode::OK.as_u16(),
            Err(error) => error.into_response().status().as_u16(),
        }
    }

    #[test]
    fn takes_bearer_in_any_case_and_any_white_space_before_the_token() {
        for value in ["Bearer a.b.c", "bearer a.b.c", "BEARER \t a.b.c"] {
            assert_eq!(status(&[value]), 200, "{value}");
        }
    }

    #[test]
    fn no_usable_credentials_is_403() {
        assert_eq!(status(&[]), 403);
        for value in ["", " ", "Bearer", "a.b.c", "Basic a.b.c", "Token a.b.c", "Bearer a.b.c d"] {
            assert_eq!(status(&[value]), 403, "{value}");
        }
        assert_eq!(status(&["Bearer a.b.c", "Bearer a.b.c"]), 403);
    }

    #[test]
    fn a_token_that_cannot_be_a_jwt_is_401() {
        let long = format!("Bearer {}.b.c", "a".repeat(MAX_TOKEN));
        for value in ["Bearer x", "Bearer a.b", "Bearer a.b.c.d", "Bearer a.b.c!", &long] {
            assert_eq!(status(&[value]), 401, "{value}");
        }
    }

    #[test]
    fn claims_are_kept_as_the_token_has_them() {
        let claims =
            serde_json::json!({ "sub": "s", "exp": 4_000_000_000_u64, "iat": 1, "x": [1.5] });
        let payload = BASE64_URL_SAFE_NO_PAD.encode(claims.to_string());
        let token = BearerToken(format!("a.{payload}.c"));
        let read = token.unverified_claims().unwrap();
        assert_eq!(Value::from(read.all()), claims);
        assert_eq!(read.exp(), Some(4e9));
    }

    #[test]
    fn debug_output_hides_the_token() {
        assert_eq!(format!("{:?}", BearerToken("a.b.c".into())), "BearerToken(..)");
    }

    /// Headers that are nearly right, and others.
    fn header() -> impl Strategy<Value = Vec<u8>> {
        let near = "(Bearer|bearer|Basic|)[ \t]{0,2}[A-Za-z0-9_-]{0,20}([.][A-Za-z0-9_=!-]{0,20}){0,3}[ ]?[a-z]?";
        prop_oneof![near.prop_map(String::into_bytes), prop::collection::vec(any::<u8>(), 0..80)]
    }

    proptest! {
        #[test]
        fn any_header_is_read_without_a_panic(values in prop::collection::vec(header(), 0..3)) {
            let mut headers = HeaderMap::new();
            for value in values.iter().filter_map(|value| HeaderValue::from_bytes(value).ok()) {
                headers.append(header::AUTHORIZATION, value);
            }
            match BearerToken::from_headers(&headers) {
                Ok(token) => {
                    prop_assert_eq!(headers.len(), 1);
                    prop_assert_eq!(token.text().split('.').count(), 3);
                    prop_assert!(token.to_header().is_some());
                    let _ = token.unverified_claims().map(|claims| (claims.exp(), claims.all()));
                }
                Err(error) => {
                    let status = error.into_response().status();
                    prop_assert!([StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN].contains(&status));
                }
            }
        }

        #[test]
        fn any_claims_are_read_without_a_panic(payload in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..80),
            r#"\{("sub":("[a-z]{0,3}"|1|null),)?("exp":(-?[0-9]{1,30}|1e[0-9]{1,4}|null|"x"),)?"x":[\[\]{}0-9]{0,9}\}"#
                .prop_map(String::into_bytes),
        ]) {
            let token = BearerToken(format!("a.{}.c", BASE64_URL_SAFE_NO_PAD.encode(&payload)));
            if let Ok(claims) = token.unverified_claims() {
                prop_assert!(serde_json::from_slice::<Value>(&payload).is_ok_and(|sent| sent.is_object()));
                prop_assert!(claims.exp().is_none_or(f64::is_finite));
            }
        }
    }
}
