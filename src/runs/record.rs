//! Remembering which run belongs to which thread, and finding it again.

use tracing::warn;
use uuid::Uuid;

use crate::auth::Scope;
use crate::store::Store;

/// A thread in which a run has begun whose id is to be remembered.
#[derive(Clone)]
pub(super) struct Record {
    /// Where it is remembered.
    pub(super) store: Store,
    /// What its user may see.
    pub(super) scope: Scope,
    /// The thread.
    pub(super) thread_id: Uuid,
}

impl Record {
    /// Remembers a run. If that fails the run goes on: its user reads it to its end.
    pub(super) async fn write(&self, run_id: Uuid) {
        let written = self.store.record_run(&self.scope, self.thread_id, run_id).await;
        if let Err(error) = written {
            warn!(
                thread.id = %self.thread_id,
                %error,
                "could not remember a run: it can be neither joined nor cancelled"
            );
        }
    }
}
