//! Bodies of answers: written in chunks of bounded size, and counted until the client has taken
//! them.
//!
//! Each chunk holds a part of the permit that its bytes were reserved with. The permit is returned
//! when the connection has written the chunk, so unread bytes stay charged to a client that does
//! not read.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io::{self, Write};
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, HttpBody};
use axum::response::Response;
use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::error::Error;
use crate::shares::{Holder, Kind, Permit, Shares};

/// Bytes of the first chunk: enough for a thread or a page of them.
const FIRST: usize = 4 * 1024;
/// Maximum bytes of the other chunks, which grow in size.
const MAX: usize = 64 * 1024;

/// A body that is being written. It is not copied as it grows.
#[derive(Debug)]
pub(crate) struct Chunks {
    full: VecDeque<Bytes>,
    last: Vec<u8>,
}

impl Chunks {
    pub(crate) fn new() -> Chunks {
        Chunks { full: VecDeque::new(), last: Vec::with_capacity(FIRST) }
    }

    /// The written bytes, as a body.
    pub(crate) fn into_body(mut self) -> Body {
        self.full.push_back(self.last.into());
        Body::new(Unsent { chunks: self.full })
    }

    fn room(&self) -> usize {
        self.last.capacity() - self.last.len()
    }
}

impl Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.room() == 0 {
            let next = Vec::with_capacity((self.last.len() * 4).min(MAX));
            self.full.push_back(std::mem::replace(&mut self.last, next).into());
        }
        let (now, _) = bytes.split_at(bytes.len().min(self.room()));
        self.last.extend_from_slice(now);
        Ok(now.len())
    }

    // Most writes are a few bytes of JSON.
    #[inline]
    fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        if bytes.len() <= self.room() {
            self.last.extend_from_slice(bytes);
            return Ok(());
        }
        while !bytes.is_empty() {
            let written = self.write(bytes)?;
            bytes = bytes.get(written..).unwrap_or_default();
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The memory that was reserved for an answer in advance, as an extension of the response.
#[derive(Clone)]
pub(crate) struct Reserved(std::sync::Arc<std::sync::Mutex<Option<Permit>>>);

impl Reserved {
    pub(crate) fn new(permit: Permit) -> Reserved {
        Reserved(std::sync::Arc::new(std::sync::Mutex::new(Some(permit))))
    }

    fn take(&self) -> Option<Permit> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take()
    }
}

/// Charges the bytes of an answer to `holder` until they are taken. If the holder has too many
/// already, the answer is replaced by a refusal. Streams charge their bytes event by event.
pub(crate) fn counted(mut response: Response, shares: &Shares, holder: Holder) -> Response {
    let Some(length) = response.body().size_hint().exact().filter(|length| *length > 0) else {
        return response;
    };
    let reserved = response.extensions_mut().remove::<Reserved>();
    let permit = match reserved.and_then(|reserved| reserved.take()) {
        Some(mut permit) => Ok(permit.split(length)),
        None => shares.try_take(holder, length),
    };
    match permit {
        Ok(permit) => response.map(|body| Body::new(Counted { body, permit })),
        Err(full) => Error::full(Kind::AnswerBytes, full).into(),
    }
}

/// Bytes together with the permit that they were reserved with.
pub(crate) fn counted_bytes(bytes: Bytes, permit: Permit) -> Bytes {
    struct Owned {
        bytes: Bytes,
        _permit: Permit,
    }
    impl AsRef<[u8]> for Owned {
        fn as_ref(&self) -> &[u8] {
            &self.bytes
        }
    }
    Bytes::from_owner(Owned { bytes, _permit: permit })
}

/// A body of known length, each chunk of which holds its part of the permit.
struct Counted {
    body: Body,
    permit: Permit,
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        Pin::new(&mut this.body).poll_frame(context).map_ok(|frame| {
            frame.map_data(|bytes| {
                let permit = this.permit.split(bytes.len() as u64);
                counted_bytes(bytes, permit)
            })
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The part that has not been sent yet.
struct Unsent {
    chunks: VecDeque<Bytes>,
}

impl HttpBody for Unsent {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.chunks.pop_front().map(|chunk| Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        self.chunks.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.chunks.iter().map(|chunk| chunk.len() as u64).sum())
    }
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse as _;
    use futures::StreamExt as _;

    use super::*;

    fn written(length: usize, at_once: usize) -> (Vec<u8>, Body) {
        let text: Vec<u8> = (0..length).map(|at| b"abcdefg"[at % 7]).collect();
        let mut chunks = Chunks::new();
        for part in text.chunks(at_once) {
            chunks.write_all(part).unwrap();
        }
        (text, chunks.into_body())
    }

    #[tokio::test]
    async fn a_body_is_what_was_written_and_its_length_is_known() {
        for length in [0, 1, FIRST - 1, FIRST, FIRST + 1, 5 * FIRST, 3 * MAX] {
            for at_once in [1_000, 2 * MAX] {
                let (text, body) = written(length, at_once);
                assert_eq!(body.size_hint().exact(), Some(length as u64));
                assert_eq!(axum::body::to_bytes(body, usize::MAX).await.unwrap(), text, "{length}");
            }
        }
    }

    #[tokio::test]
    async fn bytes_count_until_the_connection_drops_them() {
        let shares = Shares::new(1_000_000, 1_000_000);
        let (_, body) = written(3 * MAX, MAX);
        let response = counted(body.into_response(), &shares, Holder::user("ada"));
        assert_eq!(shares.taken(), 3 * MAX as u64);
        let mut frames = response.into_body().into_data_stream();
        let first = frames.next().await.unwrap().unwrap();
        assert_eq!(shares.taken(), 3 * MAX as u64);
        let length = first.len() as u64;
        drop(first);
        assert_eq!(shares.taken(), 3 * MAX as u64 - length);
        drop(frames);
        assert_eq!(shares.taken(), 0);
    }

    #[test]
    fn a_holder_with_too_much_unread_gets_a_refusal_instead() {
        let shares = Shares::new(1_000, 500);
        let holder = Holder::user("ada");
        let _held = shares.try_take(holder, 450).unwrap();
        let (_, body) = written(100, 100);
        let response = counted(body.into_response(), &shares, holder);
        assert_eq!(response.status().as_u16(), 429);
        let (_, body) = written(100, 100);
        let response = counted(body.into_response(), &shares, Holder::user("bob"));
        assert_eq!(response.status().as_u16(), 200);
    }
}
