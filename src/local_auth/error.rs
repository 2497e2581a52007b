//! The error answers of Supabase Auth: status, `error_code` and `msg`.

use crate::extract::Json;
use std::{borrow::Cow, fmt::Display};

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use chrono::NaiveDate;
use serde_json::{Value, json};

const ERROR_CODE: HeaderName = HeaderName::from_static("x-sb-error-code");
const API_VERSION: HeaderName = HeaderName::from_static("x-supabase-api-version");
const NEWEST_API_VERSION: &str = "2024-01-01";

/// A request that was refused, or that we failed to answer.
#[derive(Clone)]
pub(super) struct Refusal {
    status: StatusCode,
    code: &'static str,
    msg: Cow<'static, str>,
}

impl Refusal {
    fn new(status: StatusCode, code: &'static str, msg: impl Into<Cow<'static, str>>) -> Self {
        Self { status, code, msg: msg.into() }
    }

    /// Logs the cause and says nothing about it. Causes are errors of the
    /// database, of argon2 or of the runtime, whose `Display` shows no values.
    pub(super) fn internal(cause: impl Display) -> Self {
        tracing::error!(error = %cause, "the local sign-in failed to answer");
        let msg = "Unexpected failure, please check server logs for more information";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "unexpected_failure", msg)
    }

    pub(super) fn validation(msg: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "validation_failed", msg)
    }

    pub(super) fn bad_json(msg: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_json", msg)
    }

    pub(super) fn body(status: StatusCode) -> Self {
        Self::new(status, "validation_failed", "Could not read the request body")
    }

    /// A body that is compressed.
    pub(super) fn encoding(msg: String) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "validation_failed", msg)
    }

    pub(super) fn no_route() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "No such endpoint in the local sign-in")
    }

    pub(super) fn method() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "Method not allowed")
    }

    pub(super) fn no_authorization() -> Self {
        let msg = "This endpoint requires a valid Bearer token";
        Self::new(StatusCode::UNAUTHORIZED, "no_authorization", msg)
    }

    pub(super) fn unverifiable_jwt(reason: &str) -> Self {
        let msg = format!("invalid JWT: unable to parse or verify signature, {reason}");
        Self::new(StatusCode::FORBIDDEN, "bad_jwt", msg)
    }

    pub(super) fn missing_sub() -> Self {
        Self::new(StatusCode::FORBIDDEN, "bad_jwt", "invalid claim: missing sub claim")
    }

    pub(super) fn sub_not_uuid() -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_jwt", "invalid claim: sub claim must be a UUID")
    }

    pub(super) fn session_id_not_uuid() -> Self {
        let msg = "invalid claim: session_id claim must be a UUID";
        Self::new(StatusCode::FORBIDDEN, "bad_jwt", msg)
    }

    pub(super) fn user_not_found() -> Self {
        let msg = "User from sub claim in JWT does not exist";
        Self::new(StatusCode::FORBIDDEN, "user_not_found", msg)
    }

    pub(super) fn session_not_found() -> Self {
        let msg = "Session from session_id claim in JWT does not exist";
        Self::new(StatusCode::FORBIDDEN, "session_not_found", msg)
    }

    pub(super) fn banned() -> Self {
        Self::new(StatusCode::FORBIDDEN, "user_banned", "User is banned")
    }

    pub(super) fn banned_at_sign_in() -> Self {
        Self::new(StatusCode::BAD_REQUEST, "user_banned", "User is banned")
    }

    pub(super) fn banned_at_refresh() -> Self {
        let msg = "Invalid Refresh Token: User Banned";
        Self::new(StatusCode::BAD_REQUEST, "user_banned", msg)
    }

    pub(super) fn invalid_credentials() -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_credentials", "Invalid login credentials")
    }

    pub(super) fn unsupported_grant() -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_credentials", "unsupported_grant_type")
    }

    pub(super) fn refresh_token_not_found() -> Self {
        let msg = "Invalid Refresh Token: Refresh Token Not Found";
        Self::new(StatusCode::BAD_REQUEST, "refresh_token_not_found", msg)
    }

    pub(super) fn refresh_token_already_used() -> Self {
        let msg = "Invalid Refresh Token: Already Used";
        Self::new(StatusCode::BAD_REQUEST, "refresh_token_already_used", msg)
    }

    pub(super) fn anonymous_disabled() -> Self {
        let msg = "Anonymous sign-ins are disabled";
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "anonymous_provider_disabled", msg)
    }

    pub(super) fn phone_disabled(status: StatusCode, msg: &'static str) -> Self {
        Self::new(status, "phone_provider_disabled", msg)
    }

    pub(super) fn user_exists() -> Self {
        let msg = "User already registered";
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "user_already_exists", msg)
    }

    pub(super) fn email_exists() -> Self {
        let msg = "A user with this email address has already been registered";
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "email_exists", msg)
    }

    pub(super) fn weak_password() -> Self {
        let msg = "Password should be at least 6 characters.";
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "weak_password", msg)
    }

    pub(super) fn same_password() -> Self {
        let msg = "New password should be different from the old password.";
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "same_password", msg)
    }

    pub(super) fn not_admin() -> Self {
        let msg = "Updating app_metadata requires admin privileges";
        Self::new(StatusCode::FORBIDDEN, "not_admin", msg)
    }

    fn to_json(&self, versioned: bool) -> Value {
        let mut body = if versioned {
            json!({ "code": self.code, "message": self.msg })
        } else {
            json!({ "code": self.status.as_u16(), "error_code": self.code, "msg": self.msg })
        };
        // Length is the only demand we make of a password.
        if self.code == "weak_password"
            && let Some(fields) = body.as_object_mut()
        {
            fields.insert("weak_password".to_owned(), json!({ "reasons": ["length"] }));
        }
        body
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let code = [(ERROR_CODE, HeaderValue::from_static(self.code))];
        let mut response = (self.status, code, Json(self.to_json(false))).into_response();
        if self.status == StatusCode::UNSUPPORTED_MEDIA_TYPE {
            let identity = HeaderValue::from_static("identity");
            response.headers_mut().insert(header::ACCEPT_ENCODING, identity);
        }
        response.extensions_mut().insert(self);
        response
    }
}

impl From<sqlx::Error> for Refusal {
    /// Valid JSON and valid UTF-8 may still hold what Postgres cannot store, a
    /// NUL above all. That is the fault of the request.
    fn from(error: sqlx::Error) -> Self {
        const UNSTORABLE: [&str; 5] = ["22P05", "22P02", "22021", "22003", "54001"];
        let unstorable = error
            .as_database_error()
            .and_then(sqlx::error::DatabaseError::code)
            .is_some_and(|code| UNSTORABLE.contains(&&*code));
        if unstorable {
            return Self::validation(
                "The request holds characters or numbers that cannot be stored",
            );
        }
        Self::internal(error)
    }
}

/// supabase-js asks for the error shape of 2024-01-01, in which `code` is the
/// error code; other clients get the older one.
pub(super) async fn negotiate_version(request: Request, next: Next) -> Response {
    let versioned = wants_newest_version(request.headers());
    let mut response = next.run(request).await;
    if !versioned {
        return response;
    }
    if let Some(refusal) = response.extensions().get::<Refusal>().cloned() {
        let code = [(ERROR_CODE, HeaderValue::from_static(refusal.code))];
        response = (refusal.status, code, Json(refusal.to_json(true))).into_response();
        let version = HeaderValue::from_static(NEWEST_API_VERSION);
        response.headers_mut().insert(API_VERSION, version);
    }
    response
}

fn wants_newest_version(headers: &HeaderMap) -> bool {
    let asked = headers.get(API_VERSION).and_then(|value| value.to_str().ok());
    let date = asked.and_then(|text| NaiveDate::parse_from_str(text, "%Y-%m-%d").ok());
    date >= NaiveDate::from_ymd_opt(2024, 1, 1)
}
