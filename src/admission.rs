//! The limit of requests that are worked on at once (`MAX_REQUESTS`).
//!
//! A request counts until the head of its answer is there. So an open stream does not count
//! (`MAX_STREAMS` bounds those), and neither does a slow reader of a finished answer. Past the
//! limit a request is turned away at once: one that waited would only keep memory.

use axum::response::{IntoResponse, Response};
use tokio::sync::Semaphore;

use crate::error::Error;
use crate::meters::meters;

/// Answers a request if there is a permit left for it.
pub(crate) async fn admitted(
    permits: &Semaphore,
    answer: impl Future<Output = Response>,
) -> Response {
    let Ok(_permit) = permits.try_acquire() else {
        meters().refused_requests.increment(1);
        return Error::Busy.into_response();
    };
    answer.await
}
