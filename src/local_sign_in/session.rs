//! The answer of a sign-up, a sign-in and a refresh.

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use url::form_urlencoded::Serializer;
use uuid::Uuid;

use super::{
    LocalAuth,
    error::Refusal,
    jwt::{AccessToken, LIFETIME_SECONDS},
    model::{Session, User},
    store::Work,
};

/// An access token with its refresh token.
pub(super) struct Issued {
    access: AccessToken,
    refresh_token: SecretString,
    user: User,
}

impl LocalAuth {
    /// Begins a session of a user. `None`: the user was deleted, or no longer has the password
    /// whose hash was compared.
    pub(super) async fn begin_session(
        &self,
        work: &mut Work,
        user: Uuid,
        compared_hash: Option<&SecretString>,
        method: &str,
    ) -> Result<Option<Issued>, Refusal> {
        let Some((user, session)) = work.start_session(user, compared_hash, method).await? else {
            return Ok(None);
        };
        let refresh_token = self.jwt.refresh_token(session.id, 0)?;
        work.add_refresh_token(&refresh_token, session.id, 0).await?;
        self.issue(user, &session, refresh_token).map(Some)
    }

    /// Issues an access token for a session, with `refresh_token` to renew it.
    pub(super) fn issue(
        &self,
        user: User,
        session: &Session,
        refresh_token: SecretString,
    ) -> Result<Issued, Refusal> {
        let access = self.jwt.access_token(&user, session)?;
        Ok(Issued { access, refresh_token, user })
    }
}

impl Issued {
    /// The answer for programs.
    pub(super) fn to_json(&self) -> Value {
        json!({
            "access_token": self.access.token,
            "token_type": "bearer",
            "expires_in": LIFETIME_SECONDS,
            "expires_at": self.access.expires_at,
            "refresh_token": self.refresh_token.expose_secret(),
            "user": self.user.to_json(),
        })
    }

    /// The same for a page, after the `#` of its address.
    pub(super) fn to_fragment(&self, kind: &str) -> String {
        Serializer::new(String::new())
            .append_pair("access_token", &self.access.token)
            .append_pair("expires_at", &self.access.expires_at.to_string())
            .append_pair("expires_in", &LIFETIME_SECONDS.to_string())
            .append_pair("refresh_token", self.refresh_token.expose_secret())
            .append_pair("sb", "")
            .append_pair("token_type", "bearer")
            .append_pair("type", kind)
            .finish()
    }
}
