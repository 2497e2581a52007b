//! `POST /threads/{thread_id}/copy`

use std::sync::Arc;

use axum::extract::State;
use uuid::Uuid;

use super::Thread;
use crate::app::App;
use crate::auth::{Access, Action};
use crate::error::Error;
use crate::extract::{Json, ThreadId};

/// Copy a thread with its state and history
#[utoipa::path(
    post, path = "/threads/{thread_id}/copy", tag = "threads",
    params(("thread_id" = Uuid, Path, description = "The thread")),
    responses(
        (status = 200, description = "The copy", body = Thread),
        (status = 404, description = "No such thread, or not the caller's"),
    )
)]
pub(super) async fn copy(
    State(app): State<Arc<App>>,
    access: Access,
    ThreadId(thread_id): ThreadId,
) -> Result<Json<Thread>, Error> {
    // The reference server raises `read`, then `create`, whose changes it does not apply.
    let copy = app.store.copy_thread(&access.on(Action::Read), thread_id, Uuid::now_v7()).await?;
    copy.map(Json).ok_or(Error::ThreadNotFound(thread_id))
}
