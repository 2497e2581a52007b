//! `POST /threads`

use std::sync::Arc;

use axum::extract::State;
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Thread, metadata};
use crate::app::App;
use crate::auth::{Access, Action};
use crate::error::Error;
use crate::extract::{Body, Json, parse_uuid, present};
use crate::json::Object;
use crate::store::{Created, IfExists};

/// A thread to make.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct CreateThread {
    /// The id, a UUID. Absent or empty: one is generated.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Uuid>)]
    thread_id: Option<String>,
    /// Anything to keep with the thread and to search by. `owner` is always the caller.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Object>)]
    metadata: Option<Object>,
    /// What to do when the id is in use.
    #[serde(default, deserialize_with = "present")]
    if_exists: Option<IfExistsName>,
}

#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum IfExistsName {
    Raise,
    DoNothing,
}

/// Make a thread
#[utoipa::path(
    post, path = "/threads", tag = "threads", request_body = CreateThread,
    responses(
        (status = 200, description = "The thread", body = Thread),
        (status = 409, description = "The id is in use"),
        (status = 422, description = "The body is not valid"),
    )
)]
pub(super) async fn create(
    State(app): State<Arc<App>>,
    access: Access,
    Body(body): Body<CreateThread>,
) -> Result<Json<Thread>, Error> {
    let thread_id = match body.thread_id.as_deref() {
        None | Some("") => Uuid::now_v7(),
        Some(text) => parse_uuid(text).ok_or(Error::InvalidThreadId)?,
    };
    let if_exists = match body.if_exists {
        None | Some(IfExistsName::Raise) => IfExists::Raise,
        Some(IfExistsName::DoNothing) => IfExists::DoNothing,
    };
    let mut metadata = metadata::accepted(body.metadata);
    let scope = access.on_metadata(Action::Create, &mut metadata);
    match app.store.create_thread(&scope, thread_id, &metadata, if_exists).await? {
        Created::Thread(thread) => Ok(Json(*thread)),
        Created::Conflict => Err(Error::ThreadExists(thread_id)),
    }
}
