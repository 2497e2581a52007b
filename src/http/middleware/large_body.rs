//! Requests with large bodies.
//!
//! Parsing and checking a body takes processor time in proportion to its size, up to seconds. On
//! the runtime's threads this would delay other users' requests. So a request with a large body
//! runs in its own operating system thread, and a user has a share of these threads.

use axum::response::{IntoResponse, Response};
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, Span};

use crate::http::Error;
use crate::shares::Permit;

/// Bytes above which a body is large: a smaller one is parsed within about a millisecond.
pub(crate) const LARGE: usize = 128 * 1024;

/// Answers a request in its own operating system thread, for which it holds `permit`. If the future
/// is dropped, the request ends where it next waits.
pub(crate) async fn in_own_thread(
    permit: Permit,
    answer: impl Future<Output = Response> + Send + 'static,
) -> Response {
    let left = CancellationToken::new();
    let _guard = left.clone().drop_guard();
    let (runtime, span) = (Handle::current(), Span::current());
    let thread = spawn_blocking(move || {
        let _permit = permit;
        runtime.block_on(left.run_until_cancelled_owned(answer).instrument(span))
    });
    match thread.await {
        Ok(Some(answer)) => answer,
        // The runtime is shutting down, or the handler panicked.
        Ok(None) | Err(_) => {
            Error::Internal("a request ended without an answer".into()).into_response()
        }
    }
}
