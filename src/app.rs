//! What every handler shares.

use tokio_util::sync::CancellationToken;

use crate::auth::Auth;
use crate::store::Store;

/// The parts of a running server, shared by its handlers.
pub struct App {
    /// Where threads are kept.
    pub store: Store,
    /// Who is asking, and what they may see.
    pub auth: Auth,
    /// Cancelled when the server begins to stop: open streams end.
    pub stopping: CancellationToken,
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App").field("store", &self.store).finish_non_exhaustive()
    }
}
