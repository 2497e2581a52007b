//! All SQL of the local sign-in. Times and ids come from Postgres.

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use sqlx::{FromRow, PgPool, Postgres, Transaction, migrate::MigrateError, types::Json};
use uuid::Uuid;

use super::{
    email::Email,
    error::Refusal,
    model::{Object, Refresh, Session, User},
};

/// Brings the schema `local_auth` up to date. Its list of migrations lives in
/// that schema too, apart from the server's own.
pub(super) async fn migrate(pool: &PgPool) -> Result<(), MigrateError> {
    let mut migrator = sqlx::migrate!("migrations/local_auth");
    // Not even `if not exists` is let pass without the right to create schemas.
    let has_schema = sqlx::query_scalar("select to_regnamespace('local_auth') is not null");
    if !has_schema.fetch_one(pool).await? {
        migrator.create_schema("local_auth");
    }
    migrator.dangerous_set_table_name("local_auth._sqlx_migrations");
    migrator.run(pool).await
}

/// The tables of the local sign-in.
#[derive(Clone)]
pub(super) struct Store {
    pool: PgPool,
}

/// Changes that are committed together, or not at all when dropped.
pub(super) struct Work {
    transaction: Transaction<'static, Postgres>,
}

#[derive(FromRow)]
struct CallerRow {
    #[sqlx(flatten)]
    user: User,
    session_lives: bool,
}

impl Store {
    pub(super) fn new(pool: PgPool) -> Self {
        Self { pool }
    }

    pub(super) async fn begin(&self) -> Result<Work, Refusal> {
        Ok(Work { transaction: self.pool.begin().await? })
    }

    /// A soft-deleted user cannot sign in, so it is not found by its address.
    pub(super) async fn user_by_email(&self, email: &str) -> Result<Option<User>, Refusal> {
        let user = sqlx::query_as(
            "select *,
               coalesce(banned_until > now(), false) as banned
             from local_auth.users
             where lower(email) = lower($1)
               and deleted_at is null",
        )
        .bind(email)
        .fetch_optional(&self.pool)
        .await?;
        Ok(user)
    }

    /// The user of an access token, and whether its session is still there.
    pub(super) async fn caller(
        &self,
        user: Uuid,
        session: Option<Uuid>,
    ) -> Result<Option<(User, bool)>, Refusal> {
        let row: Option<CallerRow> = sqlx::query_as(
            "select users.*,
               coalesce(users.banned_until > now(), false) as banned,
               sessions.id is not null as session_lives
             from local_auth.users
             left join local_auth.sessions
               on sessions.id = $2
               and sessions.user_id = users.id
             where users.id = $1",
        )
        .bind(user)
        .bind(session)
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(|row| (row.user, row.session_lives)))
    }
}

impl Work {
    pub(super) async fn commit(self) -> Result<(), Refusal> {
        Ok(self.transaction.commit().await?)
    }

    pub(super) async fn user(&mut self, id: Uuid) -> Result<Option<User>, Refusal> {
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

    /// `None` when the address is taken.
    pub(super) async fn create_user(
        &mut self,
        email: &Email,
        password_hash: &SecretString,
        user_metadata: &Object,
    ) -> Result<Option<User>, Refusal> {
        let user = sqlx::query_as(
            "insert into local_auth.users (email, password_hash, user_metadata)
             values ($1, $2, $3)
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

    /// `email_exists` when the new address is another user's. In the metadata a
    /// null takes its key away.
    pub(super) async fn update_user(
        &mut self,
        id: Uuid,
        email: Option<&Email>,
        password_hash: Option<&SecretString>,
        data: &Object,
    ) -> Result<User, Refusal> {
        sqlx::query_as(
            "update local_auth.users
             set email = coalesce($2, email),
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
            Some(database) if database.is_unique_violation() => Refusal::email_exists(),
            _ => error.into(),
        })?
        .ok_or_else(Refusal::user_not_found)
    }

    /// `None` when the password was changed or the user deleted since the
    /// password was compared: a sign-in must not outlive the sessions that such
    /// a change ends.
    pub(super) async fn start_session(
        &mut self,
        user: Uuid,
        compared_hash: &SecretString,
    ) -> Result<Option<(User, Session)>, Refusal> {
        let user: Option<User> = sqlx::query_as(
            "update local_auth.users
             set last_sign_in_at = now(),
               updated_at = now()
             where id = $1
               and password_hash = $2
               and deleted_at is null
             returning *,
               coalesce(banned_until > now(), false) as banned",
        )
        .bind(user)
        .bind(compared_hash.expose_secret())
        .fetch_optional(&mut *self.transaction)
        .await?;
        let Some(user) = user else {
            return Ok(None);
        };
        let session = sqlx::query_as(
            "insert into local_auth.sessions (user_id)
             values ($1)
             returning id, created_at",
        )
        .bind(user.id)
        .fetch_one(&mut *self.transaction)
        .await?;
        Ok(Some((user, session)))
    }

    pub(super) async fn add_refresh_token(
        &mut self,
        token: &str,
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

    /// Finds a refresh token and holds its session until the end of the work,
    /// so that two refreshes of one session come one after the other.
    pub(super) async fn lock_refresh(&mut self, token: &str) -> Result<Option<Refresh>, Refusal> {
        let refresh = sqlx::query_as(
            "select sessions.id,
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

    /// Whether a refresh token was exchanged for the next one within the
    /// ten seconds in which Supabase Auth forgives that it is used again.
    pub(super) async fn exchanged_recently(
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

    /// Notes a refresh and which refresh token is in force after it.
    pub(super) async fn touch_session(
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

    pub(super) async fn revoke_refresh_tokens(&mut self, session: Uuid) -> Result<(), Refusal> {
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

    pub(super) async fn end_session(&mut self, session: Uuid) -> Result<(), Refusal> {
        sqlx::query(
            "delete from local_auth.sessions
             where id = $1",
        )
        .bind(session)
        .execute(&mut *self.transaction)
        .await?;
        Ok(())
    }

    /// Ends the sessions of a user, all of them or all but the one to keep.
    /// Locks them in one order, or two of these at once could block each other.
    pub(super) async fn end_sessions_but(
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

/// The database holds only this of a refresh token, so that reading the
/// database is not enough to take a session over.
fn sha256(token: &str) -> Vec<u8> {
    Sha256::digest(token.as_bytes()).to_vec()
}
