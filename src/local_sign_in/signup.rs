//! `POST /auth/v1/signup`

use crate::http::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::Value;

use super::{
    LocalAuth,
    email::Email,
    error::Refusal,
    json_body::JsonBody,
    model::{Object, Password, User},
    secret,
};

/// A request to sign up.
#[derive(Deserialize)]
pub(super) struct SignUp {
    email: Option<String>,
    phone: Option<String>,
    password: Option<Password>,
    data: Option<Object>,
}

/// Creates the user and signs them in at once: no e-mail is sent, so every address counts as
/// confirmed.
pub(super) async fn sign_up(
    State(auth): State<LocalAuth>,
    JsonBody(request): JsonBody<SignUp>,
) -> Result<Json<Value>, Refusal> {
    let (email, password) = check(request.email, request.phone, request.password)?;
    // This check saves the costly hash; the unique index decides.
    if auth.store.user_by_email(email.as_str()).await?.is_some() {
        return Err(Refusal::USER_EXISTS);
    }
    let hash = auth.passwords.hash(password).await?;
    let data = request.data.unwrap_or_default();

    let mut work = auth.store.begin().await?;
    let user = work.create_user(&email, &hash, &data).await?.ok_or(Refusal::USER_EXISTS)?;
    let issued = auth.begin_session(&mut work, user.id, Some(&hash), "password").await?;
    let issued = issued.ok_or(Refusal::USER_EXISTS)?;
    work.commit().await?;
    let mut answer = issued.to_json();
    // Supabase Auth does not read the user again, so its answer differs in two fields.
    if let Some(user) = answer.get_mut("user").and_then(Value::as_object_mut) {
        user.shift_remove("confirmed_at");
    }
    if let Some(identity) = answer.pointer_mut("/user/identities/0/identity_data/email_verified") {
        *identity = true.into();
    }
    Ok(Json(answer))
}

impl LocalAuth {
    /// Creates a user who signs in with links. The password is random and not stored.
    pub(super) async fn sign_up_without_password(
        &self,
        email: &Email,
        data: Object,
    ) -> Result<User, Refusal> {
        let hash = self.passwords.hash(Password(secret::random_text().into())).await?;
        let mut work = self.store.begin().await?;
        if let Some(user) = work.create_user(email, &hash, &data).await? {
            work.commit().await?;
            return Ok(user);
        }
        // A concurrent request created the user.
        self.store.user_by_email(email.as_str()).await?.ok_or(Refusal::USER_EXISTS)
    }
}

fn check(
    email: Option<String>,
    phone: Option<String>,
    password: Option<Password>,
) -> Result<(Email, Password), Refusal> {
    let email = email.unwrap_or_default();
    let phone = phone.unwrap_or_default();
    if email.is_empty() && phone.is_empty() {
        return Err(Refusal::ANONYMOUS_DISABLED);
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
        return Err(Refusal::PHONE_SIGN_UP);
    }
    Ok((Email::parse(&email)?, password))
}
