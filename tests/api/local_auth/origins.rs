//! What pages of other machines and guessers get.

use std::time::Instant;

use axum::http::HeaderValue;
use reqwest::header::{HOST, ORIGIN};

use super::*;
use thread_store::config::Origin;

const FAR: [&str; 4] =
    ["https://evil.example", "null", "http://localhost.evil.example", "http://192.168.0.1:3000"];
const NEAR: [&str; 4] =
    ["http://localhost:3000", "http://127.0.0.1:5173", "http://[::1]", "https://app.localhost"];

fn endpoints() -> Vec<(Method, &'static str)> {
    vec![
        (Method::POST, "/signup"),
        (Method::POST, "/token?grant_type=password"),
        (Method::POST, "/token?grant_type=refresh_token"),
        (Method::POST, "/recover"),
        (Method::POST, "/otp"),
        (Method::POST, "/verify"),
        (Method::POST, "/logout"),
        (Method::GET, "/user"),
        (Method::PUT, "/user"),
        (Method::GET, "/settings"),
        (Method::GET, "/nothing-here"),
    ]
}

/// As a browser sends it without asking first.
fn simple(request: reqwest::RequestBuilder, body: &Value) -> reqwest::RequestBuilder {
    request.header("content-type", "text/plain").body(body.to_string())
}

#[tokio::test]
async fn a_page_of_another_machine_cannot_sign_anybody_up_or_in() {
    let auth = Auth::start().await;
    auth.sign_up("ada@example.com").await;
    let body = json!({ "email": "ada@example.com", "password": PASSWORD });
    for origin in FAR {
        for (method, path) in endpoints() {
            let request = simple(auth.request(method, path), &body).header(ORIGIN, origin);
            let answer = send(request).await;
            assert_eq!(answer.status, 403, "{origin} {path}: {}", answer.body);
            assert_eq!(answer.body["error_code"], "origin_not_allowed");
        }
    }
    // Without its name, as some browsers send it.
    let request = simple(auth.request(Method::POST, "/token?grant_type=password"), &body);
    assert_eq!(send(request.header("sec-fetch-site", "cross-site")).await.status, 403);
    for origin in NEAR {
        let request = simple(auth.request(Method::POST, "/token?grant_type=password"), &body);
        send(request.header(ORIGIN, origin).header("sec-fetch-site", "same-site")).await.ok();
    }
}

#[tokio::test]
async fn a_page_that_the_settings_name_may_sign_in() {
    let app = "https://app.example";
    let server = TestServer::start_with(|config| {
        config.cors = CorsOrigins::These(vec![Origin::Exact(HeaderValue::from_static(app))]);
    })
    .await;
    let auth = Auth::at(format!("{}/auth/v1", server.url), Arc::new(server));
    let body = json!({ "email": "ada@example.com", "password": PASSWORD });
    let ask = async |origin: &str| {
        let request = auth.request(Method::POST, "/signup").json(&body).header(ORIGIN, origin);
        send(request).await.status
    };
    assert_eq!(ask("https://evil.example").await, 403);
    assert_eq!(ask("http://app.example").await, 403);
    assert_eq!(ask(app).await, 200);
}

#[tokio::test]
async fn a_page_of_another_machine_may_use_threads_with_a_token() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let request = user.request(Method::POST, "/threads").json(&json!({}));
    let answer = crate::support::Answer::of(request.header(ORIGIN, "https://app.example")).await;
    answer.expect(200);
    assert_eq!(answer.header("access-control-allow-origin"), "*");
}

#[tokio::test]
async fn a_host_that_is_not_this_machine_is_refused_on_every_path() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let port = server.url.rsplit(':').next().unwrap().to_owned();
    let ask = async |method: Method, path: &str, host: &str| {
        let request = user.request(method, path).json(&json!({})).header(HOST, host);
        crate::support::Answer::of(request).await
    };
    for host in [
        "evil.example",
        &format!("evil.example:{port}"),
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "192.168.0.1",
        "0.0.0.0",
        "evil.example@127.0.0.1",
        "",
    ] {
        for (method, path) in [
            (Method::GET, "/ok"),
            (Method::GET, "/info"),
            (Method::GET, "/docs"),
            (Method::POST, "/threads"),
            (Method::POST, "/auth/v1/signup"),
            (Method::GET, "/auth/v1/settings"),
            (Method::GET, "/nothing-here"),
        ] {
            let answer = ask(method, path, host).await;
            assert_eq!(answer.status, 403, "{host} {path}: {}", answer.text);
            assert!(answer.detail().starts_with("Host must be localhost"), "{}", answer.text);
        }
    }
    for host in
        ["localhost", "LOCALHOST:1", &format!("127.0.0.1:{port}"), "[::1]:2024", "app.localhost"]
    {
        assert_eq!(ask(Method::POST, "/threads", host).await.status, 200, "{host}");
        assert_eq!(ask(Method::GET, "/ok", host).await.status, 200, "{host}");
    }
}

#[tokio::test]
async fn metrics_on_a_port_of_their_own_are_for_hosts_of_this_machine_too() {
    let server = TestServer::start_with(|config| config.metrics_port = Some(0)).await;
    let url = format!("{}/metrics", server.metrics_url.as_ref().unwrap());
    let ask = async |host: &str| {
        thread_store::http_client::builder()
            .build()
            .unwrap()
            .get(&url)
            .header(HOST, host)
            .send()
            .await
            .unwrap()
            .status()
    };
    assert_eq!((ask("evil.example").await.as_u16(), ask("localhost").await.as_u16()), (403, 200));
}

#[tokio::test]
async fn with_another_sign_in_any_host_is_served() {
    let supabase = crate::support::supabase::Supabase::start().await;
    let server = TestServer::start_with(|config| {
        config.sign_in = supabase.sign_in(thread_store::auth::Mode::Remote);
    })
    .await;
    let request = server.nobody().request(Method::GET, "/ok").header(HOST, "threads.example");
    assert_eq!(crate::support::Answer::of(request).await.status, 200);
}

#[tokio::test]
async fn a_preflight_is_answered_as_supabase_does() {
    let auth = Auth::start().await;
    for path in ["/signup", "/token?grant_type=password", "/user"] {
        let request = auth.request(Method::OPTIONS, path).header(ORIGIN, "http://localhost:3000");
        let request = request.header("access-control-request-method", "POST");
        let answer = send(request.header("access-control-request-headers", "apikey")).await;
        assert_eq!(answer.status, 204, "{path}");
        assert_eq!(answer.headers["access-control-allow-headers"], "apikey");
    }
}

#[tokio::test]
async fn guesses_of_a_password_are_slowed_and_its_owner_gets_in() {
    let auth = Auth::start().await;
    auth.sign_up("ada@example.com").await;
    auth.sign_up("bob@example.com").await;
    let begun = Instant::now();
    for number in 0..9 {
        let wrong = auth.sign_in("ada@example.com", &format!("wrong {number}")).await;
        wrong.refused(400, "invalid_credentials", "Invalid login credentials");
    }
    assert!(begun.elapsed() > Duration::from_secs(2), "{:?}", begun.elapsed());
    // Others are not held up, and neither is the owner for long, while the guessing goes on.
    let begun = Instant::now();
    auth.sign_in("bob@example.com", PASSWORD).await.ok();
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    let guessing = join_all((0..30).map(|_| auth.sign_in("ada@example.com", "wrong")));
    let owner = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        auth.sign_in("ada@example.com", PASSWORD).await.ok();
        begun.elapsed()
    };
    let (_, waited) = tokio::join!(guessing, owner);
    assert!(waited < Duration::from_secs(20), "{waited:?}");
}
