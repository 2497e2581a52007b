//! The body of an answer, in pieces: a large one is not copied while it grows, and each piece is let
//! go of once it is sent.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io::{self, Write};
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use http_body::{Frame, SizeHint};

/// Bytes of the first piece: enough for a thread or a page of them.
const FIRST: usize = 4 * 1024;
/// Most bytes of any other. Each is larger than the one before.
const MOST: usize = 64 * 1024;

/// What is being written.
#[derive(Debug)]
pub(crate) struct Pieces {
    full: VecDeque<Bytes>,
    last: Vec<u8>,
}

impl Pieces {
    pub(crate) fn new() -> Pieces {
        Pieces { full: VecDeque::new(), last: Vec::with_capacity(FIRST) }
    }

    /// What was written, for a response.
    pub(crate) fn into_body(self) -> Body {
        let Pieces { full: mut pieces, last } = self;
        let last = Bytes::from(last);
        if pieces.is_empty() {
            return Body::from(last);
        }
        pieces.push_back(last);
        Body::new(Unsent { pieces })
    }

    fn room(&self) -> usize {
        self.last.capacity() - self.last.len()
    }
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.room() == 0 {
            let next = Vec::with_capacity((self.last.len() * 4).min(MOST));
            self.full.push_back(std::mem::replace(&mut self.last, next).into());
        }
        let (now, _) = bytes.split_at(bytes.len().min(self.room()));
        self.last.extend_from_slice(now);
        Ok(now.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What has not been sent yet.
struct Unsent {
    pieces: VecDeque<Bytes>,
}

impl HttpBody for Unsent {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.pieces.pop_front().map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.pieces.iter().map(|piece| piece.len() as u64).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_body_is_what_was_written_and_its_length_is_known() {
        for length in [0, 1, FIRST - 1, FIRST, FIRST + 1, 5 * FIRST, 3 * MOST] {
            let text: Vec<u8> = (0..length).map(|at| b"abcdefg"[at % 7]).collect();
            for at_once in [1_000, 2 * MOST] {
                let mut pieces = Pieces::new();
                for part in text.chunks(at_once) {
                    pieces.write_all(part).unwrap();
                }
                let body = pieces.into_body();
                assert_eq!(body.size_hint().exact(), Some(length as u64));
                assert_eq!(axum::body::to_bytes(body, usize::MAX).await.unwrap(), text, "{length}");
            }
        }
    }
}
