//! `POST /threads/{thread_id}/state`

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::snapshot::{CheckpointConfig, CheckpointQuery};
use crate::app::App;
use crate::auth::{Access, Action};
use crate::error::Error;
use crate::extract::{Body, Json, ObjectOf, ThreadId, excerpt, present};
use crate::json::{Object, Raw};
use crate::messages::{self, CHANNEL as MESSAGES};
use crate::store::{self, Update};

/// Longest name of a channel, a namespace or a node in bytes: the first two are part of an index,
/// and the last is kept with each checkpoint.
pub(super) const MAX_NAME: usize = 1024;

/// Longest namespace of checkpoints in bytes, for the same reason.
const MAX_NAMESPACE: usize = 1024;

/// A change of state.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct UpdateState {
    /// New values by channel; a list of such objects is applied in order; null writes a
    /// checkpoint without a change. `messages` are appended, replaced by id or removed.
    #[serde(default)]
    #[schema(value_type = Option<ValuesForms>)]
    values: Option<Raw>,
    /// The node to write as. Recorded, never checked.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, max_length = 1024)]
    as_node: Option<String>,
    /// The checkpoint to write onto. Absent: the newest.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<CheckpointQuery>, nullable = false)]
    checkpoint: Option<ObjectOf<CheckpointQuery>>,
    /// The same, by its id.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    checkpoint_id: Option<String>,
}

/// The forms of `values`, for the document.
#[derive(ToSchema)]
#[schema(as = Values)]
#[serde(untagged)]
#[expect(dead_code, reason = "the document is made of it")]
pub(super) enum ValuesForms {
    One(BTreeMap<String, Value>),
    InOrder(Vec<BTreeMap<String, Value>>),
}

/// The checkpoint that was written, three times over as the reference server says it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct StateUpdated {
    checkpoint: CheckpointConfig,
    configurable: CheckpointConfig,
    checkpoint_id: String,
}

/// Change the state
#[utoipa::path(
    post, path = "/threads/{thread_id}/state", tag = "state", request_body = UpdateState,
    params(("thread_id" = uuid::Uuid, Path, description = "The thread")),
    responses(
        (status = 200, description = "The new checkpoint", body = StateUpdated),
        (status = 403, description = "No usable credentials, not allowed, or over `MAX_STATE_BYTES`"),
        (status = 404, description = "No such thread, or not the caller's, or no such checkpoint"),
        (status = 422, description = "The request is not valid"),
    )
)]
pub(super) async fn update_state(
    State(app): State<Arc<App>>,
    access: Access,
    ThreadId(thread_id): ThreadId,
    Body(body): Body<UpdateState>,
) -> Result<Json<StateUpdated>, Error> {
    let ObjectOf(mut at) = body.checkpoint.unwrap_or_default();
    check_name("checkpoint.checkpoint_ns", at.checkpoint_ns.as_deref())?;
    check_name("as_node", body.as_node.as_deref())?;
    at.checkpoint_id = at.checkpoint_id.or(body.checkpoint_id);
    if at.ns().len() > MAX_NAMESPACE {
        return Err(Error::Invalid(format!(
            "checkpoint.checkpoint_ns: longer than {MAX_NAMESPACE} bytes"
        )));
    }
    let mut update = Update {
        checkpoint_ns: at.ns(),
        checkpoint_id: at.id(),
        as_node: body.as_node,
        user_id: access.user().identity.clone(),
        ..Update::default()
    };
    if let Some(values) = &body.values {
        add_values(&mut update, values, "values")?;
    }
    // Both, as on the reference server: the answer tells of the state.
    let scope = access.on(Action::Update, &[thread_id]).await?;
    let scope = scope.and(access.on(Action::Read, &[thread_id]).await?);
    let written = app.store.update_state(&scope, thread_id, update).await;
    let written = written.map_err(|error| match (error, &at.checkpoint_id) {
        // As it was sent: it may be no id at all.
        (store::Error::CheckpointNotFound(_), Some(sent)) => {
            Error::CheckpointNotFound(excerpt(sent))
        }
        (error, _) => error.into(),
    })?;
    let checkpoint_id = written.ok_or(Error::ThreadNotFound(thread_id))?.to_string();
    let checkpoint = CheckpointConfig {
        thread_id,
        checkpoint_ns: at.ns(),
        checkpoint_id: checkpoint_id.clone(),
    };
    Ok(Json(StateUpdated { configurable: checkpoint.clone(), checkpoint, checkpoint_id }))
}

/// Refuses a name that is too long to be kept.
pub(super) fn check_name(field: &str, name: Option<&str>) -> Result<(), Error> {
    if name.is_some_and(|name| name.len() > MAX_NAME) {
        return Err(Error::Invalid(format!("{field}: longer than {MAX_NAME} bytes")));
    }
    Ok(())
}

/// Adds what a client sent as values to an update. `field` is the place in the body, for errors.
pub(super) fn add_values(update: &mut Update, values: &Raw, field: &str) -> Result<(), Error> {
    let not_values =
        |_| Error::Invalid(format!("{field}: expected an object, a list of objects or null"));
    let objects: Vec<Object> = match values.text().as_bytes().first() {
        Some(b'[') => values.parse().map_err(not_values)?,
        Some(b'n') => Vec::new(),
        _ => vec![values.parse().map_err(not_values)?],
    };
    for (channel, value) in objects.into_iter().flatten() {
        if channel == MESSAGES {
            let changes = update.messages.get_or_insert_default();
            changes.extend(messages::read(&value).map_err(|refused| refused_in(field, &refused))?);
        } else if channel.len() > MAX_NAME {
            return Err(Error::Invalid(format!("{field}: a key is longer than {MAX_NAME} bytes")));
        } else {
            update.channels.insert(channel, value);
        }
    }
    Ok(())
}

/// The reducer names its errors after `values`, where most clients send messages.
fn refused_in(field: &str, refused: &messages::Refused) -> Error {
    let text = refused.to_string();
    Error::Invalid(match text.strip_prefix("values") {
        Some(rest) => format!("{field}{rest}"),
        None => text,
    })
}
