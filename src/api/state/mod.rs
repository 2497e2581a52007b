//! State and history of a thread, one file for each endpoint.

mod get;
mod history;
pub(super) mod snapshot;
mod storage;
mod stream;
mod stream_events;
mod update;
mod updates;

use std::sync::Arc;

use axum::routing::{MethodFilter, on};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) use snapshot::SelectedNames;
pub(crate) use stream::StreamModes;
pub(crate) use update::ValuesForms;
pub(crate) use updates::supersteps;

use crate::http::App;

/// The routes of this area.
pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(get::get_state, update::update_state))
        .routes(routes!(get::get_state_at))
        .routes(routes!(get::post_state_checkpoint))
        .routes(routes!(history::get_history, history::post_history))
        .routes(routes!(storage::storage))
        .routes(routes!(stream::stream))
        .routes(routes!(stream_events::stream_events))
        .route("/threads/{thread_id}/state/checkpoint", on(MethodFilter::GET, get::get_state_at))
}
