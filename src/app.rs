//! What every handler shares.

use tokio_util::sync::CancellationToken;

use crate::auth::Auth;
use crate::config::Limits;
use crate::error::{Error, Kind};
use crate::shares::{Holder, Permit, Shares};
use crate::store::Store;

/// The parts of a running server, shared by its handlers.
pub struct App {
    /// Where threads are kept.
    pub store: Store,
    /// Who is asking, and what they may see.
    pub auth: Auth,
    /// What clients may take up.
    pub limits: Limits,
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
    /// Bytes of answers that are made, or that the client has not taken.
    pub answer_bytes: Shares,
    /// Requests whose token is being verified.
    pub verifications: Shares,
}

impl AppShares {
    /// As the limits say.
    #[must_use]
    pub fn new(limits: &Limits) -> AppShares {
        let shares = |bound: crate::config::Bound| Shares::new(bound.all, bound.user);
        AppShares {
            requests: shares(limits.requests),
            streams: shares(limits.streams),
            bodies: shares(limits.requests),
            body_bytes: shares(limits.bodies),
            answer_bytes: shares(limits.answers),
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
const MAX_VERIFICATIONS: u64 = 512;

impl App {
    /// The parts of a server that has just started.
    #[must_use]
    pub fn new(store: Store, auth: Auth, limits: Limits, shares: AppShares) -> App {
        App {
            store,
            auth,
            limits,
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
