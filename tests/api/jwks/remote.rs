//! The mode `jwks+remote`: what the keys cannot judge is asked about.

use std::time::{Duration, Instant};

use futures::future::join_all;
use jsonwebtoken::{Algorithm, Header};
use serde_json::json;
use thread_store::auth::Mode;

use super::{Here, id, refused, unavailable};
use crate::support::jwt::{self, Key};
use crate::support::signer::{Signer, key_set};
use crate::support::supabase::{Reply, token};

fn no_keys() -> Reply {
    Reply::json(200, &json!({ "keys": [] }))
}

/// A token under the secret that a project shared before it had keys.
fn legacy(here: &Here, kid: Option<&str>) -> String {
    let secret = Key::Secret(b"the project's own secret, which we do not have".to_vec());
    let header = Header { kid: kid.map(str::to_owned), ..Header::new(Algorithm::HS256) };
    jwt::encode(&header, &here.claims(&id(), &json!({})), &secret)
}

#[tokio::test]
async fn sessions_from_before_a_project_had_keys_go_on() {
    let ec = Signer::es256("ec");
    let here = Here::start(Mode::JwksAndRemote, key_set(&[&ec])).await;
    for kid in [None, Some("legacy")] {
        let token = legacy(&here, kid);
        assert_eq!(here.knock(&token).await.status, 200);
        assert_eq!(here.supabase.asked_about(&token), 1);
        here.supabase.answer_to(&token, Reply::error(403, "bad_jwt"));
        refused(&here.knock(&token).await, "Supabase's word counts");
    }
    // Without asking, nobody can tell such a token from a forged one.
    let here = Here::start(Mode::Jwks, key_set(&[&ec])).await;
    refused(&here.knock(&legacy(&here, None)).await, "not asked");
    assert_eq!(here.supabase.asked(), 0);
}

#[tokio::test]
async fn a_project_with_a_shared_secret_is_asked_as_in_the_mode_remote() {
    let here = Here::start(Mode::JwksAndRemote, no_keys()).await;
    let ec = Signer::es256("ec");
    for token in [legacy(&here, None), legacy(&here, Some("x")), token(), here.good(&ec)] {
        assert_eq!(here.knock(&token).await.status, 200);
        assert_eq!(here.supabase.asked_about(&token), 1);
    }
    here.supabase.stop().await;
    unavailable(&here.knock(&legacy(&here, None)).await, "down");
}

/// The setting is wrong there, and the tokens are good: a 401 would sign everybody out.
#[tokio::test]
async fn a_project_with_a_shared_secret_is_a_503_where_it_is_not_asked() {
    let here = Here::start(Mode::Jwks, no_keys()).await;
    for kid in [None, Some("legacy")] {
        unavailable(&here.knock(&legacy(&here, kid)).await, "shared secret");
    }
    assert_eq!((here.supabase.asked(), here.supabase.fetched()), (0, 1));
}

#[tokio::test]
async fn keys_that_cannot_be_fetched_leave_the_question_to_supabase() {
    let ec = Signer::es256("ec");
    for (name, fault) in [
        ("500", Reply::text(500, "text/plain", "")),
        ("HTML", Reply::text(200, "text/html", "<html>")),
        ("reset", Reply::Reset),
        ("silence", Reply::BlackHole),
    ] {
        let here = Here::start(Mode::JwksAndRemote, fault).await;
        let asked = Instant::now();
        assert_eq!(here.knock(&here.good(&ec)).await.status, 200, "{name}");
        assert!(asked.elapsed() < Duration::from_secs(4), "{name}: {:?}", asked.elapsed());
    }
}

#[tokio::test]
async fn a_sign_out_is_seen_and_without_asking_it_is_not() {
    for (mode, status) in [(Mode::Jwks, 200), (Mode::JwksAndRemote, 401)] {
        let ec = Signer::es256("ec");
        let here = Here::start(mode, key_set(&[&ec])).await;
        let token = here.good(&ec);
        assert_eq!(here.knock(&token).await.status, 200);
        here.supabase.answer_to(&token, Reply::error(403, "session_not_found"));
        assert_eq!(here.knock(&token).await.status, status, "{mode:?}");
    }
}

#[tokio::test]
async fn what_the_keys_refuse_never_reaches_supabase() {
    let ec = Signer::es256("ec");
    let here = Here::start(Mode::JwksAndRemote, key_set(&[&ec])).await;
    let forged: Vec<_> = (0..50).map(|_| here.good(&Signer::es256("ec"))).collect();
    let secret = Key::Secret(ec.pair.public_key_raw().to_vec());
    let header = Header { kid: Some("ec".to_owned()), ..Header::new(Algorithm::HS256) };
    let confused = jwt::encode(&header, &here.claims(&id(), &json!({})), &secret);
    assert_eq!(here.knock(&here.good(&ec)).await.status, 200);
    let asked = here.supabase.asked();
    for answer in join_all(forged.iter().map(|token| here.knock(token))).await {
        refused(&answer, "forged");
    }
    refused(&here.knock(&confused).await, "a public key as a shared secret");
    assert_eq!(here.supabase.asked(), asked);
}
