//! Cross-origin requests.

use axum::http::HeaderValue;
use reqwest::Method;
use serde_json::json;
use thread_store::config::{CorsOrigins, Origin};

use crate::support::postgres::test_cluster;
use crate::support::program::Program;
use crate::support::steps::new_id;
use crate::support::{Answer, TestServer};

const ORIGIN: (&str, &str) = ("origin", "http://app.example");

#[tokio::test]
async fn only_the_origins_that_are_set_may_read_answers() {
    let theirs = ["https://app.example", "http://localhost:3000"];
    let server = TestServer::start_with(|config| {
        let theirs = theirs.map(|origin| Origin::Exact(HeaderValue::from_static(origin)));
        config.cors = CorsOrigins::These(theirs.into());
    })
    .await;
    let nobody = server.nobody();
    let allowed = async |method: Method, origin: &str| {
        let request = nobody.request(method, "/threads").header("origin", origin);
        let request = request.header("access-control-request-method", "POST");
        let answer = Answer::of(request).await;
        assert!(answer.header("vary").eq_ignore_ascii_case("origin"));
        answer.header("access-control-allow-origin").to_owned()
    };
    for method in [Method::POST, Method::OPTIONS] {
        for origin in theirs {
            assert_eq!(allowed(method.clone(), origin).await, origin);
        }
        for origin in ["http://app.example", "https://app.example.org", "null"] {
            assert_eq!(allowed(method.clone(), origin).await, "", "{origin}");
        }
    }
}

#[tokio::test]
async fn a_star_in_the_settings_is_for_the_subdomains_of_a_domain() {
    let database = test_cluster().await.database_url().await;
    let program = Program::start(&[
        ("DATABASE_URL", &database),
        ("SUPABASE_URL", "http://127.0.0.1:1"),
        ("CORS_ALLOW_ORIGINS", "https://*.vercel.app, http://*.localhost:3000,https://app.example"),
    ]);
    let client = thread_store::http_client::builder().build().unwrap();
    let allowed = async |method: &Method, origin: &str| {
        let request = client.request(method.clone(), format!("{}/threads", program.url));
        let request = request.header("origin", origin);
        let request = request.header("access-control-request-method", "POST");
        let answer = Answer::of(request).await;
        assert!(answer.header("vary").eq_ignore_ascii_case("origin"));
        assert_eq!(answer.header("access-control-allow-credentials"), "");
        answer.header("access-control-allow-origin").to_owned()
    };
    for method in [Method::POST, Method::OPTIONS] {
        for origin in [
            "https://a.vercel.app",
            "https://a-git-main.team.vercel.app",
            "http://a.localhost:3000",
            "https://app.example",
        ] {
            assert_eq!(allowed(&method, origin).await, origin);
        }
        for origin in [
            "https://vercel.app",
            "https://evilvercel.app",
            "https://a.vercel.app.evil.example",
            "https://a.vercel.app:8443",
            "http://a.vercel.app",
            "https://A.VERCEL.APP",
            "http://a.localhost",
            "https://b.app.example",
        ] {
            assert_eq!(allowed(&method, origin).await, "", "{origin}");
        }
    }
    program.stop();
}

#[tokio::test]
async fn every_answer_to_another_origin_can_be_read_there() {
    let server = TestServer::start().await;
    let (user, nobody) = (server.user().await, server.nobody());
    let id = user.thread(json!({})).await;
    let missing = format!("/threads/{}", new_id());
    for (who, method, path, body, status) in [
        (&user, "GET", format!("/threads/{id}"), "", 200),
        (&user, "POST", "/threads/search".to_owned(), "{}", 200),
        (&user, "PATCH", format!("/threads/{id}"), "{}", 200),
        (&user, "GET", missing, "", 404),
        (&user, "GET", "/nope".to_owned(), "", 404),
        (&user, "PUT", "/threads".to_owned(), "", 405),
        (&user, "POST", "/threads".to_owned(), "{", 422),
        (&nobody, "POST", "/threads".to_owned(), "{}", 403),
        (&nobody, "GET", "/ok".to_owned(), "", 200),
    ] {
        for has_origin in [true, false] {
            let request = who.request(method.parse().unwrap(), &path).body(body);
            let request = if has_origin { request.header(ORIGIN.0, ORIGIN.1) } else { request };
            let answer = Answer::of(request).await;
            assert_eq!(answer.status, status, "{method} {path}");
            let expected = if has_origin { "*" } else { "" };
            assert_eq!(answer.header("access-control-allow-origin"), expected, "{method} {path}");
            assert_eq!(answer.header("access-control-allow-credentials"), "");
            assert!(answer.header("vary").eq_ignore_ascii_case("origin"), "{method} {path}");
            let exposed = answer.header("access-control-expose-headers");
            let expected =
                "x-pagination-total,x-pagination-next,x-pagination-cursor,content-location";
            assert_eq!(exposed, if has_origin { expected } else { "" }, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn a_preflight_needs_no_token_and_grants_what_it_asks_for() {
    let server = TestServer::start().await;
    let nobody = server.nobody();
    for path in ["/threads", "/threads/search", "/threads/x/state", "/nope", "/ok", "/runs"] {
        for method in ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"] {
            let request = nobody
                .request(Method::OPTIONS, path)
                .header(ORIGIN.0, ORIGIN.1)
                .header("access-control-request-method", method)
                .header("access-control-request-headers", "authorization,x-my-own");
            let answer = Answer::of(request).await;
            assert_eq!(answer.status, 200, "{method} {path}");
            assert_eq!(answer.header("access-control-allow-origin"), "*");
            assert_eq!(answer.header("access-control-max-age"), "600");
            let headers = answer.header("access-control-allow-headers");
            assert_eq!(headers, "authorization,x-my-own");
            let methods: Vec<_> =
                answer.header("access-control-allow-methods").split(',').collect();
            assert!(methods.contains(&method), "{methods:?}");
        }
        let request = nobody
            .request(Method::OPTIONS, path)
            .header(ORIGIN.0, ORIGIN.1)
            .header("access-control-request-method", "STEAL");
        let answer = Answer::of(request).await;
        assert_eq!(answer.status, 400, "{path}");
        assert_eq!(answer.detail(), "Disallowed CORS method");
    }
}
