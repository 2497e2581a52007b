//! The session answer: what a sign-up, a sign-in and a refresh give back.

use crate::extract::Json;
use serde_json::{Value, json};

use super::{
    LocalAuth,
    error::Refusal,
    jwt::LIFETIME_SECONDS,
    model::{Session, User},
};

impl LocalAuth {
    /// An access token for the session, and `refresh_token` to renew it with.
    pub(super) fn session_answer(
        &self,
        user: &User,
        session: &Session,
        refresh_token: &str,
    ) -> Result<Json<Value>, Refusal> {
        let access = self.jwt.access_token(user, session)?;
        Ok(Json(json!({
            "access_token": access.token,
            "token_type": "bearer",
            "expires_in": LIFETIME_SECONDS,
            "expires_at": access.expires_at,
            "refresh_token": refresh_token,
            "user": user.to_json(),
        })))
    }
}
