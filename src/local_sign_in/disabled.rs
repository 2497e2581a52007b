//! Features that a Supabase project can disable and that the local sign-in does not have: other
//! providers, second factors and administration. It answers like a project that disables them.

use axum::extract::Request;
use serde::Deserialize;
use uuid::Uuid;

use super::{bearer::Caller, error::Refusal, json_body::JsonBody};
use crate::http::Query;

/// Maximum characters of a provider's name in an answer.
const MAX_SHOWN: usize = 200;

/// A request to enrol a second factor.
#[derive(Deserialize)]
pub(super) struct Enrol {
    factor_type: Option<String>,
}

/// The external providers of Supabase Auth.
pub(super) const PROVIDERS: [&str; 23] = [
    "apple",
    "azure",
    "bitbucket",
    "discord",
    "facebook",
    "figma",
    "fly",
    "github",
    "gitlab",
    "google",
    "kakao",
    "keycloak",
    "linkedin",
    "linkedin_oidc",
    "notion",
    "slack",
    "slack_oidc",
    "snapchat",
    "spotify",
    "twitch",
    "twitter",
    "workos",
    "zoom",
];

/// `GET /auth/v1/authorize`
pub(super) async fn authorize(query: Query) -> Refusal {
    let asked = query.get("provider").unwrap_or_default();
    if PROVIDERS.contains(&asked) {
        return Refusal::validation("Unsupported provider: provider is not enabled");
    }
    let shown: String = asked.chars().take(MAX_SHOWN).collect();
    Refusal::validation(format!("Unsupported provider: Provider {shown} could not be found"))
}

/// `/auth/v1/invite` and every path below `/auth/v1/admin`: no user here has the role for them.
pub(super) async fn admin(_: Caller) -> Refusal {
    Refusal::ADMIN_ONLY
}

/// `POST /auth/v1/factors`
pub(super) async fn enrol(_: Caller, JsonBody(request): JsonBody<Enrol>) -> Refusal {
    match request.factor_type.as_deref() {
        Some("totp") => {
            Refusal::mfa_disabled("mfa_totp_enroll_not_enabled", "MFA enroll is disabled for TOTP")
        }
        Some("phone") => Refusal::mfa_disabled(
            "mfa_phone_enroll_not_enabled",
            "MFA enroll is disabled for Phone",
        ),
        Some("webauthn") => Refusal::mfa_disabled(
            "mfa_webauthn_enroll_not_enabled",
            "MFA enroll is disabled for WebAuthn",
        ),
        _ => Refusal::validation("factor_type needs to be totp, phone, or webauthn"),
    }
}

/// Every path below `/auth/v1/factors`: no user has a factor.
pub(super) async fn factor(_: Caller, request: Request) -> Refusal {
    let id = request.uri().path().split('/').nth(4);
    if id.is_some_and(|id| Uuid::try_parse(id).is_ok()) {
        return Refusal::FACTOR_NOT_FOUND;
    }
    Refusal::no_uuid("factor_id must be an UUID")
}
