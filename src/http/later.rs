//! Answers that take their own time.

use std::sync::{Arc, Mutex, PoisonError};

use axum::response::Response;
use futures::future::BoxFuture;

/// An answer that takes its own time, as an extension of the response that a handler gives instead.
/// `admit` awaits it without a place among the requests and without a deadline, so it holds what it
/// takes up by itself.
#[derive(Clone)]
pub(crate) struct Later(Arc<Mutex<Option<BoxFuture<'static, Response>>>>);

impl Later {
    /// What a handler answers whose answer comes later.
    pub(crate) fn answer(answer: impl Future<Output = Response> + Send + 'static) -> Response {
        let mut response = Response::default();
        let answer: BoxFuture<'static, Response> = Box::pin(answer);
        response.extensions_mut().insert(Later(Arc::new(Mutex::new(Some(answer)))));
        response
    }

    /// The answer, once.
    pub(crate) fn take(&self) -> Option<BoxFuture<'static, Response>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
