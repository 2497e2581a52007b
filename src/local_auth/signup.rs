//! `POST /auth/v1/signup`

use crate::extract::Json;
use axum::{extract::State, http::StatusCode};
use serde::Deserialize;
use serde_json::Value;

use super::{
    LocalAuth,
    email::Email,
    error::Refusal,
    json_body::JsonBody,
    model::{Object, Password},
};

/// What a client sends to sign up.
#[derive(Deserialize)]
pub(super) struct SignUp {
    email: Option<String>,
    phone: Option<String>,
    password: Option<Password>,
    data: Option<Object>,
}

/// Makes the user and signs it in at once: nobody reads e-mail here, so every
/// address counts as confirmed.
pub(super) async fn sign_up(
    State(auth): State<LocalAuth>,
    JsonBody(request): JsonBody<SignUp>,
) -> Result<Json<Value>, Refusal> {
    let (email, password) = check(request.email, request.phone, request.password)?;
    // Asked before the costly hash; the unique index has the last word.
    if auth.store.user_by_email(email.as_str()).await?.is_some() {
        return Err(Refusal::user_exists());
    }
    let hash = auth.passwords.hash(password).await?;
    let data = request.data.unwrap_or_default();

    let mut work = auth.store.begin().await?;
    let created = work.create_user(&email, &hash, &data).await?;
    let (user, session) = match created {
        Some(user) => work.start_session(user.id, &user.password_hash).await?,
        None => None,
    }
    .ok_or_else(Refusal::user_exists)?;
    let refresh_token = auth.jwt.refresh_token(session.id, 0)?;
    work.add_refresh_token(&refresh_token, session.id, 0).await?;
    work.commit().await?;
    auth.session_answer(&user, &session, &refresh_token)
}

fn check(
    email: Option<String>,
    phone: Option<String>,
    password: Option<Password>,
) -> Result<(Email, Password), Refusal> {
    let email = email.unwrap_or_default();
    let phone = phone.unwrap_or_default();
    if email.is_empty() && phone.is_empty() {
        return Err(Refusal::anonymous_disabled());
    }
    let password = password
        .filter(|password| !password.is_empty())
        .ok_or_else(|| Refusal::validation("Signup requires a valid password"))?;
    password.check_strength()?;
    if !email.is_empty() && !phone.is_empty() {
        return Err(Refusal::validation(
            "Only an email address or phone number should be provided on signup.",
        ));
    }
    if email.is_empty() {
        let msg = "Phone signups are disabled";
        return Err(Refusal::phone_disabled(StatusCode::BAD_REQUEST, msg));
    }
    Ok((Email::parse(&email)?, password))
}
