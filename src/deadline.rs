//! The end of a request's patience with the database.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::store::too_late;

/// Answers 503 if there is no answer within `limit` of the arrival of the whole request. Whether a
/// write was done is not known then.
///
/// What the store itself bounds is each wait and each use of a connection; this bounds them
/// together. An answer that has begun takes as long as it takes, so streams are not cut.
pub(crate) async fn within(limit: Duration, mut request: Request, next: Next) -> Response {
    let arrived = CancellationToken::new();
    if request.body().is_end_stream() {
        arrived.cancel();
    } else {
        request = request.map(|body| Body::new(Arriving { body, arrived: arrived.clone() }));
    }
    let late = async {
        arrived.cancelled().await;
        tokio::time::sleep(limit).await;
    };
    tokio::select! {
        biased;
        response = next.run(request) => response,
        () = late => Error::DatabaseUnavailable(too_late()).into_response(),
    }
}

/// A body that says when all of it was read.
struct Arriving {
    body: Body,
    arrived: CancellationToken,
}

impl HttpBody for Arriving {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if !matches!(frame, Some(Ok(_))) || self.body.is_end_stream() {
            self.arrived.cancel();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
