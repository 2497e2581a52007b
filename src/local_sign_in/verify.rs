//! `GET` and `POST /auth/v1/verify`: the target of a link to sign in.

use axum::{
    extract::State,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;
use url::{Url, form_urlencoded::Serializer};
use uuid::Uuid;

use super::{
    LocalAuth,
    email::Email,
    error::Refusal,
    json_body::JsonBody,
    links::PKCE_PREFIX,
    model::{OneTimeToken, User},
    session::Issued,
    store::Work,
};
use crate::http::{Json, Query};

/// The types of links in Supabase Auth.
const TYPES: [&str; 6] = ["signup", "invite", "recovery", "magiclink", "email_change", "email"];

/// The types of the links that this server makes.
const SENT: [&str; 3] = ["recovery", "magiclink", "email"];

/// The method in the claim `amr` of a session that began with a link.
const METHOD: &str = "otp";

/// A request with the token of a link, or with the code of a mail.
#[derive(Deserialize)]
pub(super) struct Verify {
    #[serde(rename = "type")]
    kind: Option<String>,
    token_hash: Option<SecretString>,
    token: Option<SecretString>,
    email: Option<String>,
    phone: Option<String>,
}

/// The result of a followed link.
enum Followed {
    /// A session, for a client without PKCE.
    Session(Box<Issued>),
    /// A code, for the client that requested the link.
    Code(SecretString),
}

/// Answers a browser that follows a link: redirects it to an address on this machine.
pub(super) async fn follow(
    State(auth): State<LocalAuth>,
    query: Query,
) -> Result<Response, Refusal> {
    let kind = query.get("type").filter(|kind| !kind.is_empty());
    let kind = kind.ok_or_else(|| Refusal::validation("Verify requires a verification type"))?;
    let kind = if kind == "email" { "magiclink" } else { kind };
    let token = query.get("token").filter(|token| !token.is_empty());
    let token =
        token.ok_or_else(|| Refusal::validation("Verify requires a token or a token hash"))?;
    let mut to = auth.origins.redirect_to(query.get("redirect_to"));
    match auth.follow(kind, &SecretString::from(token)).await {
        Ok(Followed::Code(code)) => {
            to.query_pairs_mut().append_pair("code", code.expose_secret());
        }
        Ok(Followed::Session(issued)) => to.set_fragment(Some(&issued.to_fragment(kind))),
        Err(refusal) => {
            let pairs = in_words(&refusal);
            // Clients with PKCE read the query.
            if token.starts_with(PKCE_PREFIX) {
                to.query_pairs_mut().extend_pairs(pairs);
            }
            let mut fragment = Serializer::new(String::new());
            fragment.extend_pairs(pairs).append_pair("sb", "");
            to.set_fragment(Some(&fragment.finish()));
        }
    }
    redirect(&to)
}

/// Exchanges the token of a link, or the code of a mail, for a session.
pub(super) async fn exchange(
    State(auth): State<LocalAuth>,
    JsonBody(request): JsonBody<Verify>,
) -> Result<Json<Value>, Refusal> {
    let secret = |text: Option<SecretString>| text.filter(|text| !text.expose_secret().is_empty());
    let text = |text: Option<String>| text.filter(|text| !text.is_empty());
    let kind = text(request.kind);
    let kind = kind.ok_or_else(|| Refusal::validation("Verify requires a verification type"))?;
    let (token, code) = (secret(request.token_hash), secret(request.token));
    let issued = match (token, code, text(request.email), text(request.phone)) {
        (Some(token), None, None, None) => auth.exchange(&kind, &token).await?,
        (None, Some(code), Some(email), None) => auth.exchange_code(&kind, &email, &code).await?,
        // No user here has a phone.
        (None, Some(_), None, Some(_)) => return Err(Refusal::CODE_EXPIRED),
        (Some(_), None, _, _) => {
            return Err(Refusal::validation("Only the token_hash and type should be provided"));
        }
        (None, Some(_), _, _) => {
            let msg = "Only an email address or phone number should be provided on verify";
            return Err(Refusal::validation(msg));
        }
        _ => return Err(Refusal::validation("Verify requires either a token or a token hash")),
    };
    Ok(Json(issued.to_json()))
}

impl LocalAuth {
    async fn follow(&self, kind: &str, token: &SecretString) -> Result<Followed, Refusal> {
        let mut work = self.store.begin().await?;
        let found = work.take_link_of(kind, token).await?;
        let followed = if found.challenge().is_some() {
            work.living_user(&found).await?;
            let code = SecretString::from(Uuid::new_v4().to_string());
            work.put_code(&code, &found).await?;
            Followed::Code(code)
        } else {
            Followed::Session(Box::new(self.begin(&mut work, &found).await?))
        };
        work.commit().await?;
        Ok(followed)
    }

    async fn exchange(&self, kind: &str, token: &SecretString) -> Result<Issued, Refusal> {
        let mut work = self.store.begin().await?;
        let found = work.take_link_of(kind, token).await?;
        let issued = self.begin(&mut work, &found).await?;
        work.commit().await?;
        Ok(issued)
    }

    /// Six digits can be guessed, so guesses are slowed down like those of passwords.
    async fn exchange_code(
        &self,
        kind: &str,
        email: &str,
        code: &SecretString,
    ) -> Result<Issued, Refusal> {
        let is_sent = is_sent(kind)?;
        let email = Email::parse(email).map_err(|_| Refusal::MALFORMED_EMAIL)?;
        let attempt = self.guesses.attempt(email.as_str()).await?;
        let user = self.store.user_by_email(email.as_str()).await?.filter(|_| is_sent);
        let user = user.ok_or(Refusal::CODE_EXPIRED)?;
        let mut work = self.store.begin().await?;
        let hash = work.lock_link_of(user.id).await?.ok_or(Refusal::CODE_EXPIRED)?;
        if self.jwt.one_time_code(&hash)? != *code.expose_secret() {
            return Err(Refusal::CODE_EXPIRED);
        }
        let found = work.take_link_with(&hash).await?.ok_or(Refusal::CODE_EXPIRED)?;
        attempt.succeeded();
        let issued = self.begin(&mut work, &found).await?;
        work.commit().await?;
        Ok(issued)
    }

    async fn begin(&self, work: &mut Work, found: &OneTimeToken) -> Result<Issued, Refusal> {
        work.living_user(found).await?;
        let issued = self.begin_session(work, found.user_id, None, METHOD).await?;
        issued.ok_or(Refusal::LINK_EXPIRED)
    }
}

impl Work {
    async fn take_link_of(
        &mut self,
        kind: &str,
        token: &SecretString,
    ) -> Result<OneTimeToken, Refusal> {
        let found = if is_sent(kind)? { self.take_link(token).await? } else { None };
        found.ok_or(Refusal::LINK_EXPIRED)
    }

    /// The user of a token, unless deleted or banned since.
    async fn living_user(&mut self, found: &OneTimeToken) -> Result<User, Refusal> {
        let user = self.user(found.user_id).await?.filter(|user| user.deleted_at.is_none());
        let user = user.ok_or(Refusal::LINK_EXPIRED)?;
        if user.banned { Err(Refusal::BANNED) } else { Ok(user) }
    }
}

/// Whether this server makes links of a type. A type that does not exist is an error.
fn is_sent(kind: &str) -> Result<bool, Refusal> {
    if !TYPES.contains(&kind) {
        return Err(Refusal::validation("Invalid email verification type"));
    }
    Ok(SENT.contains(&kind))
}

fn in_words(refusal: &Refusal) -> [(&'static str, &str); 3] {
    let error = if refusal.is_of_request() { "invalid_request" } else { "access_denied" };
    [("error", error), ("error_code", refusal.code()), ("error_description", refusal.msg())]
}

fn redirect(to: &Url) -> Result<Response, Refusal> {
    const REFERRER_POLICY: HeaderName = HeaderName::from_static("referrer-policy");
    let location = HeaderValue::try_from(to.as_str()).map_err(Refusal::internal)?;
    let no_referrer = HeaderValue::from_static("no-referrer");
    let headers = [(header::LOCATION, location), (REFERRER_POLICY, no_referrer)];
    Ok((StatusCode::SEE_OTHER, headers).into_response())
}
