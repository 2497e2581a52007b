//! Runs, forwarded to the agent behind `AGENT_URL` (D31).
//!
//! A request is forwarded after the sign-in, after the `on` handler of its action, and only if each
//! thread and run that its path, query or body names is the caller's. This server names the user to
//! the agent and drops the client's statements about the user. The path is rebuilt from checked
//! parts. The agent's answer is passed on as it arrives, for as long as the caller may see the
//! thread.

mod areas;
mod body;
mod events;
mod forward;
mod lasting;
mod names;
mod protocol_v2;
mod record;
mod relay;
mod stateless;
mod threads;

use std::sync::Arc;

use axum::Router;
use axum::response::Response;
use axum::routing::{get, post};
use uuid::Uuid;

use super::not_served;
use crate::http::{App, Error};

pub(crate) use forward::Forward;

/// The forwarded routes, and the answers of the agent's other routes.
pub(crate) fn routes() -> Router<Arc<App>> {
    let of_runs = Router::new()
        .route("/threads/{thread_id}/runs", post(threads::create).get(threads::list))
        .route("/threads/{thread_id}/runs/stream", post(threads::stream))
        .route("/threads/{thread_id}/runs/wait", post(threads::wait))
        .route("/threads/{thread_id}/runs/{run_id}", get(threads::get).delete(threads::delete))
        .route("/threads/{thread_id}/runs/{run_id}/join", get(threads::join))
        .route("/threads/{thread_id}/runs/{run_id}/stream", get(threads::join_stream))
        .route("/threads/{thread_id}/runs/{run_id}/cancel", post(threads::cancel))
        .route("/threads/{thread_id}/commands", post(protocol_v2::command))
        .route("/runs", post(stateless::create))
        .route("/runs/stream", post(stateless::stream))
        .route("/runs/wait", post(stateless::wait))
        .route("/runs/batch", post(stateless::batch))
        .route("/runs/cancel", post(stateless::cancel));
    of_runs.merge(areas::routes()).merge(not_served::routes_beside_runs())
}

/// Events of all runs of a thread, for `POST /threads/{thread_id}/stream/events`.
pub(crate) async fn events(
    forward: Forward,
    thread_id: Uuid,
    text: String,
) -> Result<Response, Error> {
    protocol_v2::events(forward, thread_id, text).await
}
