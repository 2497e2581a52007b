//! One log line and one measurement for every request.

use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::Response;
use metrics::histogram;
use tower_http::request_id::RequestId;
use tracing::{error, info};

use crate::error::Cause;
use crate::telemetry::REQUEST_SECONDS;

/// Middleware around everything. The line names the route's template, not the path: ids and
/// query strings stay out of the log.
pub(crate) async fn access_log(request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = request.method().as_str().to_owned();
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
        duration_ms = elapsed.as_secs_f64() * 1e3,
        "request",
    );
    let labels = [("method", method), ("route", route), ("status", status.as_str().to_owned())];
    histogram!(REQUEST_SECONDS, &labels).record(elapsed.as_secs_f64());
    response
}
