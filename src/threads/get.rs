//! `GET /threads/{thread_id}`

use std::sync::Arc;

use axum::extract::State;

use super::Thread;
use crate::app::App;
use crate::auth::{Access, Action};
use crate::error::Error;
use crate::extract::{Json, Query, ThreadId};

/// Read a thread
#[utoipa::path(
    get, path = "/threads/{thread_id}", tag = "threads",
    params(
        ("thread_id" = uuid::Uuid, Path, description = "The thread"),
        ("include" = Option<Vec<String>>, Query, description = "`ttl`; anything else is ignored"),
    ),
    responses(
        (status = 200, description = "The thread", body = Thread),
        (status = 404, description = "No such thread, or not the caller's"),
    )
)]
pub(super) async fn get(
    State(app): State<Arc<App>>,
    access: Access,
    ThreadId(thread_id): ThreadId,
    query: Query,
) -> Result<Json<Thread>, Error> {
    let scope = access.on(Action::Read, &[thread_id]).await?;
    let with_ttl = query.list("include").any(|name| name == "ttl");
    let thread = app.store.thread(&scope, thread_id, with_ttl).await?;
    thread.map(Json).ok_or(Error::ThreadNotFound(thread_id))
}
