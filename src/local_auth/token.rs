//! `POST /auth/v1/token`: sign in with a password, or refresh a session.

use crate::extract::Json;
use axum::{
    extract::{RawQuery, Request, State},
    http::StatusCode,
};
use serde::Deserialize;
use serde_json::Value;

use super::{
    LocalAuth,
    error::Refusal,
    json_body,
    model::{Password, Refresh},
    router::query_value,
    store::Work,
};

#[derive(Deserialize)]
struct PasswordGrant {
    email: Option<String>,
    phone: Option<String>,
    password: Option<Password>,
}

#[derive(Deserialize)]
struct RefreshGrant {
    refresh_token: Option<String>,
}

/// Which refresh token a refresh gives out.
enum Next {
    /// The one in force, once more.
    Same,
    /// A new one, which takes the place of the one in force.
    Rotated,
}

/// Hands the request to the grant that the query names.
pub(super) async fn token(
    State(auth): State<LocalAuth>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Result<Json<Value>, Refusal> {
    let grant = query_value(query.as_deref(), "grant_type");
    let body = json_body::read(request, &()).await?;
    match grant.as_deref() {
        Some("password") => sign_in(&auth, json_body::parse(&body)?).await,
        Some("refresh_token") => refresh(&auth, json_body::parse(&body)?).await,
        _ => Err(Refusal::unsupported_grant()),
    }
}

/// An unknown address, a wrong password and a deleted user look the same.
async fn sign_in(auth: &LocalAuth, grant: PasswordGrant) -> Result<Json<Value>, Refusal> {
    let email = address(grant.email, grant.phone)?;
    let password = grant.password.ok_or_else(Refusal::invalid_credentials)?;
    let user = auth.store.user_by_email(&email).await?;
    let known_hash = user.as_ref().map(|user| user.password_hash.clone());
    let matches = auth.passwords.matches(password, known_hash).await?;
    let user = user.filter(|_| matches).ok_or_else(Refusal::invalid_credentials)?;
    if user.banned {
        return Err(Refusal::banned_at_sign_in());
    }

    let mut work = auth.store.begin().await?;
    let (user, session) = work
        .start_session(user.id, &user.password_hash)
        .await?
        .ok_or_else(Refusal::invalid_credentials)?;
    let refresh_token = auth.jwt.refresh_token(session.id, 0)?;
    work.add_refresh_token(&refresh_token, session.id, 0).await?;
    work.commit().await?;
    auth.session_answer(&user, &session, &refresh_token)
}

fn address(email: Option<String>, phone: Option<String>) -> Result<String, Refusal> {
    let email = email.filter(|email| !email.is_empty());
    let phone = phone.filter(|phone| !phone.is_empty());
    match (email, phone) {
        (Some(email), None) => Ok(email.to_lowercase()),
        (Some(_), Some(_)) => Err(Refusal::validation(
            "Only an email address or phone number should be provided on login.",
        )),
        (None, Some(_)) => Err(Refusal::phone_disabled(
            StatusCode::UNPROCESSABLE_ENTITY,
            "Phone logins are disabled",
        )),
        (None, None) => Err(Refusal::validation("missing email or phone")),
    }
}

async fn refresh(auth: &LocalAuth, grant: RefreshGrant) -> Result<Json<Value>, Refusal> {
    let presented = grant
        .refresh_token
        .filter(|token| !token.is_empty())
        .ok_or_else(|| Refusal::validation("refresh_token required"))?;
    let mut work = auth.store.begin().await?;
    let found =
        work.lock_refresh(&presented).await?.ok_or_else(Refusal::refresh_token_not_found)?;
    let user = work
        .user(found.user_id)
        .await?
        .filter(|user| user.deleted_at.is_none())
        .ok_or_else(Refusal::refresh_token_not_found)?;
    if user.banned {
        return Err(Refusal::banned_at_refresh());
    }
    let Some(next) = next_token(&mut work, &found).await? else {
        work.revoke_refresh_tokens(found.session.id).await?;
        work.commit().await?;
        return Err(Refusal::refresh_token_already_used());
    };
    let counter = match next {
        Next::Same => found.active_counter,
        Next::Rotated => found.active_counter + 1,
    };
    let refresh_token = auth.jwt.refresh_token(found.session.id, counter)?;
    if matches!(next, Next::Rotated) {
        work.add_refresh_token(&refresh_token, found.session.id, counter).await?;
    }
    work.touch_session(found.session.id, counter).await?;
    work.commit().await?;
    auth.session_answer(&user, &found.session, &refresh_token)
}

/// Supabase Auth's rules for a token that was already exchanged. The token just
/// before the one in force always gets the one in force, since its client may
/// have lost the answer. Older ones get it for ten seconds. Later than that it
/// looks like theft (`None`).
async fn next_token(work: &mut Work, found: &Refresh) -> Result<Option<Next>, Refusal> {
    if found.revoked {
        return Ok(None);
    }
    Ok(match found.active_counter - found.counter {
        0 => Some(Next::Rotated),
        1 => Some(Next::Same),
        _ => {
            let recent = work.exchanged_recently(found.session.id, found.counter).await?;
            recent.then_some(Next::Same)
        }
    })
}
