//! `/docs` and `/openapi.json`: without the internet, and below any path that a proxy puts before.

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use url::Url;

use crate::support::{Answer, TestServer, User};

/// A proxy that serves a server below a path, and knows nothing of it but this.
async fn below(prefix: &'static str, server: &TestServer) -> Url {
    let (client, target) =
        (thread_store::http_client::builder().build().unwrap(), server.url.clone());
    let pass_on = async move |request: Request| -> Response {
        let Some(path) = request.uri().path().strip_prefix(prefix) else {
            return StatusCode::BAD_GATEWAY.into_response();
        };
        let answer = client.get(format!("{target}{path}")).send().await.unwrap();
        let kind = answer.headers().get("content-type").map(|kind| kind.as_bytes().to_vec());
        let headers = [(HeaderName::from_static("content-type"), kind.unwrap_or_default())];
        (answer.status(), headers, answer.bytes().await.unwrap()).into_response()
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}{prefix}/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(pass_on)).await });
    url.parse().unwrap()
}

async fn fetch(url: &Url) -> Answer {
    Answer::of(thread_store::http_client::builder().build().unwrap().get(url.clone())).await
}

/// What a browser loads for a page: every link of it, resolved against the page's own address.
fn links(page: &Url, text: &str) -> Vec<Url> {
    let parts: Vec<_> = text.split(['"', '\'']).collect();
    let links = parts.windows(2).filter_map(|two| {
        let is_link = two[0].ends_with("src=") || two[0].ends_with("href=");
        is_link.then(|| page.join(two[1]).unwrap())
    });
    links.collect()
}

/// Follows the page as a browser does, and answers with the document that it shows.
async fn follow(base: &Url) -> Value {
    let page = base.join("docs").unwrap();
    let answer = fetch(&page).await;
    assert_eq!(answer.status, 200, "{page}");
    assert!(answer.header("content-type").starts_with("text/html"));
    let links = links(&page, &answer.text);
    assert!(links.len() >= 3, "{links:?}");
    let mut script = String::new();
    for link in links {
        assert!(link.as_str().starts_with(&format!("{page}/")), "{link} leads elsewhere");
        let asset = fetch(&link).await;
        assert_eq!(asset.status, 200, "{link}");
        let kind = asset.header("content-type");
        for (end, expected) in [(".js", "javascript"), (".css", "css"), (".png", "png")] {
            assert!(!link.path().ends_with(end) || kind.contains(expected), "{link}: {kind}");
        }
        if link.path().ends_with("initializer.js") {
            script = asset.text;
        }
    }
    assert!(!script.contains("http://") && !script.contains("https://"), "{script}");
    let (_, url) = script.split_once("\"url\": \"").unwrap();
    let document = page.join(url.split('"').next().unwrap()).unwrap();
    let answer = fetch(&document).await;
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.text, thread_store::openapi());
    // Requests that are tried out on the page reach the server too.
    let described: Value = serde_json::from_str(&answer.text).unwrap();
    let servers = described["servers"].as_array().unwrap();
    let server = document.join(servers[0]["url"].as_str().unwrap()).unwrap();
    assert_eq!((&server, servers.len()), (base, 1));
    described
}

#[tokio::test]
async fn the_documents_are_served_without_the_internet() {
    let server = TestServer::start().await;
    let nobody: User = server.nobody();
    follow(&format!("{}/", server.url).parse().unwrap()).await;
    for path in ["/docs/nope.js", "/docs/..%2FCargo.toml", "/docs/%00"] {
        let answer = nobody.get(path).await;
        let said = (answer.status.as_u16(), answer.detail());
        assert_eq!(said, (404, "Not Found".to_owned()), "{path}");
    }
}

#[tokio::test]
async fn the_documents_work_below_the_path_of_a_proxy() {
    let server = TestServer::start().await;
    for prefix in ["/store", "/team/a/threads-api"] {
        let base = below(prefix, &server).await;
        follow(&base).await;
        assert_eq!(fetch(&base.join("ok").unwrap()).await.status, 200);
    }
}
