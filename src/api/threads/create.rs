//! `POST /threads`

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use uuid::Uuid;

use super::metadata;
use super::ttl::{self, TtlRequest};
use super::view::{ThreadSchema, ThreadView};
use crate::api::id_schemas::id_or_nothing;
use crate::api::state::{ValuesForms, supersteps as read_supersteps};
use crate::authz::Action;
use crate::http::middleware::Written;
use crate::http::{Access, App, Error, JsonBody, ObjectOf, Reserving, name, parse_uuid, present};
use crate::json::Object;
use crate::store::{Created, IfExists, NewThread};

/// A thread to create.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct CreateThread<'a> {
    /// The id, a UUID. Absent or empty: one is generated.
    #[serde(default, deserialize_with = "present")]
    #[schema(schema_with = id_or_nothing)]
    thread_id: Option<String>,
    /// Data to store with the thread and to search by. `owner` is always the caller.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Object>, nullable = false)]
    metadata: Option<Object>,
    /// What to do if the id is in use: `raise` (409) or `do_nothing` (return the existing thread).
    #[serde(default, deserialize_with = "name")]
    #[schema(nullable = false)]
    if_exists: Option<IfExists>,
    /// How long to keep the thread.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<TtlRequest>, nullable = false)]
    ttl: Option<ObjectOf<TtlRequest>>,
    /// The first checkpoints, one per superstep. If one of them fails, the thread is not created.
    #[serde(default, borrow, deserialize_with = "present")]
    #[schema(value_type = Option<Vec<Superstep>>, nullable = false, max_items = 1000)]
    supersteps: Option<&'a RawValue>,
}

/// Updates that make one checkpoint.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the document is made of it")]
struct Superstep {
    /// Applied in order.
    updates: Vec<SuperstepUpdate>,
}

/// A change of state within a superstep.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the document is made of it")]
struct SuperstepUpdate {
    /// New values, as in an update of state.
    #[schema(value_type = Option<ValuesForms>, required = false)]
    values: (),
    /// Must be null: commands are for graphs.
    #[schema(schema_with = only_null, required = false)]
    command: (),
    /// The node to write as. Recorded, never checked.
    #[schema(max_length = 1024)]
    as_node: String,
}

fn only_null() -> utoipa::openapi::Object {
    ObjectBuilder::new().schema_type(Type::Null).build()
}

/// Create a thread
#[utoipa::path(
    post, path = "/threads", tag = "threads", request_body = CreateThread<'_>,
    responses(
        (status = 200, description = "The thread", body = ThreadSchema),
        (status = 403, description = "No usable credentials, not allowed, or over `MAX_THREADS_PER_USER` or `MAX_STATE_BYTES`"),
        (status = 409, description = "The id is in use"),
        (status = 422, description = "The body is not valid"),
    )
)]
pub(super) async fn create(
    State(app): State<Arc<App>>,
    access: Access,
    body: JsonBody,
) -> Result<Response, Error> {
    let sent: CreateThread<'_> = body.read()?;
    let asked_for = sent.thread_id.as_deref().filter(|text| !text.is_empty());
    let thread_id = match asked_for {
        None => Uuid::now_v7(),
        Some(text) => parse_uuid(text).ok_or(Error::InvalidThreadId)?,
    };
    let has_new_id = asked_for.is_none();
    let mut metadata = metadata::accepted(sent.metadata);
    let ttl = ttl::accepted(sent.ttl)?.or(app.default_ttl);
    let supersteps = sent.supersteps.map_or("[]", RawValue::get);
    let updates = read_supersteps(supersteps, access.user())?;
    let if_exists = sent.if_exists.unwrap_or_default();
    // The data to write has been copied from the body.
    drop(body);
    let owner = access.on_metadata(Action::Create, &[thread_id], &mut metadata).await?;
    let new = NewThread { thread_id, has_new_id, metadata, ttl };
    let mut scope = owner.clone();
    if !updates.is_empty() {
        scope = scope.and(access.on(Action::Update, &[thread_id]).await?);
        scope = scope.and(access.on(Action::Read, &[thread_id]).await?);
    }
    let (written, thread) =
        match app.store.create_thread(&owner, &scope, new, if_exists, updates).await? {
            Created::New(thread) => (vec![thread_id], thread),
            Created::Existing(thread) => (Vec::new(), thread),
            Created::Conflict => return Err(Error::ThreadExists(thread_id)),
        };
    let written = Extension(Written(written));
    Ok((written, Reserving(thread.map(ThreadView::from))).into_response())
}
