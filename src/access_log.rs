//! One log line and one measurement for every request.

use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;
use metrics::histogram;
use tower_http::request_id::RequestId;
use tracing::{error, info};

use crate::error::Cause;
use crate::telemetry::REQUEST_SECONDS;

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
pub(crate) async fn access_log(request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = name_of(request.method());
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "none".to_owned(), |path| path.as_str().to_owned());
    let id = request
        .extensions()
        .get::<RequestId>()
        .and_then(|id| id.header_value().to_str().ok())
        .unwrap_or_default()
        .to_owned();
    let response = next.run(request).await;
    let elapsed = started.elapsed();
    let status = response.status();
    if let Some(Cause(cause)) = response.extensions().get::<Cause>() {
        error!(request.id = id, http.route = route, %cause, "request failed");
    }
    info!(
        request.id = id,
        http.method = method,
        http.route = route,
        http.status = status.as_u16(),
        duration_ms = (elapsed.as_secs_f64() * 1e6).round() / 1e3,
        "request",
    );
    let labels =
        [("method", method.to_owned()), ("route", route), ("status", status.as_str().to_owned())];
    histogram!(REQUEST_SECONDS, &labels).record(elapsed.as_secs_f64());
    response
}
