//! `POST /threads/prune`

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::thread_ids::ThreadIds;
use crate::authz::Action;
use crate::http::middleware::Written;
use crate::http::{Access, App, Body, Error, Json, name};
use crate::store::Strategy;

/// The threads to prune, and the strategy.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct PruneThreads {
    /// The threads. If one is missing, none is pruned.
    #[schema(value_type = Vec<uuid::Uuid>)]
    thread_ids: ThreadIds,
    /// The strategy. Absent: `delete`.
    #[serde(default, deserialize_with = "name")]
    #[schema(nullable = false)]
    strategy: Option<Strategy>,
}

/// The number of pruned threads.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Pruned {
    pruned_count: usize,
}

/// Delete threads, or all but their latest state
#[utoipa::path(
    post, path = "/threads/prune", tag = "threads", request_body = PruneThreads,
    responses(
        (status = 200, description = "The number of threads", body = Pruned),
        (status = 404, description = "One of the threads is missing, or not the caller's"),
        (status = 422, description = "The body is not valid"),
    )
)]
pub(super) async fn prune(
    State(app): State<Arc<App>>,
    access: Access,
    Body(body): Body<PruneThreads>,
) -> Result<(Extension<Written>, Json<Pruned>), Error> {
    let mut thread_ids = body.thread_ids.valid().map_err(|_| Error::InvalidThreadId)?;
    thread_ids.sort_unstable();
    thread_ids.dedup();
    let scope = access.on(Action::Delete, &thread_ids).await?;
    let strategy = body.strategy.unwrap_or_default();
    let pruned = app.store.prune_threads(&scope, &thread_ids, strategy).await?;
    let pruned_count = pruned.ok_or(Error::SomeThreadNotFound)?;
    Ok((Extension(Written(thread_ids)), Json(Pruned { pruned_count })))
}
