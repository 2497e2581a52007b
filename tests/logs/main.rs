//! No secret and nothing private is in any log line, at any level, of the real program: no
//! token, key, password, e-mail address or body, whoever signs users in and whatever fails.

#![cfg(all(feature = "embedded", feature = "local-auth"))]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "what is missing has to fail its test"
)]

#[expect(dead_code, reason = "shared with the tests of the API")]
#[path = "../api/support/deadline.rs"]
mod deadline;
#[expect(dead_code, reason = "shared with the tests of the API")]
#[path = "../api/support/jwt.rs"]
mod jwt;
#[expect(dead_code, reason = "shared with the tests of the API")]
#[path = "../api/support/postgres.rs"]
mod postgres;
#[path = "../api/support/program.rs"]
mod program;
#[expect(dead_code, reason = "shared with the tests of the API")]
#[path = "../api/support/supabase.rs"]
mod supabase;

use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, Method};
use secrecy::SecretString;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Executor as _};
use thread_store::auth::{
    Auth, Everything, JwtIssuer, Mode, Supabase as Users, SupabaseOptions, User, add_owner,
};
use thread_store::config::{Config, SignIn};
use thread_store::http::{App, AppShares};
use thread_store::store::Store;
use uuid::Uuid;

use postgres::{test_cluster, url_of};
use program::Program;
use supabase::{Reply, Supabase, claims, token_with};

/// Texts that must not be seen, each with what it is.
#[derive(Default)]
struct Secrets(Vec<(String, String)>);

impl Secrets {
    /// A text that occurs nowhere else.
    fn make(&mut self, what: &str) -> String {
        let text = format!("m4rk{}", Uuid::new_v4().simple());
        self.0.push((what.to_owned(), text.clone()));
        text
    }

    /// A token, in parts: neither its payload nor its signature may be seen.
    fn keep_token(&mut self, what: &str, token: &str) {
        for part in token.split('.').skip(1).filter(|part| part.len() > 8) {
            self.0.push((what.to_owned(), part.to_owned()));
        }
    }

    /// Without what clients may read again in the answer to the request that it stood in.
    fn without_own_words(mut self) -> Secrets {
        self.0.retain(|(what, _)| !["metadata", "values"].contains(&what.as_str()));
        self
    }

    #[track_caller]
    fn none_in(&self, text: &str, place: &str) {
        for (what, secret) in &self.0 {
            if let Some(at) = text.find(secret) {
                let start = text[..at].rfind('\n').map_or(0, |at| at + 1);
                let line: String =
                    text[start..].lines().next().unwrap().chars().take(2000).collect();
                panic_with(&format!("{place} shows {what}: {line}"));
            }
        }
    }
}

#[expect(clippy::panic, reason = "a finding")]
#[track_caller]
fn panic_with(text: &str) -> ! {
    panic!("{text}")
}

/// Somebody who makes all kinds of requests.
struct Visitor<'a> {
    client: Client,
    url: &'a str,
    token: String,
    answers: Vec<(u16, String)>,
}

impl<'a> Visitor<'a> {
    /// Over HTTP/2 where the log is for machines, so that both are seen.
    fn new(url: &'a str, token: &str, format: &str) -> Visitor<'a> {
        let client = thread_store::http_client::builder().timeout(Duration::from_secs(20));
        let client = if format == "json" { client.http2_prior_knowledge() } else { client };
        let client = client.build().unwrap();
        Visitor { client, url, token: token.to_owned(), answers: Vec::new() }
    }

    async fn send(&mut self, method: Method, path: &str, body: &str) -> Value {
        let request = self.client.request(method, format!("{}{path}", self.url));
        let request = request.header("content-type", "application/json").header("apikey", "any");
        let request =
            if self.token.is_empty() { request } else { request.bearer_auth(&self.token) };
        let response = request.body(body.to_owned()).send().await.unwrap();
        let status = response.status().as_u16();
        let text = response.text().await.unwrap();
        let value = serde_json::from_str(&text).unwrap_or_default();
        self.answers.push((status, text));
        value
    }

    async fn post(&mut self, path: &str, body: Value) -> Value {
        self.send(Method::POST, path, &body.to_string()).await
    }

    fn statuses(&self) -> Vec<u16> {
        self.answers.iter().map(|(status, _)| *status).collect()
    }

    /// The bodies of all answers that were errors.
    fn error_bodies(&self) -> String {
        let errors = self.answers.iter().filter(|(status, _)| *status >= 400);
        errors.flat_map(|(_, text)| [text.as_str(), "\n"]).collect()
    }
}

/// Requests to every kind of endpoint, good and bad, with marks in all they carry.
async fn use_threads(visitor: &mut Visitor<'_>, secrets: &mut Secrets) {
    let (metadata, values) = (secrets.make("metadata"), secrets.make("values"));
    let thread = visitor
        .post("/threads", json!({ "metadata": { "note": metadata, metadata.clone(): 1 } }))
        .await;
    let path = format!("/threads/{}", thread["thread_id"].as_str().unwrap());
    let messages = json!({ "values": { "messages": [{ "role": "user", "content": values }] } });
    let written = visitor.post(&format!("{path}/state"), messages).await;
    assert!(written["checkpoint_id"].is_string());
    for (method, path, body) in [
        (Method::GET, path.clone(), String::new()),
        (Method::PATCH, path.clone(), json!({ "metadata": { "note": metadata } }).to_string()),
        (Method::GET, format!("{path}/state"), String::new()),
        (Method::POST, format!("{path}/history"), json!({ "limit": 3 }).to_string()),
        (
            Method::POST,
            "/threads/search".into(),
            json!({ "metadata": { "note": metadata } }).to_string(),
        ),
        (Method::POST, "/threads/count".into(), json!({ "values": { "x": values } }).to_string()),
        (Method::POST, format!("{path}/copy"), String::new()),
        (Method::GET, format!("{path}/storage"), String::new()),
        // Refused, each in its own way.
        (Method::POST, "/threads".into(), format!("{{\"metadata\": {{\"a\": \"{metadata}\"")),
        (Method::POST, "/threads".into(), json!({ "metadata": metadata }).to_string()),
        (
            Method::POST,
            "/threads".into(),
            json!({ "metadata": { "a": format!("{metadata}\0") } }).to_string(),
        ),
        (Method::POST, "/threads".into(), json!({ "thread_id": metadata }).to_string()),
        (Method::POST, "/threads".into(), json!({ "ttl": metadata }).to_string()),
        (
            Method::POST,
            "/threads/search".into(),
            json!({ "sort_by": metadata, "ids": [values] }).to_string(),
        ),
        (Method::POST, format!("{path}/state"), json!({ "values": [values] }).to_string()),
        (Method::GET, format!("/threads/{metadata}"), String::new()),
        (Method::GET, format!("/{metadata}?token={values}"), String::new()),
        (Method::PUT, format!("{path}?{metadata}"), values.clone()),
        (Method::DELETE, path.clone(), String::new()),
        (Method::GET, path, String::new()),
    ] {
        visitor.send(method, &path, &body).await;
    }
}

/// Tokens that are refused, most of them shown to nobody else.
async fn use_bad_tokens(visitor: &mut Visitor<'_>, secrets: &mut Secrets) {
    let good = visitor.token.clone();
    let marked = secrets.make("a claim");
    let expired = token_with(&json!({ "sub": Uuid::new_v4(), "exp": 1, "email": marked }));
    let forged =
        token_with(&json!({ "sub": Uuid::new_v4(), "exp": 4_000_000_000_u64, "email": marked }));
    secrets.keep_token("an expired token", &expired);
    secrets.keep_token("a forged token", &forged);
    let odd = secrets.make("no token at all");
    for token in [expired, forged, odd.clone(), format!("{odd}.{odd}.{odd}"), format!("{odd} x")] {
        visitor.token = token;
        visitor.post("/threads", json!({})).await;
    }
    let key = secrets.make("a key that is no token");
    for key in [&good, &key] {
        let request = visitor.client.get(format!("{}/threads/x", visitor.url));
        request.header("x-api-key", key).send().await.unwrap();
    }
    visitor.token = good;
}

#[track_caller]
fn has_lines(output: &str, format: &str) {
    let lines = |text: &str| output.lines().filter(|line| line.contains(text)).count();
    let (trace, info) = match format {
        "json" => (lines("\"level\":\"TRACE\""), lines("\"level\":\"INFO\"")),
        _ => (lines("TRACE "), lines(" INFO ")),
    };
    // Without them the test would prove nothing.
    assert!(trace > 5 && info > 20, "{trace} lines at trace and {info} at info: {output}");
    assert!(output.contains("/threads/{thread_id}/state"), "no line of a request");
    assert!(output.contains("request failed"), "no line of a failure");
}

async fn start(settings: Vec<(&'static str, String)>) -> Program {
    let start = move || {
        let settings: Vec<_> =
            settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
        Program::start(&settings)
    };
    tokio::task::spawn_blocking(start).await.unwrap()
}

/// A database that is asked for with a password that it does not need.
async fn database(secrets: &mut Secrets) -> (String, sqlx::postgres::PgConnectOptions) {
    let options = test_cluster().await.database().await;
    let password = secrets.make("the database's password");
    let url = url_of(&options)
        .replace("postgres://postgres@", &format!("postgres://postgres:{password}@"));
    assert!(url.contains(&password));
    (url, options)
}

/// From here on every statement of the store fails.
async fn break_store(options: &sqlx::postgres::PgConnectOptions) {
    let mut connection = options.connect().await.unwrap();
    connection.execute(AssertSqlSafe("alter schema thread_store rename to gone")).await.unwrap();
}

async fn local_sign_in(format: &str) {
    let mut secrets = Secrets::default();
    let (url, options) = database(&mut secrets).await;
    let settings =
        [("DATABASE_URL", url), ("RUST_LOG", "trace".into()), ("LOG_FORMAT", format.into())];
    let program = start(settings.into()).await;
    let mut visitor = Visitor::new(&program.url, "", format);
    let name = secrets.make("an e-mail address");
    let password = secrets.make("a password");
    let mut credentials = json!({ "email": format!("{name}@example.com"), "password": password });
    credentials["data"] = json!({ "name": secrets.make("what a user says of themselves") });
    let session = visitor.post("/auth/v1/signup", credentials.clone()).await;
    let again = visitor.post("/auth/v1/token?grant_type=password", credentials.clone()).await;
    let refresh = json!({ "refresh_token": again["refresh_token"] });
    let renewed = visitor.post("/auth/v1/token?grant_type=refresh_token", refresh.clone()).await;
    for (what, session) in [("sign-up", &session), ("sign-in", &again), ("refresh", &renewed)] {
        secrets
            .keep_token(&format!("the {what}'s token"), session["access_token"].as_str().unwrap());
        let refresh_token = session["refresh_token"].as_str().unwrap().to_owned();
        secrets.0.push((format!("the {what}'s refresh token"), refresh_token));
    }
    visitor.post("/auth/v1/signup", credentials.clone()).await;
    credentials["password"] = secrets.make("a wrong password").into();
    visitor.post("/auth/v1/token?grant_type=password", credentials.clone()).await;
    visitor.send(Method::POST, "/auth/v1/signup", &credentials.to_string()[..60]).await;
    let unknown = secrets.make("an unknown refresh token");
    visitor
        .post("/auth/v1/token?grant_type=refresh_token", json!({ "refresh_token": unknown }))
        .await;
    visitor.token = renewed["access_token"].as_str().unwrap().to_owned();
    visitor.send(Method::GET, "/auth/v1/user", "").await;
    let changed = json!({ "password": secrets.make("a new password") });
    visitor.send(Method::PUT, "/auth/v1/user", &changed.to_string()).await;
    use_threads(&mut visitor, &mut secrets).await;
    use_bad_tokens(&mut visitor, &mut secrets).await;
    break_store(&options).await;
    let body = secrets.make("a body that meets a broken database");
    visitor.post("/threads", json!({ "metadata": { "a": body } })).await;
    assert_eq!(visitor.answers.last().unwrap().0, 500);
    visitor.send(Method::POST, "/auth/v1/logout", "").await;
    let statuses = visitor.statuses();
    for status in [200, 204, 400, 401, 403, 404, 405, 422, 500] {
        assert!(statuses.contains(&status), "no answer was {status}: {statuses:?}");
    }
    let errors = visitor.error_bodies();
    let output = tokio::task::spawn_blocking(move || program.stop()).await.unwrap();
    has_lines(&output, format);
    secrets.none_in(&output, "the log");
    secrets.without_own_words().none_in(&errors, "an error body");
}

async fn supabase_project(format: &str) {
    let mut secrets = Secrets::default();
    let (url, options) = database(&mut secrets).await;
    let upstream = Supabase::start().await;
    let settings = [
        ("DATABASE_URL", url),
        ("SUPABASE_URL", upstream.url.clone()),
        ("SUPABASE_SERVICE_KEY", secrets.make("the API key")),
        ("SUPABASE_AUTH_CACHE_TTL", "0".into()),
        ("RUST_LOG", "trace".into()),
        ("LOG_FORMAT", format.into()),
    ];
    let program = start(settings.into()).await;
    let email = secrets.make("an e-mail address");
    let token = token_with(&json!({
        "sub": Uuid::new_v4(), "exp": 4_000_000_000_u64, "email": format!("{email}@example.com"),
    }));
    secrets.keep_token("a token", &token);
    let mut own = supabase::user(claims(&token)["sub"].as_str().unwrap());
    own["email"] = format!("{email}@example.com").into();
    own["user_metadata"] = json!({ "name": secrets.make("what Supabase says of a user") });
    upstream.answer_to(&token, Reply::json(200, &own));
    upstream.answer(Reply::error(403, "bad_jwt"));
    let mut visitor = Visitor::new(&program.url, &token, format);
    use_threads(&mut visitor, &mut secrets).await;
    use_bad_tokens(&mut visitor, &mut secrets).await;
    let internals = secrets.make("what Supabase answered");
    let page = |status| Reply::text(status, "text/html", format!("<html>{internals}</html>"));
    for fault in [
        page(200),
        page(401),
        page(404),
        page(429).with_header("retry-after", &internals),
        page(500),
        page(502),
        page(302).with_header("location", &format!("/{internals}")),
        Reply::error(403, &internals),
        Reply::json(403, &json!({ "error_code": [internals] })),
        Reply::json(200, &json!({ "id": internals, "email": internals })),
        Reply::text(200, "text/html", internals.repeat(100_000)),
        Reply::Reset,
        Reply::HalfBody,
        Reply::BlackHole,
    ] {
        upstream.answer_to(&token, fault);
        let body = secrets.make("the body of a request that was not let in");
        visitor.post("/threads", json!({ "metadata": { "a": body } })).await;
        assert_eq!(visitor.answers.last().unwrap().0, 503);
    }
    upstream.answer_to(&token, Reply::json(200, &own));
    break_store(&options).await;
    let body = secrets.make("a body that meets a broken database");
    visitor.post("/threads", json!({ "metadata": { "a": body } })).await;
    assert_eq!(visitor.answers.last().unwrap().0, 500);
    let errors = visitor.error_bodies();
    let output = tokio::task::spawn_blocking(move || program.stop()).await.unwrap();
    has_lines(&output, format);
    assert!(output.contains("Supabase answered 502"), "no line of a fault");
    secrets.none_in(&output, "the log");
    secrets.without_own_words().none_in(&errors, "an error body");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_local_sign_in_the_log_for_people_holds_nothing_private() {
    local_sign_in("pretty").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_local_sign_in_the_log_for_machines_holds_nothing_private() {
    local_sign_in("json").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_supabase_the_log_for_people_holds_nothing_private() {
    supabase_project("pretty").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_supabase_the_log_for_machines_holds_nothing_private() {
    supabase_project("json").await;
}

#[tokio::test]
async fn debug_output_holds_nothing_private() {
    let mut secrets = Secrets::default();
    let (url, _) = database(&mut secrets).await;
    let key = SecretString::from(secrets.make("the API key"));
    let project: url::Url = "https://example.supabase.co".parse().unwrap();
    let users = Users::new(&SupabaseOptions {
        url: &project,
        api_key: Some(&key),
        mode: Mode::JwksAndRemote,
        issuer: &JwtIssuer::OfUrl,
        cache_ttl: Duration::from_secs(1),
    })
    .unwrap();
    let options: sqlx::postgres::PgConnectOptions = url.parse().unwrap();
    let mut config = Config::for_test(options.clone(), "x").unwrap();
    let limits = config.limits;
    config.sign_in = SignIn::Supabase {
        url: project,
        api_key: Some(key),
        mode: Mode::Jwks,
        issuer: JwtIssuer::OfUrl,
    };
    let claim = secrets.make("a claim");
    let user = User {
        identity: "its id may be seen".into(),
        email: secrets.make("an e-mail address"),
        permissions: vec![secrets.make("a permission")],
        is_anonymous: false,
        claims: json!({ "x": claim }).as_object().unwrap().clone(),
    };
    let users_shown = format!("{users:?} {users:#?}");
    let store = Store::open(options, 1).await.unwrap();
    let auth = Auth::new(users).on(Everything, add_owner).unwrap();
    let app = Arc::new(App::new(store, auth, limits, AppShares::new(&limits)));
    let shown = format!("{config:?} {config:#?} {user:?} {users_shown} {app:?} {:?}", app.auth);
    for name in ["Config", "Mode", "its id may be seen", "Supabase", "App", "Store"] {
        assert!(shown.contains(name) || name == "Mode", "{name} is not in {shown}");
    }
    secrets.none_in(&shown, "debug output");
}
