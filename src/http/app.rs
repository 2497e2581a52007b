//! What every handler shares.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::error::Error;
use crate::agent::Agent;
use crate::auth::Auth;
use crate::config::Limits;
use crate::shares::{Holder, Kind, Permit, Shares};
use crate::store::{Store, Ttl};

/// The parts of a running server, shared by its handlers.
pub struct App {
    /// Where threads are kept.
    pub store: Store,
    /// Who is asking, and what they may see.
    pub auth: Auth,
    /// What clients may take up.
    pub limits: Limits,
    /// The ttl of threads that are created without one.
    pub default_ttl: Option<Ttl>,
    /// The agent that runs are forwarded to.
    pub(crate) agent: Option<Arc<Agent>>,
    /// What is taken up.
    pub shares: AppShares,
    /// Cancelled when the server was told to stop: it serves, and says that it is not ready.
    pub draining: CancellationToken,
    /// Cancelled when the server begins to stop: open streams end.
    pub stopping: CancellationToken,
}

/// What users have shares of, beside database connections.
#[derive(Debug, Clone)]
pub struct AppShares {
    /// Requests that are worked on: from the end of the body to the head of the answer.
    pub requests: Shares,
    /// Open streams.
    pub streams: Shares,
    /// Requests whose body is read or worked on.
    pub bodies: Shares,
    /// Bytes of these bodies beyond the first 64 KiB of each.
    pub body_bytes: Shares,
    /// Requests with large bodies that are worked on, each in a thread of its own.
    pub large_bodies: Shares,
    /// Bytes of answers that are made, or that the client has not taken.
    pub answer_bytes: Shares,
    /// Requests whose token is being verified.
    pub verifications: Shares,
}

impl AppShares {
    /// As the limits say.
    #[must_use]
    pub fn new(limits: &Limits) -> AppShares {
        let Limits { requests, requests_per_user, streams, streams_per_user, .. } = *limits;
        // Enough for what one person does, and little enough to leave the server to the others.
        let part = |all: u64, user: Option<u64>, part: u64| {
            Shares::new(all, user.unwrap_or_else(|| (all / part).max(1)))
        };
        // The largest body that is allowed has to fit.
        let body = limits.body_bytes as u64;
        let bodies = limits.body_memory.max(body);
        let bodies_of_user = limits.body_memory_per_user.unwrap_or(bodies / 4).max(body);
        // A thread for each processor, so that the system divides the time between these and others.
        let threads =
            std::thread::available_parallelism().map_or(2, |number| number.get().max(2)) as u64;
        AppShares {
            requests: part(requests, requests_per_user, 8),
            streams: part(streams, streams_per_user, 8),
            bodies: part(requests, requests_per_user, 8),
            body_bytes: Shares::new(bodies, bodies_of_user),
            large_bodies: Shares::new(threads, threads / 2),
            answer_bytes: part(limits.answer_memory, limits.answer_memory_per_user, 4),
            verifications: Shares::new(MAX_VERIFICATIONS, MAX_VERIFICATIONS),
        }
    }

    /// The units of a kind.
    #[must_use]
    pub fn of(&self, kind: Kind) -> &Shares {
        match kind {
            Kind::Requests => &self.requests,
            Kind::Streams => &self.streams,
            Kind::Bodies => &self.bodies,
            Kind::BodyBytes => &self.body_bytes,
            Kind::LargeBodies => &self.large_bodies,
            Kind::AnswerBytes => &self.answer_bytes,
            Kind::Verifications => &self.verifications,
        }
    }

    /// Takes some of a kind, or refuses the request.
    pub fn take(&self, kind: Kind, holder: Holder, amount: u64) -> Result<Permit, Error> {
        self.of(kind).try_take(holder, amount).map_err(|full| Error::full(kind, full))
    }
}

/// Requests of strangers that wait for the verification of their tokens. They hold nothing else.
const MAX_VERIFICATIONS: u64 = 4096;

impl App {
    /// The parts of a server that has just started.
    #[must_use]
    pub fn new(store: Store, auth: Auth, limits: Limits, shares: AppShares) -> App {
        App {
            store,
            auth,
            limits,
            default_ttl: None,
            agent: None,
            shares,
            draining: CancellationToken::new(),
            stopping: CancellationToken::new(),
        }
    }
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App").field("store", &self.store).finish_non_exhaustive()
    }
}
