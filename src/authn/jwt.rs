//! The two JSON parts of an access token, parsed once and strictly.
//!
//! A token that is refused here is refused in every mode and before any network call (RFC 8725,
//! sections 2 and 3). Nothing is accepted here, because no signature has been checked.

use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::refusal::Reason;

/// Values of `typ` for an access token (RFC 9068, section 2.1). Most issuers write `JWT`, and some
/// write none.
const TYPES: [&str; 2] = ["jwt", "at+jwt"];

/// Header parameters that require processing which this verifier does not do: a critical extension,
/// and a payload that is not base64, compressed or encrypted. Such a token is refused, because the
/// parameter must not be ignored (RFC 7515 section 4.1.11, RFC 7797, RFC 7516).
const UNSUPPORTED: [&str; 4] = ["crit", "b64", "zip", "enc"];

/// The header and the claims of a token. They are not trusted before the signature is checked.
#[derive(Debug)]
pub(super) struct Jwt {
    /// Names the key and the algorithm.
    pub(super) header: Header,
    /// The claims.
    pub(super) claims: Claims,
}

/// The parts of a token's header that are used. Parameters that contain or reference a key (`jwk`,
/// `jku`, `x5u`, `x5c`) are not read at all.
#[derive(Debug)]
pub(super) struct Header {
    /// The algorithm that the token names. The key's own algorithm decides.
    pub(super) alg: String,
    /// The id of the key.
    pub(super) kid: Option<String>,
}

/// The claims of a token, each name once.
#[derive(Debug, Clone, Default)]
pub(super) struct Claims(Map<String, Value>);

impl Jwt {
    /// Parses the text of a token that has three parts.
    pub(super) fn parse(token: &str) -> Result<Jwt, Reason> {
        let mut parts = token.split('.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Reason::Malformed("it does not have three parts"));
        };
        if signature.is_empty() {
            return Err(Reason::Malformed("it has no signature"));
        }
        let header = Header::read(&object(header)?)?;
        let claims = Claims(object(payload)?);
        claims.check_types()?;
        Ok(Jwt { header, claims })
    }
}

/// Whether a text has the form of a JWT: three parts, the first a JSON object with `alg`.
pub(super) fn is_jwt(text: &str) -> bool {
    let mut parts = text.split('.');
    let header = parts.next().unwrap_or_default();
    parts.count() == 2 && object(header).is_ok_and(|header| header.contains_key("alg"))
}

impl Header {
    fn read(header: &Map<String, Value>) -> Result<Header, Reason> {
        let text = |name: &'static str| match header.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(Reason::Malformed("a header parameter is not a string")),
        };
        if let Some(name) = UNSUPPORTED.into_iter().find(|name| header.contains_key(*name)) {
            return Err(Reason::Extension(name));
        }
        let alg = text("alg")?.ok_or(Reason::Malformed("its header has no alg"))?;
        if alg.is_empty() || alg.eq_ignore_ascii_case("none") {
            return Err(Reason::Malformed("it is not signed"));
        }
        if let Some(typ) = text("typ")? {
            let lower = typ.to_ascii_lowercase();
            if !TYPES.contains(&lower.strip_prefix("application/").unwrap_or(&lower)) {
                return Err(Reason::Type(typ));
            }
        }
        // A nested token.
        if text("cty")?.is_some_and(|cty| cty.to_ascii_lowercase().ends_with("jwt")) {
            return Err(Reason::Extension("cty"));
        }
        Ok(Header { alg, kid: text("kid")? })
    }
}

impl Claims {
    /// A claim of any type.
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// A claim that is a string.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str)
    }

    /// A claim that is a time, in seconds since 1970.
    pub(super) fn seconds(&self, name: &str) -> Option<f64> {
        self.0.get(name).and_then(Value::as_number).and_then(Number::as_f64)
    }

    /// All of them.
    pub(super) fn all(&self) -> &Map<String, Value> {
        &self.0
    }

    /// The registered claims must have their types (RFC 7519, section 4.1); null counts as absent.
    /// The values are checked when the token is verified.
    fn check_types(&self) -> Result<(), Reason> {
        let is = |name: &str, kind: fn(&Value) -> bool| {
            self.0.get(name).is_none_or(|value| value.is_null() || kind(value))
        };
        if !["iss", "sub", "jti"].into_iter().all(|name| is(name, Value::is_string)) {
            return Err(Reason::Malformed("iss, sub or jti is not a string"));
        }
        if !["exp", "nbf", "iat"].into_iter().all(|name| is(name, Value::is_number)) {
            return Err(Reason::Malformed("exp, nbf or iat is not a number"));
        }
        if !is("aud", is_audience) {
            return Err(Reason::Malformed("aud is neither a string nor a list of strings"));
        }
        Ok(())
    }
}

fn is_audience(value: &Value) -> bool {
    value.is_string() || value.as_array().is_some_and(|all| all.iter().all(Value::is_string))
}

/// A base64url part that is a JSON object. Duplicate names are refused at any depth, because two
/// parsers could use different values (RFC 7519, section 4).
fn object(part: &str) -> Result<Map<String, Value>, Reason> {
    const NO_OBJECT: Reason = Reason::Malformed("a part is not a JSON object with unique names");
    let bytes = BASE64_URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| Reason::Malformed("a part is not base64url"))?;
    match serde_json::from_slice(&bytes) {
        Ok(Unique(Value::Object(object))) => Ok(object),
        _ => Err(NO_OBJECT),
    }
}

/// JSON without repeated names.
struct Unique(Value);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Unique, D::Error> {
        deserializer.deserialize_any(UniqueVisitor).map(Unique)
    }
}

struct UniqueVisitor;

impl<'de> Visitor<'de> for UniqueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without repeated names")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut all = Vec::new();
        while let Some(Unique(item)) = items.next_element()? {
            all.push(item);
        }
        Ok(all.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut all = Map::new();
        while let Some((name, Unique(value))) = entries.next_entry::<String, Unique>()? {
            if all.insert(name, value).is_some() {
                return Err(serde::de::Error::custom("a repeated name"));
            }
        }
        Ok(all.into())
    }
}

/// The strings of a JSON list, or the words of a JSON string.
pub(super) fn words(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::Array(items)) => {
            items.iter().filter_map(Value::as_str).map(str::to_owned).collect()
        }
        Some(Value::String(text)) => text.split_whitespace().map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn token(header: &str, payload: &str) -> String {
        let encode = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
        format!("{}.{}.c2ln", encode(header), encode(payload))
    }

    fn is_read(header: &str, payload: &str) -> bool {
        Jwt::parse(&token(header, payload)).is_ok()
    }

    const HEADER: &str = r#"{"alg":"ES256","kid":"1","typ":"JWT"}"#;

    #[test]
    fn claims_are_kept_as_the_token_has_them() {
        let claims =
            json!({ "sub": "s", "exp": 4_000_000_000_u64, "iat": 1, "x": [1.5, { "y": null }] });
        let jwt = Jwt::parse(&token(HEADER, &claims.to_string())).unwrap();
        assert_eq!(jwt.claims.all(), claims.as_object().unwrap());
        assert_eq!(jwt.claims.seconds("exp"), Some(4e9));
        assert_eq!((jwt.header.alg.as_str(), jwt.header.kid.as_deref()), ("ES256", Some("1")));
    }

    #[test]
    fn headers_that_ask_for_more_than_a_signature_are_refused() {
        for good in [
            HEADER,
            r#"{"alg":"HS256"}"#,
            r#"{"alg":"ES256","typ":"at+jwt"}"#,
            r#"{"alg":"ES256","typ":"application/AT+JWT"}"#,
            r#"{"alg":"ES256","jwk":7,"jku":"https://example.com","x5u":[],"x5c":null}"#,
        ] {
            assert!(is_read(good, "{}"), "{good}");
        }
        for bad in [
            "{}",
            "[]",
            "null",
            r#"{"alg":null}"#,
            r#"{"alg":""}"#,
            r#"{"alg":"none"}"#,
            r#"{"alg":"nOnE"}"#,
            r#"{"alg":["ES256"]}"#,
            r#"{"alg":"ES256","kid":1}"#,
            r#"{"alg":"ES256","kid":null}"#,
            r#"{"alg":"ES256","crit":[]}"#,
            r#"{"alg":"ES256","crit":["exp"],"exp":1}"#,
            r#"{"alg":"ES256","b64":false}"#,
            r#"{"alg":"ES256","zip":"DEF"}"#,
            r#"{"alg":"ES256","enc":"A128GCM"}"#,
            r#"{"alg":"ES256","cty":"JWT"}"#,
            r#"{"alg":"ES256","typ":"logout+jwt"}"#,
            r#"{"alg":"ES256","typ":"dpop+jwt"}"#,
            r#"{"alg":"ES256","typ":""}"#,
            r#"{"alg":"none","alg":"ES256"}"#,
            r#"{"alg":"ES256","kid":"1","kid":"1"}"#,
        ] {
            assert!(!is_read(bad, "{}"), "{bad}");
        }
    }

    #[test]
    fn payloads_that_two_parsers_could_read_in_two_ways_are_refused() {
        for good in ["{}", r#"{"aud":["a","b"],"exp":1.5e9,"iss":null}"#, r#"{"a":{"b":1},"b":1}"#]
        {
            assert!(is_read(HEADER, good), "{good}");
        }
        for bad in [
            "",
            "[]",
            "{} {}",
            r#"{"sub":"a","sub":"b"}"#,
            r#"{"sub":"a","s\u0075b":"b"}"#,
            r#"{"app_metadata":{"permissions":[],"permissions":["all"]}}"#,
            r#"{"list":[{"a":1,"a":1}]}"#,
            r#"{"sub":1}"#,
            r#"{"iss":["a"]}"#,
            r#"{"exp":"4000000000"}"#,
            r#"{"nbf":true}"#,
            r#"{"iat":[]}"#,
            r#"{"exp":1e999}"#,
            r#"{"aud":[1]}"#,
            r#"{"aud":{}}"#,
            r#"{"aud":["a",["b"]]}"#,
        ] {
            assert!(!is_read(HEADER, bad), "{bad}");
        }
        let good = token(HEADER, "{}");
        let (rest, _) = good.rsplit_once('.').unwrap();
        for bad in [format!("{rest}."), format!("{good}.e"), format!("{rest}=.c2ln"), "..".into()] {
            assert!(Jwt::parse(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_form_of_a_jwt_is_told_from_other_keys() {
        assert!(is_jwt(&token(HEADER, "{}")));
        for other in ["", "a.b.c", "lsv2_pt_0123456789abcdef_0123456789", "e30.e30.e30"] {
            assert!(!is_jwt(other), "{other}");
        }
        assert!(!is_jwt(&format!("{}.e30", token(HEADER, "{}"))));
    }

    proptest! {
        #[test]
        fn any_parts_are_read_without_a_panic(
            header in part(),
            payload in part(),
            signature in "[A-Za-z0-9_-]{0,8}",
        ) {
            let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
            let token = format!("{}.{}.{signature}", encode(&header), encode(&payload));
            if let Ok(jwt) = Jwt::parse(&token) {
                prop_assert!(!jwt.header.alg.is_empty() && !signature.is_empty());
                let sent = serde_json::from_slice::<Map<String, Value>>(&payload);
                prop_assert_eq!(&sent.unwrap(), jwt.claims.all());
                prop_assert!(jwt.claims.seconds("exp").is_none_or(f64::is_finite));
                prop_assert!(is_jwt(&token));
            }
        }
    }

    fn part() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            prop::collection::vec(any::<u8>(), 0..80),
            r#"\{("alg":("ES256"|"none"|1|null),)?("sub":("[a-z]{0,3}"|1|null),)?("exp":(-?[0-9]{1,30}|1e[0-9]{1,4}|null|"x"),)?"x":[\[\]{}0-9]{0,9}\}"#
                .prop_map(String::into_bytes),
        ]
    }
}
