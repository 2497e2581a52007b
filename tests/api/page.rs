//! The page at `/app`: how its files are served. `tests/app` has what a person does with it.

use reqwest::header::{ACCEPT, ACCEPT_ENCODING, CACHE_CONTROL, IF_NONE_MATCH, LOCATION, VARY};
use reqwest::redirect::Policy;
use reqwest::{Method, Response};
use serde_json::Value;

use crate::support::TestServer;
use crate::support::postgres::test_cluster;
use crate::support::program::Program;

async fn get(
    server: &TestServer,
    path: &str,
    headers: &[(reqwest::header::HeaderName, &str)],
) -> Response {
    let client = thread_store::http_client::builder().redirect(Policy::none()).build().unwrap();
    let mut request = client.get(format!("{}{path}", server.url));
    for (name, value) in headers {
        request = request.header(name, *value);
    }
    request.send().await.unwrap()
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

/// The address of the page's first script.
async fn script(server: &TestServer) -> String {
    let page = get(server, "/app/", &[]).await.text().await.unwrap();
    let (_, rest) = page.split_once("<script type=\"module\" src=\"").unwrap();
    format!("/app/{}", rest.split_once('"').unwrap().0)
}

#[tokio::test]
async fn a_browser_at_the_root_is_led_to_the_page_and_a_client_of_the_api_is_not() {
    let server = TestServer::start().await;
    let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
    let led = get(&server, "/", &[(ACCEPT, browser)]).await;
    assert_eq!(led.status(), 303);
    // Relative, so that it is right below a path.
    assert_eq!(led.headers()[LOCATION], "app/");
    let vary = led.headers().get_all(VARY).iter().map(|value| value.to_str().unwrap());
    assert!(vary.collect::<Vec<_>>().contains(&"accept"));
    for accept in ["*/*", "application/json", "text/html;q=0, */*", "text/plain", ""] {
        let answer = get(&server, "/", &[(ACCEPT, accept)]).await;
        assert_eq!(answer.status(), 200, "{accept}");
        assert_eq!(answer.json::<Value>().await.unwrap()["ok"], true);
    }
    let slashless = get(&server, "/app", &[]).await;
    assert_eq!((slashless.status().as_u16(), header(&slashless, "location")), (308, "app/"));
}

#[tokio::test]
async fn the_document_is_asked_for_each_time_and_the_files_are_kept_for_ever() {
    let server = TestServer::start().await;
    let page = get(&server, "/app/", &[]).await;
    assert_eq!(header(&page, "content-type"), "text/html; charset=utf-8");
    assert_eq!(page.headers()[CACHE_CONTROL], "no-cache");
    let etag = header(&page, "etag").to_owned();
    let again = get(&server, "/app/", &[(IF_NONE_MATCH, &etag)]).await;
    assert_eq!(again.status(), 304);
    assert!(header(&again, "content-security-policy").contains("script-src 'self'"));

    let script = script(&server).await;
    let plain = get(&server, &script, &[]).await;
    assert_eq!(header(&plain, "content-type"), "text/javascript; charset=utf-8");
    assert_eq!(plain.headers()[CACHE_CONTROL], "public, max-age=31536000, immutable");
    assert_eq!(header(&plain, "x-content-type-options"), "nosniff");
    assert_eq!(header(&plain, "content-encoding"), "");
    let etag = header(&plain, "etag").to_owned();
    let compressed = get(&server, &script, &[(ACCEPT_ENCODING, "br, gzip;q=0.5")]).await;
    assert_eq!(header(&compressed, "content-encoding"), "gzip");
    assert!(compressed.headers().get_all(VARY).iter().any(|value| value == "accept-encoding"));
    let smaller = compressed.bytes().await.unwrap().len();
    assert!(smaller * 2 < plain.bytes().await.unwrap().len());
    let refused = get(&server, &script, &[(ACCEPT_ENCODING, "gzip;q=0")]).await;
    assert_eq!(header(&refused, "content-encoding"), "");
    let kept = get(&server, &script, &[(IF_NONE_MATCH, &format!("\"x\", {etag}"))]).await;
    assert_eq!(kept.status(), 304);
}

#[tokio::test]
async fn what_is_no_file_of_the_page_is_404_and_never_the_page() {
    let server = TestServer::start().await;
    let script = script(&server).await;
    let other = script.replace("app.js", "nothing.js");
    for path in [
        "/app/nothing",
        "/app/threads/1",
        "/app/0123456789abcdef/app.js",
        "/app/../Cargo.toml",
        "/app/%2e%2e/app.js",
        "/app/index.html",
        &other,
    ] {
        let answer = get(&server, path, &[(ACCEPT, "text/html")]).await;
        // Where nothing is, a stranger learns no more than anywhere else.
        assert!([403, 404].contains(&answer.status().as_u16()), "{path}: {}", answer.status());
        assert_eq!(header(&answer, "content-type"), "application/json", "{path}");
    }
    let client = thread_store::http_client::builder().build().unwrap();
    let posted = client.request(Method::POST, format!("{}/app/", server.url)).send().await.unwrap();
    assert_eq!(posted.status(), 405);
}

#[tokio::test]
async fn turned_off_there_is_no_page_and_nothing_that_leads_to_it() {
    let server = TestServer::start_with(|config| config.page = None).await;
    assert_eq!(get(&server, "/", &[(ACCEPT, "text/html")]).await.status(), 200);
    for path in ["/app", "/app/", "/app/config.json"] {
        assert_eq!(get(&server, path, &[]).await.status(), 403, "as any path for a stranger");
    }
    let database = test_cluster().await.database_url().await;
    let program = Program::start(&[("DATABASE_URL", &database), ("APP", "off")]);
    assert!(!program.stop().contains("/app"));
}

#[tokio::test]
async fn no_key_but_one_for_browsers_leaves_the_server() {
    let jwt = |claims: &str| {
        use base64::Engine as _;
        let part = |text: &str| base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(text);
        format!("{}.{}.{}", part(r#"{"alg":"HS256"}"#), part(claims), part("signature"))
    };
    let (service, anon) = (jwt(r#"{"role":"service_role"}"#), jwt(r#"{"role":"anon"}"#));
    let secret = "sb_secret_5Y2WvB8n1QJm0yTqLx";
    let database = test_cluster().await.database_url().await;
    for (settings, expected) in [
        (vec![("SUPABASE_SERVICE_KEY", secret)], None),
        (vec![("SUPABASE_PUBLISHABLE_KEY", secret), ("SUPABASE_ANON_KEY", &service)], None),
        (vec![("SUPABASE_PUBLISHABLE_KEY", "opaque"), ("SUPABASE_SERVICE_KEY", &service)], None),
        (vec![("SUPABASE_SERVICE_KEY", &anon), ("SUPABASE_SECRET_KEY", secret)], Some(&*anon)),
        (
            vec![
                ("SUPABASE_SERVICE_KEY", &service),
                ("SUPABASE_PUBLISHABLE_KEY", "sb_publishable_x"),
            ],
            Some("sb_publishable_x"),
        ),
    ] {
        let mut all = vec![("DATABASE_URL", &*database), ("SUPABASE_URL", "http://127.0.0.1:9")];
        all.extend(settings);
        let program = Program::start(&all);
        let answer = thread_store::http_client::builder()
            .build()
            .unwrap()
            .get(format!("{}/app/config.json", program.url))
            .send()
            .await;
        let text = answer.unwrap().text().await.unwrap();
        let said: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(said["sign_in"]["mode"], "supabase");
        assert_eq!(said["sign_in"]["publishable_key"].as_str(), expected, "{text}");
        for hidden in [secret, &service, "opaque"] {
            assert!(!text.contains(hidden));
        }
        let log = program.stop();
        assert_eq!(log.contains("set SUPABASE_PUBLISHABLE_KEY"), expected.is_none(), "{log}");
    }
}
