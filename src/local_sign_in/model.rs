//! The data of the local sign-in, in the form of Supabase Auth.

use chrono::{DateTime, Utc};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sqlx::{FromRow, Row as _, postgres::PgRow, types::Json};
use uuid::Uuid;

use super::pkce::Challenge;

/// The audience and the role of every user.
pub(super) const AUTHENTICATED: &str = "authenticated";

/// A JSON object as it came from the client.
pub(super) type Object = Map<String, Value>;

/// One row of `local_auth.users`.
#[expect(clippy::struct_field_names, reason = "the names are those of Supabase Auth")]
pub(super) struct User {
    pub(super) id: Uuid,
    identity_id: Uuid,
    pub(super) email: String,
    pub(super) password_hash: SecretString,
    pub(super) user_metadata: Json<Object>,
    pub(super) app_metadata: Json<Object>,
    identity_data: Json<Object>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    email_confirmed_at: DateTime<Utc>,
    last_sign_in_at: Option<DateTime<Utc>>,
    recovery_sent_at: Option<DateTime<Utc>>,
    banned_until: Option<DateTime<Utc>>,
    pub(super) deleted_at: Option<DateTime<Utc>>,
    /// Whether `banned_until` is in the future, by the clock of the database.
    pub(super) banned: bool,
}

impl FromRow<'_, PgRow> for User {
    fn from_row(row: &PgRow) -> sqlx::Result<User> {
        Ok(User {
            id: row.try_get("id")?,
            identity_id: row.try_get("identity_id")?,
            email: row.try_get("email")?,
            password_hash: row.try_get::<String, _>("password_hash")?.into(),
            user_metadata: row.try_get("user_metadata")?,
            app_metadata: row.try_get("app_metadata")?,
            identity_data: row.try_get("identity_data")?,
            created_at: row.try_get("created_at")?,
            updated_at: row.try_get("updated_at")?,
            email_confirmed_at: row.try_get("email_confirmed_at")?,
            last_sign_in_at: row.try_get("last_sign_in_at")?,
            recovery_sent_at: row.try_get("recovery_sent_at")?,
            banned_until: row.try_get("banned_until")?,
            deleted_at: row.try_get("deleted_at")?,
            banned: row.try_get("banned")?,
        })
    }
}

/// A signed-in browser tab, script or device.
pub(super) struct Session {
    pub(super) id: Uuid,
    /// How it began: `password`, `otp`, or with PKCE the purpose of the link.
    pub(super) method: String,
    pub(super) created_at: DateTime<Utc>,
}

impl FromRow<'_, PgRow> for Session {
    fn from_row(row: &PgRow) -> sqlx::Result<Session> {
        Ok(Session {
            id: row.try_get("id")?,
            method: row.try_get("method")?,
            created_at: row.try_get("created_at")?,
        })
    }
}

/// A refresh token with its locked session.
pub(super) struct Refresh {
    pub(super) session: Session,
    pub(super) user_id: Uuid,
    /// The position of the token in the family of its session.
    pub(super) counter: i64,
    /// The position of the active token.
    pub(super) active_counter: i64,
    /// Whether the whole family was revoked.
    pub(super) revoked: bool,
}

impl FromRow<'_, PgRow> for Refresh {
    fn from_row(row: &PgRow) -> sqlx::Result<Refresh> {
        Ok(Refresh {
            session: Session::from_row(row)?,
            user_id: row.try_get("user_id")?,
            counter: row.try_get("counter")?,
            active_counter: row.try_get("active_counter")?,
            revoked: row.try_get("revoked")?,
        })
    }
}

/// What a single-use token was made for.
pub(super) struct OneTimeToken {
    pub(super) user_id: Uuid,
    /// `recovery` or `magiclink`.
    pub(super) purpose: String,
    pub(super) code_challenge: Option<String>,
    pub(super) code_challenge_method: Option<String>,
    /// Whether the token has not expired.
    pub(super) is_fresh: bool,
}

impl FromRow<'_, PgRow> for OneTimeToken {
    fn from_row(row: &PgRow) -> sqlx::Result<OneTimeToken> {
        Ok(OneTimeToken {
            user_id: row.try_get("user_id")?,
            purpose: row.try_get("purpose")?,
            code_challenge: row.try_get("code_challenge")?,
            code_challenge_method: row.try_get("code_challenge_method")?,
            is_fresh: row.try_get("is_fresh")?,
        })
    }
}

impl OneTimeToken {
    pub(super) fn new(user_id: Uuid, purpose: &str, challenge: Option<Challenge>) -> Self {
        let (code_challenge, code_challenge_method) = challenge
            .map(|challenge| (challenge.code_challenge, challenge.code_challenge_method))
            .unzip();
        let purpose = purpose.to_owned();
        Self { user_id, purpose, code_challenge, code_challenge_method, is_fresh: true }
    }

    /// The challenge of the client that requested the link, if the client uses PKCE.
    pub(super) fn challenge(&self) -> Option<Challenge> {
        Some(Challenge {
            code_challenge: self.code_challenge.clone()?,
            code_challenge_method: self.code_challenge_method.clone()?,
        })
    }
}

/// A password as the client sent it. Its `Debug` does not show it, and only its hash reaches the
/// database.
#[derive(Deserialize)]
pub(super) struct Password(pub(super) SecretString);

impl User {
    /// The user object. Supabase Auth leaves empty fields out, but writes a missing phone number as
    /// an empty string.
    pub(super) fn to_json(&self) -> Value {
        let mut user = json!({
            "id": self.id,
            "aud": AUTHENTICATED,
            "role": AUTHENTICATED,
            "email": self.email,
            "email_confirmed_at": self.email_confirmed_at,
            "phone": "",
            "confirmed_at": self.email_confirmed_at,
            "app_metadata": self.app_metadata,
            "user_metadata": self.user_metadata,
            "identities": [self.identity()],
            "created_at": self.created_at,
            "updated_at": self.updated_at,
            "is_anonymous": false,
        });
        let optional = [
            ("recovery_sent_at", self.recovery_sent_at),
            ("last_sign_in_at", self.last_sign_in_at),
            ("banned_until", self.banned_until),
            ("deleted_at", self.deleted_at),
        ];
        if let Some(fields) = user.as_object_mut() {
            let present = optional.into_iter().filter_map(|(name, at)| Some((name, at?)));
            fields.extend(present.map(|(name, at)| (name.to_owned(), json!(at))));
        }
        user
    }

    fn identity(&self) -> Value {
        json!({
            "identity_id": self.identity_id,
            "id": self.id,
            "user_id": self.id,
            "identity_data": self.identity_data,
            "provider": "email",
            "last_sign_in_at": self.last_sign_in_at,
            "created_at": self.created_at,
            "updated_at": self.updated_at,
            "email": self.email,
        })
    }
}
