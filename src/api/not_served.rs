//! The parts of the LangGraph Server that this server does not have (D23). Clients that call them
//! get a 404 that names the part.

use std::sync::Arc;

use axum::Router;
use axum::routing::any;

use crate::http::{App, Error};

const PATHS: [(&str, &str); 14] = [
    ("runs", "/runs"),
    ("runs", "/runs/{*rest}"),
    ("runs", "/threads/{thread_id}/runs"),
    ("runs", "/threads/{thread_id}/runs/{*rest}"),
    ("runs", "/threads/{thread_id}/commands"),
    ("assistants", "/assistants"),
    ("assistants", "/assistants/{*rest}"),
    ("crons", "/crons"),
    ("crons", "/crons/{*rest}"),
    ("crons", "/runs/crons"),
    ("store items", "/store"),
    ("store items", "/store/{*rest}"),
    ("graphs over MCP", "/mcp"),
    ("graphs over A2A", "/a2a/{*rest}"),
];

/// The routes of all these parts, for any method.
pub(crate) fn routes() -> Router<Arc<App>> {
    refusing(PATHS.into_iter())
}

/// The routes that are not served even if runs are forwarded to an agent.
pub(crate) fn routes_beside_runs() -> Router<Arc<App>> {
    refusing(PATHS.into_iter().filter(|(what, _)| what.starts_with("graphs over")))
}

fn refusing(paths: impl Iterator<Item = (&'static str, &'static str)>) -> Router<Arc<App>> {
    paths.fold(Router::new(), |router, (what, path)| {
        router.route(path, any(async move || Error::NotServed(what)))
    })
}
