//! One log line and one measurement for every request.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::http::Method;
use axum::response::Response;
use sha2::{Digest, Sha256};
use tower::{Service, service_fn};
use tower_http::request_id::RequestId;
use tracing::{error, info};
use uuid::Uuid;

use crate::authz::User;
use crate::config::LogUsers;
use crate::http::Cause;
use crate::metrics::record_request;

const REQUEST_ID: &str = "x-request-id";

/// Maximum bytes of a client's request id, which is returned and logged.
const MAX_REQUEST_ID: usize = 128;

/// The status of a request whose client left before the head of the answer, as nginx logs it.
const CLIENT_LEFT: u16 = 499;

/// Removes a client's request id that is too long, so that the server generates one.
pub(crate) fn drop_long_request_id(mut request: Request) -> Request {
    let headers = request.headers_mut();
    if headers.get(REQUEST_ID).is_some_and(|id| id.len() > MAX_REQUEST_ID) {
        headers.remove(REQUEST_ID);
    }
    request
}

/// The threads that a request wrote to, for the log: an extension of its response.
#[derive(Debug, Clone)]
pub(crate) struct Written(pub(crate) Vec<Uuid>);

/// Logs and measures requests. The line contains the template of the route, not the path: query
/// strings and the ids of threads that are only read are not logged.
pub(crate) fn logged<S, B>(
    mut inner: S,
    users: LogUsers,
) -> impl Service<Request, Response = Response<B>, Error = S::Error, Future: Send> + Clone
where
    S: Service<Request, Response = Response<B>, Error: Send, Future: Send> + Clone,
    B: Send,
{
    service_fn(move |request: Request| {
        let mut line = Line::of(&request, users);
        let answer = inner.call(request);
        async move {
            let response = answer.await?;
            line.write(&response);
            Ok(response)
        }
    })
}

/// The parts of a log line that come from the request. If this is dropped without a response, the
/// client has left.
struct Line {
    started: Instant,
    method: &'static str,
    route: Option<MatchedPath>,
    id: Option<RequestId>,
    /// The thread in the path of a request that writes.
    thread_id: Option<Uuid>,
    users: LogUsers,
    is_written: bool,
}

impl Line {
    fn of(request: &Request, users: LogUsers) -> Line {
        let route = request.extensions().get::<MatchedPath>().cloned();
        let is_write = ![Method::GET, Method::HEAD, Method::OPTIONS].contains(request.method())
            && route.as_ref().is_some_and(|route| is_write(route.as_str(), request.method()));
        let thread_id = request.uri().path().split('/').nth(2).filter(|_| is_write);
        Line {
            started: Instant::now(),
            method: name_of(request.method()),
            route,
            id: request.extensions().get::<RequestId>().cloned(),
            thread_id: thread_id.and_then(|id| Uuid::parse_str(id).ok()),
            users,
            is_written: false,
        }
    }

    fn write<B>(&mut self, response: &Response<B>) {
        if let Some(Cause(cause)) = response.extensions().get::<Cause>() {
            error!(request.id = self.id(), http.route = self.route(), %cause, "request failed");
        }
        let user = response.extensions().get::<Arc<User>>();
        let written = response.extensions().get::<Written>();
        let written = written.map_or(&[] as &[Uuid], |Written(ids)| ids.as_slice());
        self.log(
            response.status().as_u16(),
            user.and_then(|user| name_in_log(&user.identity, self.users)).as_deref(),
            written,
        );
    }

    fn log(&mut self, status: u16, user: Option<&str>, written: &[Uuid]) {
        self.is_written = true;
        let elapsed = self.started.elapsed();
        let threads: Vec<_> = self.thread_id.iter().chain(written).map(Uuid::to_string).collect();
        info!(
            request.id = self.id(),
            http.method = self.method,
            http.route = self.route(),
            http.status = status,
            duration_ms = (elapsed.as_secs_f64() * 1e6).round() / 1e3,
            user.id = user,
            thread.id = (!threads.is_empty()).then(|| threads.join(",")),
            "request",
        );
        record_request(self.route(), self.method, status, elapsed);
    }

    fn route(&self) -> &str {
        self.route.as_ref().map_or("none", MatchedPath::as_str)
    }

    fn id(&self) -> &str {
        self.id.as_ref().and_then(|id| id.header_value().to_str().ok()).unwrap_or_default()
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if !self.is_written {
            self.log(CLIENT_LEFT, None, &[]);
        }
    }
}

/// Whether a route writes to the thread in its path. Some `POST` routes only read.
fn is_write(route: &str, method: &Method) -> bool {
    let reads = ["/history", "/state/checkpoint", "/stream/events", "/search", "/count"];
    method != Method::POST || !reads.iter().any(|end| route.ends_with(end))
}

/// A method as a label, from a fixed set: any word can be a method, and metrics keep each label.
fn name_of(method: &Method) -> &'static str {
    const KNOWN: [&str; 9] =
        ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"];
    KNOWN.into_iter().find(|name| method == *name).unwrap_or("other")
}

/// The name of a user in a log line. The hash is not a secret: anyone who has the id can compute
/// it.
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
