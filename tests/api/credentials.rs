//! Where a request may carry its access token, and what is kept of the answers to it.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use reqwest::Method;
use serde_json::{Value, json};
use thread_store::auth::Mode;

use crate::support::supabase::{Supabase, token};
use crate::support::{Answer, TestServer, User};

const LANGSMITH: &str = "lsv2_pt_0123456789abcdef0123456789abcdef_0123456789";

async fn ask(user: &User, headers: &[(&str, &str)]) -> Answer {
    let nobody = User { token: String::new(), ..user.clone() };
    let request = nobody.request(Method::POST, "/threads").json(&json!({}));
    let headers = headers.iter();
    Answer::of(headers.fold(request, |request, (name, value)| request.header(*name, *value))).await
}

#[tokio::test]
async fn a_token_in_x_api_key_is_the_access_token() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let thread = ask(&user, &[("x-api-key", &user.token)]).await.expect(200);
    assert_eq!(thread["metadata"]["owner"], user.id);
    for other in ["", LANGSMITH, "x", "a.b.c", &format!("Bearer {}", user.token)] {
        let answer = ask(&user, &[("x-api-key", other)]).await;
        let missing = ask(&user, &[]).await;
        assert_eq!((answer.status.as_u16(), answer.text), (403, missing.text), "{other}");
    }
    let twice = [("x-api-key", user.token.as_str()), ("x-api-key", user.token.as_str())];
    assert_eq!(ask(&user, &twice).await.status, 403);
    // A token that is refused is not the same as none.
    let expired = server.forge(&user, -1);
    assert_eq!(ask(&user, &[("x-api-key", &expired)]).await.status, 401);
}

#[tokio::test]
async fn authorization_wins_over_x_api_key() {
    let server = TestServer::start().await;
    let (ada, bob) = (server.user().await, server.user().await);
    let bearer = |token: &str| format!("Bearer {token}");
    let both = |authorization: String, key: String| {
        let ada = ada.clone();
        async move { ask(&ada, &[("authorization", &authorization), ("x-api-key", &key)]).await }
    };
    for key in [bob.token.clone(), LANGSMITH.to_owned(), String::new()] {
        let thread = both(bearer(&ada.token), key).await.expect(200);
        assert_eq!(thread["metadata"]["owner"], ada.id);
    }
    assert_eq!(both("Basic eDp5".into(), bob.token.clone()).await.status, 403);
    assert_eq!(both(String::new(), bob.token.clone()).await.status, 403);
    assert_eq!(both(bearer("x"), bob.token.clone()).await.status, 401);
}

#[tokio::test]
async fn a_page_may_send_its_token_in_x_api_key() {
    let server = TestServer::start().await;
    let preflight = server
        .nobody()
        .request(Method::OPTIONS, "/threads/search")
        .header("origin", "https://app.example")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "content-type,x-api-key");
    let answer = Answer::of(preflight).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("access-control-allow-headers"), "content-type,x-api-key");
}

#[tokio::test]
async fn no_cache_keeps_what_is_for_one_user() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let id = user.thread(json!({})).await;
    let nobody = server.nobody();
    for (who, method, path, status) in [
        (&user, Method::GET, format!("/threads/{id}"), 200),
        (&user, Method::GET, format!("/threads/{id}/state"), 200),
        (&user, Method::GET, format!("/threads/{id}/history"), 200),
        (&user, Method::POST, "/threads/search".to_owned(), 200),
        (&user, Method::POST, "/threads".to_owned(), 200),
        (&user, Method::GET, format!("/threads/{}", uuid::Uuid::new_v4()), 404),
        (&user, Method::GET, "/nothing-here".to_owned(), 404),
        (&user, Method::PUT, "/threads".to_owned(), 405),
        (&user, Method::GET, "/threads/x".to_owned(), 422),
        (&user.with_token("a.b.c"), Method::GET, format!("/threads/{id}"), 401),
        (&nobody, Method::GET, format!("/threads/{id}"), 403),
    ] {
        let request = who.request(method.clone(), &path).json(&json!({}));
        let answer = Answer::of(request).await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text);
        assert_eq!(answer.header("cache-control"), "no-store", "{method} {path}");
    }
    let stream = format!("/threads/{id}/stream?stream_mode=state_update");
    let stream = Answer::but_for_streams(user.request(Method::GET, &stream)).await;
    assert_eq!((stream.status.as_u16(), stream.header("cache-control")), (200, "no-store"));
    // What is for everybody may be kept.
    for path in ["/ok", "/info", "/openapi.json"] {
        assert_eq!(nobody.get(path).await.header("cache-control"), "", "{path}");
    }
}

#[tokio::test]
async fn a_token_that_is_not_signed_is_refused_without_a_call_in_every_mode() {
    for mode in [Mode::Remote, Mode::Jwks, Mode::JwksAndRemote] {
        let supabase = Supabase::start().await;
        let server = TestServer::start_with(|config| config.sign_in = supabase.sign_in(mode)).await;
        let good = token();
        let payload = good.split('.').nth(1).unwrap();
        let signature = good.split('.').nth(2).unwrap();
        let encode = |header: &Value| BASE64_URL_SAFE_NO_PAD.encode(header.to_string());
        for (header, signature) in [
            (json!({ "alg": "none" }), ""),
            (json!({ "alg": "none" }), signature),
            (json!({ "alg": "NONE", "typ": "JWT" }), signature),
            (json!({ "alg": "HS256" }), ""),
            (json!({ "alg": "" }), signature),
            (json!({ "alg": null }), signature),
            (json!({ "typ": "JWT" }), signature),
            (json!([]), signature),
            (json!({ "alg": "HS256", "crit": ["exp"] }), signature),
        ] {
            let token = format!("{}.{payload}.{signature}", encode(&header));
            let answer = server.nobody().with_token(token).get("/threads/x").await;
            assert_eq!(answer.status, 401, "{mode:?} {header}");
            assert_eq!(answer.header("www-authenticate"), "Bearer error=\"invalid_token\"");
        }
        assert_eq!(supabase.asked(), 0, "{mode:?}");
    }
}
