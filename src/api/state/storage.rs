//! `GET /threads/{thread_id}/storage`

use std::sync::Arc;

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::authz::Action;
use crate::http::{Access, App, Error, Json, ThreadId};
use crate::json::Raw;

/// The size of a thread's state, in rows and in bytes as stored.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct StorageReport {
    thread_id: Uuid,
    total_bytes: i64,
    checkpoints: Usage,
    channel_values: ChannelUsage,
    /// Writes of an agent's tasks; none if no agent writes the thread.
    pending_writes: Usage,
}

#[derive(Debug, Serialize, ToSchema)]
struct Usage {
    count: i64,
    bytes: i64,
}

#[derive(Debug, Serialize, ToSchema)]
struct ChannelUsage {
    count: i64,
    bytes: i64,
    /// `count` and `bytes` by channel name.
    #[schema(value_type = Object)]
    by_channel: Raw,
}

/// Report the size of a thread's state
#[utoipa::path(
    get, path = "/threads/{thread_id}/storage", tag = "state",
    params(("thread_id" = Uuid, Path, description = "The thread")),
    responses(
        (status = 200, description = "The report", body = StorageReport),
        (status = 404, description = "No such thread, or not the caller's"),
    )
)]
pub(super) async fn storage(
    State(app): State<Arc<App>>,
    access: Access,
    ThreadId(thread_id): ThreadId,
) -> Result<Json<StorageReport>, Error> {
    let scope = access.on(Action::Read, &[thread_id]).await?;
    let found = app.store.storage(&scope, thread_id).await?;
    let stored = found.ok_or(Error::ThreadNotFound(thread_id))?;
    Ok(Json(StorageReport {
        thread_id,
        total_bytes: stored.checkpoint_bytes + stored.value_bytes + stored.write_bytes,
        checkpoints: Usage { count: stored.checkpoints, bytes: stored.checkpoint_bytes },
        channel_values: ChannelUsage {
            count: stored.values,
            bytes: stored.value_bytes,
            by_channel: stored.by_channel,
        },
        pending_writes: Usage { count: stored.writes, bytes: stored.write_bytes },
    }))
}
