//! `GET /threads/{thread_id}`

use std::sync::Arc;

use axum::extract::State;

use super::Thread;
use crate::app::App;
use crate::auth::{Access, Action};
use crate::error::Error;
use crate::extract::{Json, ThreadId};

/// Read a thread
#[utoipa::path(
    get, path = "/threads/{thread_id}", tag = "threads",
    params(("thread_id" = uuid::Uuid, Path, description = "The thread")),
    responses(
        (status = 200, description = "The thread", body = Thread),
        (status = 404, description = "No such thread, or not the caller's"),
    )
)]
pub(super) async fn get(
    State(app): State<Arc<App>>,
    access: Access,
    ThreadId(thread_id): ThreadId,
) -> Result<Json<Thread>, Error> {
    let thread = app.store.thread(&access.on(Action::Read), thread_id).await?;
    thread.map(Json).ok_or(Error::ThreadNotFound(thread_id))
}
