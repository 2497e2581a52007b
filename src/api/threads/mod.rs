//! Threads and their metadata, one file for each endpoint.

mod copy;
mod count;
mod create;
pub(super) mod cursor;
mod delete;
mod extract_path;
mod filter;
mod get;
mod metadata;
mod prune;
mod search;
mod thread_ids;
mod ttl;
mod update;
pub(super) mod view;

use std::sync::Arc;

use axum::routing::{MethodFilter, on};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::{App, Error};

/// The routes of this area.
pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    let takes_an_id = MethodFilter::GET.or(MethodFilter::PATCH).or(MethodFilter::DELETE);
    OpenApiRouter::new()
        .routes(routes!(create::create))
        .routes(routes!(search::search))
        .routes(routes!(count::count))
        .routes(routes!(prune::prune))
        .routes(routes!(get::get, update::update, delete::delete))
        .routes(routes!(copy::copy))
        .route("/threads/search", on(takes_an_id, not_a_thread_id))
        .route("/threads/count", on(takes_an_id, not_a_thread_id))
        .route("/threads/prune", on(takes_an_id, not_a_thread_id))
}

/// `GET /threads/search` is parsed as a thread with the id `search`, as on the reference server.
async fn not_a_thread_id() -> Error {
    Error::InvalidThreadId
}
