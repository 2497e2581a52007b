//! The caller: the user and the session that the `Authorization` header names.

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, header::AUTHORIZATION, request::Parts},
};
use uuid::Uuid;

use super::{LocalAuth, error::Refusal, jwt::Claims, model::User};

/// A caller with a valid access token and, if the token names one, an existing session.
pub(super) struct Caller {
    pub(super) user: User,
    pub(super) session_id: Option<Uuid>,
    pub(super) claims: Claims,
}

impl FromRequestParts<LocalAuth> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, auth: &LocalAuth) -> Result<Self, Refusal> {
        let token = bearer_token(&parts.headers).ok_or(Refusal::NO_AUTHORIZATION)?;
        let claims = auth.jwt.verify(token)?;
        let user_id = claims.user_id()?;
        let session_id = claims.session_id();
        let lookup = session_id.as_ref().copied().ok().flatten();
        let (user, session_lives) =
            auth.store.caller(user_id, lookup).await?.ok_or(Refusal::USER_NOT_FOUND)?;
        // Supabase Auth reports a missing user before a missing session.
        let session_id = session_id?;
        // Supabase Auth ends a user's sessions when it soft-deletes the user. Here an operator may
        // have set `deleted_at` by hand, which ends no session.
        if session_id.is_some() && (!session_lives || user.deleted_at.is_some()) {
            return Err(Refusal::SESSION_NOT_FOUND);
        }
        if user.banned {
            return Err(Refusal::BANNED);
        }
        Ok(Self { user, session_id, claims })
    }
}

/// "Bearer" in any case, exactly one space, and one run of non-spaces.
fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    let well_formed = scheme.eq_ignore_ascii_case("bearer")
        && !token.is_empty()
        && !token.contains(|character: char| character.is_ascii_whitespace());
    well_formed.then_some(token)
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderValue, header::AUTHORIZATION};

    use super::bearer_token;

    #[test]
    fn takes_one_space_and_one_run_of_non_spaces() {
        let cases = [
            ("Bearer abc", Some("abc")),
            ("bEaReR a.b.c", Some("a.b.c")),
            ("Bearer  abc", None),
            ("Bearer abc ", None),
            ("Bearer a b", None),
            ("Bearer\tabc", None),
            ("Bearer ", None),
            ("Bearer", None),
            (" Bearer abc", None),
            ("Basic abc", None),
            ("", None),
        ];
        for (value, expected) in cases {
            let headers = HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static(value))]);
            assert_eq!(bearer_token(&headers), expected, "{value:?}");
        }
    }
}
