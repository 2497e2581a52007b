//! The threads API, one file for each endpoint. Where it differs from the reference server, the README's
//! compatibility table says so: D1, D2 and so on are its rows.

mod copy;
mod count;
mod create;
mod cursor;
mod delete;
mod extract_path;
mod get;
mod history;
mod id_schemas;
mod metadata;
mod prune;
mod search;
mod snapshot;
mod state;
mod storage;
mod stream;
mod stream_events;
mod thread_ids;
mod ttl;
mod update;
mod update_state;
mod updates;
mod view;

use std::sync::Arc;

use axum::routing::{MethodFilter, on};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use crate::store::{Status, Strategy, Ttl};

pub(crate) use snapshot::SelectedNames;
pub(crate) use stream::StreamModes;

use crate::app::App;
use crate::error::Error;

/// The routes of this area.
pub fn routes() -> OpenApiRouter<Arc<App>> {
    let takes_an_id = MethodFilter::GET.or(MethodFilter::PATCH).or(MethodFilter::DELETE);
    OpenApiRouter::new()
        .routes(routes!(create::create))
        .routes(routes!(search::search))
        .routes(routes!(count::count))
        .routes(routes!(prune::prune))
        .routes(routes!(get::get, update::update, delete::delete))
        .routes(routes!(copy::copy))
        .routes(routes!(state::get_state, update_state::update_state))
        .routes(routes!(state::get_state_at))
        .routes(routes!(state::post_state_checkpoint))
        .routes(routes!(history::get_history, history::post_history))
        .routes(routes!(storage::storage))
        .routes(routes!(stream::stream))
        .routes(routes!(stream_events::stream_events))
        .route("/threads/search", on(takes_an_id, not_a_thread_id))
        .route("/threads/count", on(takes_an_id, not_a_thread_id))
        .route("/threads/prune", on(takes_an_id, not_a_thread_id))
        .route("/threads/{thread_id}/state/checkpoint", on(MethodFilter::GET, state::get_state_at))
}

/// `GET /threads/search` reads as a thread whose id is `search`, as on the reference server.
async fn not_a_thread_id() -> Error {
    Error::InvalidThreadId
}
