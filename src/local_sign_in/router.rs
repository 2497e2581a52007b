//! Every route of the local sign-in on one screen.

use std::sync::Arc;

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request},
    http::header::{CACHE_CONTROL, HeaderValue},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{any, get, post},
};
use serde_json::{Map, Value, json};

use super::{
    LocalAuth, api_version, disabled, error::Refusal, links, logout, origin, signup, token, user,
    verify,
};
use crate::http::Json;

const LARGEST_BODY: usize = 64 * 1024;

pub(super) fn router(auth: LocalAuth) -> Router {
    let origins = Arc::clone(&auth.origins);
    Router::new()
        .route("/auth/v1/signup", post(signup::sign_up))
        .route("/auth/v1/token", post(token::token))
        .route("/auth/v1/user", get(user::get).put(user::update))
        .route("/auth/v1/logout", post(logout::logout))
        .route("/auth/v1/recover", post(links::recover))
        .route("/auth/v1/otp", post(links::otp))
        .route("/auth/v1/magiclink", post(links::magiclink))
        .route("/auth/v1/resend", post(links::resend))
        // A link works once, so a `HEAD` request must not use it up.
        .route(
            "/auth/v1/verify",
            get(verify::follow).post(verify::exchange).head(async || Refusal::METHOD),
        )
        .route("/auth/v1/authorize", get(disabled::authorize))
        .route("/auth/v1/factors", post(disabled::enrol))
        .route("/auth/v1/factors/{*rest}", any(disabled::factor))
        .route("/auth/v1/invite", post(disabled::admin))
        .route("/auth/v1/admin", any(disabled::admin))
        .route("/auth/v1/admin/{*rest}", any(disabled::admin))
        .route("/auth/v1/health", get(health))
        .route("/auth/v1/settings", get(settings))
        .route("/auth/v1/.well-known/jwks.json", get(jwks))
        .method_not_allowed_fallback(async || Refusal::METHOD)
        // A fallback would be lost when this router is merged into the server's.
        .route("/auth/v1/{*rest}", any(async || Refusal::NO_ROUTE))
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .layer(middleware::from_fn_with_state(origins, origin::known_origin))
        .layer(middleware::from_fn(api_version::negotiate))
        .layer(middleware::from_fn(no_store))
        .with_state(auth)
}

/// Most answers contain tokens, so only answers with their own `Cache-Control` may be cached.
async fn no_store(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    response.headers_mut().entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

async fn health() -> Json<Value> {
    Json(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "name": "GoTrue",
        "description": "The local sign-in of thread-store, a development stand-in for Supabase Auth",
    }))
}

async fn settings() -> Json<Value> {
    let off = disabled::PROVIDERS.into_iter().chain(["anonymous_users", "phone"]);
    let off = off.map(|name| (name.to_owned(), Value::Bool(false)));
    let external: Map<String, Value> = off.chain([("email".to_owned(), true.into())]).collect();
    Json(json!({
        "external": external,
        "disable_signup": false,
        "mailer_autoconfirm": true,
        "phone_autoconfirm": false,
        "sms_provider": "",
        "saml_enabled": false,
        "passkeys_enabled": false,
    }))
}

/// Empty, as in every project that signs with a shared secret: clients then call `/user` instead of
/// verifying tokens themselves.
async fn jwks() -> impl IntoResponse {
    const FOR_TEN_MINUTES: HeaderValue = HeaderValue::from_static("public, max-age=600");
    ([(CACHE_CONTROL, FOR_TEN_MINUTES)], Json(json!({ "keys": [] })))
}
