//! One log line and one measurement for every request.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;
use sha2::{Digest, Sha256};
use tower_http::request_id::RequestId;
use tracing::{error, info};

use crate::auth::User;
use crate::config::LogUsers;
use crate::error::Cause;
use crate::meters::record_request;

const REQUEST_ID: &str = "x-request-id";

/// Longest request id that is taken from a client, in bytes: it is returned and logged.
const LONGEST_REQUEST_ID: usize = 128;

/// Middleware: makes way for an id of our own.
pub(crate) async fn drop_long_request_id(mut request: Request, next: Next) -> Response {
    let headers = request.headers_mut();
    if headers.get(REQUEST_ID).is_some_and(|id| id.len() > LONGEST_REQUEST_ID) {
        headers.remove(REQUEST_ID);
    }
    next.run(request).await
}

/// Any word can be a method, and each label value lives for ever in the metrics.
fn name_of(method: &Method) -> &'static str {
    const KNOWN: [&str; 9] =
        ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"];
    KNOWN.into_iter().find(|name| method == *name).unwrap_or("other")
}

/// Middleware around everything. The line names the route's template, not the path: ids and
/// query strings stay out of the log.
pub(crate) async fn access_log(
    State(users): State<LogUsers>,
    request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let method = name_of(request.method());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let id = request.extensions().get::<RequestId>().cloned();
    let response = next.run(request).await;
    let elapsed = started.elapsed();
    let status = response.status().as_u16();
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    let id = id.as_ref().and_then(|id| id.header_value().to_str().ok()).unwrap_or_default();
    if let Some(Cause(cause)) = response.extensions().get::<Cause>() {
        error!(request.id = id, http.route = route, %cause, "request failed");
    }
    let user = response.extensions().get::<Arc<User>>().map(|user| user.identity.as_str());
    info!(
        request.id = id,
        http.method = method,
        http.route = route,
        http.status = status,
        duration_ms = (elapsed.as_secs_f64() * 1e6).round() / 1e3,
        user.id = user.and_then(|id| name_in_log(id, users)),
        "request",
    );
    record_request(route, method, status, elapsed);
    response
}

/// What a log line calls a user. The hash is not a secret: whoever has the id can find its lines.
fn name_in_log(id: &str, users: LogUsers) -> Option<String> {
    match users {
        LogUsers::Off => None,
        LogUsers::Plain => Some(id.to_owned()),
        LogUsers::Hash => {
            let hash = Sha256::digest(id);
            let short = hash.first_chunk::<8>().map(|bytes| u64::from_be_bytes(*bytes));
            short.map(|short| format!("{short:016x}"))
        }
    }
}
