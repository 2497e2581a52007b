//! The local sign-in at `/auth/v1`, row by row against what Supabase Auth does.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use futures::future::join_all;
use jsonwebtoken::{Algorithm, EncodingKey, Header, get_current_timestamp};
use reqwest::{Client, Method, StatusCode, header::HeaderMap};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgConnection, PgPool};
use tempfile::TempDir;
use thread_store::local_auth::LocalAuth;
use tokio::net::TcpListener;
use uuid::Uuid;

use crate::support::TestServer;

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
        let url = format!("http://{}/auth/v1", listener.local_addr().unwrap());
        let auth = LocalAuth::open(server.pool.clone(), data_dir, url.clone()).await.unwrap();
        tokio::spawn(async move { axum::serve(listener, auth.router()).await });
        Self::at(url, server)
    }

    fn at(url: String, server: Arc<TestServer>) -> Self {
        Self { url, pool: server.pool.clone(), client: Client::new(), server }
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

    async fn sql(&self, statement: &'static str) {
        sqlx::raw_sql(statement).execute(&self.pool).await.unwrap();
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
    let key = EncodingKey::from_secret(&secret);
    jsonwebtoken::encode(&Header::new(algorithm), &claims, &key).unwrap()
}

#[tokio::test]
async fn signing_up_gives_a_session_and_the_user_object() {
    let auth = Auth::start().await;
    let body = json!({ "email": "Ada@Example.com", "password": PASSWORD, "data": { "n": 1 } });
    let session = auth.post("/signup", &body).await.ok();

    assert_eq!(session["token_type"], "bearer");
    assert_eq!(session["expires_in"], 3600);
    assert_eq!(session["expires_at"], payload(access(&session))["exp"]);
    let user = &session["user"];
    assert_eq!(user["email"], "ada@example.com");
    assert_eq!(user["aud"], "authenticated");
    assert_eq!(user["role"], "authenticated");
    assert_eq!(user["phone"], "");
    assert_eq!(user["is_anonymous"], false);
    assert_eq!(user["user_metadata"], json!({ "n": 1 }));
    assert_eq!(user["app_metadata"], json!({ "provider": "email", "providers": ["email"] }));
    assert_eq!(user["identities"][0]["user_id"], user["id"]);
    for present in ["created_at", "updated_at", "confirmed_at", "email_confirmed_at"] {
        assert!(text(&user[present]).ends_with('Z'), "{present}");
    }
    for absent in ["banned_until", "deleted_at", "new_email", "invited_at"] {
        assert!(user.get(absent).is_none(), "{absent}");
    }
    assert_eq!(&auth.user(access(&session)).await.ok(), user);
}

#[tokio::test]
async fn an_access_token_carries_the_claims_of_supabase() {
    let auth = Auth::start().await;
    let session = auth.sign_up("ada@example.com").await;
    let claims = payload(access(&session));

    assert_eq!(claims["iss"], format!("{}/auth/v1", auth.server.url));
    assert_eq!(claims["sub"], session["user"]["id"]);
    assert_eq!(claims["aud"], "authenticated");
    assert_eq!(claims["role"], "authenticated");
    assert_eq!(claims["email"], "ada@example.com");
    assert_eq!(claims["phone"], "");
    assert_eq!(claims["aal"], "aal1");
    assert_eq!(claims["amr"][0]["method"], "password");
    assert!(claims["amr"][0]["timestamp"].is_i64());
    assert_eq!(claims["app_metadata"], session["user"]["app_metadata"]);
    assert_eq!(claims["user_metadata"], json!({}));
    assert_eq!(claims["is_anonymous"], false);
    Uuid::try_parse(text(&claims["session_id"])).unwrap();
    assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 3600);
}

#[tokio::test]
async fn an_address_is_taken_whatever_its_case() {
    let auth = Auth::start().await;
    auth.sign_up("ada@example.com").await;
    let body = json!({ "email": "ADA@example.COM", "password": PASSWORD });
    let again = auth.post("/signup", &body).await;
    again.refused(422, "user_already_exists", "User already registered");
    auth.sign_in("aDa@example.com", PASSWORD).await.ok();
}

#[tokio::test]
async fn a_sign_up_that_supabase_refuses_is_refused_in_the_same_words() {
    let auth = Auth::start().await;
    let invalid = "Unable to validate email address: invalid format";
    let both = "Only an email address or phone number should be provided on signup.";
    let rows = [
        (json!({}), 422, "anonymous_provider_disabled", "Anonymous sign-ins are disabled"),
        (
            json!({ "data": {} }),
            422,
            "anonymous_provider_disabled",
            "Anonymous sign-ins are disabled",
        ),
        (json!({ "email": "a@b.c" }), 400, "validation_failed", "Signup requires a valid password"),
        (
            json!({ "email": "a@b.c", "password": "" }),
            400,
            "validation_failed",
            "Signup requires a valid password",
        ),
        (
            json!({ "email": "a@b.c", "password": "x".repeat(73) }),
            400,
            "validation_failed",
            "Password cannot be longer than 72 characters",
        ),
        (json!({ "email": "nobody", "password": PASSWORD }), 400, "validation_failed", invalid),
        (json!({ "email": "a b@c.d", "password": PASSWORD }), 400, "validation_failed", invalid),
        (json!({ "email": "a\0@c.d", "password": PASSWORD }), 400, "validation_failed", invalid),
        (
            json!({ "email": format!("{}@b.c", "a".repeat(255)), "password": PASSWORD }),
            400,
            "validation_failed",
            "An email address is too long",
        ),
        (
            json!({ "email": "a@b.c", "phone": "1", "password": PASSWORD }),
            400,
            "validation_failed",
            both,
        ),
        (
            json!({ "phone": "123", "password": PASSWORD }),
            400,
            "phone_provider_disabled",
            "Phone signups are disabled",
        ),
    ];
    for (body, status, code, msg) in rows {
        auth.post("/signup", &body).await.refused(status, code, msg);
    }
}

#[tokio::test]
async fn a_weak_password_names_its_reasons() {
    let auth = Auth::start().await;
    let weak = auth.post("/signup", &json!({ "email": "a@b.c", "password": "12345" })).await;
    assert_eq!(weak.status, 422);
    let msg = "Password should be at least 6 characters.";
    let reasons = json!({ "reasons": ["length"] });
    let expected =
        json!({ "code": 422, "error_code": "weak_password", "msg": msg, "weak_password": reasons });
    assert_eq!(weak.body, expected);
    assert_eq!(weak.headers["x-sb-error-code"], "weak_password");
}

#[tokio::test]
async fn errors_take_the_shape_of_the_api_version_asked_for() {
    let auth = Auth::start().await;
    let body = json!({ "email": "a@b.c", "password": "12345" });
    for (version, newest) in
        [("2024-01-01", true), ("2030-12-31", true), ("2023-12-31", false), ("tomorrow", false)]
    {
        let request = auth.request(Method::POST, "/signup").json(&body);
        let answer = send(request.header("x-supabase-api-version", version)).await;
        assert_eq!(answer.status, 422);
        assert_eq!(answer.body["weak_password"]["reasons"], json!(["length"]));
        let code = if newest { json!("weak_password") } else { json!(422) };
        assert_eq!(answer.body["code"], code, "{version}");
        let echoed = answer.headers.get("x-supabase-api-version");
        assert_eq!(echoed.is_some(), newest, "{version}");
    }
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_address_get_the_same_answer() {
    let auth = Auth::start().await;
    auth.sign_up("ada@example.com").await;
    let msg = "Invalid login credentials";
    for (email, password) in [
        ("ada@example.com", "not this one"),
        ("ada@example.com", ""),
        ("bob@example.com", PASSWORD),
        ("not an address", PASSWORD),
    ] {
        auth.sign_in(email, password).await.refused(400, "invalid_credentials", msg);
    }
}

#[tokio::test]
async fn a_sign_in_that_supabase_refuses_is_refused_in_the_same_words() {
    let auth = Auth::start().await;
    let both = "Only an email address or phone number should be provided on login.";
    let rows = [
        (json!({ "password": PASSWORD }), 400, "validation_failed", "missing email or phone"),
        (
            json!({ "email": "a@b.c", "phone": "1", "password": PASSWORD }),
            400,
            "validation_failed",
            both,
        ),
        (
            json!({ "phone": "1", "password": PASSWORD }),
            422,
            "phone_provider_disabled",
            "Phone logins are disabled",
        ),
        (json!({ "email": "a@b.c" }), 400, "invalid_credentials", "Invalid login credentials"),
    ];
    for (body, status, code, msg) in rows {
        let answer = auth.post("/token?grant_type=password", &body).await;
        answer.refused(status, code, msg);
    }
    for query in
        ["", "?grant_type=", "?grant_type=magic", "?grant_type=id_token", "?grant_type=%ff"]
    {
        let answer = auth.post(&format!("/token{query}"), &json!({})).await;
        answer.refused(400, "invalid_credentials", "unsupported_grant_type");
    }
}

#[tokio::test]
async fn a_missing_or_odd_authorization_header_is_401() {
    let auth = Auth::start().await;
    let session = auth.sign_up("ada@example.com").await;
    let token = access(&session);
    send(auth.request(Method::GET, "/user")).await.refused(
        401,
        "no_authorization",
        NO_AUTHORIZATION,
    );
    let odd = [
        format!("Bearer  {token}"),
        format!("Bearer {token} x"),
        format!("Bearer\t{token}"),
        format!("Basic {token}"),
        token.to_owned(),
        "Bearer".to_owned(),
        String::new(),
    ];
    for value in odd {
        let answer = send(auth.request(Method::GET, "/user").header("authorization", value)).await;
        answer.refused(401, "no_authorization", NO_AUTHORIZATION);
    }
    for scheme in ["bearer", "BEARER", "bEaReR"] {
        let header = format!("{scheme} {token}");
        send(auth.request(Method::GET, "/user").header("authorization", header)).await.ok();
    }
}

#[tokio::test]
async fn a_token_that_does_not_verify_is_403_bad_jwt() {
    let dir = TempDir::new().unwrap();
    let auth = Auth::start_in(dir.path()).await;
    let session = auth.sign_up("ada@example.com").await;
    let (head, rest) = access(&session).split_once('.').unwrap();
    let (body, signature) = rest.split_once('.').unwrap();
    let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#);
    let other = auth.sign_up("bob@example.com").await;
    let foreign = access(&other).rsplit('.').next().unwrap();
    let expired = json!({ "sub": Uuid::new_v4(), "exp": get_current_timestamp() - 1 });

    let wrong_signature = format!("{head}.{body}.{foreign}");
    let msg = format!("{BAD_JWT}token signature is invalid: signature is invalid");
    auth.user(&wrong_signature).await.refused(403, "bad_jwt", &msg);
    let msg = format!("{BAD_JWT}token has invalid claims: token is expired");
    let expired = forge(dir.path(), Algorithm::HS256, &expired);
    auth.user(&expired).await.refused(403, "bad_jwt", &msg);
    let others = [
        "x".to_owned(),
        "a.b.c".to_owned(),
        format!("{head}.{body}"),
        format!("{head}.{body}."),
        format!("{none}.{body}."),
        format!("{none}.{body}.{signature}"),
        format!("{head}.{body}.{signature}.{signature}"),
        forge(dir.path(), Algorithm::HS384, &json!({ "sub": Uuid::new_v4() })),
        forge(dir.path(), Algorithm::HS256, &json!({ "sub": 7 })),
        forge(dir.path(), Algorithm::HS256, &json!({ "sub": Uuid::new_v4(), "exp": null })),
        forge(dir.path(), Algorithm::HS256, &json!({ "sub": Uuid::new_v4(), "exp": "soon" })),
    ];
    for token in others {
        let answer = auth.user(&token).await;
        assert_eq!(answer.status, 403, "{token}");
        assert_eq!(answer.body["error_code"], "bad_jwt");
        assert!(text(&answer.body["msg"]).starts_with(BAD_JWT));
    }
}

#[tokio::test]
async fn a_signed_token_with_bad_claims_is_refused_row_by_row() {
    let dir = TempDir::new().unwrap();
    let auth = Auth::start_in(dir.path()).await;
    let sub = auth.sign_up("ada@example.com").await["user"]["id"].clone();
    let gone = "User from sub claim in JWT does not exist";
    let rows = [
        (json!({ "role": "anon" }), 403, "bad_jwt", "invalid claim: missing sub claim"),
        (json!({ "sub": "" }), 403, "bad_jwt", "invalid claim: missing sub claim"),
        (json!({ "sub": "ada" }), 400, "bad_jwt", "invalid claim: sub claim must be a UUID"),
        (json!({ "sub": Uuid::new_v4() }), 403, "user_not_found", gone),
        (json!({ "sub": Uuid::new_v4(), "session_id": "x" }), 403, "user_not_found", gone),
        (
            json!({ "sub": sub, "session_id": "x" }),
            403,
            "bad_jwt",
            "invalid claim: session_id claim must be a UUID",
        ),
        (
            json!({ "sub": sub, "session_id": Uuid::new_v4() }),
            403,
            "session_not_found",
            SESSION_GONE,
        ),
        (
            json!({ "sub": sub, "aud": null }),
            400,
            "validation_failed",
            "Token audience doesn't match request audience",
        ),
    ];
    for (claims, status, code, msg) in rows {
        let token = forge(dir.path(), Algorithm::HS256, &claims);
        auth.user(&token).await.refused(status, code, msg);
    }
}

#[tokio::test]
async fn a_session_of_another_user_does_not_count() {
    let dir = TempDir::new().unwrap();
    let auth = Auth::start_in(dir.path()).await;
    let ada = auth.sign_up("ada@example.com").await;
    let bob = auth.sign_up("bob@example.com").await;
    let session_id = payload(access(&bob))["session_id"].clone();
    let mixed = json!({ "sub": ada["user"]["id"], "session_id": session_id });
    let token = forge(dir.path(), Algorithm::HS256, &mixed);
    auth.user(&token).await.refused(403, "session_not_found", SESSION_GONE);
}

#[tokio::test]
async fn a_token_without_a_session_is_not_asked_for_one() {
    let dir = TempDir::new().unwrap();
    let auth = Auth::start_in(dir.path()).await;
    let sub = auth.sign_up("ada@example.com").await["user"]["id"].clone();
    for session_id in [Value::Null, json!(""), json!(Uuid::nil())] {
        let claims = json!({ "sub": sub, "session_id": session_id });
        let token = forge(dir.path(), Algorithm::HS256, &claims);
        assert_eq!(auth.user(&token).await.ok()["id"], sub);
    }
    auth.sql("update local_auth.users set deleted_at = now()").await;
    let token = forge(dir.path(), Algorithm::HS256, &json!({ "sub": sub }));
    assert!(auth.user(&token).await.ok()["deleted_at"].is_string());
}

#[tokio::test]
async fn the_audience_is_compared_with_the_request_header() {
    let dir = TempDir::new().unwrap();
    let auth = Auth::start_in(dir.path()).await;
    let session = auth.sign_up("ada@example.com").await;
    let ask = async |token: &str, aud: &str| {
        let request = auth.request(Method::GET, "/user").bearer_auth(token);
        send(request.header("x-jwt-aud", aud)).await
    };
    ask(access(&session), "authenticated").await.ok();
    ask(access(&session), "").await.ok();
    let msg = "Token audience doesn't match request audience";
    ask(access(&session), "other").await.refused(400, "validation_failed", msg);
    let claims = json!({ "sub": session["user"]["id"], "aud": ["first", "second"] });
    let several = forge(dir.path(), Algorithm::HS256, &claims);
    auth.user(&several).await.ok();
    ask(&several, "second").await.refused(400, "validation_failed", msg);
}

#[tokio::test]
async fn a_banned_user_is_refused_everywhere_until_the_ban_is_over() {
    let auth = Auth::start().await;
    let session = auth.sign_up("ada@example.com").await;
    auth.sql("update local_auth.users set banned_until = now() + interval '1 hour'").await;
    auth.user(access(&session)).await.refused(403, "user_banned", "User is banned");
    let sign_in = auth.sign_in("ada@example.com", PASSWORD).await;
    sign_in.refused(400, "user_banned", "User is banned");
    let wrong = auth.sign_in("ada@example.com", "not this one").await;
    wrong.refused(400, "invalid_credentials", "Invalid login credentials");
    let refresh = auth.refresh(renewal(&session)).await;
    refresh.refused(400, "user_banned", "Invalid Refresh Token: User Banned");

    auth.sql("update local_auth.users set banned_until = now() - interval '1 hour'").await;
    assert!(auth.user(access(&session)).await.ok()["banned_until"].is_string());
    auth.refresh(renewal(&session)).await.ok();
}

#[tokio::test]
async fn a_deleted_user_is_gone_and_its_address_free() {
    let auth = Auth::start().await;
    let session = auth.sign_up("ada@example.com").await;
    auth.sql("update local_auth.users set deleted_at = now()").await;
    auth.user(access(&session)).await.refused(403, "session_not_found", SESSION_GONE);
    auth.refresh(renewal(&session)).await.refused(400, "refresh_token_not_found", NOT_FOUND);
    let sign_in = auth.sign_in("ada@example.com", PASSWORD).await;
    sign_in.refused(400, "invalid_credentials", "Invalid login credentials");
    let second = auth.sign_up("ada@example.com").await;
    assert_ne!(second["user"]["id"], session["user"]["id"]);

    auth.sql("delete from local_auth.users").await;
    let gone = "User from sub claim in JWT does not exist";
    auth.user(access(&second)).await.refused(403, "user_not_found", gone);
    auth.refresh(renewal(&second)).await.refused(400, "refresh_token_not_found", NOT_FOUND);
}

#[tokio::test]
async fn a_refresh_rotates_the_token_and_keeps_the_session() {
    let auth = Auth::start().await;
    let first = auth.sign_up("ada@example.com").await;
    let second = auth.refresh(renewal(&first)).await.ok();
    let third = auth.refresh(renewal(&second)).await.ok();
    assert_ne!(renewal(&first), renewal(&second));
    assert_ne!(renewal(&second), renewal(&third));
    let [a, c] = [&first, &third].map(|session| payload(access(session))["session_id"].clone());
    assert_eq!(a, c);
    assert_eq!(third["user"]["email"], "ada@example.com");
    auth.user(access(&third)).await.ok();
}

#[tokio::test]
async fn the_token_just_exchanged_gets_the_one_in_force() {
    let auth = Auth::start().await;
    let first = auth.sign_up("ada@example.com").await;
    let second = auth.refresh(renewal(&first)).await.ok();
    age_refresh_tokens(&auth).await;
    let again = auth.refresh(renewal(&first)).await.ok();
    assert_eq!(renewal(&again), renewal(&second));
    auth.refresh(renewal(&second)).await.ok();
}

#[tokio::test]
async fn an_older_token_is_forgiven_for_ten_seconds() {
    let auth = Auth::start().await;
    let first = auth.sign_up("ada@example.com").await;
    let second = auth.refresh(renewal(&first)).await.ok();
    let third = auth.refresh(renewal(&second)).await.ok();
    let again = auth.refresh(renewal(&first)).await.ok();
    assert_eq!(renewal(&again), renewal(&third));
}

#[tokio::test]
async fn an_older_token_after_that_ends_the_whole_family() {
    let auth = Auth::start().await;
    let first = auth.sign_up("ada@example.com").await;
    let other_session = auth.sign_in("ada@example.com", PASSWORD).await.ok();
    let second = auth.refresh(renewal(&first)).await.ok();
    let third = auth.refresh(renewal(&second)).await.ok();
    age_refresh_tokens(&auth).await;
    for stolen in [&first, &third, &second, &first] {
        let answer = auth.refresh(renewal(stolen)).await;
        answer.refused(400, "refresh_token_already_used", ALREADY_USED);
    }
    auth.user(access(&third)).await.ok();
    auth.refresh(renewal(&other_session)).await.ok();
}

async fn age_refresh_tokens(auth: &Auth) {
    let age = "update local_auth.refresh_tokens set created_at = created_at - interval '1 minute'";
    auth.sql(age).await;
}

#[tokio::test]
async fn a_refresh_token_nobody_was_given_is_not_found() {
    let auth = Auth::start().await;
    for unknown in ["x", "\0", "'; drop schema local_auth cascade; --", &"x".repeat(5000)] {
        auth.refresh(unknown).await.refused(400, "refresh_token_not_found", NOT_FOUND);
    }
    for body in [json!({}), json!({ "refresh_token": "" }), json!({ "refresh_token": null })] {
        let answer = auth.post("/token?grant_type=refresh_token", &body).await;
        answer.refused(400, "validation_failed", "refresh_token required");
    }
}

#[tokio::test]
async fn racing_refreshes_of_one_token_all_get_the_same_next_token() {
    let auth = Auth::start().await;
    let session = auth.sign_up("ada@example.com").await;
    // Whoever holds the session makes every refresh wait, so that they all start
    // from the same state.
    let mut gate = auth.pool.begin().await.unwrap();
    let lock = "select 1 from local_auth.sessions for update";
    sqlx::raw_sql(lock).execute(&mut *gate).await.unwrap();
    let open_gate = async {
        while waiting_for_a_lock(&mut gate).await < 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        gate.commit().await.unwrap();
    };
    let race = join_all((0..3).map(|_| auth.refresh(renewal(&session))));
    let (raced, ()) = tokio::join!(race, open_gate);

    let raced: Vec<Value> = raced.into_iter().map(Answer::ok).collect();
    for answer in &raced {
        assert_eq!(renewal(answer), renewal(&raced[0]));
        auth.user(access(answer)).await.ok();
    }
    auth.refresh(renewal(&raced[0])).await.ok();
}

async fn waiting_for_a_lock(connection: &mut PgConnection) -> i64 {
    sqlx::query_scalar(
        "select count(*)
         from pg_stat_clear_snapshot(), pg_stat_activity
         where datname = current_database()
           and wait_event_type = 'Lock'",
    )
    .fetch_one(connection)
    .await
    .unwrap()
}

#[tokio::test]
async fn of_racing_sign_ups_for_one_address_one_wins() {
    let auth = Auth::start().await;
    let body = json!({ "email": "ada@example.com", "password": PASSWORD });
    let answers = join_all((0..6).map(|_| auth.post("/signup", &body))).await;
    let (won, lost): (Vec<_>, Vec<_>) = answers.into_iter().partition(|it| it.status == 200);
    assert_eq!(won.len(), 1);
    for answer in lost {
        answer.refused(422, "user_already_exists", "User already registered");
    }
}

#[tokio::test]
async fn signing_out_keeps_to_its_scope() {
    let auth = Auth::start().await;
    let mut sessions = vec![auth.sign_up("ada@example.com").await];
    for _ in 0..2 {
        sessions.push(auth.sign_in("ada@example.com", PASSWORD).await.ok());
    }
    let stranger = auth.sign_up("bob@example.com").await;
    let living = async || {
        let answers = sessions.iter().map(|session| auth.user(access(session)));
        join_all(answers).await.iter().map(|it| it.status == 200).collect::<Vec<_>>()
    };
    assert_eq!(auth.logout(access(&sessions[0]), "?scope=local").await.status, 204);
    assert_eq!(living().await, [false, true, true]);
    auth.refresh(renewal(&sessions[0])).await.refused(400, "refresh_token_not_found", NOT_FOUND);
    assert_eq!(auth.logout(access(&sessions[1]), "?scope=others").await.status, 204);
    assert_eq!(living().await, [false, true, false]);
    assert_eq!(auth.logout(access(&sessions[1]), "?scope=global").await.status, 204);
    assert_eq!(living().await, [false, false, false]);
    let again = auth.logout(access(&sessions[1]), "").await;
    again.refused(403, "session_not_found", SESSION_GONE);
    auth.user(access(&stranger)).await.ok();
}

#[tokio::test]
async fn signing_out_without_a_scope_ends_every_session() {
    let auth = Auth::start().await;
    let first = auth.sign_up("ada@example.com").await;
    let second = auth.sign_in("ada@example.com", PASSWORD).await.ok();
    let unknown = auth.logout(access(&first), "?scope=galactic").await;
    unknown.refused(400, "validation_failed", "Unsupported logout scope \"galactic\"");
    let answer = auth.logout(access(&first), "").await;
    assert_eq!((answer.status.as_u16(), answer.body), (204, Value::Null));
    for session in [first, second] {
        auth.user(access(&session)).await.refused(403, "session_not_found", SESSION_GONE);
    }
    let nobody = send(auth.request(Method::POST, "/logout")).await;
    nobody.refused(401, "no_authorization", NO_AUTHORIZATION);
}

#[tokio::test]
async fn sign_outs_that_end_each_other_never_fail() {
    let auth = Auth::start().await;
    auth.sign_up("ada@example.com").await;
    for _ in 0..5 {
        let sign_ins = (0..6).map(|_| auth.sign_in("ada@example.com", PASSWORD));
        let sessions: Vec<_> = join_all(sign_ins).await.into_iter().map(Answer::ok).collect();
        let outs = sessions.iter().map(|it| auth.logout(access(it), "?scope=others"));
        for answer in join_all(outs).await {
            assert!(matches!(answer.status.as_u16(), 204 | 403), "{}", answer.status);
        }
    }
}

#[tokio::test]
async fn an_update_merges_the_data_and_a_null_takes_a_key_away() {
    let auth = Auth::start().await;
    let session = auth.sign_up("ada@example.com").await;
    let token = access(&session);
    auth.update(token, &json!({ "data": { "a": 1, "b": { "c": null } } })).await.ok();
    let user = auth.update(token, &json!({ "data": { "a": null, "d": [2] } })).await.ok();
    assert_eq!(user["user_metadata"], json!({ "b": { "c": null }, "d": [2] }));
    let user = auth.update(token, &json!({})).await.ok();
    assert_eq!(user["user_metadata"], json!({ "b": { "c": null }, "d": [2] }));
    let renewed = auth.refresh(renewal(&session)).await.ok();
    assert_eq!(payload(access(&renewed))["user_metadata"], user["user_metadata"]);
}

#[tokio::test]
async fn a_new_password_signs_the_other_sessions_out() {
    let auth = Auth::start().await;
    let kept = auth.sign_up("ada@example.com").await;
    let other = auth.sign_in("ada@example.com", PASSWORD).await.ok();
    let same = auth.update(access(&kept), &json!({ "password": PASSWORD })).await;
    let msg = "New password should be different from the old password.";
    same.refused(422, "same_password", msg);
    auth.update(access(&kept), &json!({ "password": "battery staple" })).await.ok();
    auth.user(access(&kept)).await.ok();
    auth.refresh(renewal(&kept)).await.ok();
    auth.user(access(&other)).await.refused(403, "session_not_found", SESSION_GONE);
    let old = auth.sign_in("ada@example.com", PASSWORD).await;
    old.refused(400, "invalid_credentials", "Invalid login credentials");
    auth.sign_in("ada@example.com", "battery staple").await.ok();
}

#[tokio::test]
async fn no_session_outlives_a_password_change_it_raced_with() {
    let auth = Auth::start().await;
    let kept = auth.sign_up("ada@example.com").await;
    let change = json!({ "password": "battery staple" });
    let sign_ins = join_all((0..6).map(|_| auth.sign_in("ada@example.com", PASSWORD)));
    let (changed, raced) = tokio::join!(auth.update(access(&kept), &change), sign_ins);
    changed.ok();
    for answer in raced {
        if answer.status == 200 {
            assert_eq!(auth.user(access(&answer.body)).await.status, 403);
        } else {
            answer.refused(400, "invalid_credentials", "Invalid login credentials");
        }
    }
}

#[tokio::test]
async fn a_new_address_holds_at_once_unless_it_is_taken() {
    let auth = Auth::start().await;
    let session = auth.sign_up("ada@example.com").await;
    auth.sign_up("bob@example.com").await;
    let taken = auth.update(access(&session), &json!({ "email": "BOB@example.com" })).await;
    let msg = "A user with this email address has already been registered";
    taken.refused(422, "email_exists", msg);
    let user = auth.update(access(&session), &json!({ "email": "Eve@example.com" })).await.ok();
    assert_eq!(user["email"], "eve@example.com");
    assert_eq!(user["identities"][0]["email"], "eve@example.com");
    auth.sign_in("eve@example.com", PASSWORD).await.ok();
    let old = auth.sign_in("ada@example.com", PASSWORD).await;
    old.refused(400, "invalid_credentials", "Invalid login credentials");
}

#[tokio::test]
async fn an_update_that_supabase_refuses_changes_nothing() {
    let auth = Auth::start().await;
    let session = auth.sign_up("ada@example.com").await;
    let before = auth.user(access(&session)).await.ok();
    let rows = [
        (json!({ "data": { "a": 1 }, "email": "nobody" }), 400, "validation_failed"),
        (json!({ "data": { "a": 1 }, "phone": "123" }), 400, "phone_provider_disabled"),
        (json!({ "data": { "a": 1 }, "password": "12345" }), 422, "weak_password"),
        (json!({ "data": { "a": 1 }, "password": "" }), 422, "weak_password"),
        (json!({ "data": { "a": 1 }, "app_metadata": { "admin": true } }), 403, "not_admin"),
        (json!({ "data": "text" }), 400, "bad_json"),
    ];
    for (body, status, code) in rows {
        let answer = auth.update(access(&session), &body).await;
        assert_eq!(answer.status, status, "{body}");
        assert_eq!(answer.body["error_code"], code);
    }
    assert_eq!(auth.user(access(&session)).await.ok(), before);
    // Who calls is settled before what they sent is looked at.
    let nobody = send(auth.request(Method::PUT, "/user").body("{")).await;
    nobody.refused(401, "no_authorization", NO_AUTHORIZATION);
}

#[tokio::test]
async fn a_restart_on_the_same_directory_keeps_everybody_signed_in() {
    let dir = TempDir::new().unwrap();
    let before = Auth::start_in(dir.path()).await;
    let session = before.sign_up("ada@example.com").await;
    let after = Auth::start_again_in(dir.path(), Arc::clone(&before.server)).await;
    assert_eq!(after.user(access(&session)).await.ok()["id"], session["user"]["id"]);
    let renewed = after.refresh(renewal(&session)).await.ok();
    before.user(access(&renewed)).await.ok();

    let elsewhere = TempDir::new().unwrap();
    let stranger = Auth::start_again_in(elsewhere.path(), Arc::clone(&before.server)).await;
    assert_eq!(stranger.user(access(&session)).await.body["error_code"], "bad_jwt");
}

#[tokio::test]
async fn servers_that_start_together_agree_on_one_private_secret() {
    let server = Arc::new(TestServer::start().await);
    let dir = TempDir::new().unwrap();
    let data_dir = dir.path().join("not").join("there yet");
    let starts = (0..4).map(|_| Auth::start_again_in(&data_dir, Arc::clone(&server)));
    let servers = join_all(starts).await;
    let session = servers[0].sign_up("ada@example.com").await;
    for other in &servers {
        other.user(access(&session)).await.ok();
    }
    let files: Vec<_> = fs::read_dir(&data_dir).unwrap().map(|it| it.unwrap()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    assert_eq!(files[0].metadata().unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn a_secret_is_made_private_again_and_a_damaged_one_is_not_used() {
    let server = TestServer::start().await;
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("local-auth-secret");
    let open = async || LocalAuth::open(server.pool.clone(), dir.path(), String::new()).await;
    open().await.unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    open().await.unwrap();
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    fs::write(&file, "short").unwrap();
    let message = open().await.unwrap_err().to_string();
    assert!(message.contains("local-auth-secret"), "{message}");
    assert!(!message.contains("short"));
}

#[tokio::test]
async fn the_database_holds_neither_passwords_nor_refresh_tokens() {
    let auth = Auth::start().await;
    let session = auth.sign_up("ada@example.com").await;
    for table in ["users", "sessions", "refresh_tokens"] {
        let dump =
            format!("select coalesce(string_agg(t::text, ' '), '') from local_auth.{table} t");
        let rows: String =
            sqlx::query_scalar(AssertSqlSafe(dump)).fetch_one(&auth.pool).await.unwrap();
        assert!(!rows.contains(PASSWORD), "{table}");
        assert!(!rows.contains(renewal(&session)), "{table}");
    }
    let hash: String = sqlx::query_scalar("select password_hash from local_auth.users")
        .fetch_one(&auth.pool)
        .await
        .unwrap();
    assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
}

#[tokio::test]
async fn an_api_key_may_be_anything_or_missing() {
    let auth = Auth::start().await;
    let body = json!({ "email": "ada@example.com", "password": PASSWORD });
    let signup = format!("{}/signup", auth.url);
    let session = send(auth.client.post(signup).json(&body)).await.ok();
    let user = format!("{}/user", auth.url);
    send(auth.client.get(&user).bearer_auth(access(&session))).await.ok();
    let odd = auth.client.get(&user).bearer_auth(access(&session)).header("apikey", "; drop");
    send(odd).await.ok();
}

#[tokio::test]
async fn the_open_endpoints_say_what_this_server_is() {
    let auth = Auth::start().await;
    let get = async |path: &str| send(auth.request(Method::GET, path)).await;
    assert_eq!(get("/health").await.ok()["name"], "GoTrue");
    let settings = get("/settings").await.ok();
    assert_eq!(settings["external"]["email"], true);
    assert_eq!(settings["mailer_autoconfirm"], true);
    let keys = get("/.well-known/jwks.json").await;
    assert_eq!(keys.headers["cache-control"], "public, max-age=600");
    assert_eq!(keys.ok(), json!({ "keys": [] }));
}

#[tokio::test]
async fn an_unknown_path_or_method_gets_a_json_error() {
    let auth = Auth::start().await;
    for path in ["/admin/users", "/otp", "/signup/", "/verify?token=x", "/%00"] {
        let answer = send(auth.request(Method::POST, path)).await;
        assert_eq!((answer.status.as_u16(), &answer.body["code"]), (404, &json!(404)), "{path}");
    }
    for (method, path) in [
        (Method::GET, "/signup"),
        (Method::DELETE, "/user"),
        (Method::GET, "/token?grant_type=password"),
        (Method::GET, "/logout"),
    ] {
        let answer = send(auth.request(method, path)).await;
        assert_eq!((answer.status.as_u16(), &answer.body["code"]), (405, &json!(405)), "{path}");
    }
}

#[tokio::test]
async fn a_malformed_body_is_a_4xx_with_a_json_error() {
    let auth = Auth::start().await;
    let session = auth.sign_up("ada@example.com").await;
    let endpoints = [
        (Method::POST, "/signup"),
        (Method::POST, "/token?grant_type=password"),
        (Method::POST, "/token?grant_type=refresh_token"),
        (Method::PUT, "/user"),
    ];
    let deep = format!(r#"{{"data":{}{}}}"#, "[".repeat(5000), "]".repeat(5000));
    let large = format!(r#"{{"email":"{}"}}"#, "x".repeat(70_000));
    let bodies: [&[u8]; 16] = [
        b"",
        b"{",
        b"null",
        b"7",
        b"[]",
        b"\"text\"",
        b"{} {}",
        b"\xff\xfe",
        b"{\"email\":\"\xc3\x28\"}",
        br#"{"email":7,"refresh_token":7,"data":7}"#,
        br#"{"email":{},"refresh_token":[],"data":[]}"#,
        br#"{"email":"\ud800","refresh_token":"\ud800"}"#,
        br#"{"email":"a@b.c","email":"a@b.c","refresh_token":"","refresh_token":""}"#,
        br#"{"data":{"n":1e999},"email":1e999,"refresh_token":1e999}"#,
        deep.as_bytes(),
        large.as_bytes(),
    ];
    for (method, path) in endpoints {
        for body in bodies {
            let request = auth.request(method.clone(), path).bearer_auth(access(&session));
            let answer = send(request.body(body.to_vec())).await;
            let shown = String::from_utf8_lossy(&body[..body.len().min(60)]);
            assert!(answer.status.is_client_error(), "{path} {shown}: {}", answer.status);
            assert!(answer.body["msg"].is_string(), "{path} {shown}");
        }
    }
}

#[tokio::test]
async fn what_postgres_cannot_store_is_the_fault_of_the_request() {
    let auth = Auth::start().await;
    let session = auth.sign_up("ada@example.com").await;
    for data in [json!({ "a": "\0" }), json!({ "\0": 1 }), json!({ "a": [{ "b": "x\0" }] })] {
        let body = json!({ "email": "b@c.d", "password": PASSWORD, "data": data });
        let answer = auth.post("/signup", &body).await;
        assert_eq!((answer.status.as_u16(), &answer.body["code"]), (400, &json!(400)), "{body}");
        let answer = auth.update(access(&session), &json!({ "data": data })).await;
        assert_eq!((answer.status.as_u16(), &answer.body["code"]), (400, &json!(400)), "{body}");
    }
    let answer = auth.sign_in("a\0@b.c", PASSWORD).await;
    assert!(answer.status.is_client_error());
    // A password is only hashed: it may hold anything.
    let body = json!({ "email": "nul@example.com", "password": "\0\u{1f600}\0\0\0" });
    auth.post("/signup", &body).await.ok();
    auth.sign_in("nul@example.com", "\0\u{1f600}\0\0\0").await.ok();
}

#[tokio::test]
async fn sign_ups_do_not_hold_other_requests_up() {
    let auth = Auth::start().await;
    let session = auth.sign_up("ada@example.com").await;
    let flood = join_all((0..12).map(|n| {
        let body = json!({ "email": format!("{n}@example.com"), "password": PASSWORD });
        async { auth.post("/signup", &{ body }).await.ok() }
    }));
    let reads = async {
        for _ in 0..20 {
            auth.user(access(&session)).await.ok();
        }
    };
    tokio::join!(flood, reads);
}
