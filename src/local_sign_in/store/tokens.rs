//! Single-use tokens: links to sign in, and the codes that they give.

use secrecy::SecretString;
use uuid::Uuid;

use super::{Work, sha256};
use crate::local_sign_in::{error::Refusal, model::OneTimeToken};

impl Work {
    /// Stores the token of a link, which replaces the user's previous one.
    pub(in crate::local_sign_in) async fn put_link(
        &mut self,
        token: &SecretString,
        made_for: &OneTimeToken,
    ) -> Result<(), Refusal> {
        self.put("link", token, made_for).await
    }

    /// Stores the code of a link, which replaces the user's previous one.
    pub(in crate::local_sign_in) async fn put_code(
        &mut self,
        code: &SecretString,
        made_for: &OneTimeToken,
    ) -> Result<(), Refusal> {
        self.put("code", code, made_for).await
    }

    async fn put(
        &mut self,
        kind: &str,
        token: &SecretString,
        made_for: &OneTimeToken,
    ) -> Result<(), Refusal> {
        sqlx::query(
            "insert into local_auth.one_time_tokens
               (user_id, kind, purpose, token_sha256, code_challenge, code_challenge_method)
             values ($1, $2, $3, $4, $5, $6)
             on conflict (user_id, kind) do update
             set purpose = excluded.purpose,
               token_sha256 = excluded.token_sha256,
               code_challenge = excluded.code_challenge,
               code_challenge_method = excluded.code_challenge_method,
               created_at = now()",
        )
        .bind(made_for.user_id)
        .bind(kind)
        .bind(&made_for.purpose)
        .bind(sha256(token))
        .bind(&made_for.code_challenge)
        .bind(&made_for.code_challenge_method)
        .execute(&mut *self.transaction)
        .await?;
        Ok(())
    }

    /// Removes the link with this token, because a link works once. Returns it unless it is older
    /// than an hour.
    pub(in crate::local_sign_in) async fn take_link(
        &mut self,
        token: &SecretString,
    ) -> Result<Option<OneTimeToken>, Refusal> {
        self.take_link_with(&sha256(token)).await
    }

    /// Like [`Work::take_link`], for the link whose token has this hash.
    pub(in crate::local_sign_in) async fn take_link_with(
        &mut self,
        token_sha256: &[u8],
    ) -> Result<Option<OneTimeToken>, Refusal> {
        let taken = self.take("link", token_sha256, "1 hour").await?;
        Ok(taken.filter(|taken| taken.is_fresh))
    }

    /// Removes and returns the code of a link. It is valid for five minutes.
    pub(in crate::local_sign_in) async fn take_code(
        &mut self,
        code: &SecretString,
    ) -> Result<Option<OneTimeToken>, Refusal> {
        self.take("code", &sha256(code), "5 minutes").await
    }

    async fn take(
        &mut self,
        kind: &str,
        token_sha256: &[u8],
        life: &str,
    ) -> Result<Option<OneTimeToken>, Refusal> {
        let taken = sqlx::query_as(
            "delete from local_auth.one_time_tokens
             where kind = $1
               and token_sha256 = $2
             returning user_id,
               purpose,
               code_challenge,
               code_challenge_method,
               created_at > now() - $3::text::interval as is_fresh",
        )
        .bind(kind)
        .bind(token_sha256)
        .bind(life)
        .fetch_optional(&mut *self.transaction)
        .await?;
        Ok(taken)
    }

    /// The hash of a user's last link, locked until the end of the transaction.
    pub(in crate::local_sign_in) async fn lock_link_of(
        &mut self,
        user: Uuid,
    ) -> Result<Option<Vec<u8>>, Refusal> {
        let hash = sqlx::query_scalar(
            "select token_sha256
             from local_auth.one_time_tokens
             where user_id = $1
               and kind = 'link'
             for update",
        )
        .bind(user)
        .fetch_optional(&mut *self.transaction)
        .await?;
        Ok(hash)
    }

    /// Deletes the tokens of a user after a change of the password or address.
    pub(in crate::local_sign_in) async fn drop_tokens(
        &mut self,
        user: Uuid,
    ) -> Result<(), Refusal> {
        sqlx::query(
            "delete from local_auth.one_time_tokens
             where user_id = $1",
        )
        .bind(user)
        .execute(&mut *self.transaction)
        .await?;
        Ok(())
    }
}
