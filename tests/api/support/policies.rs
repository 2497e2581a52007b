//! Servers with handlers of a test's own, and users who are not what they were.

use std::future::Future;
use std::time::Duration;

use jsonwebtoken::{Header, get_current_timestamp};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use thread_store::auth::{Auth, Authenticate, SlotTaken};
use thread_store::config::Config;

use super::jwt::{self, Key};
use super::postgres::test_cluster;
use super::{Answer, PASSWORD, TestServer, User};

/// How often these servers verify the token of an open stream again.
const STREAM_CHECK: Duration = Duration::from_secs(1);

impl TestServer {
    /// A server with the local sign-in, these handlers and this `SUPABASE_AUTH_CACHE_TTL`.
    pub(crate) async fn start_policy(
        auth_cache_ttl: Duration,
        policy: impl FnOnce(Box<dyn Authenticate>) -> Result<Auth, SlotTaken>,
    ) -> TestServer {
        let configure = |config: &mut Config| {
            config.auth_cache_ttl = auth_cache_ttl;
            config.limits.stream_check = STREAM_CHECK;
        };
        Self::start_policy_with(configure, policy).await
    }

    /// The same with other settings.
    pub(crate) async fn start_policy_with(
        configure: impl FnOnce(&mut Config),
        policy: impl FnOnce(Box<dyn Authenticate>) -> Result<Auth, SlotTaken>,
    ) -> TestServer {
        let database = test_cluster().await.migrated_database().await;
        Self::start_on(database, tempfile::tempdir().unwrap(), configure, policy).await
    }

    /// A token for a user under this server's own secret, which ends in so many seconds.
    pub(crate) fn forge(&self, user: &User, expires_in: i64) -> String {
        self.token_for(user, expires_in, &json!({}))
    }

    /// The same with more claims.
    pub(crate) fn token_for(&self, user: &User, expires_in: i64, more: &Value) -> String {
        let secret = std::fs::read(self.data_dir.path().join("local-auth-secret")).unwrap();
        let now = i64::try_from(get_current_timestamp()).unwrap();
        let mut claims = json!({
            "iss": format!("{}/auth/v1", self.url),
            "sub": user.id,
            "aud": "authenticated",
            "role": "authenticated",
            "exp": now + expires_in,
            "iat": now - 3600,
        });
        for (name, value) in more.as_object().into_iter().flatten() {
            claims[name] = value.clone();
        }
        let key = Key::Secret(secret.trim_ascii().to_vec());
        jwt::encode(&Header::default(), &claims, &key)
    }

    /// Changes the row of a user as an operator would.
    pub(crate) async fn change_user(&self, user: &User, assignment: &str) {
        let sql = format!("update local_auth.users set {assignment} where id = $1::uuid");
        let done = sqlx::query(AssertSqlSafe(sql)).bind(&user.id).execute(&self.pool).await;
        assert_eq!(done.unwrap().rows_affected(), 1);
    }

    /// How many threads there are, whoever's they are.
    pub(crate) async fn threads_in_all(&self) -> i64 {
        let count = sqlx::query_scalar("select count(*) from thread_store.thread");
        count.fetch_one(&self.pool).await.unwrap()
    }
}

impl User {
    /// The same client with another token.
    pub(crate) fn with_token(&self, token: impl Into<String>) -> User {
        User { token: token.into(), ..self.clone() }
    }

    pub(crate) async fn sign_out(&self) {
        let done = self.post("/auth/v1/logout", json!({})).await;
        assert_eq!(done.status, 204, "{}", done.text);
    }

    /// Signs in again, for a second session of the same user.
    pub(crate) async fn another_session(&self) -> User {
        let body = json!({ "email": self.email, "password": PASSWORD });
        let session = self.post("/auth/v1/token?grant_type=password", body).await.expect(200);
        self.with_token(session["access_token"].as_str().unwrap())
    }
}

impl Answer {
    /// An answer whose body is left unread if it is a stream, which has no end.
    pub(crate) async fn but_for_streams(request: reqwest::RequestBuilder) -> Answer {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let is_stream = headers.get("content-type").is_some_and(|t| t == "text/event-stream");
        let text = if is_stream { String::new() } else { response.text().await.unwrap() };
        Answer { status, headers, text }
    }

    /// All that a client sees, but for what is different in every answer.
    pub(crate) fn visible(&self) -> (u16, Vec<(String, String)>, String) {
        let headers = self.headers.iter();
        let headers = headers.filter(|(name, _)| *name != "date" && *name != "x-request-id");
        let headers =
            headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
        (self.status.as_u16(), headers.collect(), self.text.clone())
    }
}

/// Asks again and again until the answer is yes, for so long.
pub(crate) async fn within<F: Future<Output = bool>>(
    limit: Duration,
    mut ask: impl FnMut() -> F,
) -> bool {
    let begin = std::time::Instant::now();
    loop {
        if ask().await {
            return true;
        }
        if begin.elapsed() > limit {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
