//! Which tokens are accepted, and which are not.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use futures::future::join_all;
use jsonwebtoken::{Algorithm, Header};
use serde_json::json;
use thread_store::auth::Mode;

use super::{Here, id, refused, unavailable};
use crate::support::jwt::{self, Key};
use crate::support::signer::{Signer, key_set, seconds_from_now};
use crate::support::supabase::Reply;

#[tokio::test]
async fn good_tokens_of_both_algorithms_are_accepted_and_nobody_is_asked() {
    let (ec, rsa) = (Signer::es256("ec"), Signer::rs256("rsa"));
    let here = Here::start(Mode::Jwks, key_set(&[&ec, &rsa])).await;
    for signer in [&ec, &rsa] {
        let sub = id();
        let holder = here.holder(&signer.sign(&here.claims(&sub, &json!({}))));
        let thread = holder.post("/threads", json!({})).await.expect(200);
        assert_eq!(thread["metadata"]["owner"], sub);
    }
    for changes in [
        json!({ "aud": ["somebody-else", "authenticated"] }),
        json!({ "nbf": seconds_from_now(-10) }),
        json!({ "nbf": seconds_from_now(2) }),
        json!({ "email": null, "role": null, "session_id": null }),
        json!({ "email": "", "is_anonymous": true }),
        json!({ "exp": seconds_from_now(60).to_string().parse::<f64>().unwrap() }),
    ] {
        let token = ec.sign(&here.claims(&id(), &changes));
        assert_eq!(here.knock(&token).await.status, 200, "{changes}");
    }
    assert_eq!((here.supabase.asked(), here.supabase.fetched()), (0, 1));
}

#[tokio::test]
async fn tokens_that_say_the_wrong_thing_are_refused() {
    for mode in [Mode::Jwks, Mode::JwksAndRemote] {
        let ec = Signer::es256("ec");
        let here = Here::start(mode, key_set(&[&ec])).await;
        for changes in [
            json!({ "exp": seconds_from_now(-1) }),
            json!({ "exp": null }),
            json!({ "nbf": seconds_from_now(60) }),
            json!({ "iss": "https://example.com/auth/v1" }),
            json!({ "iss": here.supabase.url }),
            json!({ "iss": format!("{}/auth/v1/", here.supabase.url) }),
            json!({ "iss": null }),
            json!({ "aud": "anon" }),
            json!({ "aud": ["a", "b"] }),
            json!({ "aud": [] }),
            json!({ "aud": "" }),
            json!({ "aud": null }),
            json!({ "sub": null }),
        ] {
            let token = ec.sign(&here.claims(&id(), &changes));
            refused(&here.knock(&token).await, &changes.to_string());
        }
        assert_eq!(here.supabase.asked(), 0, "{mode:?}: what is refused here is not asked about");
        assert_eq!(here.knock(&here.good(&ec)).await.status, 200);
    }
    let ec = Signer::es256("ec");
    let here = Here::start(Mode::Jwks, key_set(&[&ec])).await;
    for sub in ["", "ada", "7e0a5e0c-4b7f-4d0e-9a55", "null"] {
        refused(&here.knock(&ec.sign(&here.claims(sub, &json!({})))).await, sub);
    }
    let once = ec.sign(&here.claims(&id(), &json!({})));
    let parts: Vec<_> = once.split('.').collect();
    let other = BASE64_URL_SAFE_NO_PAD.encode(here.claims(&id(), &json!({})).to_string());
    let cut = &parts[2][..parts[2].len() - 4];
    for tampered in [
        format!("{}.{other}.{}", parts[0], parts[2]),
        format!("{}.{}.{cut}", parts[0], parts[1]),
        format!("{}.{}.", parts[0], parts[1]),
        format!("{}.{}.{}", parts[0], parts[1], "A".repeat(86)),
    ] {
        refused(&here.knock(&tampered).await, "tampered");
    }
    assert_eq!(here.knock(&once).await.status, 200);
}

#[tokio::test]
async fn the_algorithm_is_the_keys_and_not_the_tokens() {
    let (ec, rsa) = (Signer::es256("ec"), Signer::rs256("rsa"));
    for mode in [Mode::Jwks, Mode::JwksAndRemote] {
        let here = Here::start(mode, key_set(&[&ec, &rsa])).await;
        let claims = here.claims(&id(), &json!({}));
        let payload = BASE64_URL_SAFE_NO_PAD.encode(claims.to_string());
        let mut forged = Vec::new();
        for none in ["none", "None", "NONE", "", "HS256", "EdDSA", "ES256K"] {
            let header = json!({ "alg": none, "kid": "ec", "typ": "JWT" }).to_string();
            let header = BASE64_URL_SAFE_NO_PAD.encode(header);
            forged.push((format!("alg {none}, unsigned"), format!("{header}.{payload}.")));
            forged.push((format!("alg {none}, AAAA"), format!("{header}.{payload}.AAAA")));
        }
        // Everything public, used as a shared secret.
        for signer in [&ec, &rsa] {
            let public = signer.public();
            let text = |name: &str| public[name].as_str().unwrap_or_default().to_owned();
            let decoded =
                |name: &str| BASE64_URL_SAFE_NO_PAD.decode(text(name)).unwrap_or_default();
            for secret in [
                signer.pair.public_key_pem().into_bytes(),
                signer.pair.public_key_pem().trim().as_bytes().to_vec(),
                signer.pair.public_key_raw().to_vec(),
                public.to_string().into_bytes(),
                decoded("n"),
                decoded("x"),
                text("n").into_bytes(),
                text("x").into_bytes(),
                Vec::new(),
            ] {
                for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
                    let header = Header { kid: Some(signer.kid.clone()), ..Header::new(algorithm) };
                    let key = Key::Secret(secret.clone());
                    let token = jwt::encode(&header, &claims, &key);
                    forged.push((format!("{algorithm:?} with a public key"), token));
                }
            }
        }
        let named =
            |kid: &str, algorithm| Header { kid: Some(kid.to_owned()), ..Header::new(algorithm) };
        forged.extend([
            (
                "RS256 on the EC key's id".to_owned(),
                rsa.sign_as(&named("ec", Algorithm::RS256), &claims),
            ),
            (
                "ES256 on the RSA key's id".to_owned(),
                ec.sign_as(&named("rsa", Algorithm::ES256), &claims),
            ),
            ("RS512".to_owned(), rsa.sign_as(&named("rsa", Algorithm::RS512), &claims)),
            ("PS256".to_owned(), rsa.sign_as(&named("rsa", Algorithm::PS256), &claims)),
            ("another's key".to_owned(), Signer::es256("ec").sign(&claims)),
            ("no kid".to_owned(), ec.sign_as(&Header::new(Algorithm::ES256), &claims)),
            ("empty kid".to_owned(), ec.sign_as(&named("", Algorithm::ES256), &claims)),
            ("unknown kid".to_owned(), ec.sign_as(&named("EC", Algorithm::ES256), &claims)),
            ("a key of its own".to_owned(), {
                let own = Signer::es256("own");
                let jwk = serde_json::from_value(own.public()).unwrap();
                own.sign_as(&Header { jwk: Some(jwk), ..own.header() }, &claims)
            }),
            ("an address of its own".to_owned(), {
                let jku = Some(format!("{}/own/jwks.json", here.supabase.url));
                let own = Signer::es256("own");
                own.sign_as(&Header { jku, ..own.header() }, &claims)
            }),
        ]);
        for (name, token) in forged {
            refused(&here.knock(&token).await, &name);
        }
        assert_eq!(here.supabase.asked(), 0, "{mode:?}: junk does not reach Supabase");
        assert!(here.supabase.calls().iter().all(|call| call.path.starts_with("/auth/v1/")));
        assert!(here.supabase.fetched() <= 4, "{}", here.supabase.fetched());
        for signer in [&ec, &rsa] {
            assert_eq!(here.knock(&signer.sign(&claims)).await.status, 200);
        }
    }
}

#[tokio::test]
async fn a_cold_burst_fetches_the_set_once() {
    let ec = Signer::es256("ec");
    let slow = key_set(&[&ec]).after(Duration::from_millis(500));
    let here = Here::start(Mode::Jwks, slow).await;
    let tokens: Vec<_> = (0..30).map(|_| here.good(&ec)).collect();
    let answers = join_all(tokens.iter().map(|token| here.knock(token))).await;
    assert!(answers.iter().all(|answer| answer.status == 200));
    assert_eq!(here.supabase.fetched(), 1);
}

#[tokio::test]
async fn verification_here_goes_on_when_supabase_is_down_and_with_asking_it_does_not() {
    for mode in [Mode::Jwks, Mode::JwksAndRemote] {
        let ec = Signer::es256("ec");
        let here = Here::start(mode, key_set(&[&ec])).await;
        assert_eq!(here.knock(&here.good(&ec)).await.status, 200);
        here.supabase.stop().await;
        let answer = here.knock(&here.good(&ec)).await;
        match mode {
            Mode::Jwks => assert_eq!(answer.status, 200),
            _ => unavailable(&answer, "asked and down"),
        }
        // What is refused here stays a 401, and needs nobody.
        let expired = ec.sign(&here.claims(&id(), &json!({ "aud": "anon" })));
        refused(&here.knock(&expired).await, "wrong audience");
        here.supabase.start_again().await;
        assert_eq!(here.knock(&here.good(&ec)).await.status, 200);
    }
}

#[tokio::test]
async fn no_key_set_is_a_503_until_there_is_one() {
    let ec = Signer::es256("ec");
    for (name, fault) in [
        ("500", Reply::text(500, "text/plain", "")),
        ("404", Reply::text(404, "text/plain", "")),
        ("HTML", Reply::text(200, "text/html", "<html>")),
        ("no list", Reply::json(200, &json!({}))),
        ("2 MB", Reply::text(200, "application/json", " ".repeat(2_000_000))),
        ("redirect", Reply::text(302, "text/plain", "").with_header("location", "/keys")),
        ("reset", Reply::Reset),
    ] {
        let here = Here::start(Mode::Jwks, fault).await;
        let token = here.good(&ec);
        unavailable(&here.knock(&token).await, name);
        here.supabase.publish(key_set(&[&ec]));
        assert_eq!(here.knock(&token).await.status, 200, "{name}");
    }
}
