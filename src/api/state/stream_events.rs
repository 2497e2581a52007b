//! `POST /threads/{thread_id}/stream/events`: events of a thread's runs. Without an agent there are
//! none (D28).

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use utoipa::ToSchema;

use super::stream::Follow;
use crate::api::runs::{self, Forward};
use crate::http::{Access, App, Credentials, Error, JsonBody, Name, ThreadId};
use crate::json::quoted;

/// Interval of comments on the silent stream, as on the reference server. Clients treat a stream as
/// lost if it is silent for three times the interval that they have measured.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// The channels of the reference server, in addition to any `custom:<name>`.
const CHANNELS: [&str; 9] = [
    "values",
    "updates",
    "checkpoints",
    "messages",
    "tools",
    "custom",
    "lifecycle",
    "input",
    "tasks",
];

/// The events to receive.
#[derive(Deserialize, ToSchema)]
pub(super) struct Subscription {
    /// `values`, `updates`, `checkpoints`, `messages`, `tools`, `custom`, `lifecycle`, `input`,
    /// `tasks` or `custom:<name>`.
    #[schema(min_items = 1, value_type = Vec<Channel>)]
    channels: Vec<Name<Known>>,
}

/// The name of an existing channel. The name itself is not used.
struct Known;

impl<'de> Deserialize<'de> for Known {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = Cow::<'_, str>::deserialize(deserializer)?;
        if CHANNELS.contains(&&*name) || name.starts_with("custom:") {
            return Ok(Known);
        }
        let all = CHANNELS.join(", ");
        Err(D::Error::custom(format!("{} must be one of {all} or custom:<name>", quoted(&name))))
    }
}

/// The name of a channel.
#[derive(ToSchema)]
#[schema(value_type = String, pattern = "^(values|updates|checkpoints|messages|tools|custom|lifecycle|input|tasks|custom:[\\s\\S]*)$")]
#[expect(dead_code, reason = "the document is made of it")]
struct Channel(String);

/// Follow the runs of a thread
///
/// Without `AGENT_URL` there are no runs, and the stream has no events. It ends when the thread is
/// deleted.
#[utoipa::path(
    post, path = "/threads/{thread_id}/stream/events", tag = "state", request_body = Subscription,
    params(("thread_id" = uuid::Uuid, Path, description = "The thread")),
    responses(
        (status = 200, description = "No events", content_type = "text/event-stream", body = String),
        (status = 404, description = "No such thread, or not the caller's"),
        (status = 422, description = "The request is not valid"),
        (status = 503, description = "Too many streams are open"),
    )
)]
pub(super) async fn stream_events(
    State(app): State<Arc<App>>,
    access: Access,
    ThreadId(thread_id): ThreadId,
    credentials: Credentials,
    forwarded: Option<Forward>,
    body: JsonBody,
) -> Result<Response, Error> {
    let Subscription { channels } = body.read()?;
    if channels.is_empty() {
        return Err(Error::Invalid("channels: must not be empty".to_owned()));
    }
    if let Some(forwarded) = forwarded {
        return runs::events(forwarded, thread_id, body.into_text()).await;
    }
    let follow = Follow::open(app, access, credentials, thread_id, false, None).await?;
    Ok(follow.into_response(HEARTBEAT))
}
