//! The limit of requests that are worked on at once (`MAX_REQUESTS`).
//!
//! A request counts until the head of its answer is there. So an open stream does not count
//! (`MAX_STREAMS` bounds those), and neither does a slow reader of a finished answer. Past the
//! limit a request is turned away at once: one that waited would only keep memory.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use pin_project_lite::pin_project;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::{Layer, Service};

use crate::error::Error;
use crate::meters::meters;

/// Lets as many requests pass at once as there are permits.
#[derive(Debug, Clone)]
pub(crate) struct Admission(pub(crate) Arc<Semaphore>);

impl<S> Layer<S> for Admission {
    type Service = Admitted<S>;

    fn layer(&self, inner: S) -> Admitted<S> {
        Admitted { inner, permits: Arc::clone(&self.0) }
    }
}

/// A service with a limit.
#[derive(Debug, Clone)]
pub(crate) struct Admitted<S> {
    inner: S,
    permits: Arc<Semaphore>,
}

impl<S> Service<Request> for Admitted<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Answering<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        match Arc::clone(&self.permits).try_acquire_owned() {
            Ok(permit) => Answering::Admitted { answer: self.inner.call(request), _permit: permit },
            Err(_) => Answering::Refused,
        }
    }
}

pin_project! {
    /// The answer to come, and the place that it takes up until then.
    #[project = Projected]
    pub(crate) enum Answering<F> {
        Admitted { #[pin] answer: F, _permit: OwnedSemaphorePermit },
        Refused,
    }
}

impl<F: Future<Output = Result<Response, Infallible>>> Future for Answering<F> {
    type Output = Result<Response, Infallible>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            Projected::Admitted { answer, .. } => answer.poll(context),
            Projected::Refused => {
                meters().refused_requests.increment(1);
                Poll::Ready(Ok(Error::Busy.into_response()))
            }
        }
    }
}
