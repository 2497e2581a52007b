//! The body of an agent's answer.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame};

use super::exchange::Exchange;
use crate::authn::causes;

/// The body of an agent's answer. Dropping it closes the connection.
#[derive(Debug)]
pub(crate) enum Body {
    /// Over plain HTTP.
    Plain(Exchange),
    /// Over TLS, or through a proxy.
    Other(reqwest::Body),
}

/// Why a body ended early, for the log.
#[derive(Debug, thiserror::Error)]
#[error("AGENT_URL: {0}")]
pub(crate) struct BrokenOff(String);

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        match self.get_mut() {
            Body::Plain(body) => {
                Pin::new(body).poll_frame(context).map_err(|e| BrokenOff(causes(&e)))
            }
            Body::Other(body) => {
                Pin::new(body).poll_frame(context).map_err(|e| BrokenOff(causes(&e.without_url())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Body::Plain(body) => body.is_end_stream(),
            Body::Other(body) => body.is_end_stream(),
        }
    }
}
