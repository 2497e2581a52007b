//! `GET` and `POST /threads/{thread_id}/history`

use std::sync::Arc;

use axum::extract::State;
use serde::Deserialize;
use serde::de::Error as _;
use utoipa::ToSchema;
use uuid::Uuid;

use super::snapshot::{
    CheckpointQuery, Selected, SelectedName, SelectedNames, StateSnapshot, Wanted, selected,
};
use crate::api::id_schemas::{id_null_or_nothing, id_or_nothing};
use crate::authz::Action;
use crate::http::{
    Access, App, Body, Bounded, Error, ObjectOf, Query, Reserving, ThreadId, parse_uuid, present,
};
use crate::json::{Object, Raw, excerpt, quoted};
use crate::store::Selection;

/// Number of checkpoints in an answer without a `limit` (D8).
const DEFAULT_LIMIT: i64 = 10;

type Limit = Bounded<1, 1000>;

/// Read the newest states, newest first
#[utoipa::path(
    get, path = "/threads/{thread_id}/history", tag = "state",
    params(
        ("thread_id" = Uuid, Path, description = "The thread"),
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 1000, description = "Maximum number of states, 10 if absent"),
        ("before" = Option<Uuid>, Query, description = "Only states older than this checkpoint"),
        ("select" = Option<Vec<SelectedNames>>, Query, description = "Only these fields; `values.<key>` is one key of the values"),
    ),
    responses(
        (status = 200, description = "The states", body = [StateSnapshot]),
        (status = 404, description = "No such thread, or not the caller's"),
        (status = 422, description = "The request is not valid"),
    )
)]
pub(super) async fn get_history(
    State(app): State<Arc<App>>,
    access: Access,
    ThreadId(thread_id): ThreadId,
    query: Query,
) -> Result<Reserving<Vec<StateSnapshot>>, Error> {
    let limit = match query.get("limit") {
        None => DEFAULT_LIMIT,
        Some(text) => text
            .parse()
            .ok()
            .filter(|limit| (1..=1000).contains(limit))
            .ok_or_else(|| Error::Invalid(format!("Invalid limit {}", excerpt(text))))?,
    };
    let before = query.get("before").map(checkpoint_id).transpose()?;
    let selection = Selection { before, ..Selection::default() };
    let wanted = Wanted::named(query.list("select"))?;
    read(&app, &access, thread_id, &selection, limit, &wanted).await
}

/// The states to read.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct HistoryQuery {
    /// Maximum number of states in the answer.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<i64>, minimum = 1, maximum = 1000, default = 10, nullable = false)]
    limit: Option<Limit>,
    /// Only states older than this checkpoint.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<BeforeForms>, nullable = false)]
    before: Option<Before>,
    /// Only checkpoints whose metadata contains this.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Object>, nullable = false)]
    metadata: Option<Object>,
    /// Only checkpoints of this namespace, and only this checkpoint if its id is given.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<CheckpointQuery>, nullable = false)]
    checkpoint: Option<ObjectOf<CheckpointQuery>>,
    /// Only these fields; `values.<key>` selects one key of the values.
    #[serde(default, deserialize_with = "selected")]
    #[schema(value_type = Option<Vec<SelectedName>>)]
    select: Option<Vec<Selected>>,
}

/// A checkpoint in any of the forms that SDKs send (D9). An object that names no checkpoint counts
/// as absent, as on the reference server.
#[derive(Debug)]
struct Before(Option<String>);

/// A checkpoint in any of the forms that SDKs send.
#[derive(ToSchema)]
#[schema(as = Before)]
#[serde(untagged)]
#[expect(dead_code, reason = "the document is made of it")]
enum BeforeForms {
    Id(Uuid),
    Object(BeforeObject),
}

/// A checkpoint, or a config that names one.
#[derive(Deserialize, ToSchema)]
struct BeforeObject {
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, schema_with = id_or_nothing)]
    checkpoint_id: Option<String>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<BeforeConfigurable>, nullable = false)]
    configurable: Option<ObjectOf<BeforeConfigurable>>,
}

#[derive(Deserialize, ToSchema)]
struct BeforeConfigurable {
    #[serde(default)]
    #[schema(schema_with = id_null_or_nothing)]
    checkpoint_id: Option<String>,
}

impl<'de> Deserialize<'de> for Before {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let sent = Raw::deserialize(deserializer)?;
        if !sent.is_object() {
            let id = sent.parse().map_err(|_| {
                D::Error::custom("expected a checkpoint id, a checkpoint or a config")
            })?;
            return Ok(Before(Some(id)));
        }
        let ObjectOf(object): ObjectOf<BeforeObject> = sent.parse().map_err(D::Error::custom)?;
        let named = object.checkpoint_id.filter(|id| !id.is_empty());
        let nested = object.configurable.and_then(|ObjectOf(inner)| inner.checkpoint_id);
        Ok(Before(named.or(nested.filter(|id| !id.is_empty()))))
    }
}

/// Read states, newest first
#[utoipa::path(
    post, path = "/threads/{thread_id}/history", tag = "state", request_body = HistoryQuery,
    params(("thread_id" = Uuid, Path, description = "The thread")),
    responses(
        (status = 200, description = "The states", body = [StateSnapshot]),
        (status = 404, description = "No such thread, or not the caller's"),
        (status = 422, description = "The request is not valid"),
    )
)]
pub(super) async fn post_history(
    State(app): State<Arc<App>>,
    access: Access,
    ThreadId(thread_id): ThreadId,
    Body(body): Body<HistoryQuery>,
) -> Result<Reserving<Vec<StateSnapshot>>, Error> {
    let ObjectOf(at) = body.checkpoint.unwrap_or_default();
    let before = body.before.and_then(|Before(id)| id);
    let before = before.as_deref().map(checkpoint_id).transpose()?;
    let selection = Selection {
        is_now: false,
        checkpoint_ns: at.ns(),
        checkpoint_id: at.id(),
        before,
        metadata: body.metadata.unwrap_or_default(),
    };
    let limit = body.limit.map_or(DEFAULT_LIMIT, |limit| limit.0);
    read(&app, &access, thread_id, &selection, limit, &Wanted::new(body.select)).await
}

fn checkpoint_id(text: &str) -> Result<Uuid, Error> {
    parse_uuid(text)
        .ok_or_else(|| Error::Invalid(format!("before: {} is not a checkpoint id", quoted(text))))
}

async fn read(
    app: &App,
    access: &Access,
    thread_id: Uuid,
    selection: &Selection,
    limit: i64,
    wanted: &Wanted,
) -> Result<Reserving<Vec<StateSnapshot>>, Error> {
    let scope = access.on(Action::Read, &[thread_id]).await?;
    let channels = wanted.channels();
    let found = app.store.checkpoints(&scope, thread_id, selection, limit, &channels).await?;
    let found = found.ok_or(Error::ThreadNotFound(thread_id))?;
    let ns = &selection.checkpoint_ns;
    let state = |stored| StateSnapshot::new(thread_id, ns, None, Some(stored), wanted);
    Ok(Reserving(found.map(|found| found.checkpoints.into_iter().map(state).collect())))
}
