//! A client that writes what it likes to a socket.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::sse::PATIENCE;
use crate::support::TestServer;

/// A connection to a server.
pub(crate) struct Raw {
    stream: TcpStream,
    unread: Vec<u8>,
}

/// One answer, with a body of a known length.
#[derive(Debug)]
pub(crate) struct RawAnswer {
    pub(crate) status: u16,
    /// Status line and headers, in lower case.
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Raw {
    pub(crate) async fn to(server: &TestServer) -> Raw {
        let address = server.url.strip_prefix("http://").unwrap();
        Raw { stream: TcpStream::connect(address).await.unwrap(), unread: Vec::new() }
    }

    /// A connection for which the client's system keeps little that was not read, so that an unread
    /// answer stays with the server.
    pub(crate) async fn with_little_room(server: &TestServer) -> Raw {
        let address = server.url.strip_prefix("http://").unwrap().parse().unwrap();
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        Raw { stream: socket.connect(address).await.unwrap(), unread: Vec::new() }
    }

    /// Writes all of it, unless the server has closed the connection by then.
    pub(crate) async fn send(&mut self, text: &str) {
        let _ = self.stream.write_all(text.as_bytes()).await;
    }

    /// Writes all of it.
    pub(crate) async fn send_whole(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    /// Says that nothing more will be sent.
    pub(crate) async fn half_close(&mut self) {
        self.stream.shutdown().await.unwrap();
    }

    /// The next answer; `None` if the connection ended without one.
    pub(crate) async fn answer(&mut self) -> Option<RawAnswer> {
        let end = loop {
            if let Some(end) = self.unread.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            self.read().await?;
        };
        let head: Vec<_> = self.unread.drain(..end).collect();
        let head = String::from_utf8(head).unwrap().to_lowercase();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.map_or(0, |length| length.parse().unwrap());
        while self.unread.len() < length {
            self.read().await?;
        }
        let body: Vec<_> = self.unread.drain(..length).collect();
        Some(RawAnswer { status, head, body: String::from_utf8(body).unwrap() })
    }

    /// Waits for the end of the connection, and answers with what came until then.
    pub(crate) async fn rest(&mut self) -> String {
        while self.read().await.is_some() {}
        String::from_utf8(std::mem::take(&mut self.unread)).unwrap()
    }

    /// `None` at the end, also at one that is not clean.
    async fn read(&mut self) -> Option<()> {
        let mut chunk = [0; 4096];
        let read = tokio::time::timeout(PATIENCE, self.stream.read(&mut chunk)).await.unwrap();
        match read {
            Ok(length @ 1..) => {
                self.unread.extend_from_slice(&chunk[..length]);
                Some(())
            }
            Ok(0) | Err(_) => None,
        }
    }
}

/// Tries again until it works, for as long as a test hopes.
pub(crate) async fn until<T>(mut attempt: impl AsyncFnMut() -> Option<T>) -> T {
    let attempts = async {
        loop {
            if let Some(value) = attempt().await {
                return value;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, attempts).await.unwrap()
}
