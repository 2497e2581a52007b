//! `POST /threads/{thread_id}/state`

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::snapshot::{CheckpointConfig, CheckpointQuery};
use super::updates::{ValuesReader, check_name};
use crate::authz::{Action, User};
use crate::http::{Access, App, Error, Json, JsonBody, ObjectOf, ThreadId, present};
use crate::json::excerpt;
use crate::store::{self, Update};

/// A change of state.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct UpdateState<'a> {
    /// New values by channel; a list of such objects is applied in order; null writes a
    /// checkpoint without a change. `messages` are appended, replaced by id or removed.
    #[serde(default, borrow)]
    #[schema(value_type = Option<ValuesForms>)]
    values: Option<&'a RawValue>,
    /// The node to write as. Recorded, never checked.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, max_length = 1024)]
    as_node: Option<String>,
    /// The checkpoint to write onto. Absent: the newest.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<CheckpointQuery>, nullable = false)]
    checkpoint: Option<ObjectOf<CheckpointQuery>>,
    /// The id of the checkpoint to write onto, if `checkpoint` has none.
    #[serde(default)]
    checkpoint_id: Option<String>,
}

impl UpdateState<'_> {
    /// The update, and the checkpoint to write it onto as the client named it.
    fn into_update(self, user: &User) -> Result<(Update, CheckpointQuery), Error> {
        let ObjectOf(mut at) = self.checkpoint.unwrap_or_default();
        check_name("checkpoint.checkpoint_ns", &at.ns())?;
        check_name("as_node", self.as_node.as_deref().unwrap_or_default())?;
        at.checkpoint_id = at.checkpoint_id.or(self.checkpoint_id);
        let mut update = Update {
            checkpoint_ns: at.ns(),
            checkpoint_id: at.id(),
            as_node: self.as_node,
            user_id: user.identity.clone(),
            ..Update::default()
        };
        if let Some(values) = self.values {
            ValuesReader::default().add(&mut update, values.get(), "values")?;
        }
        Ok((update, at))
    }
}

/// New values by channel, or a list of such objects that is applied in order.
#[derive(ToSchema)]
#[schema(as = Values)]
#[serde(untagged)]
#[expect(dead_code, reason = "the document is made of it")]
pub(crate) enum ValuesForms {
    One(BTreeMap<String, Value>),
    InOrder(Vec<BTreeMap<String, Value>>),
}

/// The checkpoint that was written, in the three fields of the reference server.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct StateUpdated {
    checkpoint: CheckpointConfig,
    configurable: CheckpointConfig,
    checkpoint_id: String,
}

/// Change the state
#[utoipa::path(
    post, path = "/threads/{thread_id}/state", tag = "state", request_body = UpdateState<'_>,
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
    body: JsonBody,
) -> Result<Json<StateUpdated>, Error> {
    let (update, at) = body.read::<UpdateState<'_>>()?.into_update(access.user())?;
    // The data to write has been copied from the body.
    drop(body);
    // Both actions, as on the reference server, because the answer is about the state.
    let scope = access.on(Action::Update, &[thread_id]).await?;
    let scope = scope.and(access.on(Action::Read, &[thread_id]).await?);
    let written = app.store.update_state(&scope, thread_id, update).await;
    let written = written.map_err(|error| match (error, &at.checkpoint_id) {
        // In the client's spelling, because the text need not be an id.
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
