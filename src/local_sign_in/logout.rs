//! `POST /auth/v1/logout`

use axum::{extract::State, http::StatusCode};

use super::{LocalAuth, bearer::Caller, error::Refusal};
use crate::http::Query;

/// Ends this session, the other sessions or all of them. Access tokens of an ended session are
/// refused from then on.
pub(super) async fn logout(
    State(auth): State<LocalAuth>,
    caller: Caller,
    query: Query,
) -> Result<StatusCode, Refusal> {
    let mut work = auth.store.begin().await?;
    match (query.get("scope").unwrap_or_default(), caller.session_id) {
        ("local", Some(session)) => work.end_session(session).await?,
        ("others", Some(session)) => work.end_sessions_but(caller.user.id, Some(session)).await?,
        ("" | "global" | "local" | "others", _) => {
            work.end_sessions_but(caller.user.id, None).await?;
        }
        (other, _) => {
            return Err(Refusal::validation(format!("Unsupported logout scope {other:?}")));
        }
    }
    work.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
