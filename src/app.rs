//! What every handler shares.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::auth::Auth;
use crate::config::Limits;
use crate::store::{Store, Ttl};

/// The parts of a running server, shared by its handlers.
pub struct App {
    /// Where threads are kept.
    pub store: Store,
    /// Who is asking, and what they may see.
    pub auth: Auth,
    /// What clients may take up.
    pub limits: Limits,
    /// What a thread gets that is made without a ttl.
    pub default_ttl: Option<Ttl>,
    /// One permit for each request that may be worked on.
    pub requests: Arc<Semaphore>,
    /// One permit for each stream that may be open.
    pub streams: Arc<Semaphore>,
    /// Cancelled when the server was told to stop: it serves, and says that it is not ready.
    pub draining: CancellationToken,
    /// Cancelled when the server begins to stop: open streams end.
    pub stopping: CancellationToken,
}

impl App {
    /// The parts of a server that has just started.
    #[must_use]
    pub fn new(store: Store, auth: Auth, limits: Limits) -> App {
        App {
            store,
            auth,
            limits,
            default_ttl: None,
            requests: Arc::new(Semaphore::new(limits.requests)),
            streams: Arc::new(Semaphore::new(limits.streams)),
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
