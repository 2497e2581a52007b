//! A whole server for a test: real sockets, a database of its own, real sign-in.

pub(crate) mod deadline;
pub(crate) mod events;
pub(crate) mod jwt;
pub(crate) mod policies;
pub(crate) mod postgres;
pub(crate) mod program;
pub(crate) mod readme;
pub(crate) mod signer;
pub(crate) mod steps;
pub(crate) mod supabase;

use std::path::Path;

use argon2::password_hash::PasswordHasher as _;
use argon2::{Argon2, Params};
use reqwest::header::HeaderMap;
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use sqlx::postgres::PgConnectOptions;
use sqlx::{PgPool, Row as _};
use tempfile::TempDir;
use thread_store::auth::{Auth, Authenticate, SlotTaken, private_threads};
use thread_store::config::Config;
use thread_store::server::{Server, StopSignal};
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinHandle;

use deadline::PATIENCE;
use postgres::test_cluster;

/// The password of every user.
pub(crate) const PASSWORD: &str = "correct horse";

/// What the database holds of [`PASSWORD`]: a hash that costs nothing.
fn password_hash() -> String {
    let cheap = Params::new(Params::MIN_M_COST, 1, 1, None).unwrap();
    let argon2 = Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, cheap);
    argon2.hash_password(PASSWORD.as_bytes()).unwrap().to_string()
}

/// A running server. It stops when the test ends.
pub(crate) struct TestServer {
    /// Its base URL, without a slash at the end.
    pub(crate) url: String,
    /// That of its metrics, if they have a port of their own.
    pub(crate) metrics_url: Option<String>,
    /// Connections to its database.
    pub(crate) pool: PgPool,
    /// How to connect to its database.
    pub(crate) database: PgConnectOptions,
    data_dir: TempDir,
    stop: UnboundedSender<()>,
    running: JoinHandle<()>,
}

impl TestServer {
    /// A server with the local sign-in on a fresh database.
    pub(crate) async fn start() -> TestServer {
        Self::start_with(|_| ()).await
    }

    /// The same with other settings.
    pub(crate) async fn start_with(configure: impl FnOnce(&mut Config)) -> TestServer {
        let database = test_cluster().await.database_of_a_server().await;
        Self::start_on(database, tempfile::tempdir().unwrap(), configure, private_threads).await
    }

    /// The same on a database that is there already.
    pub(crate) async fn start_at(
        database: PgConnectOptions,
        configure: impl FnOnce(&mut Config),
    ) -> TestServer {
        Self::start_on(database, tempfile::tempdir().unwrap(), configure, private_threads).await
    }

    /// The same on tables that are split by tenant.
    pub(crate) async fn start_partitioned_with(configure: impl FnOnce(&mut Config)) -> TestServer {
        let database = test_cluster().await.partitioned_database().await;
        Self::start_on(database, tempfile::tempdir().unwrap(), configure, private_threads).await
    }

    /// Another instance on the same database, which takes the same tokens.
    pub(crate) async fn start_beside(&self) -> TestServer {
        self.start_beside_with(|_| ()).await
    }

    /// The same with other settings.
    pub(crate) async fn start_beside_with(
        &self,
        configure: impl FnOnce(&mut Config),
    ) -> TestServer {
        let data_dir = tempfile::tempdir().unwrap();
        let secret = Path::new("local-auth-secret");
        std::fs::copy(self.data_dir.path().join(secret), data_dir.path().join(secret)).unwrap();
        Self::start_on(self.database.clone(), data_dir, configure, private_threads).await
    }

    async fn start_on(
        database: PgConnectOptions,
        data_dir: TempDir,
        configure: impl FnOnce(&mut Config),
        policy: impl FnOnce(Box<dyn Authenticate>) -> Result<Auth, SlotTaken>,
    ) -> TestServer {
        let mut config = Config::for_test(database.clone(), data_dir.path()).unwrap();
        configure(&mut config);
        let server = Server::start(config, policy).await.unwrap();
        let url = format!("http://{}", server.address());
        let metrics_url = server.metrics_address().map(|address| format!("http://{address}"));
        let (stop, stopped) = StopSignal::of_channel();
        let running = tokio::spawn(server.run(stopped));
        // Whatever a test makes the database's own setting.
        let at_ease = database.clone().options([("statement_timeout", "0"), ("lock_timeout", "0")]);
        let pool = PgPool::connect_lazy_with(at_ease);
        TestServer { url, metrics_url, pool, database, data_dir, stop, running }
    }

    /// Somebody who has signed up and in, as far as the database and the token say.
    pub(crate) async fn user(&self) -> User {
        let email = format!("{}@example.com", uuid::Uuid::new_v4().simple());
        let insert = "with person as (
                insert into local_auth.users (email, password_hash, last_sign_in_at)
                values ($1, $2, now())
                returning id
            )
            insert into local_auth.sessions (user_id, method)
            select id, 'password' from person
            returning user_id::text, id::text";
        let row =
            sqlx::query(insert).bind(&email).bind(password_hash()).fetch_one(&self.pool).await;
        let row = row.unwrap();
        let (id, session): (String, String) = (row.get(0), row.get(1));
        let (url, client) = (self.url.clone(), client());
        let mut user = User { id, token: String::new(), email, url, client };
        user.token = self.token_for(&user, 3600, &json!({ "session_id": session }));
        user
    }

    /// Tells the server to stop, once more than before.
    pub(crate) fn stop(&self) {
        self.stop.send(()).unwrap();
    }

    /// Waits until it has stopped.
    pub(crate) async fn stopped(self) {
        tokio::time::timeout(PATIENCE, self.running).await.unwrap().unwrap();
    }

    /// A client without credentials.
    pub(crate) fn nobody(&self) -> User {
        User {
            id: String::new(),
            token: String::new(),
            email: String::new(),
            url: self.url.clone(),
            client: client(),
        }
    }
}

/// One that gives up on a server that says nothing more.
fn client() -> Client {
    thread_store::http_client::builder().read_timeout(PATIENCE).build().unwrap()
}

/// Somebody with an access token, or nobody without one.
#[derive(Clone)]
pub(crate) struct User {
    pub(crate) id: String,
    pub(crate) token: String,
    pub(crate) email: String,
    pub(crate) url: String,
    pub(crate) client: Client,
}

/// A whole answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl User {
    /// The same user at another instance.
    pub(crate) fn at(&self, server: &TestServer) -> User {
        User { url: server.url.clone(), ..self.clone() }
    }

    /// A request with this user's token, to be completed.
    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.url));
        if self.token.is_empty() { request } else { request.bearer_auth(&self.token) }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::GET, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        Answer::of(self.request(Method::POST, path).json(&body)).await
    }

    /// Posts these very bytes.
    pub(crate) async fn post_text(&self, path: &str, body: impl Into<reqwest::Body>) -> Answer {
        Answer::of(self.request(Method::POST, path).body(body)).await
    }

    /// The ids of the threads that a search finds on all of its pages, sorted.
    pub(crate) async fn found_on_all_pages(&self, mut body: Value) -> Vec<String> {
        let mut found = Vec::new();
        loop {
            let page = self.post("/threads/search", body.clone()).await;
            found.extend(steps::texts(&page.expect(200), "thread_id"));
            let cursor = page.header("x-pagination-cursor");
            if cursor.is_empty() {
                break;
            }
            body["cursor"] = json!(cursor);
        }
        found.sort_unstable();
        found
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Answer {
        Answer::of(self.request(Method::PATCH, path).json(&body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::DELETE, path)).await
    }

    /// Makes a thread and answers its id.
    pub(crate) async fn thread(&self, body: Value) -> String {
        let thread = self.post("/threads", body).await.expect(200);
        thread["thread_id"].as_str().unwrap().to_owned()
    }

    /// Writes state and answers the id of the checkpoint.
    pub(crate) async fn write(&self, thread_id: &str, values: Value) -> String {
        let path = format!("/threads/{thread_id}/state");
        let written = self.post(&path, json!({ "values": values })).await.expect(200);
        written["checkpoint_id"].as_str().unwrap().to_owned()
    }
}

impl Answer {
    pub(crate) async fn of(request: reqwest::RequestBuilder) -> Answer {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        Answer { status, headers, text: response.text().await.unwrap() }
    }

    /// The body as JSON, after checking the status.
    #[track_caller]
    pub(crate) fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        self.json()
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| Value::String(self.text.clone()))
    }

    /// The text of an error body, which must hold nothing else.
    #[track_caller]
    pub(crate) fn detail(&self) -> String {
        let body = self.json();
        let fields = body.as_object().unwrap();
        assert_eq!(fields.keys().collect::<Vec<_>>(), ["detail"], "{}", self.text);
        body["detail"].as_str().unwrap().to_owned()
    }

    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}
