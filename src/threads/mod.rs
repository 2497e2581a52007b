//! The threads API, one file an endpoint. The facts are in the contract (`THREADS_API.md`),
//! the differences in the README's compatibility table.

mod count;
mod create;
mod delete;
mod get;
mod metadata;
mod model;
mod search;
mod update;

use std::sync::Arc;

use axum::routing::{MethodFilter, on};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use model::{Status, Thread};

use crate::app::App;
use crate::error::Error;

/// The routes of this area.
pub fn routes() -> OpenApiRouter<Arc<App>> {
    let takes_an_id = MethodFilter::GET.or(MethodFilter::PATCH).or(MethodFilter::DELETE);
    OpenApiRouter::new()
        .routes(routes!(create::create))
        .routes(routes!(get::get, update::update, delete::delete))
        .routes(routes!(search::search))
        .routes(routes!(count::count))
        .route("/threads/search", on(takes_an_id, not_a_thread_id))
        .route("/threads/count", on(takes_an_id, not_a_thread_id))
}

/// `GET /threads/search` reads as a thread whose id is `search`, as on the reference server.
async fn not_a_thread_id() -> Error {
    Error::InvalidThreadId
}
