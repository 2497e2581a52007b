//! `GET /threads/{thread_id}`

use std::sync::Arc;

use axum::extract::State;

use super::view::{Selected, ThreadSchema, ThreadView};
use crate::authz::Action;
use crate::http::{Access, App, Error, Query, Reserving, ThreadId};

/// Read a thread
#[utoipa::path(
    get, path = "/threads/{thread_id}", tag = "threads",
    params(
        ("thread_id" = uuid::Uuid, Path, description = "The thread"),
        ("include" = Option<Vec<String>>, Query, description = "`ttl`; anything else is ignored"),
    ),
    responses(
        (status = 200, description = "The thread", body = ThreadSchema),
        (status = 404, description = "No such thread, or not the caller's"),
    )
)]
pub(super) async fn get(
    State(app): State<Arc<App>>,
    access: Access,
    ThreadId(thread_id): ThreadId,
    query: Query,
) -> Result<Reserving<ThreadView>, Error> {
    let scope = access.on(Action::Read, &[thread_id]).await?;
    let with_ttl = query.list("include").any(|name| name == "ttl");
    let thread = app.store.thread(&scope, thread_id).await?;
    let thread = thread.ok_or(Error::ThreadNotFound(thread_id))?;
    let selected = Selected { fields: None, with_ttl };
    Ok(Reserving(thread.map(|thread| ThreadView::new(thread, selected, None))))
}
