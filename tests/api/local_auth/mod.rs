//! The local sign-in at `/auth/v1`, row by row against what Supabase Auth does.

mod access_token;
mod disabled;
mod links;
mod origins;
mod pkce;
mod protocol;
mod refresh;
mod secrets;
mod sign_in;
mod sign_out;
mod sign_up;
mod user;

use std::sync::{Arc, LazyLock, Mutex};
use std::{fs, os::unix::fs::PermissionsExt, path::Path, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use futures::future::join_all;
use jsonwebtoken::{Algorithm, Header, get_current_timestamp};
use reqwest::{Client, Method, StatusCode, header::HeaderMap};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgConnection, PgPool};
use tempfile::TempDir;
use thread_store::config::CorsOrigins;
use thread_store::local_sign_in::LocalAuth;
use tokio::net::TcpListener;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use url::Url;
use uuid::Uuid;

use crate::support::TestServer;
use crate::support::jwt::{self, Key};

const PASSWORD: &str = "correct horse";
const NO_AUTHORIZATION: &str = "This endpoint requires a valid Bearer token";
const BAD_JWT: &str = "invalid JWT: unable to parse or verify signature, ";
const NOT_FOUND: &str = "Invalid Refresh Token: Refresh Token Not Found";
const ALREADY_USED: &str = "Invalid Refresh Token: Already Used";
const SESSION_GONE: &str = "Session from session_id claim in JWT does not exist";

/// A client of one local sign-in.
struct Auth {
    url: String,
    pool: PgPool,
    client: Client,
    server: Arc<TestServer>,
}

/// What the sign-ins of this process have logged.
fn log() -> &'static Mutex<Vec<u8>> {
    static LOG: LazyLock<Mutex<Vec<u8>>> = LazyLock::new(|| {
        let writer = || LogWriter;
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(writer);
        let filter = tracing_subscriber::filter::Targets::new()
            .with_target("thread_store::local_sign_in", tracing::Level::INFO);
        subscriber.finish().with(filter).init();
        Mutex::default()
    });
    &LOG
}

struct LogWriter;

impl std::io::Write for LogWriter {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        log().lock().unwrap().extend_from_slice(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A whole answer.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Value,
}

impl Auth {
    async fn start() -> Self {
        let server = Arc::new(TestServer::start().await);
        Self::at(format!("{}/auth/v1", server.url), server)
    }

    /// A local sign-in of our own on the database of a test server, which keeps
    /// its secret where the test can see it.
    async fn start_in(data_dir: &Path) -> Self {
        Self::start_again_in(data_dir, Arc::new(TestServer::start().await)).await
    }

    async fn start_again_in(data_dir: &Path, server: Arc<TestServer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let site: Url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let url = format!("{site}auth/v1");
        let (pool, origins) = (server.pool.clone(), CorsOrigins::Any);
        let auth = LocalAuth::open(pool, data_dir, site, origins).await.unwrap();
        tokio::spawn(async move { axum::serve(listener, auth.router()).await });
        Self::at(url, server)
    }

    fn at(url: String, server: Arc<TestServer>) -> Self {
        log();
        // Where a redirect leads is for the tests to see.
        let client =
            thread_store::http_client::builder().redirect(reqwest::redirect::Policy::none());
        Self { url, pool: server.pool.clone(), client: client.build().unwrap(), server }
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url)).header("apikey", "any")
    }

    async fn post(&self, path: &str, body: &Value) -> Answer {
        send(self.request(Method::POST, path).json(body)).await
    }

    async fn sign_up(&self, email: &str) -> Value {
        self.post("/signup", &json!({ "email": email, "password": PASSWORD })).await.ok()
    }

    async fn sign_in(&self, email: &str, password: &str) -> Answer {
        let body = json!({ "email": email, "password": password });
        self.post("/token?grant_type=password", &body).await
    }

    async fn refresh(&self, refresh_token: &str) -> Answer {
        let body = json!({ "refresh_token": refresh_token });
        self.post("/token?grant_type=refresh_token", &body).await
    }

    async fn user(&self, token: &str) -> Answer {
        send(self.request(Method::GET, "/user").bearer_auth(token)).await
    }

    async fn update(&self, token: &str, body: &Value) -> Answer {
        send(self.request(Method::PUT, "/user").bearer_auth(token).json(body)).await
    }

    async fn logout(&self, token: &str, query: &str) -> Answer {
        send(self.request(Method::POST, &format!("/logout{query}")).bearer_auth(token)).await
    }

    /// The links that nobody was sent, oldest first, and their codes.
    fn links(&self) -> Vec<(Url, String)> {
        let text = String::from_utf8(log().lock().unwrap().clone()).unwrap();
        let start = format!("{}/verify?", self.url);
        let lines = text.lines().filter(|line| line.contains(&start));
        let words = lines.map(|line| {
            let value = |name: &str| {
                let found = line.split_whitespace().find_map(|word| word.strip_prefix(name));
                found.unwrap().to_owned()
            };
            (value("link=").parse().unwrap(), value("code="))
        });
        words.collect()
    }

    /// Follows a link, and answers where it leads.
    async fn follow(&self, link: &Url) -> Url {
        let response = self.client.get(link.clone()).send().await.unwrap();
        assert_eq!(response.status(), 303);
        assert_eq!(response.headers()["cache-control"], "no-store");
        response.headers()["location"].to_str().unwrap().parse().unwrap()
    }

    async fn sql(&self, statement: &'static str) {
        sqlx::raw_sql(statement).execute(&self.pool).await.unwrap();
    }

    /// The last link, and its code.
    fn last_link(&self) -> (Url, String) {
        self.links().pop().unwrap()
    }

    /// Lets the minute pass after which a user may be sent another mail.
    async fn pass_a_minute(&self) {
        let ago = "update local_auth.users set recovery_sent_at = now() - interval '61 seconds'";
        self.sql(ago).await;
    }

    /// All rows of its tables, as JSON lines.
    async fn rows(&self) -> String {
        let tables =
            "select table_name from information_schema.tables where table_schema = 'local_auth'";
        let tables: Vec<String> = sqlx::query_scalar(tables).fetch_all(&self.pool).await.unwrap();
        let mut rows = String::new();
        for table in tables {
            let dump = format!("select to_jsonb(t)::text from local_auth.{table} as t");
            let dump = sqlx::query_scalar::<_, String>(AssertSqlSafe(dump));
            rows += &dump.fetch_all(&self.pool).await.unwrap().join("\n");
        }
        rows
    }
}

impl Answer {
    /// The body of a success.
    fn ok(self) -> Value {
        assert_eq!(self.status, 200, "{}", self.body);
        self.body
    }

    /// Exactly Supabase Auth's error answer.
    fn refused(&self, status: u16, code: &str, msg: &str) {
        assert_eq!(self.body, json!({ "code": status, "error_code": code, "msg": msg }));
        assert_eq!(self.status, status);
        assert_eq!(self.headers["x-sb-error-code"], code);
    }
}

async fn send(request: reqwest::RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    let bytes = response.bytes().await.unwrap();
    let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    Answer { status, headers, body }
}

/// A parameter of the part of an address behind `#`.
fn in_fragment(url: &Url, name: &str) -> Option<String> {
    let pairs = url::form_urlencoded::parse(url.fragment()?.as_bytes());
    pairs.into_owned().find_map(|(key, value)| (key == name).then_some(value))
}

/// A parameter of the query.
fn in_query(url: &Url, name: &str) -> Option<String> {
    url.query_pairs().into_owned().find_map(|(key, value)| (key == name).then_some(value))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn access(session: &Value) -> &str {
    text(&session["access_token"])
}

fn renewal(session: &Value) -> &str {
    text(&session["refresh_token"])
}

fn payload(token: &str) -> Value {
    let part = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

/// A token under the secret in `data_dir`: good for an hour, but for `changes`.
/// A null takes the claim away.
fn forge(data_dir: &Path, algorithm: Algorithm, changes: &Value) -> String {
    let secret = fs::read(data_dir.join("local-auth-secret")).unwrap();
    let mut claims = json!({ "aud": "authenticated", "exp": get_current_timestamp() + 3600 });
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    let key = Key::Secret(secret);
    jwt::encode(&Header::new(algorithm), &claims, &key)
}
