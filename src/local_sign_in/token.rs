//! `POST /auth/v1/token`: signs in with a password or with the code of a link, or refreshes a
//! session.

use axum::extract::{Request, State};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;

use super::{
    LocalAuth,
    error::Refusal,
    json_body,
    model::{Password, Refresh},
    store::Work,
};
use crate::http::{Json, Query};

#[derive(Deserialize)]
struct PasswordGrant {
    email: Option<String>,
    phone: Option<String>,
    password: Option<Password>,
}

#[derive(Deserialize)]
struct RefreshGrant {
    refresh_token: Option<SecretString>,
}

#[derive(Deserialize)]
struct PkceGrant {
    auth_code: Option<SecretString>,
    code_verifier: Option<SecretString>,
}

/// The refresh token that a refresh returns.
enum Next {
    /// The active one again.
    Same,
    /// A new one, which replaces the active one.
    Rotated,
}

/// Dispatches the request to the grant in the query.
pub(super) async fn token(
    State(auth): State<LocalAuth>,
    query: Query,
    request: Request,
) -> Result<Json<Value>, Refusal> {
    let body = json_body::read(request, &()).await?;
    match query.get("grant_type") {
        Some("password") => sign_in(&auth, json_body::parse(&body)?).await,
        Some("refresh_token") => refresh(&auth, json_body::parse(&body)?).await,
        Some("pkce") => exchange(&auth, json_body::parse(&body)?).await,
        Some("web3") => Err(Refusal::WEB3_DISABLED),
        Some("id_token") => Err(Refusal::provider_disabled("Provider is not enabled")),
        _ => Err(Refusal::UNSUPPORTED_GRANT),
    }
}

/// An unknown address, a wrong password and a deleted user get the same answer.
async fn sign_in(auth: &LocalAuth, grant: PasswordGrant) -> Result<Json<Value>, Refusal> {
    let email = address(grant.email, grant.phone)?;
    let password = grant.password.ok_or(Refusal::INVALID_CREDENTIALS)?;
    let attempt = auth.guesses.attempt(&email).await?;
    let user = auth.store.user_by_email(&email).await?;
    let known_hash = user.as_ref().map(|user| user.password_hash.clone());
    let matches = auth.passwords.matches(password, known_hash).await?;
    let user = user.filter(|_| matches).ok_or(Refusal::INVALID_CREDENTIALS)?;
    attempt.succeeded();
    if user.banned {
        return Err(Refusal::BANNED_AT_SIGN_IN);
    }

    let mut work = auth.store.begin().await?;
    let hash = Some(&user.password_hash);
    let issued = auth.begin_session(&mut work, user.id, hash, "password").await?;
    let issued = issued.ok_or(Refusal::INVALID_CREDENTIALS)?;
    work.commit().await?;
    let mut answer = issued.to_json();
    // Supabase Auth can report here why an accepted password is weak.
    if let Some(fields) = answer.as_object_mut() {
        fields.insert("weak_password".to_owned(), Value::Null);
    }
    Ok(Json(answer))
}

/// The code works once, for the client with the verifier. A wrong verifier does not use it up.
async fn exchange(auth: &LocalAuth, grant: PkceGrant) -> Result<Json<Value>, Refusal> {
    let present = |text: Option<SecretString>| text.filter(|text| !text.expose_secret().is_empty());
    let (Some(code), Some(verifier)) = (present(grant.auth_code), present(grant.code_verifier))
    else {
        let msg = "invalid request: both auth code and code verifier should be non-empty";
        return Err(Refusal::validation(msg));
    };
    let mut work = auth.store.begin().await?;
    let found = work.take_code(&code).await?.ok_or(Refusal::FLOW_STATE_NOT_FOUND)?;
    if !found.is_fresh {
        return Err(Refusal::FLOW_STATE_EXPIRED);
    }
    if !found.challenge().is_some_and(|challenge| challenge.is_answered_by(&verifier)) {
        return Err(Refusal::BAD_CODE_VERIFIER);
    }
    let issued = auth.begin_session(&mut work, found.user_id, None, &found.purpose).await?;
    let issued = issued.ok_or(Refusal::FLOW_STATE_NOT_FOUND)?;
    work.commit().await?;
    Ok(Json(issued.to_json()))
}

fn address(email: Option<String>, phone: Option<String>) -> Result<String, Refusal> {
    let email = email.filter(|email| !email.is_empty());
    let phone = phone.filter(|phone| !phone.is_empty());
    match (email, phone) {
        (Some(email), None) => Ok(email.to_lowercase()),
        (Some(_), Some(_)) => Err(Refusal::validation(
            "Only an email address or phone number should be provided on login.",
        )),
        (None, Some(_)) => Err(Refusal::PHONE_SIGN_IN),
        (None, None) => Err(Refusal::validation("missing email or phone")),
    }
}

async fn refresh(auth: &LocalAuth, grant: RefreshGrant) -> Result<Json<Value>, Refusal> {
    let presented = grant
        .refresh_token
        .filter(|token| has_form(token.expose_secret()))
        .ok_or_else(|| Refusal::validation("Refresh token is not valid"))?;
    let mut work = auth.store.begin().await?;
    let found = work.lock_refresh(&presented).await?.ok_or(Refusal::REFRESH_TOKEN_NOT_FOUND)?;
    let user = work
        .user(found.user_id)
        .await?
        .filter(|user| user.deleted_at.is_none())
        .ok_or(Refusal::REFRESH_TOKEN_NOT_FOUND)?;
    if user.banned {
        return Err(Refusal::BANNED_AT_REFRESH);
    }
    let Some(next) = next_token(&mut work, &found).await? else {
        work.revoke_refresh_tokens(found.session.id).await?;
        work.commit().await?;
        return Err(Refusal::REFRESH_TOKEN_ALREADY_USED);
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
    Ok(Json(auth.issue(user, &found.session, refresh_token)?.to_json()))
}

/// Whether a text has the form of a refresh token: a signature in base64url, or the twelve letters
/// and digits of Supabase Auth's tokens.
fn has_form(token: &str) -> bool {
    let is_of_text = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    matches!(token.len(), 12 | 43) && token.bytes().all(is_of_text)
}

/// Supabase Auth's rules for a token that was already exchanged. The token just before the active
/// one always gets the active one, because its client may have lost the answer. An older token
/// gets it for ten seconds after its own exchange. After that the request counts as theft (`None`).
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
