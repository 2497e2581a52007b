//! Users of an OpenID Connect provider that is not ours: the npm package `oidc-provider`.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use thread_store::config::SignIn;

use crate::support::deadline::Deadline;
use crate::support::signer::{Signer, seconds_from_now};
use crate::support::supabase::{Reply, Supabase, claims};
use crate::support::{TestServer, User};

const AUDIENCE: &str = "https://threads.example";

/// Where the package is installed. Nowhere is a reason to leave a test out, but not in CI.
fn node_modules() -> Option<PathBuf> {
    let modules = std::env::var_os("THREAD_STORE_TEST_NODE_MODULES").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/node_modules"),
        PathBuf::from,
    );
    if modules.join("oidc-provider").is_dir() {
        return Some(modules);
    }
    let missing = format!("oidc-provider is not in {}", modules.display());
    assert!(std::env::var_os("CI").is_none(), "{missing}");
    #[expect(clippy::print_stderr, reason = "a test that does not run says so")]
    {
        eprintln!(
            "\n**** SKIPPED, NOT TESTED: {missing}; set THREAD_STORE_TEST_NODE_MODULES ****\n"
        );
    }
    None
}

/// A provider on a port and with keys that it keeps when it is started again.
struct Provider {
    issuer: String,
    modules: PathBuf,
    keys: PathBuf,
    child: Option<Child>,
}

impl Provider {
    /// One that does not run yet.
    fn new(modules: &Path, keys: &Path) -> Provider {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Provider {
            issuer: format!("http://127.0.0.1:{port}"),
            modules: modules.to_owned(),
            keys: keys.to_owned(),
            child: None,
        }
    }

    fn start(&mut self) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/oidc/provider.mjs");
        let port = self.issuer.rsplit(':').next().unwrap();
        let mut child = Command::new("node")
            .arg(script)
            .arg(&self.modules)
            .arg(port)
            .arg(&self.keys)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let _deadline = Deadline::of(child.id());
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "listening\n");
        self.child = Some(child);
    }

    fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// The access token that a client gets for a resource.
    async fn token(&self, client: &str, resource: Option<&str>) -> String {
        let mut form = vec![("grant_type", "client_credentials"), ("scope", "threads:read")];
        form.extend(resource.map(|resource| ("resource", resource)));
        let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let answer = thread_store::http_client::builder()
            .build()
            .unwrap()
            .post(format!("{}/token", self.issuer))
            .basic_auth(client, Some("secret"))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form)
            .send()
            .await
            .unwrap();
        let answer: Value = answer.json().await.unwrap();
        answer["access_token"].as_str().unwrap_or_else(|| panic_with(&answer)).to_owned()
    }
}

#[expect(clippy::panic, reason = "no token, no test")]
fn panic_with(answer: &Value) -> ! {
    panic!("{answer}")
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn server_of(issuer: &str) -> TestServer {
    let (issuer, audience) = (issuer.to_owned(), AUDIENCE.to_owned());
    TestServer::start_with(|config| {
        config.sign_in = SignIn::Oidc { issuer, audience };
        config.auth_cache_ttl = Duration::ZERO;
    })
    .await
}

fn holder(server: &TestServer, token: &str) -> User {
    User { token: token.to_owned(), ..server.nobody() }
}

async fn knock(server: &TestServer, token: &str) -> u16 {
    let answer = holder(server, token).post("/threads/count", json!({})).await;
    if answer.status == 503 {
        assert_eq!(answer.header("retry-after"), "2");
        assert!(!answer.text.contains("127.0.0.1"), "{}", answer.text);
    }
    answer.status.as_u16()
}

#[tokio::test]
async fn users_of_a_real_provider_have_their_own_threads() {
    let Some(modules) = node_modules() else { return };
    let directory = tempfile::tempdir().unwrap();
    let mut provider = Provider::new(&modules, &directory.path().join("keys"));
    provider.start();
    let server = server_of(&provider.issuer).await;
    let ada = holder(&server, &provider.token("ada", Some(AUDIENCE)).await);
    let bob = holder(&server, &provider.token("bob", Some(AUDIENCE)).await);
    let thread = ada.post("/threads", json!({})).await.expect(200);
    assert_eq!(thread["metadata"]["owner"], "ada");
    let path = format!("/threads/{}", thread["thread_id"].as_str().unwrap());
    assert_eq!(ada.get(&path).await.expect(200), thread);
    assert_eq!(bob.get(&path).await.status, 404);
    assert_eq!(bob.post("/threads", json!({})).await.expect(200)["metadata"]["owner"], "bob");
}

#[tokio::test]
async fn tokens_for_others_of_others_and_of_no_form_are_refused() {
    let Some(modules) = node_modules() else { return };
    let directory = tempfile::tempdir().unwrap();
    let keys = directory.path().join("keys");
    let mut provider = Provider::new(&modules, &keys);
    provider.start();
    // With the same keys: only its name is another.
    let mut other = Provider::new(&modules, &keys);
    other.start();
    let server = server_of(&provider.issuer).await;
    for client in ["ada", "bob"] {
        assert_eq!(knock(&server, &provider.token(client, Some(AUDIENCE)).await).await, 200);
        let elsewhere = provider.token(client, Some("https://other.example")).await;
        assert_eq!(claims(&elsewhere)["aud"], "https://other.example");
        assert_eq!(knock(&server, &elsewhere).await, 401, "wrong audience");
        let of_another = other.token(client, Some(AUDIENCE)).await;
        assert_eq!(claims(&of_another)["iss"], other.issuer);
        assert_eq!(knock(&server, &of_another).await, 401, "wrong issuer");
        let opaque = provider.token(client, None).await;
        assert_eq!(knock(&server, &opaque).await, 401, "not a JWT");
    }
}

#[tokio::test]
async fn a_provider_that_is_down_at_the_start_is_used_when_it_is_up_and_missed_no_more() {
    let Some(modules) = node_modules() else { return };
    let directory = tempfile::tempdir().unwrap();
    let mut provider = Provider::new(&modules, &directory.path().join("keys"));
    provider.start();
    let (ada, bob) =
        (provider.token("ada", Some(AUDIENCE)).await, provider.token("bob", Some(AUDIENCE)).await);
    provider.stop();
    let server = server_of(&provider.issuer).await;
    assert_eq!(knock(&server, &ada).await, 503);
    assert_eq!(server.nobody().get("/ok?check_db=1").await.status, 200);
    provider.start();
    assert_eq!(knock(&server, &ada).await, 200);
    provider.stop();
    assert_eq!((knock(&server, &ada).await, knock(&server, &bob).await), (200, 200));
}

#[tokio::test]
async fn an_issuer_that_is_spelt_otherwise_than_the_provider_does_is_a_503() {
    let Some(modules) = node_modules() else { return };
    let directory = tempfile::tempdir().unwrap();
    let mut provider = Provider::new(&modules, &directory.path().join("keys"));
    provider.start();
    let server = server_of(&format!("{}/", provider.issuer)).await;
    assert_eq!(knock(&server, &provider.token("ada", Some(AUDIENCE)).await).await, 503);
}

#[tokio::test]
async fn a_discovery_document_that_is_none_is_a_503() {
    let upstream = Supabase::start().await;
    let server = server_of(&upstream.url).await;
    // One that only its key can settle.
    let token = Signer::es256("1").sign(&json!({
        "iss": upstream.url, "aud": AUDIENCE, "sub": "ada", "exp": seconds_from_now(60),
    }));
    let keys = format!("{}/keys", upstream.url);
    for document in [
        Reply::text(404, "text/plain", ""),
        Reply::text(200, "text/html", "<html>"),
        Reply::json(200, &json!({ "issuer": upstream.url })),
        Reply::json(200, &json!({ "issuer": "https://example.com", "jwks_uri": keys })),
        Reply::json(200, &json!({ "issuer": upstream.url, "jwks_uri": "not a URL" })),
        Reply::json(200, &json!({ "issuer": upstream.url, "jwks_uri": "file:///etc/passwd" })),
        Reply::text(302, "text/plain", "").with_header("location", "/elsewhere"),
    ] {
        upstream.answer(document);
        let before = upstream.calls().len();
        assert_eq!(knock(&server, &token).await, 503);
        assert!(upstream.calls().len() > before);
    }
    assert!(upstream.calls().iter().all(|call| call.path.starts_with("/.well-known/")));
    assert!(upstream.calls().iter().all(|call| call.header("authorization").is_none()));
}
