//! What the server says of itself. No credentials needed.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::error::Error;
use crate::extract::{Json, Query};
use crate::telemetry;

/// The routes of this area.
pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(root))
        .routes(routes!(ok))
        .routes(routes!(info))
        .routes(routes!(metrics))
}

#[derive(Debug, Serialize, ToSchema)]
struct Ok {
    ok: bool,
}

/// Whether the server is alive
#[utoipa::path(get, path = "/", tag = "system",
    responses((status = 200, description = "It is", body = Ok)))]
async fn root() -> Json<Ok> {
    Json(Ok { ok: true })
}

/// Whether the server is alive, and with `check_db` its database
#[utoipa::path(get, path = "/ok", tag = "system",
    params(("check_db" = Option<String>, Query, description = "`1` or `true`: ask the database too")),
    responses(
        (status = 200, description = "It is", body = Ok),
        (status = 503, description = "The database does not answer"),
    ))]
async fn ok(State(app): State<Arc<App>>, query: Query) -> Result<Json<Ok>, Error> {
    if matches!(query.get("check_db"), Some("1" | "true" | "True")) {
        app.store.ping().await.map_err(Error::DatabaseUnavailable)?;
    }
    Result::Ok(Json(Ok { ok: true }))
}

/// What the server is and what it does.
#[derive(Debug, Serialize, ToSchema)]
struct Info {
    /// Version of this server.
    version: &'static str,
    /// Its name.
    name: &'static str,
    /// Which parts of the LangGraph Server's API it serves.
    flags: Flags,
}

#[derive(Debug, Serialize, ToSchema)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "one flag a part, as in the reference server's answer"
)]
struct Flags {
    threads: bool,
    assistants: bool,
    runs: bool,
    crons: bool,
    store: bool,
}

/// What the server is and what it does
#[utoipa::path(get, path = "/info", tag = "system",
    responses((status = 200, description = "Version and parts", body = Info)))]
async fn info() -> Json<Info> {
    Json(Info {
        version: env!("CARGO_PKG_VERSION"),
        name: env!("CARGO_PKG_NAME"),
        flags: Flags { threads: true, assistants: false, runs: false, crons: false, store: false },
    })
}

/// Metrics in Prometheus' text format
#[utoipa::path(get, path = "/metrics", tag = "system",
    responses((status = 200, description = "Metrics", body = String, content_type = "text/plain")))]
async fn metrics() -> Response {
    let content_type = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (StatusCode::OK, content_type, telemetry::metrics().render()).into_response()
}
