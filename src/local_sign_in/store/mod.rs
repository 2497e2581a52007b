//! All SQL of the local sign-in. Times and ids come from Postgres.

mod sessions;
mod tokens;
mod users;

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use sqlx::{
    FromRow, PgPool, Postgres, Row as _, Transaction, migrate::MigrateError, postgres::PgRow,
};
use uuid::Uuid;

use super::{error::Refusal, model::User};
use crate::store::{Migration, migrator_of};

/// The migrations of the local sign-in. A test compares them with the directory.
pub(crate) const MIGRATIONS: [Migration; 1] = [(
    "0001_users_sessions_tokens.sql",
    include_str!("../../../migrations/local_auth/0001_users_sessions_tokens.sql"),
)];

/// Brings the schema `local_auth` up to date. Its list of migrations is in that schema too,
/// separate from the server's.
pub(super) async fn migrate(pool: &PgPool) -> Result<(), MigrateError> {
    let mut migrator = migrator_of(&MIGRATIONS);
    // A role that may not create schemas is refused even `create schema if not exists`.
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

/// Changes that are committed together, or rolled back when this is dropped.
pub(super) struct Work {
    transaction: Transaction<'static, Postgres>,
}

impl Store {
    pub(super) fn new(pool: PgPool) -> Self {
        Self { pool }
    }

    pub(super) async fn begin(&self) -> Result<Work, Refusal> {
        Ok(Work { transaction: self.pool.begin().await? })
    }

    /// Finds a user by address, except soft-deleted users, who cannot sign in.
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

    /// The user of an access token, and whether its session still exists.
    pub(super) async fn caller(
        &self,
        user: Uuid,
        session: Option<Uuid>,
    ) -> Result<Option<(User, bool)>, Refusal> {
        let row = sqlx::query(
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
        let read = |row: PgRow| -> sqlx::Result<_> {
            Ok((User::from_row(&row)?, row.try_get("session_lives")?))
        };
        Ok(row.map(read).transpose()?)
    }
}

impl Work {
    pub(super) async fn commit(self) -> Result<(), Refusal> {
        Ok(self.transaction.commit().await?)
    }
}

/// The only form of a token in the database, so that a reader of the database cannot take over a
/// session.
fn sha256(token: &SecretString) -> Vec<u8> {
    Sha256::digest(token.expose_secret()).to_vec()
}
