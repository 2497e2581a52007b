//! The body of an agent's answer on its way to the client: unbuffered and unchanged.
//!
//! Where an answer does not come to its end the client's connection is broken, so that half an
//! answer never looks whole (D36). Nothing is written into it.

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
use crate::agent::cause_of;
use crate::http::answer::counted_bytes;
use crate::metrics::metrics;
use crate::shares::{Holder, Permit, Shares};

/// A body that is being passed on. Dropping it closes the connection to the agent.
pub(super) struct Relay {
    body: reqwest::Body,
    /// What was read of it already.
    read: Option<Bytes>,
    /// Resolves when the user may not see it any more.
    end: BoxFuture<'static, ()>,
    /// Cancelled when it ends although it could go on. Only for what never ends.
    stopping: Option<CancellationToken>,
    /// How far it is in an event, if it is a stream of events.
    events: Option<End>,
    /// Its first event, if the run is to be learnt from it.
    first: Option<(First, Record)>,
    /// On whose account the bytes are that the client has not taken.
    holder: Holder,
    answer_bytes: Shares,
    outcome: Outcome,
    _place: Permit,
}

/// Counts how it ends.
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
        body: reqwest::Body,
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

    /// These bytes of it were read already.
    pub(super) fn behind(mut self, read: Bytes) -> Relay {
        self.read = Some(read).filter(|read| !read.is_empty());
        self
    }

    /// It is a stream of events. With a record, its first one says which run it is about.
    pub(super) fn of_events(mut self, record: Option<Record>) -> Relay {
        self.events = Some(End::default());
        self.first = record.map(|record| (First::default(), record));
        self
    }

    /// It never ends, so it does not outlast the server's decision to stop.
    pub(super) fn until(mut self, stopping: CancellationToken) -> Relay {
        self.stopping = Some(stopping);
        self
    }

    /// The body of the answer to the client.
    pub(super) fn into_body(self) -> Body {
        Body::from_stream(stream::unfold(Some(self), |relay| async {
            let mut relay = relay?;
            match relay.next().await {
                Ok(Some(bytes)) => Some((Ok(bytes), Some(relay))),
                Ok(None) => {
                    relay.outcome.count(&metrics().agent_answers.ended);
                    None
                }
                Err(broken) => Some((Err(relay.broken(broken)), None)),
            }
        }))
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
                // Before the client knows of the run, so that it can ask for it at once.
                ControlFlow::Break(Some(run_id)) => record.write(run_id).await,
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
                warn!(%cause, "the agent broke off an answer, and so does this server");
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
async fn data(body: &mut reqwest::Body, read: &mut Option<Bytes>) -> Result<Option<Bytes>, Broken> {
    if let Some(read) = read.take() {
        return Ok(Some(read));
    }
    loop {
        match body.frame().await {
            None => return Ok(None),
            Some(Err(error)) => return Err(Broken::Lost(cause_of(error))),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(bytes) if !bytes.is_empty() => return Ok(Some(bytes)),
                // Trailers are about the connection to the agent.
                _ => {}
            },
        }
    }
}
