//! Every route of the local sign-in on one screen.

use axum::{
    Router,
    extract::DefaultBodyLimit,
    http::header::CACHE_CONTROL,
    middleware,
    response::IntoResponse,
    routing::{any, get, post},
};
use serde_json::{Value, json};
use url::form_urlencoded;

use super::{
    LocalAuth,
    error::{Refusal, negotiate_version},
    logout, signup, token, user,
};
use crate::extract::Json;

const LARGEST_BODY: usize = 64 * 1024;

pub(super) fn router(auth: LocalAuth) -> Router {
    Router::new()
        .route("/auth/v1/signup", post(signup::sign_up))
        .route("/auth/v1/token", post(token::token))
        .route("/auth/v1/user", get(user::get).put(user::update))
        .route("/auth/v1/logout", post(logout::logout))
        .route("/auth/v1/health", get(health))
        .route("/auth/v1/settings", get(settings))
        .route("/auth/v1/.well-known/jwks.json", get(jwks))
        .method_not_allowed_fallback(async || Refusal::method())
        // A fallback would not survive being merged into the server's router.
        .route("/auth/v1/{*rest}", any(async || Refusal::no_route()))
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .layer(middleware::from_fn(negotiate_version))
        .with_state(auth)
}

/// The first value of a query parameter. Broken escapes are read leniently, as
/// Go does.
pub(super) fn query_value(query: Option<&str>, name: &str) -> Option<String> {
    form_urlencoded::parse(query?.as_bytes())
        .find_map(|(key, value)| (key == name).then(|| value.into_owned()))
}

async fn health() -> Json<Value> {
    Json(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "name": "GoTrue",
        "description": "The local sign-in of thread-store, a development stand-in for Supabase Auth",
    }))
}

async fn settings() -> Json<Value> {
    Json(json!({
        "external": { "anonymous_users": false, "email": true, "phone": false },
        "disable_signup": false,
        "mailer_autoconfirm": true,
        "phone_autoconfirm": false,
        "sms_provider": "",
        "saml_enabled": false,
    }))
}

/// Empty, as on every project that signs with a shared secret: clients then
/// ask `/user` instead of verifying tokens themselves.
async fn jwks() -> impl IntoResponse {
    ([(CACHE_CONTROL, "public, max-age=600")], Json(json!({ "keys": [] })))
}
