//! `POST /threads`

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa::openapi::schema::{
    KnownFormat, ObjectBuilder, OneOfBuilder, Schema, SchemaFormat, Type,
};
use uuid::Uuid;

use super::metadata;
use super::ttl::{self, TtlRequest};
use super::update_state::{ValuesForms, add_values, check_name};
use super::view::{ThreadSchema, ThreadView};
use crate::access_log::Written;
use crate::app::App;
use crate::auth::{Access, Action, User};
use crate::error::Error;
use crate::extract::{Body, ObjectOf, Reserving, name, parse_uuid, present};
use crate::json::{Object, Raw};
use crate::store::{Created, IfExists, NewThread, Update};

/// A thread to make.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct CreateThread {
    /// The id, a UUID. Absent or empty: one is generated.
    #[serde(default, deserialize_with = "present")]
    #[schema(schema_with = id_or_nothing)]
    thread_id: Option<String>,
    /// Anything to keep with the thread and to search by. `owner` is always the caller.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Object>, nullable = false)]
    metadata: Option<Object>,
    /// What to do when the id is in use: `raise` (409) or `do_nothing` (give back the thread
    /// that is there).
    #[serde(default, deserialize_with = "name")]
    #[schema(nullable = false)]
    if_exists: Option<IfExists>,
    /// How long to keep the thread.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<TtlRequest>, nullable = false)]
    ttl: Option<ObjectOf<TtlRequest>>,
    /// Checkpoints to begin with, one a superstep: all of it, or no thread.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Vec<Superstep>>, nullable = false)]
    supersteps: Option<Vec<ObjectOf<Superstep>>>,
}

/// Updates that make one checkpoint.
#[derive(Debug, Deserialize, ToSchema)]
struct Superstep {
    /// Applied in order.
    #[schema(value_type = Vec<SuperstepUpdate>)]
    updates: Vec<ObjectOf<SuperstepUpdate>>,
}

/// A change of state within a superstep.
#[derive(Debug, Deserialize, ToSchema)]
struct SuperstepUpdate {
    /// New values, as in an update of state.
    #[serde(default)]
    #[schema(value_type = Option<ValuesForms>)]
    values: Option<Raw>,
    /// Must be null: commands are for graphs.
    #[serde(default)]
    #[schema(schema_with = only_null)]
    command: Option<Raw>,
    /// The node to write as. Recorded, never checked.
    #[schema(max_length = 1024)]
    as_node: String,
}

fn id_or_nothing() -> Schema {
    let id = ObjectBuilder::new()
        .schema_type(Type::String)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Uuid)));
    let nothing = ObjectBuilder::new().schema_type(Type::String).max_length(Some(0));
    Schema::OneOf(OneOfBuilder::new().item(id).item(nothing).build())
}

fn only_null() -> utoipa::openapi::Object {
    ObjectBuilder::new().schema_type(Type::Null).build()
}

/// Make a thread
#[utoipa::path(
    post, path = "/threads", tag = "threads", request_body = CreateThread,
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
    Body(body): Body<CreateThread>,
) -> Result<Response, Error> {
    let thread_id = match body.thread_id.as_deref() {
        None | Some("") => Uuid::now_v7(),
        Some(text) => parse_uuid(text).ok_or(Error::InvalidThreadId)?,
    };
    let mut metadata = metadata::accepted(body.metadata);
    let ttl = ttl::accepted(body.ttl)?.or(app.default_ttl);
    let updates = updates(body.supersteps.unwrap_or_default(), access.user())?;
    let owner = access.on_metadata(Action::Create, &[thread_id], &mut metadata).await?;
    let new = NewThread { thread_id, metadata, ttl };
    let if_exists = body.if_exists.unwrap_or_default();
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

fn updates(supersteps: Vec<ObjectOf<Superstep>>, user: &User) -> Result<Vec<Update>, Error> {
    let updates = supersteps.into_iter().enumerate().map(|(step, ObjectOf(superstep))| {
        let mut update = Update { user_id: user.identity.clone(), ..Update::default() };
        for (number, ObjectOf(part)) in superstep.updates.into_iter().enumerate() {
            let field = format!("supersteps[{step}].updates[{number}]");
            check_name(&format!("{field}.as_node"), Some(&part.as_node))?;
            if part.command.is_some_and(|command| !command.is_null()) {
                return Err(Error::Invalid(format!(
                    "{field}.command: this server stores threads and does not run graphs"
                )));
            }
            if let Some(values) = part.values {
                add_values(&mut update, &values, &format!("{field}.values"))?;
            }
            update.as_node = Some(part.as_node);
        }
        Ok(update)
    });
    updates.collect()
}
