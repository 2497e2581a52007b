//! `DELETE /threads/{thread_id}`

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;

use crate::authz::Action;
use crate::http::{Access, App, Error, ThreadId};

/// Delete a thread with its state and history
#[utoipa::path(
    delete, path = "/threads/{thread_id}", tag = "threads",
    params(("thread_id" = uuid::Uuid, Path, description = "The thread")),
    responses(
        (status = 204, description = "Deleted"),
        (status = 404, description = "No such thread, or not the caller's"),
    )
)]
pub(super) async fn delete(
    State(app): State<Arc<App>>,
    access: Access,
    ThreadId(thread_id): ThreadId,
) -> Result<StatusCode, Error> {
    let scope = access.on(Action::Delete, &[thread_id]).await?;
    if app.store.delete_thread(&scope, thread_id).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Error::ThreadNotFound(thread_id))
    }
}
