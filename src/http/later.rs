//! Answers without a deadline.

use std::sync::{Arc, Mutex, PoisonError};

use axum::response::Response;
use futures::future::BoxFuture;

/// An answer without a deadline, as an extension of the response that a handler returns instead.
/// `admit` awaits it without a request slot, so the answer itself must hold units for the resources
/// that it occupies.
#[derive(Clone)]
pub(crate) struct Later(Arc<Mutex<Option<BoxFuture<'static, Response>>>>);

impl Later {
    /// The response of a handler whose answer comes later.
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
