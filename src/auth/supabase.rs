//! Users of a Supabase project.
//!
//! Supabase's answers and what they mean for a caller are in `SUPABASE.md` B1 and B4. The one
//! rule behind the table: only Supabase's own word that a token is bad is a 401. Everything
//! that leaves the question open (unreachable, slow, confused, refusing *our* key) is a 503,
//! because a 401 would sign users out.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use futures::future::BoxFuture;
use jsonwebtoken::jwk::JwkSet;
use reqwest::{Client, Response};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Map, Value};
use url::Url;
use uuid::Uuid;

use super::bearer::{BearerToken, UnverifiedClaims};
use super::jwks::{Jwks, KeySource};
use super::tokens::{RETRY_AFTER, Refusal, Tokens, Verify, seconds_since_1970};
use super::upstream::{self, Unreadable};
use super::user::words;
use super::{Authenticate, User};
use crate::error::Error;
use crate::metrics::metrics;

/// The audience of the tokens of signed-in users.
const AUDIENCE: &str = "authenticated";

/// Codes by which Supabase says that the token is the problem, `bad_jwt` apart, which alone
/// says that it will stay one.
const TOKEN_REFUSALS: [&str; 6] = [
    "no_authorization",
    "session_not_found",
    "user_not_found",
    "user_banned",
    "session_expired",
    "validation_failed",
];

/// How tokens are verified (`SUPABASE_AUTH_MODE`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mode {
    /// By asking Supabase: sees sign-out, deletion and bans, and works on every project.
    #[default]
    Remote,
    /// Here, with the project's public keys: costs no call, goes on when Supabase is down, and
    /// accepts a token until its end, whatever happened to its user. Not on projects that sign
    /// with a shared secret.
    Jwks,
    /// Here first, then by asking: junk never reaches Supabase.
    JwksAndRemote,
}

/// The authenticate handler for a Supabase project, or for anything that speaks its API.
#[derive(Debug)]
pub struct Supabase {
    tokens: Tokens<Verifier>,
}

impl Supabase {
    /// A handler for the project at `url`, which sends `api_key` with every call and remembers
    /// for `cache_ttl` whom it let in. A sign-out counts after that time at the latest.
    pub fn new(
        url: &Url,
        api_key: Option<&SecretString>,
        mode: Mode,
        cache_ttl: Duration,
    ) -> Result<Supabase, reqwest::Error> {
        let base = format!("{}/auth/v1", url.as_str().trim_end_matches('/'));
        let project = Arc::new(Project {
            client: upstream::client(url)?,
            base: base.clone(),
            api_key: api_key.and_then(|key| HeaderValue::try_from(key.expose_secret()).ok()).map(
                |mut key| {
                    key.set_sensitive(true);
                    key
                },
            ),
        });
        let jwks = || Jwks::new(Arc::clone(&project), base, AUDIENCE.to_owned());
        let verifier = match mode {
            Mode::Remote => Verifier { jwks: None, remote: Some(project) },
            Mode::Jwks => Verifier { jwks: Some(jwks()), remote: None },
            Mode::JwksAndRemote => Verifier { jwks: Some(jwks()), remote: Some(project) },
        };
        Ok(Supabase { tokens: Tokens::new(verifier, cache_ttl) })
    }
}

impl Authenticate for Supabase {
    fn authenticate<'a>(&'a self, request: &'a Parts) -> BoxFuture<'a, Result<Arc<User>, Error>> {
        Box::pin(self.tokens.user_of(&request.headers))
    }

    fn is_available(&self) -> Option<bool> {
        self.tokens.is_available()
    }
}

struct Verifier {
    jwks: Option<Jwks>,
    remote: Option<Arc<Project>>,
}

impl Verify for Verifier {
    fn verify<'a>(
        &'a self,
        token: &'a BearerToken,
        claims: &'a UnverifiedClaims,
    ) -> BoxFuture<'a, Result<User, Refusal>> {
        Box::pin(async move {
            let verified = match &self.jwks {
                Some(jwks) => Some(jwks.verify(token).await?),
                None => None,
            };
            match (&self.remote, verified) {
                (Some(project), _) => project.verify(token, claims).await,
                (None, Some(claims)) => user_of_claims(claims),
                (None, None) => Err(Refusal::unavailable("nothing verifies tokens")),
            }
        })
    }
}

/// The user that a verified token speaks for.
fn user_of_claims(claims: Map<String, Value>) -> Result<User, Refusal> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str).unwrap_or_default();
    let identity = Uuid::parse_str(text("sub")).map_err(|_| Refusal::BadToken)?;
    Ok(User {
        identity: identity.to_string(),
        email: text("email").to_owned(),
        permissions: words(claims.get("app_metadata").and_then(|app| app.get("permissions"))),
        is_anonymous: claims.get("is_anonymous").and_then(Value::as_bool).unwrap_or_default(),
        claims,
    })
}

/// A project's Auth API.
struct Project {
    client: Client,
    base: String,
    api_key: Option<HeaderValue>,
}

impl KeySource for Arc<Project> {
    fn fetch(&self) -> BoxFuture<'_, Result<JwkSet, String>> {
        Box::pin(async move {
            let url = format!("{}/.well-known/jwks.json", self.base);
            upstream::fetch_json(&self.client, &url).await
        })
    }
}

enum Answer {
    Final(Result<User, Refusal>),
    WorthARetry(String),
}

impl Project {
    async fn verify(
        &self,
        token: &BearerToken,
        claims: &UnverifiedClaims,
    ) -> Result<User, Refusal> {
        let mut user = self.ask_twice(token).await?;
        if claims.sub.as_deref() != Some(user.identity.as_str()) {
            return Err(Refusal::unavailable(
                "Supabase answered for another user than the token's",
            ));
        }
        // Supabase has accepted the token, so what it says of itself is true.
        user.claims = claims.all();
        Ok(user)
    }

    /// One retry, because a single lost connection or restart upstream should not be seen.
    async fn ask_twice(&self, token: &BearerToken) -> Result<User, Refusal> {
        if let Answer::Final(answer) = self.ask(token).await {
            return answer;
        }
        match self.ask(token).await {
            Answer::Final(answer) => answer,
            Answer::WorthARetry(cause) => Err(Refusal::unavailable(cause)),
        }
    }

    async fn ask(&self, token: &BearerToken) -> Answer {
        let started = Instant::now();
        let answer = self.ask_for_user(token).await;
        let calls = &metrics().auth_user_calls;
        let ended = match &answer {
            Answer::Final(Ok(_)) => &calls.accepted,
            Answer::Final(Err(Refusal::BadToken | Refusal::Refused)) => &calls.refused,
            Answer::Final(Err(Refusal::Unavailable { .. })) | Answer::WorthARetry(_) => {
                &calls.unavailable
            }
        };
        ended.record(started.elapsed());
        answer
    }

    /// Forwards nothing of the client's but its token: an `X-JWT-AUD` would change what
    /// Supabase checks, and a browser's `User-Agent` makes it refuse secret keys.
    async fn ask_for_user(&self, token: &BearerToken) -> Answer {
        let Some(authorization) = token.to_header() else {
            return Answer::Final(Err(Refusal::BadToken));
        };
        let request = self.client.get(format!("{}/user", self.base));
        let mut request = request.header(header::AUTHORIZATION, authorization);
        if let Some(key) = &self.api_key {
            request = request.header("apikey", key);
        }
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => return Answer::WorthARetry(upstream::describe(error)),
        };
        let status = response.status();
        if status.is_server_error() {
            return Answer::WorthARetry(format!("Supabase answered {status}"));
        }
        if status == StatusCode::TOO_MANY_REQUESTS {
            return Answer::Final(Err(Refusal::Unavailable {
                retry_after: retry_after(&response).unwrap_or(RETRY_AFTER),
                cause: "Supabase answered 429".into(),
            }));
        }
        match upstream::read(response).await {
            Ok(body) => Answer::Final(judge(status, &body)),
            Err(Unreadable::BrokeOff(cause)) => Answer::WorthARetry(cause),
            Err(Unreadable::TooLarge) => {
                Answer::Final(Err(Refusal::unavailable("Supabase answered with over 1 MiB")))
            }
        }
    }
}

/// What is read of Supabase's user object.
#[derive(Deserialize)]
struct SupabaseUser {
    id: Uuid,
    #[serde(default)]
    email: Option<String>,
    #[serde(default)]
    is_anonymous: bool,
    #[serde(default)]
    app_metadata: Value,
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
fn judge(status: StatusCode, body: &[u8]) -> Result<User, Refusal> {
    if status == StatusCode::OK {
        return match serde_json::from_slice::<SupabaseUser>(body) {
            Ok(user) if user.may_sign_in() => Ok(User {
                identity: user.id.to_string(),
                email: user.email.unwrap_or_default(),
                permissions: words(user.app_metadata.get("permissions")),
                is_anonymous: user.is_anonymous,
                claims: Map::new(),
            }),
            Ok(_) => Err(Refusal::Refused),
            Err(_) => Err(Refusal::unavailable("Supabase answered 200 without a user")),
        };
    }
    let code = serde_json::from_slice::<SupabaseError>(body).ok().and_then(|body| body.error_code);
    match (status.as_u16(), code.as_deref()) {
        (400 | 401 | 403, Some("bad_jwt")) => Err(Refusal::BadToken),
        (400 | 401 | 403, Some(code)) if TOKEN_REFUSALS.contains(&code) => Err(Refusal::Refused),
        (401 | 403, None) => Err(Refusal::unavailable(format!(
            "Supabase answered {status} without an error code: it refused the API key, \
             check SUPABASE_SERVICE_KEY"
        ))),
        (404, _) => Err(Refusal::unavailable("Supabase answered 404: check SUPABASE_URL")),
        (_, code) => Err(Refusal::unavailable(format!(
            "Supabase answered {status} with error code {}",
            code.filter(|code| is_code(code)).unwrap_or("none")
        ))),
    }
}

/// Whether an error code can go to the log: the answer might be anything.
fn is_code(text: &str) -> bool {
    text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get(header::RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

#[expect(clippy::cast_precision_loss, reason = "exact for any year that a clock shows")]
fn precise_seconds(moment: &chrono::DateTime<chrono::FixedOffset>) -> f64 {
    moment.timestamp_millis() as f64 / 1000.0
}
