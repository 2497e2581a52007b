//! Where the body of an HTTP/1.1 answer ends, and which of its bytes are content.

use std::io;

use bytes::{Buf as _, Bytes, BytesMut};
use http::{HeaderMap, Method, StatusCode, Version, header};

/// Maximum bytes of the line before a chunk, and of the lines after the last one.
const MAX_LINES: usize = 16 * 1024;

/// The position within a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// This many bytes follow.
    Length(u64),
    /// All bytes until the connection is closed.
    UntilClosed,
    /// Chunks: a line with a size is next.
    Size,
    /// This many bytes of a chunk follow, and then its line end.
    Chunk(u64),
    /// The line end of a chunk.
    ChunkEnd,
    /// Lines after the last chunk, up to an empty one.
    Trailers,
    /// Nothing follows.
    Ended,
}

/// What the received bytes contain next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// A part of the content.
    Content(Bytes),
    /// Nothing without more bytes.
    Incomplete,
    /// The end.
    End,
}

impl Framing {
    /// The framing of the answer to a request.
    pub(super) fn of(
        method: &Method,
        status: StatusCode,
        version: Version,
        headers: &HeaderMap,
    ) -> io::Result<Framing> {
        let is_empty = status.is_informational()
            || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        if is_empty || method == Method::HEAD {
            return Ok(Framing::Ended);
        }
        if let Some(last) = headers.get_all(header::TRANSFER_ENCODING).iter().next_back() {
            if version == Version::HTTP_10 {
                return Err(invalid("an encoded body in HTTP/1.0"));
            }
            let last = last.as_bytes().rsplit(|byte| *byte == b',').next().unwrap_or_default();
            let is_chunked = last.trim_ascii().eq_ignore_ascii_case(b"chunked");
            return Ok(if is_chunked { Framing::Size } else { Framing::UntilClosed });
        }
        let values = headers.get_all(header::CONTENT_LENGTH).iter();
        let mut lengths = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
        let Some(first) = lengths.next().map(<[u8]>::trim_ascii) else {
            return Ok(Framing::UntilClosed);
        };
        let is_number = first.iter().all(u8::is_ascii_digit);
        let number = std::str::from_utf8(first).ok().and_then(|text| text.parse().ok());
        match number.filter(|_| is_number && lengths.all(|other| other.trim_ascii() == first)) {
            Some(length) => Ok(Framing::Length(length).unless_over()),
            None => Err(invalid("an invalid content-length")),
        }
    }

    /// Takes the next part of the content out of the received bytes.
    pub(super) fn next(&mut self, received: &mut BytesMut) -> io::Result<Next> {
        loop {
            if received.is_empty() && *self != Framing::Ended {
                return Ok(Next::Incomplete);
            }
            match *self {
                Framing::Ended => return Ok(Next::End),
                Framing::UntilClosed => return Ok(Next::Content(received.split().freeze())),
                Framing::Length(left) => {
                    let content = up_to(received, left);
                    *self = Framing::Length(left - content.len() as u64).unless_over();
                    return Ok(Next::Content(content));
                }
                Framing::Chunk(left) => {
                    let content = up_to(received, left);
                    *self = match left - content.len() as u64 {
                        0 => Framing::ChunkEnd,
                        left => Framing::Chunk(left),
                    };
                    return Ok(Next::Content(content));
                }
                Framing::Size => {
                    let Some((line, size)) = size_of_chunk(received)? else {
                        return within(received, MAX_LINES);
                    };
                    received.advance(line);
                    *self = if size == 0 { Framing::Trailers } else { Framing::Chunk(size) };
                }
                Framing::ChunkEnd => {
                    match received.get(..2) {
                        Some(b"\r\n") => received.advance(2),
                        None if received.starts_with(b"\r") => return Ok(Next::Incomplete),
                        _ => return Err(invalid("a chunk that is longer than its size")),
                    }
                    *self = Framing::Size;
                }
                // Trailers are dropped, because they are about the connection to the agent.
                Framing::Trailers => {
                    let Some(end) = received.iter().position(|byte| *byte == b'\n') else {
                        return within(received, MAX_LINES);
                    };
                    if received.get(..end).is_some_and(|line| matches!(line, b"" | b"\r")) {
                        *self = Framing::Ended;
                    }
                    received.advance(end + 1);
                }
            }
        }
    }

    /// Whether the body is complete if the connection is closed here.
    pub(super) fn may_close(self) -> bool {
        matches!(self, Framing::UntilClosed | Framing::Ended)
    }

    fn unless_over(self) -> Framing {
        if self == Framing::Length(0) { Framing::Ended } else { self }
    }
}

fn up_to(received: &mut BytesMut, length: u64) -> Bytes {
    let length = usize::try_from(length).unwrap_or(usize::MAX).min(received.len());
    received.split_to(length).freeze()
}

/// The length of the line before a chunk, and the size of the chunk.
fn size_of_chunk(received: &[u8]) -> io::Result<Option<(usize, u64)>> {
    // The parser reads a line without a number as 0.
    let has_number = received.first().is_some_and(u8::is_ascii_hexdigit);
    match httparse::parse_chunk_size(received) {
        Ok(httparse::Status::Complete(line)) if has_number => Ok(Some(line)),
        Ok(httparse::Status::Partial) if has_number => Ok(None),
        _ => Err(invalid("an invalid chunk size")),
    }
}

/// Waits for more bytes, unless the received lines are too long already.
fn within(received: &[u8], limit: usize) -> io::Result<Next> {
    if received.len() < limit {
        Ok(Next::Incomplete)
    } else {
        Err(invalid("a line that is too long"))
    }
}

pub(super) fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framing(version: Version, headers: &[(&'static str, &'static str)]) -> io::Result<Framing> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        Framing::of(&Method::POST, StatusCode::OK, version, &map)
    }

    /// The content of these bytes if they arrive in parts of this size, and what may follow it.
    fn content(mut framing: Framing, sent: &[u8], size: usize) -> io::Result<(Vec<u8>, Framing)> {
        let (mut received, mut content) = (BytesMut::new(), Vec::new());
        for part in sent.chunks(size) {
            received.extend_from_slice(part);
            loop {
                match framing.next(&mut received)? {
                    Next::Content(bytes) => {
                        assert!(!bytes.is_empty());
                        content.extend_from_slice(&bytes);
                    }
                    Next::Incomplete => break,
                    Next::End => return Ok((content, framing)),
                }
            }
        }
        Ok((content, framing))
    }

    #[test]
    fn the_headers_tell_how_a_body_ends() {
        let (of, new, old) = (framing, Version::HTTP_11, Version::HTTP_10);
        for (headers, expected) in [
            (&[("transfer-encoding", "chunked")][..], Framing::Size),
            (&[("transfer-encoding", "gzip , Chunked")], Framing::Size),
            (&[("transfer-encoding", "chunked"), ("content-length", "3")], Framing::Size),
            (&[("transfer-encoding", "chunked, gzip")], Framing::UntilClosed),
            (&[("content-length", "3")], Framing::Length(3)),
            (&[("content-length", "3, 3"), ("content-length", "3")], Framing::Length(3)),
            (&[("content-length", "0")], Framing::Ended),
            (&[], Framing::UntilClosed),
        ] {
            assert_eq!(of(new, headers).unwrap(), expected, "{headers:?}");
        }
        assert_eq!(of(old, &[("content-length", "3")]).unwrap(), Framing::Length(3));
        assert!(of(old, &[("transfer-encoding", "chunked")]).is_err());
        for wrong in ["", "+3", "-3", "3 4", "3, 4", "x", "99999999999999999999"] {
            assert!(of(new, &[("content-length", wrong)]).is_err(), "{wrong:?}");
        }
        let empty = HeaderMap::from_iter([(header::CONTENT_LENGTH, "3".parse().unwrap())]);
        let of = |method, status| Framing::of(&method, status, new, &empty).unwrap();
        assert_eq!(of(Method::HEAD, StatusCode::OK), Framing::Ended);
        assert_eq!(of(Method::GET, StatusCode::NO_CONTENT), Framing::Ended);
        assert_eq!(of(Method::GET, StatusCode::NOT_MODIFIED), Framing::Ended);
    }

    #[test]
    fn a_body_has_the_same_content_however_it_arrives() {
        let chunked = b"4;a=\"b\"\r\nwo\r\n\r\n003 \r\nrd!\r\nA\r\n0123456789\r\n0\r\nx: y\r\n\r\n";
        for size in 1..=chunked.len() {
            let all = content(Framing::Size, chunked, size).unwrap();
            assert_eq!(all, (b"wo\r\nrd!0123456789".to_vec(), Framing::Ended), "{size}");
            let cut = content(Framing::Length(5), b"abcdefgh", size).unwrap();
            assert_eq!(cut, (b"abcde".to_vec(), Framing::Ended), "{size}");
            let open = content(Framing::UntilClosed, b"abc", size).unwrap();
            assert_eq!(open, (b"abc".to_vec(), Framing::UntilClosed), "{size}");
        }
    }

    #[test]
    fn a_body_that_is_cut_off_is_not_whole() {
        for length in 0..b"2\r\nab\r\n0\r\n\r\n".len() {
            let sent = &b"2\r\nab\r\n0\r\n\r\n"[..length];
            let (_, framing) = content(Framing::Size, sent, 1).unwrap();
            assert!(!framing.may_close(), "{length}");
        }
        assert!(!content(Framing::Length(5), b"abcd", 1).unwrap().1.may_close());
        assert!(content(Framing::Length(5), b"abcde", 1).unwrap().1.may_close());
    }

    #[test]
    fn what_is_no_chunk_is_an_error() {
        let long = [b"1;".as_slice(), &[b'x'; MAX_LINES]].concat();
        let trailer = [b"0\r\n".as_slice(), &[b'x'; MAX_LINES]].concat();
        for wrong in [
            &b"\r\n\r\n"[..],
            b"x\r\n",
            b"-1\r\n",
            b" 1\r\n",
            b"1\n",
            b"10000000000000000\r\n",
            b"2\r\nabc\r\n",
            b"2\r\nab\r0",
            &long,
            &trailer,
        ] {
            for size in [wrong.len() / 8 + 1, wrong.len()] {
                assert!(content(Framing::Size, wrong, size).is_err(), "{wrong:?}");
            }
        }
    }
}
