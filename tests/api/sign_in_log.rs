//! What the log tells operators about a sign-in that does not work, and how often.

use serde_json::json;

use crate::raw::until;
use crate::support::postgres::test_cluster;
use crate::support::program::Program;
use crate::support::signer::{Signer, key_set, seconds_from_now};
use crate::support::supabase::{Reply, Supabase};

/// The program with these settings, and a database.
async fn start(settings: &[(&'static str, &str)]) -> Program {
    let mut all = vec![("DATABASE_URL", test_cluster().await.database_url().await)];
    all.extend(settings.iter().map(|(name, value)| (*name, (*value).to_owned())));
    let start = move || {
        let all: Vec<_> = all.iter().map(|(name, value)| (*name, value.as_str())).collect();
        Program::start(&all)
    };
    tokio::task::spawn_blocking(start).await.unwrap()
}

async fn stop(program: Program) -> String {
    tokio::task::spawn_blocking(move || program.stop()).await.unwrap()
}

async fn knock(program: &Program, token: &str) -> u16 {
    let request = thread_store::http_client::builder()
        .build()
        .unwrap()
        .post(format!("{}/threads/count", program.url))
        .bearer_auth(token);
    request.json(&json!({})).send().await.unwrap().status().as_u16()
}

fn lines<'a>(output: &'a str, text: &str) -> Vec<&'a str> {
    output.lines().filter(|line| line.contains(text)).collect()
}

#[tokio::test]
async fn plain_http_to_the_sign_in_is_a_warning_unless_it_stays_near() {
    let audience = ("OIDC_AUDIENCE", "threads");
    for (settings, warning) in [
        (vec![("OIDC_ISSUER", "http://issuer.example.com"), audience], "OIDC_ISSUER is plain http"),
        (vec![("SUPABASE_URL", "http://10.1.2.3")], "SUPABASE_URL is plain http"),
        (vec![("SUPABASE_URL", "http://supabase.example.com")], "SUPABASE_URL is plain http"),
        (vec![("OIDC_ISSUER", "http://127.0.0.1:1"), audience], ""),
        (vec![("OIDC_ISSUER", "https://issuer.invalid"), audience], ""),
        (vec![("SUPABASE_URL", "http://gateway:1")], ""),
        (vec![("SUPABASE_URL", "http://localhost:1")], ""),
        (vec![("SUPABASE_URL", "https://10.1.2.3")], ""),
    ] {
        let output = stop(start(&settings).await).await;
        let found = lines(&output, "is plain http");
        if warning.is_empty() {
            assert!(found.is_empty(), "{settings:?}: {output}");
        } else {
            assert!(found.len() == 1 && found[0].contains("WARN"), "{settings:?}: {output}");
            assert!(found[0].contains(warning), "{settings:?}: {output}");
        }
    }
}

#[tokio::test]
async fn keys_that_a_project_does_not_have_are_a_warning_at_the_start_and_one_a_minute() {
    let supabase = Supabase::start().await;
    supabase.publish(Reply::json(200, &json!({ "keys": [] })));
    let settings = |mode| [("SUPABASE_URL", supabase.url.as_str()), ("SUPABASE_AUTH_MODE", mode)];
    let program = start(&settings("jwks")).await;
    until(async || (supabase.fetched() > 0).then_some(())).await;
    let token = crate::support::supabase::token();
    for _ in 0..50 {
        assert_eq!(knock(&program, &token).await, 503);
    }
    let output = stop(program).await;
    let warnings = lines(&output, "publishes no ES256 or RS256 key");
    // One at the start, and one for the first minute of requests.
    assert_eq!(warnings.len(), 2, "{output}");
    for warning in warnings {
        assert!(warning.contains("WARN"), "{warning}");
        assert!(warning.contains("SUPABASE_AUTH_MODE=jwks"), "{warning}");
        assert!(warning.contains("Set SUPABASE_AUTH_MODE=remote"), "{warning}");
    }
    assert_eq!(lines(&output, "request failed").len(), 0, "{output}");

    let program = start(&settings("jwks+remote")).await;
    for _ in 0..50 {
        assert_eq!(knock(&program, &token).await, 200);
    }
    let output = stop(program).await;
    assert_eq!(lines(&output, "publishes no ES256 or RS256 key").len(), 1, "{output}");
    assert_eq!(lines(&output, "WARN").len(), 2, "both missing API keys: {output}");
}

#[tokio::test]
async fn the_issuer_that_tokens_must_name_can_be_set() {
    let supabase = Supabase::start().await;
    let ec = Signer::es256("ec");
    supabase.publish(key_set(&[&ec]));
    let token = |issuer: Option<&str>| {
        let mut claims = json!({
            "aud": "authenticated", "sub": uuid::Uuid::new_v4(), "exp": seconds_from_now(60),
        });
        if let Some(issuer) = issuer {
            claims["iss"] = issuer.into();
        }
        ec.sign(&claims)
    };
    let own = format!("{}/auth/v1", supabase.url);
    let public = "http://localhost:8000/auth/v1";
    for (set, accepted, refused) in [
        ("", Some(own.as_str()), [Some(public), None]),
        (public, Some(public), [Some(own.as_str()), None]),
        ("none", None, [Some(public), Some("none")]),
    ] {
        for mode in ["jwks", "jwks+remote"] {
            let settings = [
                ("SUPABASE_URL", supabase.url.as_str()),
                ("SUPABASE_AUTH_MODE", mode),
                ("SUPABASE_JWT_ISSUER", set),
            ];
            let program = start(&settings).await;
            assert_eq!(knock(&program, &token(accepted)).await, 200, "{mode} {set:?}");
            for issuer in refused {
                assert_eq!(knock(&program, &token(issuer)).await, 401, "{mode} {set:?} {issuer:?}");
            }
            stop(program).await;
        }
    }
}

#[tokio::test]
async fn each_reason_for_a_refusal_is_one_line_a_minute_and_shows_no_token() {
    let supabase = Supabase::start().await;
    let ec = Signer::es256("ec");
    supabase.publish(key_set(&[&ec]));
    let settings = [("SUPABASE_URL", supabase.url.as_str()), ("SUPABASE_AUTH_MODE", "jwks")];
    let program = start(&settings).await;
    let own = format!("{}/auth/v1", supabase.url);
    let long = "x".repeat(5000);
    let claims = |changes: &[(&str, serde_json::Value)]| {
        let mut claims = json!({
            "iss": own, "aud": "authenticated", "sub": uuid::Uuid::new_v4(),
            "exp": seconds_from_now(60), "email": "m4rk@example.com",
        });
        for (name, value) in changes {
            claims[*name] = value.clone();
        }
        claims
    };
    let mut tokens = Vec::new();
    for _ in 0..10 {
        tokens.push(ec.sign(&claims(&[("iss", "http://localhost:8000/auth/v1".into())])));
        tokens.push(ec.sign(&claims(&[("aud", long.as_str().into())])));
        tokens.push(ec.sign(&claims(&[("exp", seconds_from_now(-5).into())])));
        tokens.push(Signer::es256("ec").sign(&claims(&[])));
        tokens.push(Signer::es256(&long).sign(&claims(&[])));
    }
    for token in &tokens {
        assert_eq!(knock(&program, token).await, 401);
    }
    let output = stop(program).await;
    for (reason, rest) in [
        ("its issuer is \"http://localhost:8000/auth/v1\"", "check SUPABASE_JWT_ISSUER"),
        ("its audience is", "not \"authenticated\""),
        ("it has expired", ""),
        ("its signature is wrong", ""),
        ("its key", "is not in the key set"),
    ] {
        let found = lines(&output, reason);
        assert_eq!(found.len(), 1, "{reason}: {output}");
        assert!(found[0].contains("a token was refused") && found[0].contains(rest), "{found:?}");
        assert!(found[0].len() < 500, "{found:?}");
    }
    assert!(!output.contains("m4rk"), "{output}");
    for part in tokens.iter().flat_map(|token| token.split('.').skip(1)) {
        assert!(!output.contains(part));
    }
}
