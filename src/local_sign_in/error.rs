//! The error answers of Supabase Auth: status, `error_code` and `msg`.

use crate::http::Json;
use std::{borrow::Cow, fmt::Display};

use axum::{
    http::{
        HeaderName, HeaderValue, StatusCode,
        header::{ACCEPT_ENCODING, RETRY_AFTER},
    },
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

const ERROR_CODE: HeaderName = HeaderName::from_static("x-sb-error-code");

/// A request that was refused, or whose handling failed.
#[derive(Clone)]
pub(super) struct Refusal {
    status: u16,
    code: &'static str,
    msg: Cow<'static, str>,
}

/// Refusals with constant texts.
impl Refusal {
    pub(super) const NO_ROUTE: Self =
        Self::fixed(404, "not_found", "No such endpoint in the local sign-in");
    pub(super) const METHOD: Self = Self::fixed(405, "method_not_allowed", "Method not allowed");
    pub(super) const NO_AUTHORIZATION: Self =
        Self::fixed(401, "no_authorization", "This endpoint requires a valid Bearer token");
    pub(super) const MISSING_SUB: Self =
        Self::fixed(403, "bad_jwt", "invalid claim: missing sub claim");
    pub(super) const SUB_NOT_UUID: Self =
        Self::fixed(400, "bad_jwt", "invalid claim: sub claim must be a UUID");
    pub(super) const SESSION_ID_NOT_UUID: Self =
        Self::fixed(403, "bad_jwt", "invalid claim: session_id claim must be a UUID");
    pub(super) const USER_NOT_FOUND: Self =
        Self::fixed(403, "user_not_found", "User from sub claim in JWT does not exist");
    pub(super) const SESSION_NOT_FOUND: Self = Self::fixed(
        403,
        "session_not_found",
        "Session from session_id claim in JWT does not exist",
    );
    pub(super) const BANNED: Self = Self::fixed(403, "user_banned", "User is banned");
    pub(super) const BANNED_AT_SIGN_IN: Self = Self::fixed(400, "user_banned", "User is banned");
    pub(super) const BANNED_AT_REFRESH: Self =
        Self::fixed(400, "user_banned", "Invalid Refresh Token: User Banned");
    pub(super) const INVALID_CREDENTIALS: Self =
        Self::fixed(400, "invalid_credentials", "Invalid login credentials");
    pub(super) const UNSUPPORTED_GRANT: Self =
        Self::fixed(400, "invalid_credentials", "unsupported_grant_type");
    pub(super) const REFRESH_TOKEN_NOT_FOUND: Self = Self::fixed(
        400,
        "refresh_token_not_found",
        "Invalid Refresh Token: Refresh Token Not Found",
    );
    pub(super) const REFRESH_TOKEN_ALREADY_USED: Self =
        Self::fixed(400, "refresh_token_already_used", "Invalid Refresh Token: Already Used");
    pub(super) const ANONYMOUS_DISABLED: Self =
        Self::fixed(422, "anonymous_provider_disabled", "Anonymous sign-ins are disabled");
    /// The status and the text are Supabase Auth's.
    pub(super) const MAGIC_LINK_WITHOUT_EMAIL: Self =
        Self::fixed(422, "validation_failed", "Password recovery requires an email");
    pub(super) const MALFORMED_EMAIL: Self =
        Self::fixed(422, "validation_failed", "Invalid email format");
    pub(super) const PHONE_SIGN_UP: Self =
        Self::fixed(400, "phone_provider_disabled", "Phone signups are disabled");
    pub(super) const PHONE_SIGN_IN: Self =
        Self::fixed(422, "phone_provider_disabled", "Phone logins are disabled");
    pub(super) const PHONE_LINK: Self =
        Self::fixed(400, "phone_provider_disabled", "Unsupported phone provider");
    pub(super) const PHONE_RESEND: Self =
        Self::fixed(400, "phone_provider_disabled", "Phone logins are disabled");
    pub(super) const USER_EXISTS: Self =
        Self::fixed(422, "user_already_exists", "User already registered");
    pub(super) const EMAIL_EXISTS: Self = Self::fixed(
        422,
        "email_exists",
        "A user with this email address has already been registered",
    );
    pub(super) const WEAK_PASSWORD: Self =
        Self::fixed(422, "weak_password", "Password should be at least 6 characters.");
    pub(super) const SAME_PASSWORD: Self = Self::fixed(
        422,
        "same_password",
        "New password should be different from the old password.",
    );
    pub(super) const NOT_ADMIN: Self =
        Self::fixed(403, "not_admin", "Updating app_metadata requires admin privileges");
    pub(super) const ADMIN_ONLY: Self = Self::fixed(403, "not_admin", "User not allowed");
    pub(super) const OTP_DISABLED: Self =
        Self::fixed(422, "otp_disabled", "Signups not allowed for otp");
    /// A link that was used, has expired, or was never sent.
    pub(super) const LINK_EXPIRED: Self =
        Self::fixed(403, "otp_expired", "Email link is invalid or has expired");
    /// A code that is wrong, was used, or has expired.
    pub(super) const CODE_EXPIRED: Self =
        Self::fixed(403, "otp_expired", "Token has expired or is invalid");
    pub(super) const TOO_MANY_REQUESTS: Self =
        Self::fixed(429, "over_request_rate_limit", "Request rate limit reached");
    pub(super) const WEB3_DISABLED: Self =
        Self::fixed(422, "web3_provider_disabled", "Web3 provider is disabled");
    pub(super) const FLOW_STATE_NOT_FOUND: Self =
        Self::fixed(404, "flow_state_not_found", "invalid flow state, no valid flow state found");
    pub(super) const FLOW_STATE_EXPIRED: Self =
        Self::fixed(422, "flow_state_expired", "invalid flow state, flow state has expired");
    pub(super) const BAD_CODE_VERIFIER: Self = Self::fixed(
        400,
        "bad_code_verifier",
        "code challenge does not match previously saved code verifier",
    );
    pub(super) const FACTOR_NOT_FOUND: Self =
        Self::fixed(404, "mfa_factor_not_found", "Factor not found");
    /// Supabase Auth has no such error, because it is behind a gateway, unlike this server.
    pub(super) const ORIGIN: Self = Self::fixed(
        403,
        "origin_not_allowed",
        "Origin must be on this machine or one of CORS_ALLOW_ORIGINS",
    );

    const fn fixed(status: u16, code: &'static str, msg: &'static str) -> Self {
        Self { status, code, msg: Cow::Borrowed(msg) }
    }
}

/// Refusals with variable texts.
impl Refusal {
    fn new(status: u16, code: &'static str, msg: impl Into<Cow<'static, str>>) -> Self {
        Self { status, code, msg: msg.into() }
    }

    /// Logs the cause and does not reveal it. Causes are errors of the database, of argon2 or of
    /// the runtime, whose `Display` shows no values.
    pub(super) fn internal(cause: impl Display) -> Self {
        tracing::error!(error = %cause, "the local sign-in could not answer a request");
        let msg = "Unexpected failure, please check server logs for more information";
        Self::new(500, "unexpected_failure", msg)
    }

    pub(super) fn validation(msg: impl Into<Cow<'static, str>>) -> Self {
        Self::new(400, "validation_failed", msg)
    }

    pub(super) fn bad_json(msg: impl Into<Cow<'static, str>>) -> Self {
        Self::new(400, "bad_json", msg)
    }

    pub(super) fn body(status: StatusCode) -> Self {
        Self::new(status.as_u16(), "validation_failed", "Could not read the request body")
    }

    /// A body that is compressed.
    pub(super) fn encoding(msg: String) -> Self {
        Self::new(415, "validation_failed", msg)
    }

    pub(super) fn unverifiable_jwt(reason: &str) -> Self {
        let msg = format!("invalid JWT: unable to parse or verify signature, {reason}");
        Self::new(403, "bad_jwt", msg)
    }

    pub(super) fn too_many_mails(seconds: i64) -> Self {
        let msg =
            format!("For security purposes, you can only request this after {seconds} seconds.");
        Self::new(429, "over_email_send_rate_limit", msg)
    }

    pub(super) fn provider_disabled(msg: &'static str) -> Self {
        Self::new(400, "provider_disabled", msg)
    }

    pub(super) fn mfa_disabled(code: &'static str, msg: &'static str) -> Self {
        Self::new(422, code, msg)
    }

    pub(super) fn no_uuid(msg: &'static str) -> Self {
        Self::new(404, "validation_failed", msg)
    }

    /// The code by which clients distinguish errors.
    pub(super) fn code(&self) -> &'static str {
        self.code
    }

    /// The text for users.
    pub(super) fn msg(&self) -> &str {
        &self.msg
    }

    /// Whether the request was malformed, and not refused for another reason.
    pub(super) fn is_of_request(&self) -> bool {
        self.status == 400
    }

    /// The answer in the form of the API version of 2024-01-01, or in the older form.
    pub(super) fn to_response(&self, versioned: bool) -> Response {
        let code = [(ERROR_CODE, HeaderValue::from_static(self.code))];
        let status = StatusCode::from_u16(self.status).unwrap_or_default();
        let mut response = (status, code, Json(self.to_json(versioned))).into_response();
        if status == StatusCode::UNSUPPORTED_MEDIA_TYPE {
            let identity = HeaderValue::from_static("identity");
            response.headers_mut().insert(ACCEPT_ENCODING, identity);
        }
        if status == StatusCode::TOO_MANY_REQUESTS {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("10"));
        }
        response
    }

    fn to_json(&self, versioned: bool) -> Value {
        let mut body = if versioned {
            json!({ "code": self.code, "message": self.msg })
        } else {
            json!({ "code": self.status, "error_code": self.code, "msg": self.msg })
        };
        // The length is the only requirement for a password.
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
        let mut response = self.to_response(false);
        response.extensions_mut().insert(self);
        response
    }
}

impl From<sqlx::Error> for Refusal {
    /// Valid JSON and UTF-8 may contain characters and numbers that Postgres cannot store, such as
    /// NUL. That is an error of the request.
    fn from(error: sqlx::Error) -> Self {
        const UNSTORABLE: [&str; 5] = ["22P05", "22P02", "22021", "22003", "54001"];
        let unstorable = error
            .as_database_error()
            .and_then(sqlx::error::DatabaseError::code)
            .is_some_and(|code| UNSTORABLE.contains(&&*code));
        if unstorable {
            return Self::validation(
                "The request contains characters or numbers that cannot be stored",
            );
        }
        Self::internal(error)
    }
}
