//! Reads the rest of a body after the request was answered.
//!
//! If a server closes a connection while a body is arriving, the client's system discards the
//! answer: the client sees a broken pipe and never learns why. So a body that is not read to its
//! end is read and discarded, for a limited time and size, before the connection may close.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::runtime::Handle;
use tokio::time::timeout;

/// Maximum time for reading the rest of a body.
const MAX_TIME: Duration = Duration::from_secs(10);
/// Maximum bytes of the rest of a body.
const MAX_BYTES: usize = 64 * 1024 * 1024;

/// A body that is read to its end when it is dropped.
pub(super) struct Lingering(Option<Incoming>);

impl Lingering {
    pub(super) fn of(body: Incoming) -> Body {
        // Most requests have no body.
        if body.is_end_stream() { Body::empty() } else { Body::new(Lingering(Some(body))) }
    }
}

impl HttpBody for Lingering {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.0 {
            Some(body) => Pin::new(body).poll_frame(context),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.0.as_ref().map_or_else(SizeHint::default, HttpBody::size_hint)
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        let rest = self.0.take().filter(|body| !body.is_end_stream());
        if let (Some(rest), Ok(runtime)) = (rest, Handle::try_current()) {
            runtime.spawn(timeout(MAX_TIME, read_on(rest)));
        }
    }
}

async fn read_on(mut body: Incoming) {
    let mut bytes = 0;
    while bytes <= MAX_BYTES
        && let Some(Ok(frame)) = body.frame().await
    {
        bytes += frame.data_ref().map_or(0, Bytes::len);
    }
}
