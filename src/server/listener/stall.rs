//! Connections whose client takes nothing of its answers.
//!
//! An answer stalls if the client does not read from its socket, and also if it keeps the window of
//! an HTTP/2 stream closed. Both are detected here: a write without progress, and a body whose next
//! chunk is not polled.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::response::Response;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

/// The stalled parts of a connection, and since when.
#[derive(Debug, Clone, Default)]
pub(super) struct Waiting(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    write: Option<Instant>,
    /// Bodies by number. A connection has one, or several with HTTP/2.
    bodies: Vec<(u64, Instant)>,
    next_body: u64,
}

impl Inner {
    /// Records that a chunk of this body was sent, and that the next was not polled yet.
    fn waits(&mut self, id: u64) {
        let now = Instant::now();
        match self.bodies.iter_mut().find(|(body, _)| *body == id) {
            Some((_, since)) => *since = now,
            None => self.bodies.push((id, now)),
        }
    }

    fn forget(&mut self, id: u64) {
        self.bodies.retain(|(body, _)| *body != id);
    }
}

impl Waiting {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Resolves when the client has taken nothing of an answer for `limit`, or a little longer.
    pub(super) async fn stalled(&self, limit: Duration) {
        loop {
            sleep(limit / 6).await;
            let oldest = {
                let inner = self.lock();
                inner.bodies.iter().map(|(_, since)| *since).chain(inner.write).min()
            };
            if oldest.is_some_and(|since| since.elapsed() >= limit) {
                return;
            }
        }
    }

    /// Watches the body of an answer.
    pub(super) fn watch(&self, answer: Response) -> Response {
        if answer.body().is_end_stream() {
            return answer;
        }
        answer.map(|body| {
            let id = {
                let mut inner = self.lock();
                inner.next_body += 1;
                let id = inner.next_body;
                inner.waits(id);
                id
            };
            Body::new(Watched { body, id, waiting: self.clone() })
        })
    }
}

/// A body that counts as stalled from each chunk until the next poll.
struct Watched {
    body: Body,
    id: u64,
    waiting: Waiting,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        let mut inner = self.waiting.lock();
        match frame {
            // The client waits for the server.
            Poll::Pending => inner.forget(self.id),
            Poll::Ready(_) => inner.waits(self.id),
        }
        drop(inner);
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.waiting.lock().forget(self.id);
    }
}

/// The stream of a connection.
#[derive(Debug)]
pub(super) struct WatchedStream {
    stream: TcpStream,
    waiting: Waiting,
}

impl WatchedStream {
    pub(super) fn new(stream: TcpStream, waiting: Waiting) -> WatchedStream {
        WatchedStream { stream, waiting }
    }

    /// Records whether a write made progress.
    fn note<T>(&self, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        let mut inner = self.waiting.lock();
        if outcome.is_pending() {
            inner.write.get_or_insert_with(Instant::now);
        } else {
            inner.write = None;
        }
        outcome
    }
}

impl AsyncRead for WatchedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for WatchedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.note(outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.note(outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
