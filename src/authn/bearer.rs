//! The access token of a request, parsed strictly from its headers.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::error::Error;
use super::jwt;

/// The header for `LangSmith` keys, in which some clients send their access token.
pub(crate) const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Maximum bytes of a token. A usual token has 700 to 1,000.
const MAX_TOKEN: usize = 16 * 1024;

const REFUSED: Error = Error::InvalidToken("The access token is not valid");

/// A token with the shape of a JWT. It is not verified yet.
#[derive(Clone)]
pub struct BearerToken(String);

impl BearerToken {
    /// Parses the one `Authorization` header: `Bearer`, in any case, and one token. Without that
    /// header a JWT in `x-api-key` is the token (D27); any other value of `x-api-key` counts as
    /// absent.
    ///
    /// No usable credentials are [`Error::Unauthenticated`] (D1); a token that cannot be a JWT is
    /// [`Error::InvalidToken`] (D2).
    pub fn from_headers(headers: &HeaderMap) -> Result<BearerToken, Error> {
        let mut values = headers.get_all(header::AUTHORIZATION).iter();
        let token = match (values.next(), values.next()) {
            (None, _) => of_api_key(headers).ok_or(Error::Unauthenticated(
                "Authorization header is missing: send `Authorization: Bearer <access token>`",
            ))?,
            (Some(value), None) => of_authorization(value)?,
            (Some(_), Some(_)) => {
                return Err(Error::Unauthenticated(
                    "More than one Authorization header was sent: send exactly one",
                ));
            }
        };
        if !has_shape(token) {
            return Err(REFUSED);
        }
        Ok(BearerToken(token.to_owned()))
    }

    /// The token itself.
    pub(super) fn text(&self) -> &str {
        &self.0
    }

    /// The header to send to another server, rebuilt from the parsed token. It is never `None`,
    /// because the characters of a token are valid in a header.
    pub(crate) fn to_header(&self) -> Option<HeaderValue> {
        let mut value = HeaderValue::try_from(format!("Bearer {}", self.0)).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

fn of_authorization(value: &HeaderValue) -> Result<&str, Error> {
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

/// SDKs put a `LangSmith` key from the environment into this header, so a value that is not a JWT
/// is not an attempt to sign in.
fn of_api_key(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(API_KEY).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    value.to_str().ok().map(str::trim_ascii).filter(|text| has_shape(text) && jwt::is_jwt(text))
}

fn has_shape(token: &str) -> bool {
    token.len() <= MAX_TOKEN
        && token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        && token.split('.').count() == 3
}

impl fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BearerToken(..)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `{"alg":"ES256"}.{}.AAAA`
    const JWT: &str = "eyJhbGciOiJFUzI1NiJ9.e30.AAAA";

    fn read(headers: &[(HeaderName, &str)]) -> Result<String, u16> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name, value.parse().unwrap());
        }
        BearerToken::from_headers(&map).map(|token| token.text().to_owned()).map_err(status_of)
    }

    /// The status that the client gets.
    fn status_of(error: Error) -> u16 {
        match error {
            Error::Unauthenticated(_) => 403,
            Error::InvalidToken(_) => 401,
            other => panic!("{other:?}"),
        }
    }

    fn status(values: &[&str]) -> u16 {
        let headers: Vec<_> = values.iter().map(|value| (header::AUTHORIZATION, *value)).collect();
        read(&headers).map_or_else(|status| status, |_| 200)
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
    fn a_jwt_as_api_key_is_the_token_and_anything_else_is_not_there() {
        assert_eq!(read(&[(API_KEY, JWT)]).as_deref(), Ok(JWT));
        assert_eq!(read(&[(API_KEY, &format!(" {JWT} "))]).as_deref(), Ok(JWT));
        let (bearer, long) = (format!("Bearer {JWT}"), format!("{JWT}{}", "A".repeat(MAX_TOKEN)));
        for other in ["", "lsv2_pt_0123456789abcdef", "a.b.c", "e30.e30.e30", &bearer, &long] {
            assert_eq!(read(&[(API_KEY, other)]), Err(403), "{other}");
        }
        assert_eq!(read(&[(API_KEY, JWT), (API_KEY, JWT)]), Err(403));
    }

    #[test]
    fn authorization_wins_over_an_api_key() {
        let both = |value| read(&[(API_KEY, JWT), (header::AUTHORIZATION, value)]);
        assert_eq!(both("Bearer a.b.c").as_deref(), Ok("a.b.c"));
        assert_eq!(both("Basic a.b.c"), Err(403));
        assert_eq!(both("Bearer x"), Err(401));
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
        fn any_header_is_read_without_a_panic(
            values in prop::collection::vec((any::<bool>(), header()), 0..3),
        ) {
            let mut headers = HeaderMap::new();
            for (is_api_key, value) in &values {
                if let Ok(value) = HeaderValue::from_bytes(value) {
                    let name = if *is_api_key { API_KEY } else { header::AUTHORIZATION };
                    headers.append(name, value);
                }
            }
            match BearerToken::from_headers(&headers) {
                Ok(token) => {
                    let sent = headers.values().filter_map(|value| value.to_str().ok());
                    prop_assert!(sent.into_iter().any(|value| value.contains(token.text())));
                    prop_assert_eq!(token.text().split('.').count(), 3);
                    prop_assert!(token.to_header().is_some());
                }
                Err(error) => prop_assert!([401, 403].contains(&status_of(error))),
            }
        }
    }
}
