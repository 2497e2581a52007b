//! `GET` and `PUT /auth/v1/user`

use axum::{extract::State, http::HeaderMap};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::Value;

use super::{
    LocalAuth,
    bearer::Caller,
    email::Email,
    error::Refusal,
    json_body::JsonBody,
    model::{Object, Password, User},
};
use crate::http::Json;

/// The fields that a user may change.
#[derive(Deserialize)]
pub(super) struct Update {
    email: Option<String>,
    phone: Option<String>,
    password: Option<Password>,
    data: Option<Object>,
    app_metadata: Option<Object>,
}

/// Returns the user of the token.
pub(super) async fn get(headers: HeaderMap, caller: Caller) -> Result<Json<Value>, Refusal> {
    let requested = headers.get("x-jwt-aud").and_then(|value| value.to_str().ok());
    if !caller.claims.is_for(requested.filter(|aud| !aud.is_empty())) {
        return Err(Refusal::validation("Token audience doesn't match request audience"));
    }
    Ok(Json(caller.user.to_json()))
}

/// Changes the e-mail address, the password or the metadata. A new address takes effect at once,
/// because no confirmation is sent. A new password ends all other sessions.
pub(super) async fn update(
    State(auth): State<LocalAuth>,
    caller: Caller,
    JsonBody(request): JsonBody<Update>,
) -> Result<Json<Value>, Refusal> {
    let email = request.email.as_deref().filter(|email| !email.is_empty());
    let email = email.map(Email::parse).transpose()?;
    if request.phone.is_some_and(|phone| !phone.is_empty()) {
        return Err(Refusal::PHONE_SIGN_UP);
    }
    if let Some(password) = &request.password {
        password.check_strength()?;
    }
    if request.app_metadata.is_some() {
        return Err(Refusal::NOT_ADMIN);
    }
    let new_hash = match request.password {
        Some(password) => Some(hash_if_new(&auth, &caller.user, password).await?),
        None => None,
    };

    let mut work = auth.store.begin().await?;
    let data = request.data.unwrap_or_default();
    let user = work.update_user(caller.user.id, email.as_ref(), new_hash.as_ref(), &data).await?;
    if new_hash.is_some() {
        work.end_sessions_but(caller.user.id, caller.session_id).await?;
    }
    if new_hash.is_some() || email.is_some() {
        work.drop_tokens(caller.user.id).await?;
    }
    work.commit().await?;
    Ok(Json(user.to_json()))
}

async fn hash_if_new(
    auth: &LocalAuth,
    user: &User,
    password: Password,
) -> Result<SecretString, Refusal> {
    let again = Password(password.0.clone());
    if auth.passwords.matches(again, Some(user.password_hash.clone())).await? {
        return Err(Refusal::SAME_PASSWORD);
    }
    auth.passwords.hash(password).await
}
