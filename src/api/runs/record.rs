//! Remembering which run belongs to which thread, and finding it again.

use tracing::warn;
use uuid::Uuid;

use super::lasting::Lasting;
use crate::authz::Scope;
use crate::store::Store;

/// A thread whose runs are remembered.
pub(super) struct Record {
    store: Store,
    scope: Scope,
    thread_id: Uuid,
}

impl Record {
    /// Remembers runs of this thread.
    pub(super) fn of(store: &Store, thread: &Lasting) -> Record {
        let (scope, thread_id) = (thread.scope().clone(), thread.thread_id());
        Record { store: store.clone(), scope, thread_id }
    }

    /// Forgets a run that the agent has deleted. If that fails, the agent says that there is none.
    pub(super) async fn erase(&self, run_id: Uuid) {
        if let Err(error) = self.store.forget_run(&self.scope, self.thread_id, run_id).await {
            warn!(thread.id = %self.thread_id, %error, "could not forget a run");
        }
    }

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
