//! Reading server-sent events.

use std::time::Duration;

use reqwest::Method;
use tokio::time::timeout;

use super::User;

/// An open stream.
pub(crate) struct Events {
    response: reqwest::Response,
    buffer: String,
}

/// What came of waiting.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// An event as it was sent, without the empty line at its end. Comments are left out.
    Event(String),
    /// The stream is over.
    End,
    /// Nothing in that time.
    Silence,
}

impl User {
    /// Opens the stream of a thread, from the beginning if `all`.
    pub(crate) async fn events(&self, thread_id: &str, all: bool) -> Events {
        let path = format!("/threads/{thread_id}/stream?stream_modes=state_update");
        let mut request = self.request(Method::GET, &path);
        if all {
            request = request.header("last-event-id", "-");
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        Events { response, buffer: String::new() }
    }
}

impl Events {
    pub(crate) async fn next(&mut self, limit: Duration) -> Next {
        let deadline = tokio::time::Instant::now() + limit;
        loop {
            while let Some(end) = self.buffer.find("\n\n") {
                let event = self.buffer[..end].to_owned();
                self.buffer.drain(..end + 2);
                if !event.starts_with(':') {
                    return Next::Event(event);
                }
            }
            let left = deadline.saturating_duration_since(tokio::time::Instant::now());
            match timeout(left, self.response.chunk()).await {
                Err(_) => return Next::Silence,
                Ok(Ok(Some(chunk))) => self.buffer.push_str(std::str::from_utf8(&chunk).unwrap()),
                Ok(Ok(None) | Err(_)) => return Next::End,
            }
        }
    }
}
