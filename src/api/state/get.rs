//! `GET /threads/{thread_id}/state`, `GET .../state/{checkpoint_id}`,
//! `POST .../state/checkpoint`

use std::sync::Arc;

use axum::extract::State;
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::snapshot::{
    CheckpointQuery, Selected, SelectedName, SelectedNames, StateSnapshot, Wanted, selected,
};
use crate::authz::Action;
use crate::http::{
    Access, App, Body, Error, ObjectOf, Query, Reserving, Segment, ThreadId, present,
};
use crate::store::Selection;

/// Read the newest state
#[utoipa::path(
    get, path = "/threads/{thread_id}/state", tag = "state",
    params(
        ("thread_id" = Uuid, Path, description = "The thread"),
        ("select" = Option<Vec<SelectedNames>>, Query, description = "Only these fields; `values.<key>` is one key of the values"),
        ("subgraphs" = Option<String>, Query, description = "Accepted; there are no subgraphs"),
    ),
    responses(
        (status = 200, description = "The state", body = StateSnapshot),
        (status = 404, description = "No such thread, or not the caller's"),
        (status = 422, description = "The request is not valid"),
    )
)]
pub(super) async fn get_state(
    State(app): State<Arc<App>>,
    access: Access,
    ThreadId(thread_id): ThreadId,
    query: Query,
) -> Result<Reserving<StateSnapshot>, Error> {
    let wanted = Wanted::named(query.list("select"))?;
    read(&app, &access, thread_id, &CheckpointQuery::default(), &wanted).await
}

/// Read the state at a checkpoint
#[utoipa::path(
    get, path = "/threads/{thread_id}/state/{checkpoint_id}", tag = "state",
    params(
        ("thread_id" = Uuid, Path, description = "The thread"),
        ("checkpoint_id" = String, Path, description = "The checkpoint; empty state if there is none"),
        ("select" = Option<Vec<SelectedNames>>, Query, description = "Only these fields; `values.<key>` is one key of the values"),
        ("subgraphs" = Option<String>, Query, description = "Accepted; there are no subgraphs"),
    ),
    responses(
        (status = 200, description = "The state", body = StateSnapshot),
        (status = 404, description = "No such thread, or not the caller's"),
        (status = 422, description = "The request is not valid"),
    )
)]
pub(super) async fn get_state_at(
    State(app): State<Arc<App>>,
    access: Access,
    ThreadId(thread_id): ThreadId,
    Segment(checkpoint_id): Segment,
    query: Query,
) -> Result<Reserving<StateSnapshot>, Error> {
    let at = CheckpointQuery::of(checkpoint_id);
    let wanted = Wanted::named(query.list("select"))?;
    read(&app, &access, thread_id, &at, &wanted).await
}

/// The state to read.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct StateAtCheckpoint {
    #[schema(value_type = CheckpointQuery)]
    checkpoint: ObjectOf<CheckpointQuery>,
    /// Accepted; there are no subgraphs.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    #[expect(dead_code, reason = "checked by being read")]
    subgraphs: Option<bool>,
    /// Only these fields; `values.<key>` selects one key of the values.
    #[serde(default, deserialize_with = "selected")]
    #[schema(value_type = Option<Vec<SelectedName>>)]
    select: Option<Vec<Selected>>,
}

/// Read the state at a checkpoint, given as an object
#[utoipa::path(
    post, path = "/threads/{thread_id}/state/checkpoint", tag = "state",
    request_body = StateAtCheckpoint,
    params(("thread_id" = Uuid, Path, description = "The thread")),
    responses(
        (status = 200, description = "The state", body = StateSnapshot),
        (status = 404, description = "No such thread, or not the caller's"),
        (status = 422, description = "The request is not valid"),
    )
)]
pub(super) async fn post_state_checkpoint(
    State(app): State<Arc<App>>,
    access: Access,
    ThreadId(thread_id): ThreadId,
    Body(body): Body<StateAtCheckpoint>,
) -> Result<Reserving<StateSnapshot>, Error> {
    read(&app, &access, thread_id, &body.checkpoint.0, &Wanted::new(body.select)).await
}

async fn read(
    app: &App,
    access: &Access,
    thread_id: Uuid,
    at: &CheckpointQuery,
    wanted: &Wanted,
) -> Result<Reserving<StateSnapshot>, Error> {
    let scope = access.on(Action::Read, &[thread_id]).await?;
    let selection = Selection {
        checkpoint_ns: at.ns(),
        checkpoint_id: at.id(),
        is_now: at.id().is_none(),
        ..Selection::default()
    };
    let channels = wanted.channels();
    let found = app.store.checkpoints(&scope, thread_id, &selection, 1, &channels).await?;
    let found = found.ok_or(Error::ThreadNotFound(thread_id))?;
    let asked_for = at.checkpoint_id.as_deref().filter(|id| !id.is_empty());
    let ns = &selection.checkpoint_ns;
    Ok(Reserving(found.map(|mut found| {
        let stored = found.checkpoints.pop();
        StateSnapshot::new(thread_id, ns, asked_for, stored, wanted)
    })))
}
