//! Sessions, and the refresh tokens that renew them.

use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

use super::{Work, sha256};
use crate::local_sign_in::{
    error::Refusal,
    model::{Refresh, Session, User},
};

impl Work {
    /// Starts a session. `None`: since the password was compared, it was changed or the user was
    /// deleted. A sign-in must not outlive the sessions that such a change ends.
    pub(in crate::local_sign_in) async fn start_session(
        &mut self,
        user: Uuid,
        compared_hash: Option<&SecretString>,
        method: &str,
    ) -> Result<Option<(User, Session)>, Refusal> {
        let user: Option<User> = sqlx::query_as(
            "update local_auth.users
             set last_sign_in_at = now(),
               updated_at = now()
             where id = $1
               and coalesce(password_hash = $2, true)
               and deleted_at is null
             returning *,
               coalesce(banned_until > now(), false) as banned",
        )
        .bind(user)
        .bind(compared_hash.map(ExposeSecret::expose_secret))
        .fetch_optional(&mut *self.transaction)
        .await?;
        let Some(user) = user else {
            return Ok(None);
        };
        let session = sqlx::query_as(
            "insert into local_auth.sessions (user_id, method)
             values ($1, $2)
             returning id, method, created_at",
        )
        .bind(user.id)
        .bind(method)
        .fetch_one(&mut *self.transaction)
        .await?;
        Ok(Some((user, session)))
    }

    pub(in crate::local_sign_in) async fn add_refresh_token(
        &mut self,
        token: &SecretString,
        session: Uuid,
        counter: i64,
    ) -> Result<(), Refusal> {
        sqlx::query(
            "insert into local_auth.refresh_tokens (token_sha256, session_id, counter)
             values ($1, $2, $3)",
        )
        .bind(sha256(token))
        .bind(session)
        .bind(counter)
        .execute(&mut *self.transaction)
        .await?;
        Ok(())
    }

    /// Finds a refresh token and locks its session until the end of the transaction, so that
    /// refreshes of one session are serialised.
    pub(in crate::local_sign_in) async fn lock_refresh(
        &mut self,
        token: &SecretString,
    ) -> Result<Option<Refresh>, Refusal> {
        let refresh = sqlx::query_as(
            "select sessions.id,
               sessions.method,
               sessions.created_at,
               sessions.user_id,
               refresh_tokens.counter,
               sessions.refresh_counter as active_counter,
               sessions.refresh_revoked_at is not null as revoked
             from local_auth.refresh_tokens
             join local_auth.sessions
               on sessions.id = refresh_tokens.session_id
             where refresh_tokens.token_sha256 = $1
             for update of sessions",
        )
        .bind(sha256(token))
        .fetch_optional(&mut *self.transaction)
        .await?;
        Ok(refresh)
    }

    /// Whether a refresh token was exchanged for the next one in the last ten seconds. Within that
    /// time Supabase Auth accepts it again.
    pub(in crate::local_sign_in) async fn exchanged_recently(
        &mut self,
        session: Uuid,
        counter: i64,
    ) -> Result<bool, Refusal> {
        let recently: Option<bool> = sqlx::query_scalar(
            "select created_at > now() - interval '10 seconds'
             from local_auth.refresh_tokens
             where session_id = $1
               and counter = $2 + 1",
        )
        .bind(session)
        .bind(counter)
        .fetch_optional(&mut *self.transaction)
        .await?;
        Ok(recently.unwrap_or(false))
    }

    /// Records a refresh and the refresh token that is active after it.
    pub(in crate::local_sign_in) async fn touch_session(
        &mut self,
        session: Uuid,
        counter: i64,
    ) -> Result<(), Refusal> {
        sqlx::query(
            "update local_auth.sessions
             set refresh_counter = $2,
               refreshed_at = now()
             where id = $1",
        )
        .bind(session)
        .bind(counter)
        .execute(&mut *self.transaction)
        .await?;
        Ok(())
    }

    pub(in crate::local_sign_in) async fn revoke_refresh_tokens(
        &mut self,
        session: Uuid,
    ) -> Result<(), Refusal> {
        sqlx::query(
            "update local_auth.sessions
             set refresh_revoked_at = now()
             where id = $1
               and refresh_revoked_at is null",
        )
        .bind(session)
        .execute(&mut *self.transaction)
        .await?;
        Ok(())
    }

    pub(in crate::local_sign_in) async fn end_session(
        &mut self,
        session: Uuid,
    ) -> Result<(), Refusal> {
        sqlx::query(
            "delete from local_auth.sessions
             where id = $1",
        )
        .bind(session)
        .execute(&mut *self.transaction)
        .await?;
        Ok(())
    }

    /// Ends the sessions of a user, all of them or all except the one to keep. Locks them in a
    /// fixed order, so that two of these calls cannot deadlock.
    pub(in crate::local_sign_in) async fn end_sessions_but(
        &mut self,
        user: Uuid,
        keep: Option<Uuid>,
    ) -> Result<(), Refusal> {
        sqlx::query(
            "delete from local_auth.sessions
             where id in (
               select id
               from local_auth.sessions
               where user_id = $1
                 and id is distinct from $2
               order by id
               for update
             )",
        )
        .bind(user)
        .bind(keep)
        .execute(&mut *self.transaction)
        .await?;
        Ok(())
    }
}
