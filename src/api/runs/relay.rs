//! Passes the body of an agent's answer on to the client, unbuffered and unchanged.
//!
//! If an answer does not end normally the client's connection is broken, so that an incomplete
//! answer never looks complete (D36). Nothing is added to an answer.

use std::io;
use std::ops::ControlFlow;

use axum::body::Body;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream;
use http_body_util::BodyExt as _;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::events::{End, First};
use super::record::Record;
use crate::agent;
use crate::http::answer::counted_bytes;
use crate::metrics::metrics;
use crate::shares::{Holder, Permit, Shares};

/// A body that is passed on. Dropping it closes the connection to the agent.
pub(super) struct Relay {
    body: agent::Body,
    /// The part that was already read.
    read: Option<Bytes>,
    /// Resolves when the user may no longer see the body.
    end: BoxFuture<'static, ()>,
    /// Cancelled when the server stops. Only for endless streams.
    stopping: Option<CancellationToken>,
    /// The position within an event, if it is a stream of events.
    events: Option<End>,
    /// Its first event, if the run is to be read from it.
    first: Option<(First, Record)>,
    /// The holder that bytes are charged to until the client has taken them.
    holder: Holder,
    answer_bytes: Shares,
    outcome: Outcome,
    _place: Permit,
}

/// Counts how an answer ended. Dropped before that, it counts that the client has left.
struct Outcome(bool);

impl Outcome {
    fn count(&mut self, counter: &::metrics::Counter) {
        counter.increment(1);
        self.0 = true;
    }
}

impl Drop for Outcome {
    fn drop(&mut self) {
        if !self.0 {
            metrics().agent_answers.left.increment(1);
        }
    }
}

/// Why a client's connection is broken.
enum Broken {
    Lost(String),
    Gone,
    Stopping,
}

impl Relay {
    /// A body, for a user who may see it until `end`.
    pub(super) fn new(
        body: agent::Body,
        end: BoxFuture<'static, ()>,
        holder: Holder,
        answer_bytes: Shares,
        place: Permit,
    ) -> Relay {
        Relay {
            body,
            read: None,
            end,
            stopping: None,
            events: None,
            first: None,
            holder,
            answer_bytes,
            outcome: Outcome(false),
            _place: place,
        }
    }

    /// Adds bytes that were already read.
    pub(super) fn behind(mut self, read: Bytes) -> Relay {
        self.read = Some(read).filter(|read| !read.is_empty());
        self
    }

    /// Marks it as a stream of events. With a record, the run is read from its first event.
    pub(super) fn of_events(mut self, record: Option<Record>) -> Relay {
        self.events = Some(End::default());
        self.first = record.map(|record| (First::default(), record));
        self
    }

    /// Marks it as endless, so that it ends when the server begins to stop.
    pub(super) fn until(mut self, stopping: CancellationToken) -> Relay {
        self.stopping = Some(stopping);
        self
    }

    /// The body of the answer to the client.
    pub(super) fn into_body(self) -> Body {
        let end = size_of_val(&*self.end);
        let stream = stream::unfold(Some(self), |relay| async {
            let mut relay = relay?;
            match relay.next().await {
                Ok(Some(bytes)) => Some((Ok(bytes), Some(relay))),
                Ok(None) => {
                    relay.outcome.count(&metrics().agent_answers.ended);
                    None
                }
                Err(broken) => {
                    // The error ends the connection, so the bytes before it are sent first.
                    tokio::task::yield_now().await;
                    Some((Err(relay.broken(broken)), None))
                }
            }
        });
        // Every followed run has such a stream, most of them silent for long, so it must be small.
        debug_assert!(end + size_of_val(&stream) < 4 * 1024, "{end} and {}", size_of_val(&stream));
        Body::from_stream(stream)
    }

    async fn next(&mut self) -> Result<Option<Bytes>, Broken> {
        let stopping = self.stopping.clone();
        let stopped = async {
            match stopping {
                Some(stopping) => stopping.cancelled_owned().await,
                None => std::future::pending().await,
            }
        };
        let bytes = tokio::select! {
            biased;
            () = &mut self.end => return Err(Broken::Gone),
            () = stopped => return Err(Broken::Stopping),
            bytes = data(&mut self.body, &mut self.read) => bytes?,
        };
        let Some(bytes) = bytes else {
            return match &self.events {
                Some(end) if !end.is_whole() => {
                    Err(Broken::Lost("the stream ended within an event".to_owned()))
                }
                _ => Ok(None),
            };
        };
        if let Some(end) = &mut self.events {
            end.pass(&bytes);
        }
        if let Some((mut first, record)) = self.first.take() {
            match first.take(&bytes) {
                ControlFlow::Continue(()) => self.first = Some((first, record)),
                // Before the client learns of the run, so that its next request can name it.
                ControlFlow::Break(Some(run_id)) => Box::pin(record.write(run_id)).await,
                ControlFlow::Break(None) => {}
            }
        }
        let permit = tokio::select! {
            permit = self.answer_bytes.take(self.holder, bytes.len() as u64) => permit,
            () = &mut self.end => return Err(Broken::Gone),
        };
        Ok(Some(counted_bytes(bytes, permit)))
    }

    fn broken(&mut self, broken: Broken) -> io::Error {
        let answers = &metrics().agent_answers;
        let why = match broken {
            Broken::Lost(cause) => {
                warn!(%cause, "the agent broke off an answer, so the client's connection is broken too");
                self.outcome.count(&answers.lost);
                "the agent broke off"
            }
            Broken::Gone => {
                self.outcome.count(&answers.gone);
                "the thread is gone"
            }
            Broken::Stopping => {
                self.outcome.count(&answers.gone);
                "the server is stopping"
            }
        };
        io::Error::new(io::ErrorKind::ConnectionAborted, why)
    }
}

/// The next bytes of a body.
async fn data(body: &mut agent::Body, read: &mut Option<Bytes>) -> Result<Option<Bytes>, Broken> {
    if let Some(read) = read.take() {
        return Ok(Some(read));
    }
    loop {
        match body.frame().await {
            None => return Ok(None),
            Some(Err(error)) => return Err(Broken::Lost(error.to_string())),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(bytes) if !bytes.is_empty() => return Ok(Some(bytes)),
                // Trailers are about the connection to the agent.
                _ => {}
            },
        }
    }
}
