//! The routes about the server itself. They need no credentials.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::{App, Error, Json, Query};
use crate::metrics::{Gauges, metrics as all_metrics};
use crate::shares::Kind;

/// The routes of this area, except `/metrics`.
pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(ok)).routes(routes!(readyz)).routes(routes!(info))
}

/// The route `/`, which redirects browsers if the page is served.
pub(crate) fn root_routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(root))
}

/// `/metrics`, on the port of the API or on a separate port.
pub(crate) fn metrics_routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(metrics))
}

/// The routes before the database is open.
pub(crate) fn routes_while_starting() -> Router {
    Router::new()
        .route("/", get(root))
        .route("/ok", get(ok_while_starting))
        .route("/info", get(info))
}

/// `/metrics` before the database is open.
pub(crate) fn metrics_routes_while_starting() -> Router {
    Router::new().route("/metrics", get(async || rendered(None)))
}

#[derive(Debug, Serialize, ToSchema)]
struct Ok {
    ok: bool,
}

/// Whether the server is alive
#[utoipa::path(get, path = "/", tag = "system",
    responses((status = 200, description = "The server is alive", body = Ok)))]
async fn root() -> Json<Ok> {
    Json(Ok { ok: true })
}

/// Whether the server is alive, and with `check_db` its database
#[utoipa::path(get, path = "/ok", tag = "system",
    params(("check_db" = Option<String>, Query, description = "`1` or `true`: check the database too")),
    responses(
        (status = 200, description = "The server is alive", body = Ok),
        (status = 503, description = "The database does not answer"),
    ))]
async fn ok(State(app): State<Arc<App>>, query: Query) -> Result<Json<Ok>, Error> {
    if checks_database(&query) {
        app.store.ping().await?;
    }
    Result::Ok(Json(Ok { ok: true }))
}

async fn ok_while_starting(query: Query) -> Result<Json<Ok>, Error> {
    if checks_database(&query) { Err(Error::Starting) } else { Result::Ok(Json(Ok { ok: true })) }
}

fn checks_database(query: &Query) -> bool {
    matches!(query.get("check_db"), Some("1" | "true" | "True"))
}

/// The condition of the parts of a ready server.
#[derive(Debug, Serialize, ToSchema)]
struct Readiness {
    /// Always true: a server that is not ready answers 503.
    ready: bool,
    /// The database, which was checked for this answer.
    database: Condition,
    /// The auth server, at its last use. Down does not make the server unready: it continues to
    /// serve recently accepted tokens.
    auth: Condition,
    /// The tables of an agent, if some are attached. Down does not make the server unready: all
    /// other threads are served. The log has the cause.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    agents: Option<Condition>,
}

#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Condition {
    Up,
    Down,
    Unknown,
}

/// Whether the server can serve: it has started, is not about to stop, and its database answers
#[utoipa::path(get, path = "/readyz", tag = "system",
    responses(
        (status = 200, description = "The server can serve", body = Readiness),
        (status = 503, description = "The server is starting or stopping, or the database does not answer"),
    ))]
async fn readyz(State(app): State<Arc<App>>) -> Result<Json<Readiness>, Error> {
    if app.draining.is_cancelled() {
        return Err(Error::Stopping);
    }
    app.store.ping().await?;
    let agents = app.store.can_read_agents();
    let agents = agents.map(|can| if can { Condition::Up } else { Condition::Down });
    let auth = match app.auth.is_available() {
        None => Condition::Unknown,
        Some(true) => Condition::Up,
        Some(false) => Condition::Down,
    };
    Result::Ok(Json(Readiness { ready: true, database: Condition::Up, auth, agents }))
}

/// The server's version and features.
#[derive(Debug, Serialize, ToSchema)]
struct Info {
    /// Version of this server.
    version: &'static str,
    /// Name of this server.
    name: &'static str,
    /// The parts of the LangGraph Server's API that this server has.
    flags: Flags,
}

#[derive(Debug, Serialize, ToSchema)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "one flag per part, as in the reference server's answer"
)]
struct Flags {
    threads: bool,
    assistants: bool,
    runs: bool,
    crons: bool,
    store: bool,
    /// Whether search and count accept `filter`, which other servers ignore.
    filter: bool,
    /// Whether search and count accept `query`, and a search can select `title`, `preview`,
    /// `message_count`, `last_message_at` and `matches`.
    query: bool,
}

/// What the server is and what it does
#[utoipa::path(get, path = "/info", tag = "system",
    responses((status = 200, description = "Version and parts", body = Info)))]
async fn info() -> Json<Info> {
    Json(Info {
        version: env!("CARGO_PKG_VERSION"),
        name: env!("CARGO_PKG_NAME"),
        flags: Flags {
            threads: true,
            assistants: false,
            runs: false,
            crons: false,
            store: false,
            filter: true,
            query: true,
        },
    })
}

/// Metrics in Prometheus' text format
#[utoipa::path(get, path = "/metrics", tag = "system",
    responses((status = 200, description = "Metrics", body = String, content_type = "text/plain")))]
async fn metrics(State(app): State<Arc<App>>) -> Response {
    rendered(Some(&app))
}

fn rendered(app: Option<&App>) -> Response {
    let content_type = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    let gauges = app.map(|app| Gauges {
        is_ready: !app.draining.is_cancelled(),
        shares: Kind::ALL.map(|kind| (kind, app.shares.of(kind))).to_vec(),
        single_connections: app.store.single_connections(),
        connections: app.store.connections(),
    });
    (StatusCode::OK, content_type, all_metrics().render(gauges)).into_response()
}
