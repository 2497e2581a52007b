//! A client of `GET /threads/{thread_id}/stream`.

use std::time::Duration;

use reqwest::{Method, Response};
use serde_json::Value;

use crate::support::User;

/// After this long a test no longer hopes.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// An open stream. Dropping it closes the connection.
pub(crate) struct Events {
    response: Response,
    unread: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) data: Value,
}

impl Event {
    pub(crate) fn checkpoint_id(&self) -> &str {
        self.data["state"]["checkpoint_id"].as_str().unwrap()
    }

    /// The two numbers of the id.
    pub(crate) fn position(&self) -> (u64, u64) {
        let (milliseconds, seq) = self.id.split_once('-').unwrap();
        (milliseconds.parse().unwrap(), seq.parse().unwrap())
    }
}

impl Events {
    /// What is written from now on.
    pub(crate) async fn of(user: &User, thread_id: &str) -> Events {
        Self::open(user, thread_id, "?stream_modes=state_update", None).await
    }

    /// What was written after an event, and from now on.
    pub(crate) async fn since(user: &User, thread_id: &str, id: &str) -> Events {
        Self::open(user, thread_id, "?stream_modes=state_update", Some(id)).await
    }

    pub(crate) async fn open(
        user: &User,
        thread_id: &str,
        query: &str,
        last_event_id: Option<&str>,
    ) -> Events {
        let mut request = user.request(Method::GET, &format!("/threads/{thread_id}/stream{query}"));
        if let Some(id) = last_event_id {
            request = request.header("Last-Event-ID", id);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Events { response, unread: Vec::new() }
    }

    /// The next event; `None` at the end of the stream.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        loop {
            while let Some(end) = self.unread.windows(2).position(|two| two == b"\n\n") {
                let block: Vec<_> = self.unread.drain(..end + 2).collect();
                if let Some(event) = read(std::str::from_utf8(&block).unwrap()) {
                    return Some(event);
                }
            }
            let chunk = tokio::time::timeout(PATIENCE, self.response.chunk());
            self.unread.extend_from_slice(&chunk.await.unwrap().unwrap()?);
        }
    }

    /// The next events, which have to be there.
    pub(crate) async fn take(&mut self, count: usize) -> Vec<Event> {
        let mut events = Vec::new();
        while events.len() < count {
            events.push(self.next().await.unwrap());
        }
        events
    }

    /// All events up to the end of the stream.
    pub(crate) async fn rest(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        events
    }
}

/// `None` for comments.
fn read(block: &str) -> Option<Event> {
    let field = |name: &str| {
        let value = block.lines().find_map(|line| line.strip_prefix(name));
        value.map(|value| value.strip_prefix(' ').unwrap_or(value).to_owned())
    };
    Some(Event {
        data: serde_json::from_str(&field("data:")?).unwrap(),
        name: field("event:").unwrap_or_default(),
        id: field("id:").unwrap_or_default(),
    })
}
