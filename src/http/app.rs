//! The state that all handlers share.

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
    /// The store of threads.
    pub store: Store,
    /// Authentication and authorization.
    pub auth: Auth,
    /// Limits on the resources that clients may occupy.
    pub limits: Limits,
    /// The ttl of threads that are created without one.
    pub default_ttl: Option<Ttl>,
    /// The agent that runs are forwarded to.
    pub(crate) agent: Option<Arc<Agent>>,
    /// The resources in use.
    pub shares: AppShares,
    /// Cancelled by the signal to stop: the server still serves, and reports that it is not ready.
    pub draining: CancellationToken,
    /// Cancelled when the server begins to stop: open streams end.
    pub stopping: CancellationToken,
}

/// The shares of users, except those of database connections.
#[derive(Debug, Clone)]
pub struct AppShares {
    /// Active requests: from the end of the body to the head of the answer.
    pub requests: Shares,
    /// Open streams.
    pub streams: Shares,
    /// Requests whose body is in memory.
    pub bodies: Shares,
    /// Bytes of these bodies beyond the first 64 KiB of each.
    pub body_bytes: Shares,
    /// Active requests with large bodies, each in its own operating system thread.
    pub large_bodies: Shares,
    /// Bytes of answers that are being made or that clients have not taken.
    pub answer_bytes: Shares,
    /// Requests whose token is being verified.
    pub verifications: Shares,
}

impl AppShares {
    /// The shares for these limits.
    #[must_use]
    pub fn new(limits: &Limits) -> AppShares {
        let Limits { requests, requests_per_user, streams, streams_per_user, .. } = *limits;
        // Enough for one person, and small enough to leave room for the other users.
        let part = |all: u64, user: Option<u64>, part: u64| {
            Shares::new(all, user.unwrap_or_else(|| (all / part).max(1)))
        };
        // The largest allowed body must fit.
        let body = limits.body_bytes as u64;
        let bodies = limits.body_memory.max(body);
        let bodies_of_user = limits.body_memory_per_user.unwrap_or(bodies / 4).max(body);
        // One operating system thread per processor, so that the system divides the time between
        // these and other threads.
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

    /// Takes units of a kind, or refuses the request.
    pub fn take(&self, kind: Kind, holder: Holder, amount: u64) -> Result<Permit, Error> {
        self.of(kind).try_take(holder, amount).map_err(|full| Error::full(kind, full))
    }
}

/// Maximum number of strangers' requests that wait for the verification of their tokens. They hold
/// nothing else.
const MAX_VERIFICATIONS: u64 = 4096;

impl App {
    /// The state of a server that has just started.
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
