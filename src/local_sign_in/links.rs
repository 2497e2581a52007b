//! Links to sign in, which Supabase Auth sends by mail. No mail is sent here: the link is in the
//! server's log, and only there.

use axum::extract::State;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tracing::info;

use super::{
    LocalAuth,
    email::Email,
    error::Refusal,
    json_body::JsonBody,
    model::{Object, OneTimeToken, User},
    pkce::{Challenge, SentChallenge},
    secret,
};
use crate::http::{Json, Query};

/// The prefix of the token of a link that gives a code (PKCE), and not a session.
pub(super) const PKCE_PREFIX: &str = "pkce_";

/// A request for a link.
#[derive(Deserialize)]
pub(super) struct Request {
    email: Option<String>,
    phone: Option<String>,
    create_user: Option<bool>,
    data: Option<Object>,
    #[serde(flatten)]
    challenge: SentChallenge,
}

/// A request to send a link again.
#[derive(Deserialize)]
pub(super) struct Resend {
    #[serde(rename = "type")]
    kind: Option<String>,
    email: Option<String>,
    phone: Option<String>,
}

/// `POST /auth/v1/recover`: makes a link for a user who forgot the password. An unknown address
/// gets the same answer, and no link.
pub(super) async fn recover(
    State(auth): State<LocalAuth>,
    query: Query,
    JsonBody(request): JsonBody<Request>,
) -> Result<Json<Value>, Refusal> {
    let email = present(request.email.as_ref());
    let email = email.ok_or_else(|| Refusal::validation("Password recovery requires an email"))?;
    let email = Email::parse(email)?;
    let challenge = request.challenge.read()?;
    if let Some(user) = auth.store.user_by_email(email.as_str()).await? {
        auth.send_link(&user, "recovery", challenge, &query).await?;
    }
    Ok(Json(json!({})))
}

/// `POST /auth/v1/otp`: makes a link to sign in without a password. An unknown address is signed
/// up, unless `create_user` is false.
pub(super) async fn otp(
    State(auth): State<LocalAuth>,
    query: Query,
    JsonBody(request): JsonBody<Request>,
) -> Result<Json<Value>, Refusal> {
    let (email, phone) = (present(request.email.as_ref()), present(request.phone.as_ref()));
    let email = match (email, phone) {
        (Some(email), None) => Email::parse(email)?,
        (None, Some(_)) => return Err(Refusal::PHONE_LINK),
        (Some(_), Some(_)) => {
            let msg = "Only an email address or phone number should be provided";
            return Err(Refusal::validation(msg));
        }
        (None, None) => return Err(Refusal::validation("One of email or phone must be set")),
    };
    auth.send_magic_link(&email, request, &query).await
}

/// `POST /auth/v1/magiclink`, the older form of `/auth/v1/otp`.
pub(super) async fn magiclink(
    State(auth): State<LocalAuth>,
    query: Query,
    JsonBody(request): JsonBody<Request>,
) -> Result<Json<Value>, Refusal> {
    let email = present(request.email.as_ref()).ok_or(Refusal::MAGIC_LINK_WITHOUT_EMAIL)?;
    let email = Email::parse(email)?;
    auth.send_magic_link(&email, request, &query).await
}

/// `POST /auth/v1/resend`. Every address is confirmed at once here, so there is nothing to send
/// again.
pub(super) async fn resend(JsonBody(request): JsonBody<Resend>) -> Result<Json<Value>, Refusal> {
    let (email, phone) = (present(request.email.as_ref()), present(request.phone.as_ref()));
    match (request.kind.as_deref().unwrap_or_default(), email, phone) {
        ("signup" | "email_change" | "sms" | "phone_change", Some(_), Some(_)) => {
            let msg = "Only an email address or phone number should be provided.";
            Err(Refusal::validation(msg))
        }
        ("signup" | "email_change", Some(email), None) => {
            Email::parse(email).map(|_| Json(json!({})))
        }
        ("signup" | "email_change", None, _) => {
            Err(Refusal::validation("Type provided requires an email address"))
        }
        ("sms" | "phone_change", None, Some(_)) => Err(Refusal::PHONE_RESEND),
        ("sms" | "phone_change", _, None) => {
            Err(Refusal::validation("Type provided requires a phone number"))
        }
        _ => {
            let msg = "Missing one of these types: signup, email_change, sms, phone_change";
            Err(Refusal::validation(msg))
        }
    }
}

fn present(text: Option<&String>) -> Option<&str> {
    text.map(String::as_str).filter(|text| !text.is_empty())
}

impl LocalAuth {
    async fn send_magic_link(
        &self,
        email: &Email,
        request: Request,
        query: &Query,
    ) -> Result<Json<Value>, Refusal> {
        let challenge = request.challenge.read()?;
        let user = match self.store.user_by_email(email.as_str()).await? {
            Some(user) => user,
            None if request.create_user == Some(false) => return Err(Refusal::OTP_DISABLED),
            None => self.sign_up_without_password(email, request.data.unwrap_or_default()).await?,
        };
        self.send_link(&user, "magiclink", challenge, query).await?;
        Ok(Json(json!({})))
    }

    /// Makes a link for a user, which replaces the previous one, and writes it to the log.
    async fn send_link(
        &self,
        user: &User,
        purpose: &str,
        challenge: Option<Challenge>,
        query: &Query,
    ) -> Result<(), Refusal> {
        let prefix = if challenge.is_some() { PKCE_PREFIX } else { "" };
        let token = SecretString::from(format!("{prefix}{}", secret::random_text()));
        let made_for = OneTimeToken::new(user.id, purpose, challenge);
        let mut work = self.store.begin().await?;
        if let Some(seconds) = work.note_mail(user.id).await? {
            return Err(Refusal::too_many_mails(seconds));
        }
        work.put_link(&token, &made_for).await?;
        work.commit().await?;
        let redirect_to = self.origins.redirect_to(query.get("redirect_to"));
        let link = self.origins.site().join("/auth/v1/verify").map(|mut link| {
            link.query_pairs_mut()
                .append_pair("token", token.expose_secret())
                .append_pair("type", purpose)
                .append_pair("redirect_to", redirect_to.as_str());
            link
        });
        let link = link.map_err(Refusal::internal)?;
        let code = self.jwt.one_time_code(&Sha256::digest(token.expose_secret()))?;
        info!(%link, %code, "the local sign-in sends no mail: this is the {purpose} link of a user");
        Ok(())
    }
}
