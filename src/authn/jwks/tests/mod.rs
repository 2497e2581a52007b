//! The rules of RFC 8725 and RFC 9068, one row each. Every row is one change to a good token or to
//! a good key.

mod keys;

use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use futures::future::BoxFuture;
use http::{HeaderMap, header};
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use super::jwt::{self, Key};
use super::*;
use crate::authn::bearer::BearerToken;
use crate::authn::jwt::Jwt;
use crate::authn::token_cache::seconds_since_1970;

const ISSUER: &str = "https://issuer.example/auth/v1";
const AUDIENCE: &str = "authenticated";
const NO_KEYS: WithoutKeys = WithoutKeys::Misconfigured("no keys");

/// A key pair, and its public half as it is published.
struct Signer {
    algorithm: Algorithm,
    key: Key,
    public: Value,
}

impl Signer {
    fn es256(kid: &str) -> Signer {
        Signer::of(kid, Algorithm::ES256, Key::es256().0)
    }

    fn rs256(kid: &str) -> Signer {
        Signer::of(kid, Algorithm::RS256, Key::rs256().0)
    }

    fn of(kid: &str, algorithm: Algorithm, key: Key) -> Signer {
        let mut public = key.public();
        public["kid"] = kid.into();
        Signer { algorithm, key, public }
    }

    /// Signs any text as a header and any as a payload.
    fn sign_texts(&self, header: &str, payload: &str) -> String {
        jwt::sign_texts(header, payload, &self.key, self.algorithm)
    }

    fn sign(&self, header: &Value, payload: &Value) -> String {
        self.sign_texts(&header.to_string(), &payload.to_string())
    }

    fn header(&self) -> Value {
        json!({ "alg": self.algorithm, "kid": self.public["kid"], "typ": "JWT" })
    }
}

/// An issuer with these keys.
#[derive(Clone, Default)]
struct Published(Arc<Mutex<Vec<Value>>>, Arc<Mutex<usize>>);

impl Published {
    fn of(keys: Vec<Value>) -> Published {
        Published(Arc::new(Mutex::new(keys)), Arc::default())
    }

    fn jwks(&self, without_keys: WithoutKeys) -> Jwks {
        Jwks::new(
            self.clone(),
            ExpectedClaims {
                issuer: Claim::Exactly(ISSUER.to_owned()),
                issuer_setting: "SUPABASE_JWT_ISSUER",
                audience: AUDIENCE.to_owned(),
            },
            without_keys,
        )
    }

    fn fetches(&self) -> usize {
        *self.1.lock().unwrap()
    }
}

impl KeySource for Published {
    fn fetch(&self) -> BoxFuture<'_, Result<Fetched, String>> {
        *self.1.lock().unwrap() += 1;
        let set = serde_json::from_value(json!({ "keys": *self.0.lock().unwrap() })).unwrap();
        Box::pin(async { Ok(Fetched { set, age: Duration::ZERO }) })
    }
}

/// The claims of a good token with some changes. A null removes a claim.
fn claims(changes: &Value) -> Value {
    let now = seconds_since_1970().round();
    let mut claims = json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": "7e0a5e0c-4b7f-4d0e-9a55-2f3f4b1f0001",
        "iat": now, "exp": now + 3600.0,
    });
    changed(&mut claims, changes);
    claims
}

fn changed(object: &mut Value, changes: &Value) {
    for (name, value) in changes.as_object().unwrap() {
        object[name] = value.clone();
    }
    object.as_object_mut().unwrap().retain(|_, value| !value.is_null());
}

/// What becomes of a token: accepted, refused, or left to others.
async fn verdict(jwks: &Jwks, text: &str) -> &'static str {
    let mut headers = HeaderMap::new();
    headers.insert(header::AUTHORIZATION, format!("Bearer {text}").parse().unwrap());
    let Ok(bearer) = BearerToken::from_headers(&headers) else { return "refused" };
    let Ok(jwt) = Jwt::parse(bearer.text()) else { return "refused" };
    match jwks.verify(&Token { text: bearer, jwt }).await {
        Ok(_) => "accepted",
        Err(Unverified::Refused(_)) => "refused",
        Err(Unverified::Unjudged(Refusal::Misconfigured(_))) => "misconfigured",
        Err(Unverified::Unjudged(_)) => "open",
    }
}

#[tokio::test(start_paused = true)]
async fn claims_are_checked_row_by_row() {
    let signer = Signer::es256("1");
    let jwks = Published::of(vec![signer.public.clone()]).jwks(NO_KEYS);
    let now = seconds_since_1970();
    let long = "s".repeat(256);
    for (changes, expected) in [
        (json!({}), "accepted"),
        // exp: required, ahead, without leeway.
        (json!({ "exp": null }), "refused"),
        (json!({ "exp": now - 1.0 }), "refused"),
        (json!({ "exp": -1 }), "refused"),
        (json!({ "exp": "4000000000" }), "refused"),
        (json!({ "exp": 1e300 }), "accepted"),
        (json!({ "exp": now + 60.5 }), "accepted"),
        // nbf and iat: not ahead, with 30 seconds of leeway.
        (json!({ "nbf": now + 20.0 }), "accepted"),
        (json!({ "nbf": now + 60.0 }), "refused"),
        (json!({ "nbf": true }), "refused"),
        (json!({ "nbf": 1e300 }), "refused"),
        (json!({ "iat": null }), "accepted"),
        (json!({ "iat": now + 20.0 }), "accepted"),
        (json!({ "iat": now + 60.0 }), "refused"),
        (json!({ "iat": "now" }), "refused"),
        // iss: exactly one.
        (json!({ "iss": null }), "refused"),
        (json!({ "iss": "" }), "refused"),
        (json!({ "iss": format!("{ISSUER}/") }), "refused"),
        (json!({ "iss": ISSUER.to_uppercase() }), "refused"),
        (json!({ "iss": [ISSUER] }), "refused"),
        (json!({ "iss": { "iss": ISSUER } }), "refused"),
        // aud: ours among them.
        (json!({ "aud": [AUDIENCE] }), "accepted"),
        (json!({ "aud": ["other", AUDIENCE] }), "accepted"),
        (json!({ "aud": null }), "refused"),
        (json!({ "aud": "" }), "refused"),
        (json!({ "aud": [] }), "refused"),
        (json!({ "aud": "other" }), "refused"),
        (json!({ "aud": format!("{AUDIENCE} other") }), "refused"),
        (json!({ "aud": [AUDIENCE, 1] }), "refused"),
        (json!({ "aud": [[AUDIENCE]] }), "refused"),
        (json!({ "aud": { AUDIENCE: true } }), "refused"),
        // sub: a name.
        (json!({ "sub": "x" }), "accepted"),
        (json!({ "sub": null }), "refused"),
        (json!({ "sub": "" }), "refused"),
        (json!({ "sub": " " }), "refused"),
        (json!({ "sub": 7 }), "refused"),
        (json!({ "sub": ["x"] }), "refused"),
        (json!({ "sub": "a\u{0}b" }), "refused"),
        (json!({ "sub": long }), "refused"),
        // A `typ` in the payload is not the type of the token.
        (json!({ "typ": "Bearer", "jti": "1", "extra": { "a": [1] } }), "accepted"),
        (json!({ "jti": 1 }), "refused"),
    ] {
        let token = signer.sign(&signer.header(), &claims(&changes));
        assert_eq!(verdict(&jwks, &token).await, expected, "{changes}");
    }
}

#[tokio::test(start_paused = true)]
async fn headers_are_checked_row_by_row() {
    let signer = Signer::es256("1");
    let jwks = Published::of(vec![signer.public.clone()]).jwks(NO_KEYS);
    let own = Signer::es256("own");
    for (changes, expected) in [
        (json!({}), "accepted"),
        (json!({ "typ": null }), "accepted"),
        (json!({ "typ": "at+jwt" }), "accepted"),
        (json!({ "typ": "application/at+jwt" }), "accepted"),
        (json!({ "typ": "jwt" }), "accepted"),
        (json!({ "typ": "dpop+jwt" }), "refused"),
        (json!({ "typ": "logout+jwt" }), "refused"),
        (json!({ "typ": 1 }), "refused"),
        (json!({ "cty": "JWT" }), "refused"),
        (json!({ "crit": ["exp"] }), "refused"),
        (json!({ "crit": [] }), "refused"),
        (json!({ "b64": false, "crit": ["b64"] }), "refused"),
        (json!({ "zip": "DEF" }), "refused"),
        (json!({ "enc": "A128GCM" }), "refused"),
        (json!({ "kid": null }), "refused"),
        (json!({ "kid": "" }), "refused"),
        (json!({ "kid": 1 }), "refused"),
        (json!({ "kid": "01" }), "refused"),
        (json!({ "alg": null }), "refused"),
        (json!({ "alg": "none" }), "refused"),
        (json!({ "alg": "NonE" }), "refused"),
        (json!({ "alg": "RS256" }), "refused"),
        (json!({ "alg": "HS256" }), "refused"),
        (json!({ "alg": "ES384" }), "refused"),
        (json!({ "alg": "es256" }), "refused"),
        // Keys that the token brings along are ignored.
        (json!({ "jwk": own.public, "jku": "https://evil.example/jwks", "x5u": 7 }), "accepted"),
        (json!({ "kid": "own", "jwk": own.public }), "refused"),
    ] {
        let mut header = signer.header();
        changed(&mut header, &changes);
        let token = signer.sign(&header, &claims(&json!({})));
        assert_eq!(verdict(&jwks, &token).await, expected, "{changes}");
    }
    let mut header = own.header();
    header["kid"] = "1".into();
    header["jwk"] = own.public.clone();
    header["jku"] = "https://evil.example/jwks".into();
    header["x5c"] = json!(["AAAA"]);
    let token = own.sign(&header, &claims(&json!({})));
    assert_eq!(verdict(&jwks, &token).await, "refused", "signed with a key of its own");
}

#[tokio::test(start_paused = true)]
async fn texts_are_checked_row_by_row() {
    let signer = Signer::es256("1");
    let jwks = Published::of(vec![signer.public.clone()]).jwks(NO_KEYS);
    let (header, payload) = (signer.header().to_string(), claims(&json!({})).to_string());
    let with = |text: &str, more: &str| text.replacen('{', &format!("{{{more},"), 1);
    let good = signer.sign_texts(&header, &payload);
    let (message, signature) = good.rsplit_once('.').unwrap();
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(signature).unwrap();
    let zeros = BASE64_URL_SAFE_NO_PAD.encode([0; 64]);
    let swapped = BASE64_URL_SAFE_NO_PAD.encode([&bytes[32..], &bytes[..32]].concat());
    assert_eq!(verdict(&jwks, &good).await, "accepted");
    for (name, token) in [
        ("alg twice", signer.sign_texts(&with(&header, r#""alg":"none""#), &payload)),
        ("kid twice", signer.sign_texts(&with(&header, r#""kid":"2""#), &payload)),
        ("sub twice", signer.sign_texts(&header, &with(&payload, r#""sub":"other""#))),
        ("escaped twin", signer.sign_texts(&header, &with(&payload, r#""s\u0075b":"other""#))),
        ("deep twin", signer.sign_texts(&header, &with(&payload, r#""a":{"b":1,"b":2}"#))),
        ("payload is a list", signer.sign_texts(&header, &format!("[{payload}]"))),
        ("payload is text", signer.sign_texts(&header, "\"text\"")),
        ("payload goes on", signer.sign_texts(&header, &format!("{payload}{{}}"))),
        ("nested token", signer.sign_texts(&header, &good)),
        ("no signature", format!("{message}.")),
        ("zero signature", format!("{message}.{zeros}")),
        ("halves swapped", format!("{message}.{swapped}")),
        ("cut signature", format!("{message}.{}", &signature[..signature.len() - 4])),
        ("padded signature", format!("{message}.{signature}==")),
        ("five parts", format!("{good}.{signature}.{signature}")),
        ("too long", format!("{message}.{}", "A".repeat(16 * 1024))),
        ("another's", Signer::es256("1").sign_texts(&header, &payload)),
        ("wrong payload", {
            let other = signer.sign_texts(&header, &claims(&json!({ "sub": "b" })).to_string());
            format!("{}.{signature}", other.rsplit_once('.').unwrap().0)
        }),
    ] {
        assert_eq!(verdict(&jwks, &token).await, "refused", "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_keys_cannot_judge_is_left_to_others_and_forgeries_are_not() {
    let signer = Signer::es256("1");
    let secret = Signer::of("shared", Algorithm::HS256, Key::Secret(b"a shared secret".to_vec()));
    let published = Published::of(vec![signer.public.clone()]);
    let elsewhere = published.jwks(WithoutKeys::AskedElsewhere("no keys"));
    let alone = published.jwks(NO_KEYS);
    for jwks in [&elsewhere, &alone] {
        jwks.fetch().await;
    }
    let claims = claims(&json!({}));
    let named = |alg: &str, kid: Value| {
        let mut header = json!({ "alg": alg, "kid": kid });
        changed(&mut header, &json!({}));
        secret.sign(&header, &claims)
    };
    for (token, judged_alone) in [
        (named("HS256", Value::Null), "refused"),
        (named("HS256", "shared".into()), "refused"),
        (named("HS512", Value::Null), "refused"),
        (named("EdDSA", "2".into()), "refused"),
        (named("new", Value::Null), "refused"),
    ] {
        assert_eq!(verdict(&elsewhere, &token).await, "open");
        assert_eq!(verdict(&alone, &token).await, judged_alone);
    }
    for alg in ["HS256", "HS384", "EdDSA", "new"] {
        let token = named(alg, "1".into());
        assert_eq!(verdict(&elsewhere, &token).await, "refused", "{alg} on another's key");
    }
    // Without keys every token is left to others, or to the operator.
    let empty = Published::default();
    for token in [named("HS256", Value::Null), signer.sign(&signer.header(), &claims)] {
        let elsewhere = empty.jwks(WithoutKeys::AskedElsewhere("no keys"));
        assert_eq!(verdict(&elsewhere, &token).await, "open");
        assert_eq!(verdict(&empty.jwks(NO_KEYS), &token).await, "misconfigured");
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_with_the_wrong_claims_causes_no_fetch() {
    let signer = Signer::es256("1");
    let published = Published::of(vec![signer.public.clone()]);
    let jwks = published.jwks(NO_KEYS);
    for changes in [
        json!({ "iss": "https://other" }),
        json!({ "aud": "other" }),
        json!({ "exp": 1 }),
        json!({ "sub": null }),
    ] {
        let junk = Signer::es256("junk");
        assert_eq!(verdict(&jwks, &junk.sign(&junk.header(), &claims(&changes))).await, "refused");
    }
    assert_eq!(published.fetches(), 0);
}

#[tokio::test(start_paused = true)]
async fn tokens_without_an_issuer_are_taken_where_that_is_expected_and_no_others_are() {
    let signer = Signer::es256("1");
    let expected = ExpectedClaims {
        issuer: Claim::Absent,
        issuer_setting: "SUPABASE_JWT_ISSUER",
        audience: AUDIENCE.to_owned(),
    };
    let jwks = Jwks::new(Published::of(vec![signer.public.clone()]), expected, NO_KEYS);
    for (changes, verdict_of) in [
        (json!({ "iss": null }), "accepted"),
        (json!({}), "refused"),
        (json!({ "iss": "" }), "refused"),
        (json!({ "iss": "none" }), "refused"),
    ] {
        let token = signer.sign(&signer.header(), &claims(&changes));
        assert_eq!(verdict(&jwks, &token).await, verdict_of, "{changes}");
    }
}
