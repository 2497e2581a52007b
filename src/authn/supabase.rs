//! Users of a Supabase project.
//!
//! One rule applies to every call: the client gets 401 only if Supabase itself refuses the token.
//! If the call leaves that open (Supabase is unreachable or slow, its answer is malformed, or it
//! refuses the server's own key), the client gets 503, because a 401 would sign users out (D3).

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use http::request::Parts;
use http::{HeaderValue, StatusCode, header};
use reqwest::Client;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Map, Value};
use url::Url;
use uuid::Uuid;

use super::authenticate::Authenticate;
use super::bearer::BearerToken;
use super::error::Error;
use super::jwks::{Claim, ExpectedClaims, Fetched, Jwks, KeySource, Unverified, WithoutKeys};
use super::jwt::{Claims, words};
use super::refusal::{RETRY_AFTER, Reason, Refusal};
use super::token_cache::{CallLimit, Token, TokenVerifier, Verified, Verify, seconds_since_1970};
use super::upstream::{self, Unreadable};
use crate::authz::User;
use crate::metrics::metrics;

/// The audience of the tokens of signed-in users.
const AUDIENCE: &str = "authenticated";

/// Longest wait for the keys in a mode that can ask Supabase instead.
const PATIENCE_WITH_KEYS: Duration = Duration::from_secs(2);

/// Error codes by which Supabase refuses a token. Only [`BAD_JWT`] is permanent.
const TOKEN_REFUSALS: [&str; 6] = [
    "no_authorization",
    "session_not_found",
    "user_not_found",
    "user_banned",
    "session_expired",
    "validation_failed",
];
const BAD_JWT: &str = "bad_jwt";

/// How tokens are verified (`SUPABASE_AUTH_MODE`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mode {
    /// By Supabase. Sign-outs, deletions and bans take effect, and it works with every project.
    #[default]
    Remote,
    /// Here, with the project's public keys. It needs no call, works while Supabase is down, and
    /// accepts a token until it expires, even if its user has signed out or was deleted. It does
    /// not work with projects that sign with a shared secret.
    Jwks,
    /// Here first, then by Supabase. Supabase alone verifies tokens that the keys cannot: tokens
    /// signed with a shared secret or an unknown algorithm, and all tokens while the keys cannot
    /// be fetched.
    JwksAndRemote,
}

/// The issuer that tokens must have if they are verified here (`SUPABASE_JWT_ISSUER`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum JwtIssuer {
    /// `<SUPABASE_URL>/auth/v1`.
    #[default]
    OfUrl,
    /// Exactly this text.
    Exactly(String),
    /// None: tokens with an issuer are refused.
    Absent,
}

/// The options of a [`Supabase`] handler.
#[derive(Debug, Clone)]
pub struct SupabaseOptions<'a> {
    /// `SUPABASE_URL`.
    pub url: &'a Url,
    /// Sent with every call. The low-privilege key is enough.
    pub api_key: Option<&'a SecretString>,
    /// How tokens are verified.
    pub mode: Mode,
    /// The issuer that tokens must have if they are verified here.
    pub issuer: &'a JwtIssuer,
    /// How long an accepted token is not verified again. A sign-out takes effect after that time at
    /// the latest.
    pub cache_ttl: Duration,
}

/// The authenticate handler for a Supabase project, or for any server with the same API.
#[derive(Debug)]
pub struct Supabase {
    tokens: TokenVerifier<Verifier>,
}

impl Supabase {
    /// A handler for a project. It fails if the HTTP client cannot be created.
    pub fn new(options: &SupabaseOptions<'_>) -> Result<Supabase, reqwest::Error> {
        let base = format!("{}/auth/v1", options.url.as_str().trim_end_matches('/'));
        let issuer = match options.issuer {
            JwtIssuer::OfUrl => Claim::Exactly(base.clone()),
            JwtIssuer::Exactly(issuer) => Claim::Exactly(issuer.clone()),
            JwtIssuer::Absent => Claim::Absent,
        };
        let expected = ExpectedClaims {
            issuer,
            issuer_setting: "SUPABASE_JWT_ISSUER",
            audience: AUDIENCE.to_owned(),
        };
        let project = Arc::new(Project {
            client: upstream::client(options.url)?,
            base,
            api_key: options.api_key.and_then(sensitive),
        });
        let jwks = |without_keys| Jwks::new(Arc::clone(&project), expected, without_keys);
        let verifier = match options.mode {
            Mode::Remote => Verifier::Remote(project),
            Mode::Jwks => Verifier::Jwks(jwks(NO_KEYS)),
            Mode::JwksAndRemote => Verifier::Both(jwks(NO_KEYS_BUT_REMOTE), project),
        };
        Ok(Supabase { tokens: TokenVerifier::new(verifier, options.cache_ttl) })
    }

    /// Fetches the project's keys, if tokens are verified with them, and logs a warning if there
    /// are none.
    pub async fn fetch_keys(&self) {
        match self.tokens.verifier() {
            Verifier::Remote(_) => {}
            Verifier::Jwks(jwks) | Verifier::Both(jwks, _) => jwks.fetch().await,
        }
    }
}

fn sensitive(key: &SecretString) -> Option<HeaderValue> {
    let mut key = HeaderValue::try_from(key.expose_secret()).ok()?;
    key.set_sensitive(true);
    Some(key)
}

/// A project that signs with a shared secret publishes no keys. That is a wrong setting and no
/// evidence against its users' tokens.
const NO_KEYS: WithoutKeys = WithoutKeys::Misconfigured(
    "SUPABASE_AUTH_MODE=jwks cannot verify any token: the project publishes no ES256 or RS256 key, \
     so every request gets 503. Set SUPABASE_AUTH_MODE=remote, or give the project signing keys",
);
const NO_KEYS_BUT_REMOTE: WithoutKeys = WithoutKeys::AskedElsewhere(
    "the project publishes no ES256 or RS256 key: every token is asked about, as with \
     SUPABASE_AUTH_MODE=remote",
);

impl Authenticate for Supabase {
    fn authenticate<'a>(&'a self, request: &'a Parts) -> BoxFuture<'a, Result<Arc<User>, Error>> {
        Box::pin(self.tokens.user_of(&request.headers))
    }

    fn is_available(&self) -> Option<bool> {
        self.tokens.is_available()
    }
}

/// The verifier of a [`Mode`].
enum Verifier {
    Remote(Arc<Project>),
    Jwks(Jwks),
    Both(Jwks, Arc<Project>),
}

impl Verify for Verifier {
    fn verify<'a>(
        &'a self,
        token: &'a Token,
        calls: &'a CallLimit,
    ) -> BoxFuture<'a, Result<Verified, Refusal>> {
        Box::pin(async move {
            match self {
                Verifier::Remote(project) => project.verify(token, calls).await.map(Into::into),
                Verifier::Jwks(jwks) => match jwks.verify(token).await {
                    Ok(life) => Ok(Verified { user: user_of(&token.jwt.claims)?, life }),
                    Err(Unverified::Refused(refusal) | Unverified::Unjudged(refusal)) => {
                        Err(refusal)
                    }
                },
                Verifier::Both(jwks, project) => {
                    // Keys that do not arrive in time cannot decide either.
                    let judged = tokio::time::timeout(PATIENCE_WITH_KEYS, jwks.verify(token)).await;
                    if let Ok(Err(Unverified::Refused(refusal))) = judged {
                        return Err(refusal);
                    }
                    project.verify(token, calls).await.map(Into::into)
                }
            }
        })
    }
}

/// The user of a verified token.
fn user_of(claims: &Claims) -> Result<User, Refusal> {
    let text = |name: &str| claims.text(name).unwrap_or_default();
    let identity = Uuid::parse_str(text("sub")).map_err(|_| Refusal::BadToken(Reason::Subject))?;
    Ok(User {
        identity: identity.to_string(),
        email: text("email").to_owned(),
        permissions: words(claims.get("app_metadata").and_then(|app| app.get("permissions"))),
        is_anonymous: claims.get("is_anonymous").and_then(Value::as_bool).unwrap_or_default(),
        claims: claims.all().clone(),
    })
}

/// A project's Auth API.
struct Project {
    client: Client,
    base: String,
    api_key: Option<HeaderValue>,
}

impl KeySource for Arc<Project> {
    fn fetch(&self) -> BoxFuture<'_, Result<Fetched, String>> {
        Box::pin(async move {
            let url = format!("{}/.well-known/jwks.json", self.base);
            let (set, age) = upstream::fetch_json(&self.client, &url).await?;
            Ok(Fetched { set, age })
        })
    }
}

enum Answer {
    Final(Result<User, Refusal>),
    WorthARetry(String),
}

impl Project {
    async fn verify(&self, token: &Token, calls: &CallLimit) -> Result<User, Refusal> {
        let _turn = calls.turn().await?;
        let claims = &token.jwt.claims;
        let mut user = self.ask_twice(&token.text).await?;
        if claims.text("sub") != Some(user.identity.as_str()) {
            return Err(Refusal::unavailable(
                "Supabase answered with a user other than the token's",
            ));
        }
        // Supabase has accepted the token, so its claims are valid.
        user.claims.clone_from(claims.all());
        Ok(user)
    }

    /// Retries once, to hide a single lost connection or restart upstream.
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
            Answer::Final(Err(refusal)) if refusal.is_final() => &calls.refused,
            Answer::Final(Err(_)) | Answer::WorthARetry(_) => &calls.unavailable,
        };
        ended.record(started.elapsed());
        answer
    }

    /// Forwards only the client's token: an `X-JWT-AUD` would change what Supabase checks, and a
    /// browser's `User-Agent` makes it refuse secret keys.
    async fn ask_for_user(&self, token: &BearerToken) -> Answer {
        let Some(authorization) = token.to_header() else {
            return Answer::Final(Err(Refusal::BadToken(Reason::Malformed("not a header"))));
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
                retry_after: upstream::seconds_in(&response, &header::RETRY_AFTER)
                    .unwrap_or(RETRY_AFTER),
                cause: "Supabase answered 429".into(),
            }));
        }
        match upstream::read(response).await {
            Ok(body) => Answer::Final(judge(status, &body)),
            Err(Unreadable::BrokeOff(cause)) => Answer::WorthARetry(cause),
            Err(Unreadable::TooLarge) => {
                Answer::Final(Err(Refusal::unavailable("Supabase answered with more than 1 MiB")))
            }
        }
    }
}

/// The parts of Supabase's user object that are used.
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
    /// Older versions of Supabase Auth answer 200 for deleted and banned users.
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
            Ok(_) => Err(Refusal::Refused(Reason::UserGone)),
            Err(_) => Err(Refusal::unavailable("Supabase answered 200 without a user")),
        };
    }
    let code = serde_json::from_slice::<SupabaseError>(body).ok().and_then(|body| body.error_code);
    let refusal = TOKEN_REFUSALS.into_iter().find(|known| Some(*known) == code.as_deref());
    match (status.as_u16(), code.as_deref()) {
        (400 | 401 | 403, Some(BAD_JWT)) => Err(Refusal::BadToken(Reason::Upstream(BAD_JWT))),
        (400 | 401 | 403, Some(_)) if let Some(code) = refusal => {
            Err(Refusal::Refused(Reason::Upstream(code)))
        }
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

/// Whether an error code can be logged: an answer may contain any text in its place.
fn is_code(text: &str) -> bool {
    text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

#[expect(clippy::cast_precision_loss, reason = "exact for any year that a clock shows")]
fn precise_seconds(moment: &chrono::DateTime<chrono::FixedOffset>) -> f64 {
    moment.timestamp_millis() as f64 / 1000.0
}
