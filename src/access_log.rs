//! One log line and one measurement for every request.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::http::{Method, Response};
use pin_project_lite::pin_project;
use sha2::{Digest, Sha256};
use tower::{Layer, Service};
use tower_http::request_id::RequestId;
use tracing::{error, info};

use crate::auth::User;
use crate::config::LogUsers;
use crate::error::Cause;
use crate::meters::record_request;

const REQUEST_ID: &str = "x-request-id";

/// Longest request id that is taken from a client, in bytes: it is returned and logged.
const LONGEST_REQUEST_ID: usize = 128;

/// Makes way for an id of our own.
pub(crate) fn drop_long_request_id(mut request: Request) -> Request {
    let headers = request.headers_mut();
    if headers.get(REQUEST_ID).is_some_and(|id| id.len() > LONGEST_REQUEST_ID) {
        headers.remove(REQUEST_ID);
    }
    request
}

/// Any word can be a method, and each label value lives for ever in the metrics.
fn name_of(method: &Method) -> &'static str {
    const KNOWN: [&str; 9] =
        ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"];
    KNOWN.into_iter().find(|name| method == *name).unwrap_or("other")
}

/// The layer around everything. The line names the route's template, not the path: ids and query
/// strings stay out of the log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AccessLog(pub(crate) LogUsers);

impl<S> Layer<S> for AccessLog {
    type Service = Logged<S>;

    fn layer(&self, inner: S) -> Logged<S> {
        Logged { inner, users: self.0 }
    }
}

/// A service whose requests are logged and measured.
#[derive(Debug, Clone)]
pub(crate) struct Logged<S> {
    inner: S,
    users: LogUsers,
}

impl<S, B> Service<Request> for Logged<S>
where
    S: Service<Request, Response = Response<B>>,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = Answering<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let line = Line {
            started: Instant::now(),
            method: name_of(request.method()),
            route: request.extensions().get::<MatchedPath>().cloned(),
            id: request.extensions().get::<RequestId>().cloned(),
            users: self.users,
        };
        Answering { answer: self.inner.call(request), line }
    }
}

pin_project! {
    /// The answer to come, and what its line says of the request.
    pub(crate) struct Answering<F> {
        #[pin]
        answer: F,
        line: Line,
    }
}

impl<F, B, E> Future for Answering<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let answer = ready!(this.answer.poll(context));
        if let Ok(response) = &answer {
            this.line.write(response);
        }
        Poll::Ready(answer)
    }
}

/// What the line of a request says of the request itself.
struct Line {
    started: Instant,
    method: &'static str,
    route: Option<MatchedPath>,
    id: Option<RequestId>,
    users: LogUsers,
}

impl Line {
    fn write<B>(&self, response: &Response<B>) {
        let elapsed = self.started.elapsed();
        let status = response.status().as_u16();
        let route = self.route.as_ref().map_or("none", MatchedPath::as_str);
        let id = self.id.as_ref().and_then(|id| id.header_value().to_str().ok());
        let id = id.unwrap_or_default();
        if let Some(Cause(cause)) = response.extensions().get::<Cause>() {
            error!(request.id = id, http.route = route, %cause, "request failed");
        }
        let user = response.extensions().get::<Arc<User>>().map(|user| user.identity.as_str());
        info!(
            request.id = id,
            http.method = self.method,
            http.route = route,
            http.status = status,
            duration_ms = (elapsed.as_secs_f64() * 1e6).round() / 1e3,
            user.id = user.and_then(|id| name_in_log(id, self.users)),
            "request",
        );
        record_request(route, self.method, status, elapsed);
    }
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
