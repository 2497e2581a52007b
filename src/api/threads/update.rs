//! `PATCH /threads/{thread_id}`

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::ToSchema;

use super::metadata;
use super::ttl;
use super::view::{ThreadSchema, ThreadView};
use crate::authz::Action;
use crate::http::{Access, App, Body, Error, Reserving, ThreadId, present};
use crate::json::{Object, Raw};
use crate::store::Patch;

/// The changes of a thread.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct UpdateThread {
    /// Merged into the thread's metadata, key by key at the top level.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Object>, nullable = false)]
    metadata: Option<Object>,
    /// How long to keep the thread, from now on. Absent: unchanged. Null: for ever. Without a
    /// `strategy` the thread keeps its strategy; with only a `strategy`, only the strategy changes.
    #[serde(default, deserialize_with = "present")]
    #[schema(schema_with = ttl::change_schema)]
    ttl: Option<Raw>,
}

/// Change a thread
#[utoipa::path(
    patch, path = "/threads/{thread_id}", tag = "threads", request_body = UpdateThread,
    params(
        ("thread_id" = uuid::Uuid, Path, description = "The thread"),
        ("Prefer" = Option<String>, Header, nullable = false, description = "`return=minimal` for an empty 204"),
    ),
    responses(
        (status = 200, description = "The thread", body = ThreadSchema),
        (status = 204, description = "Done, with `Prefer: return=minimal`"),
        (status = 404, description = "No such thread, or not the caller's"),
        (status = 422, description = "The body is not valid"),
    )
)]
pub(super) async fn update(
    State(app): State<Arc<App>>,
    access: Access,
    ThreadId(thread_id): ThreadId,
    headers: HeaderMap,
    Body(body): Body<UpdateThread>,
) -> Result<Response, Error> {
    let mut metadata = metadata::accepted(body.metadata);
    let ttl = ttl::changed(body.ttl)?;
    let mut scope = access.on_metadata(Action::Update, &[thread_id], &mut metadata).await?;
    if ttl.is_some() {
        // Setting a ttl schedules a deletion.
        scope = scope.and(access.on(Action::Delete, &[thread_id]).await?);
    }
    let patch = Patch { metadata, ttl };
    // The reference server compares the whole value: other spellings return the thread.
    let is_minimal = headers.get("prefer").is_some_and(|value| value == "return=minimal");
    let updated = app.store.update_thread(&scope, thread_id, &patch, !is_minimal).await?;
    let thread = updated.ok_or(Error::ThreadNotFound(thread_id))?;
    if is_minimal {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    Ok(Reserving(thread.map(ThreadView::from)).into_response())
}
