//! Users of a Supabase project: every request is checked with `GET /auth/v1/user`.
//!
//! Supabase's answers and what they mean for a caller are in `SUPABASE.md` B1 and B4. The one
//! rule behind the table: only Supabase's own word that a token is bad is a 401. Everything
//! that leaves the question open (unreachable, slow, confused, refusing *our* key) is a 503,
//! because a 401 would sign users out.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use futures::future::BoxFuture;
use reqwest::{Client, Response, redirect};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use url::Url;
use uuid::Uuid;

use super::bearer::BearerToken;
use super::{Authenticate, User};
use crate::error::Error;

/// For a connection to Supabase.
const CONNECT_DEADLINE: Duration = Duration::from_secs(2);
/// For the whole check, its retry included. Supabase gives up on itself after 10 s.
const DEADLINE: Duration = Duration::from_secs(5);
/// Largest answer that is read, in bytes.
const MAX_ANSWER: usize = 1024 * 1024;
/// What clients are told to wait when Supabase names no time.
const RETRY_AFTER: Duration = Duration::from_secs(2);

const REFUSED: Error = Error::InvalidToken("The access token is not valid or has expired");

/// Codes by which Supabase says that the *token* is the problem.
const TOKEN_REFUSALS: [&str; 7] = [
    "bad_jwt",
    "no_authorization",
    "session_not_found",
    "user_not_found",
    "user_banned",
    "session_expired",
    "validation_failed",
];

/// The authenticate handler for a Supabase project, or for anything that speaks its API.
#[derive(Debug, Clone)]
pub struct Supabase {
    client: Client,
    user_endpoint: String,
    api_key: Option<HeaderValue>,
}

impl Supabase {
    /// A handler for the project at `url`, which sends `api_key` with every call.
    pub fn new(url: &Url, api_key: Option<&SecretString>) -> Result<Supabase, reqwest::Error> {
        let mut client = Client::builder()
            .connect_timeout(CONNECT_DEADLINE)
            .pool_idle_timeout(Duration::from_secs(30))
            .redirect(redirect::Policy::none())
            .user_agent(concat!("thread-store/", env!("CARGO_PKG_VERSION")));
        if url.host().is_some_and(|host| is_loopback(&host)) {
            client = client.no_proxy();
        }
        let api_key = api_key.and_then(|key| HeaderValue::try_from(key.expose_secret()).ok()).map(
            |mut key| {
                key.set_sensitive(true);
                key
            },
        );
        Ok(Supabase {
            client: client.build()?,
            user_endpoint: format!("{}/auth/v1/user", url.as_str().trim_end_matches('/')),
            api_key,
        })
    }

    async fn verify(&self, token: &BearerToken) -> Result<User, Error> {
        let claims = token.unverified_claims()?;
        if claims.exp.is_some_and(|exp| exp <= seconds_since_1970()) {
            return Err(REFUSED);
        }
        let user = match tokio::time::timeout(DEADLINE, self.ask_twice(token)).await {
            Ok(answer) => answer?,
            Err(_) => return Err(unavailable(format!("no answer within {DEADLINE:?}"))),
        };
        if claims.sub.as_deref() != Some(user.identity.as_str()) {
            return Err(unavailable("Supabase answered for another user than the token's".into()));
        }
        Ok(user)
    }

    /// One retry, because a single lost connection or restart upstream should not be seen.
    async fn ask_twice(&self, token: &BearerToken) -> Result<User, Error> {
        match self.ask(token).await? {
            Answer::Final(answer) => answer,
            Answer::WorthARetry(_) => match self.ask(token).await? {
                Answer::Final(answer) => answer,
                Answer::WorthARetry(cause) => Err(unavailable(cause)),
            },
        }
    }

    async fn ask(&self, token: &BearerToken) -> Result<Answer, Error> {
        let mut request =
            self.client.get(&self.user_endpoint).header(header::AUTHORIZATION, token.to_header()?);
        if let Some(key) = &self.api_key {
            request = request.header("apikey", key);
        }
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => return Ok(Answer::WorthARetry(describe(error))),
        };
        let status = response.status();
        if status.is_server_error() {
            return Ok(Answer::WorthARetry(format!("Supabase answered {status}")));
        }
        if status == StatusCode::TOO_MANY_REQUESTS {
            return Ok(Answer::Final(Err(Error::AuthUnavailable {
                retry_after: retry_after(&response).unwrap_or(RETRY_AFTER),
                cause: "Supabase answered 429".into(),
            })));
        }
        match read(response).await {
            Ok(body) => Ok(Answer::Final(judge(status, &body))),
            Err(cause) => Ok(Answer::WorthARetry(cause)),
        }
    }
}

impl Authenticate for Supabase {
    fn authenticate<'a>(&'a self, request: &'a Parts) -> BoxFuture<'a, Result<User, Error>> {
        Box::pin(async move { self.verify(&BearerToken::from_headers(&request.headers)?).await })
    }
}

enum Answer {
    Final(Result<User, Error>),
    WorthARetry(String),
}

/// What is read of Supabase's user object.
#[derive(Deserialize)]
struct SupabaseUser {
    id: Uuid,
    #[serde(default)]
    deleted_at: Option<String>,
    #[serde(default)]
    banned_until: Option<String>,
}

impl SupabaseUser {
    /// Older versions of Supabase Auth answer 200 for users who are gone or banned.
    fn may_sign_in(&self) -> bool {
        let is_banned = self.banned_until.as_deref().is_some_and(|until| {
            chrono::DateTime::parse_from_rfc3339(until)
                .map_or(true, |until| precise_seconds(&until) > seconds_since_1970())
        });
        self.deleted_at.is_none() && !is_banned
    }
}

#[derive(Deserialize)]
struct SupabaseError {
    error_code: Option<String>,
}

/// The meaning of a whole answer that is neither 429 nor 5xx.
fn judge(status: StatusCode, body: &[u8]) -> Result<User, Error> {
    if status == StatusCode::OK {
        return match serde_json::from_slice::<SupabaseUser>(body) {
            Ok(user) if user.may_sign_in() => Ok(User { identity: user.id.to_string() }),
            Ok(_) => Err(REFUSED),
            Err(_) => Err(unavailable("Supabase answered 200 without a user".into())),
        };
    }
    let code = serde_json::from_slice::<SupabaseError>(body).ok().and_then(|body| body.error_code);
    match (status.as_u16(), code.as_deref()) {
        (400 | 401 | 403, Some(code)) if TOKEN_REFUSALS.contains(&code) => Err(REFUSED),
        (401 | 403, None) => Err(unavailable(format!(
            "Supabase answered {status} without an error code: it refused the API key, check SUPABASE_SERVICE_KEY"
        ))),
        (404, _) => Err(unavailable("Supabase answered 404: check SUPABASE_URL".into())),
        (_, code) => Err(unavailable(format!(
            "Supabase answered {status} with error code {}",
            code.map_or_else(|| "none".to_owned(), |code| code.chars().take(64).collect())
        ))),
    }
}

async fn read(mut response: Response) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(describe)? {
        if body.len() + chunk.len() > MAX_ANSWER {
            return Err(format!("Supabase answered with more than {MAX_ANSWER} bytes"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get(header::RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

fn unavailable(cause: String) -> Error {
    Error::AuthUnavailable { retry_after: RETRY_AFTER, cause }
}

/// The chain of causes. Its first link may hold the URL, never a header.
fn describe(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

fn is_loopback(host: &url::Host<&str>) -> bool {
    match host {
        url::Host::Ipv4(address) => address.is_loopback(),
        url::Host::Ipv6(address) => address.is_loopback(),
        url::Host::Domain(name) => *name == "localhost",
    }
}

/// The clock of this machine. Only token times are compared with it; all else asks Postgres.
fn seconds_since_1970() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |elapsed| elapsed.as_secs_f64())
}

#[expect(clippy::cast_precision_loss, reason = "exact for any year that a clock shows")]
fn precise_seconds(moment: &chrono::DateTime<chrono::FixedOffset>) -> f64 {
    moment.timestamp_millis() as f64 / 1000.0
}
