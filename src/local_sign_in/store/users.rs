//! Users.

use secrecy::{ExposeSecret, SecretString};
use sqlx::types::Json;
use uuid::Uuid;

use super::Work;
use crate::local_sign_in::{
    email::Email,
    error::Refusal,
    model::{Object, User},
};

impl Work {
    pub(in crate::local_sign_in) async fn user(
        &mut self,
        id: Uuid,
    ) -> Result<Option<User>, Refusal> {
        let user = sqlx::query_as(
            "select *,
               coalesce(banned_until > now(), false) as banned
             from local_auth.users
             where id = $1",
        )
        .bind(id)
        .fetch_optional(&mut *self.transaction)
        .await?;
        Ok(user)
    }

    /// Creates a user. `None`: the address is in use.
    pub(in crate::local_sign_in) async fn create_user(
        &mut self,
        email: &Email,
        password_hash: &SecretString,
        user_metadata: &Object,
    ) -> Result<Option<User>, Refusal> {
        let user = sqlx::query_as(
            "with new as (
               select gen_random_uuid() as id,
                 jsonb_build_object(
                   'email', $1,
                   'email_verified', false,
                   'phone_verified', false
                 ) as address
             )
             insert into local_auth.users (id, email, password_hash, identity_data, user_metadata)
             select id,
               $1,
               $2,
               $3 || address || jsonb_build_object('sub', id),
               $3 || address || jsonb_build_object('sub', id, 'email_verified', true)
             from new
             on conflict do nothing
             returning *,
               false as banned",
        )
        .bind(email.as_str())
        .bind(password_hash.expose_secret())
        .bind(Json(user_metadata))
        .fetch_optional(&mut *self.transaction)
        .await?;
        Ok(user)
    }

    /// Changes a user. The error is `email_exists` if the new address is another user's. A null in
    /// the metadata removes its key.
    pub(in crate::local_sign_in) async fn update_user(
        &mut self,
        id: Uuid,
        email: Option<&Email>,
        password_hash: Option<&SecretString>,
        data: &Object,
    ) -> Result<User, Refusal> {
        sqlx::query_as(
            "update local_auth.users
             set email = coalesce($2, email),
               identity_data = case
                 when $2 is null then identity_data
                 else identity_data || jsonb_build_object('email', $2, 'email_verified', true)
               end,
               password_hash = coalesce($3, password_hash),
               user_metadata = (user_metadata || $4) - array(
                 select key
                 from jsonb_each($4)
                 where value = 'null'
               ),
               updated_at = now()
             where id = $1
             returning *,
               coalesce(banned_until > now(), false) as banned",
        )
        .bind(id)
        .bind(email.map(Email::as_str))
        .bind(password_hash.map(ExposeSecret::expose_secret))
        .bind(Json(data))
        .fetch_optional(&mut *self.transaction)
        .await
        .map_err(|error| match error.as_database_error() {
            Some(database) if database.is_unique_violation() => Refusal::EMAIL_EXISTS,
            _ => error.into(),
        })?
        .ok_or(Refusal::USER_NOT_FOUND)
    }

    /// Records that a mail is sent to a user. If one was sent within the last minute, it records
    /// nothing and returns the seconds until the next may be sent.
    pub(in crate::local_sign_in) async fn note_mail(
        &mut self,
        user: Uuid,
    ) -> Result<Option<i64>, Refusal> {
        let noted = sqlx::query(
            "update local_auth.users
             set recovery_sent_at = now(),
               updated_at = now()
             where id = $1
               and coalesce(recovery_sent_at <= now() - interval '1 minute', true)",
        )
        .bind(user)
        .execute(&mut *self.transaction)
        .await?;
        if noted.rows_affected() > 0 {
            return Ok(None);
        }
        let seconds: Option<i64> = sqlx::query_scalar(
            "select floor(60 - extract(epoch from now() - recovery_sent_at))::int8
             from local_auth.users
             where id = $1",
        )
        .bind(user)
        .fetch_optional(&mut *self.transaction)
        .await?;
        Ok(Some(seconds.unwrap_or(60)))
    }
}
