//! A request over plain HTTP/1.1, on a connection of its own, and its answer.
//!
//! A run that a client follows keeps such a connection open until it ends, and is silent for most
//! of that time. A connection of hyper's client holds about 30 kB meanwhile. This one has a buffer
//! only while bytes arrive.

use std::io::{self, IoSlice, Write as _};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes, BytesMut, buf::Chain};
use futures::future::poll_fn;
use http::{HeaderName, HeaderValue, Response, StatusCode, Version};
use http_body::Frame;
use tokio::io::{AsyncReadExt as _, AsyncWrite as _};
use tokio::net::TcpStream;

use super::Ask;
use super::framing::{Framing, Next, invalid};

/// Maximum number of headers of an answer.
const MAX_HEADERS: usize = 100;
/// Maximum bytes of the head of an answer.
const MAX_HEAD: usize = 64 * 1024;
/// Bytes of the first read. A read that fills its buffer doubles the size of the next one, and a
/// read of less than a quarter halves it.
const READ: usize = 8 * 1024;
/// Maximum bytes that are read at once.
const MAX_READ: usize = 256 * 1024;

/// A connection with one request and its answer. Dropping it closes the connection.
#[derive(Debug)]
pub(crate) struct Exchange {
    stream: TcpStream,
    /// The part of the request that is not sent yet. An agent may answer before it has read it all.
    unsent: Option<Box<Chain<Bytes, Bytes>>>,
    received: BytesMut,
    read_size: usize,
    framing: Framing,
}

impl Exchange {
    /// Sends a request for a path and query, and reads the head of the answer.
    pub(super) async fn of(
        stream: TcpStream,
        ask: Ask,
        host: &str,
        target: &str,
    ) -> io::Result<Response<Exchange>> {
        let head = head_of(&ask, host, target);
        let request = Bytes::from(head).chain(ask.body.unwrap_or_default());
        let mut exchange = Exchange {
            stream,
            unsent: Some(Box::new(request)),
            received: BytesMut::new(),
            read_size: READ,
            framing: Framing::Ended,
        };
        loop {
            let Some(head) = take_head(&mut exchange.received)? else {
                if exchange.received.len() >= MAX_HEAD {
                    return Err(invalid("the head of the answer is too long"));
                }
                if poll_fn(|context| exchange.poll_receive(context)).await? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                continue;
            };
            let status = head.status();
            // Every other informational head (1xx) is followed by the answer.
            if !status.is_informational() || status == StatusCode::SWITCHING_PROTOCOLS {
                let (method, version) = (&ask.method, head.version());
                exchange.framing = Framing::of(method, status, version, head.headers())?;
                return Ok(head.map(|()| exchange));
            }
        }
    }

    /// Sends as much as the connection accepts.
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<()> {
        while let Some(unsent) = &mut self.unsent {
            if !unsent.has_remaining() {
                break;
            }
            let mut slices = [IoSlice::new(&[]); 2];
            let count = unsent.chunks_vectored(&mut slices);
            let slices = slices.get(..count).unwrap_or_default();
            match ready!(Pin::new(&mut self.stream).poll_write_vectored(context, slices)) {
                Ok(sent) if sent > 0 => unsent.advance(sent),
                // The agent may have answered before: that answer can still be read.
                _ => break,
            }
        }
        self.unsent = None;
        Poll::Ready(())
    }

    /// Reads more of the answer. 0: the agent has closed the connection.
    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let _ = self.poll_send(context);
        let read = self.poll_read(context);
        if read.is_pending() {
            // Frees the buffer, in which only the beginning of a line may be left.
            self.received = BytesMut::from(&*self.received);
        }
        read
    }

    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        ready!(self.stream.poll_read_ready(context))?;
        self.received.reserve(self.read_size);
        let read = ready!(pin!(self.stream.read_buf(&mut self.received)).poll(context))?;
        if read >= self.read_size {
            self.read_size = (2 * self.read_size).min(MAX_READ);
        } else if read < self.read_size / 4 {
            self.read_size = (self.read_size / 2).max(READ);
        }
        Poll::Ready(Ok(read))
    }
}

impl http_body::Body for Exchange {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        loop {
            match this.framing.next(&mut this.received)? {
                Next::Content(bytes) => return Poll::Ready(Some(Ok(Frame::data(bytes)))),
                Next::End => return Poll::Ready(None),
                Next::Incomplete => {}
            }
            if ready!(this.poll_receive(context))? == 0 {
                let is_whole = this.framing.may_close();
                this.framing = Framing::Ended;
                let lost = || Some(Err(io::ErrorKind::UnexpectedEof.into()));
                return Poll::Ready(if is_whole { None } else { lost() });
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.framing == Framing::Ended
    }
}

fn head_of(ask: &Ask, host: &str, target: &str) -> Vec<u8> {
    let mut head = Vec::with_capacity(1024);
    // Writing to a vector does not fail.
    let _ = write!(head, "{} {target} HTTP/1.1\r\nhost: {host}\r\n", ask.method);
    for (name, value) in &ask.headers {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            head.extend_from_slice(part);
        }
    }
    if let Some(body) = &ask.body {
        let _ = write!(head, "content-length: {}\r\n", body.len());
    }
    head.extend_from_slice(b"\r\n");
    head
}

/// Takes a head out of the received bytes. `None`: it is not complete.
fn take_head(received: &mut BytesMut) -> io::Result<Option<Response<()>>> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut parsed = httparse::Response::new(&mut headers);
    let length = match parsed.parse(received).map_err(bad)? {
        httparse::Status::Complete(length) => length,
        httparse::Status::Partial => return Ok(None),
    };
    let mut head = Response::new(());
    *head.status_mut() = StatusCode::from_u16(parsed.code.unwrap_or_default()).map_err(bad)?;
    *head.version_mut() =
        if parsed.version == Some(0) { Version::HTTP_10 } else { Version::HTTP_11 };
    for header in parsed.headers.iter() {
        let name = HeaderName::from_bytes(header.name.as_bytes()).map_err(bad)?;
        head.headers_mut().append(name, HeaderValue::from_bytes(header.value).map_err(bad)?);
    }
    received.advance(length);
    Ok(Some(head))
}

fn bad(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests {
    use futures::poll;
    use http::{HeaderMap, Method};
    use http_body::Body as _;
    use http_body_util::BodyExt as _;
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;

    use super::*;

    const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
                        Transfer-Encoding: chunked\r\n\r\n";

    fn ask(body: Option<Bytes>) -> Ask {
        let headers = HeaderMap::from_iter([(http::header::ACCEPT, "*/*".parse().unwrap())]);
        Ask { method: Method::POST, path: String::new(), query: None, headers, body }
    }

    /// A connection, and the agent's end of it.
    async fn connection() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (stream, listener.accept().await.unwrap().0)
    }

    async fn exchange(stream: TcpStream, ask: Ask) -> io::Result<Response<Exchange>> {
        Exchange::of(stream, ask, "inner:8123", "/runs?a=b").await
    }

    async fn read(agent: &mut TcpStream, length: usize) -> String {
        let mut read = vec![0; length];
        agent.read_exact(&mut read).await.unwrap();
        String::from_utf8(read).unwrap()
    }

    #[tokio::test]
    async fn a_request_is_sent_as_it_is() {
        for (body, end) in
            [(None, "\r\n"), (Some(Bytes::from_static(b"{}")), "content-length: 2\r\n\r\n{}")]
        {
            let (stream, mut agent) = connection().await;
            let sent = tokio::spawn(exchange(stream, ask(body)));
            let expected =
                format!("POST /runs?a=b HTTP/1.1\r\nhost: inner:8123\r\naccept: */*\r\n{end}");
            assert_eq!(read(&mut agent, expected.len()).await, expected);
            agent.write_all(b"HTTP/1.1 204 X\r\n\r\n").await.unwrap();
            let answer = sent.await.unwrap().unwrap();
            assert_eq!(answer.status(), StatusCode::NO_CONTENT);
            assert!(answer.body().is_end_stream());
        }
    }

    #[tokio::test]
    async fn heads_before_the_answers_are_skipped_however_they_arrive() {
        let (stream, mut agent) = connection().await;
        let sent = tokio::spawn(exchange(stream, ask(None)));
        let all = format!("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 X\r\nLink: a\r\n\r\n{HEAD}");
        for byte in all.bytes() {
            agent.write_all(&[byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
        let answer = sent.await.unwrap().unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers().len(), 2);
        assert!(!answer.body().is_end_stream());
    }

    #[tokio::test]
    async fn an_agent_may_answer_before_it_has_read_the_request() {
        let (stream, mut agent) = connection().await;
        // More than the socket buffers of both ends hold.
        let length = 16 * 1024 * 1024;
        let sent = tokio::spawn(exchange(stream, ask(Some(vec![b' '; length].into()))));
        agent.write_all(format!("{HEAD}1\r\na\r\n").as_bytes()).await.unwrap();
        let mut body = sent.await.unwrap().unwrap().into_body();
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "a");
        let rest = tokio::spawn(body.collect());
        assert!(read(&mut agent, length).await.starts_with("POST "));
        agent.write_all(b"1\r\nb\r\n0\r\n\r\n").await.unwrap();
        assert_eq!(rest.await.unwrap().unwrap().to_bytes(), "b");
    }

    #[tokio::test]
    async fn a_silent_answer_has_no_buffer() {
        let (stream, mut agent) = connection().await;
        let large = "x".repeat(1024 * 1024);
        let sent = tokio::spawn(exchange(stream, ask(Some("{}".into()))));
        let event = format!("{HEAD}{:x}\r\n{large}\r\n", large.len());
        let write = async { agent.write_all(event.as_bytes()).await.unwrap() };
        let read = async {
            let mut body = sent.await.unwrap().unwrap().into_body();
            let mut length = 0;
            while length < large.len() {
                length += body.frame().await.unwrap().unwrap().into_data().unwrap().len();
            }
            body
        };
        let (mut body, ()) = tokio::join!(read, write);
        // The line end of a chunk may arrive later than its content.
        while body.framing != Framing::Size {
            assert!(poll!(pin!(body.frame())).is_pending());
            assert!(body.received.capacity() < 3);
            tokio::task::yield_now().await;
        }
        assert!(poll!(pin!(body.frame())).is_pending());
        assert_eq!(body.received.capacity(), 0);
        assert!(body.unsent.is_none() && size_of::<Exchange>() <= 128);
    }

    #[tokio::test]
    async fn what_is_no_answer_is_an_error() {
        let long = format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(MAX_HEAD));
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(MAX_HEADERS + 1));
        for sent in [
            "",
            "HTTP/1.1 200 OK\r\n",
            "SSH-2.0-x\r\n\r\n",
            "HTTP/1.1 200 OK\r\n x: y\r\n\r\n",
            &long,
            &many,
        ] {
            let (stream, mut agent) = connection().await;
            agent.write_all(sent.as_bytes()).await.unwrap();
            drop(agent);
            assert!(exchange(stream, ask(None)).await.is_err(), "{sent}");
        }
    }
}
