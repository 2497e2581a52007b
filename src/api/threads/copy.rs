//! `POST /threads/{thread_id}/copy`

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use uuid::Uuid;

use super::view::{ThreadSchema, ThreadView};
use crate::authz::Action;
use crate::http::middleware::Written;
use crate::http::{Access, App, Error, Reserving, ThreadId};
use crate::json::Object;
use crate::store::NewThread;

/// Copy a thread with its state and history
#[utoipa::path(
    post, path = "/threads/{thread_id}/copy", tag = "threads",
    params(("thread_id" = Uuid, Path, description = "The thread")),
    responses(
        (status = 200, description = "The copy", body = ThreadSchema),
        (status = 403, description = "No usable credentials, not allowed, or over `MAX_THREADS_PER_USER` or `MAX_STATE_BYTES`"),
        (status = 404, description = "No such thread, or not the caller's"),
    )
)]
pub(super) async fn copy(
    State(app): State<Arc<App>>,
    access: Access,
    ThreadId(thread_id): ThreadId,
) -> Result<Response, Error> {
    let scope = access.on(Action::Read, &[thread_id]).await?;
    let copy_id = Uuid::now_v7();
    // The handler's metadata overrides the copied metadata, so a copy belongs to the user who made
    // it. The reference server drops the handler's, and the owner of the original owns the copy.
    let mut stamped = Object::default();
    let owner = access.on_metadata(Action::Create, &[copy_id], &mut stamped).await?;
    // A copy gets the default ttl, even if the original has another.
    let new =
        NewThread { thread_id: copy_id, has_new_id: true, metadata: stamped, ttl: app.default_ttl };
    let copy = app.store.copy_thread(&scope, &owner, thread_id, &new).await?;
    let copy = copy.ok_or(Error::ThreadNotFound(thread_id))?;
    let written = Extension(Written(vec![copy_id]));
    Ok((written, Reserving(copy.map(ThreadView::from))).into_response())
}
