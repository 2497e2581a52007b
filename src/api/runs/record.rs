//! Records which run belongs to which thread, until the run is deleted.

use tracing::warn;
use uuid::Uuid;

use super::lasting::Lasting;
use crate::authz::Scope;
use crate::store::Store;

/// A thread whose runs are recorded.
pub(super) struct Record {
    store: Store,
    scope: Scope,
    thread_id: Uuid,
}

impl Record {
    /// A record of this thread's runs.
    pub(super) fn of(store: &Store, thread: &Lasting) -> Record {
        let (scope, thread_id) = (thread.scope().clone(), thread.thread_id());
        Record { store: store.clone(), scope, thread_id }
    }

    /// Removes a run that the agent has deleted. If that fails, the agent itself answers that the
    /// run does not exist.
    pub(super) async fn erase(&self, run_id: Uuid) {
        if let Err(error) = self.store.forget_run(&self.scope, self.thread_id, run_id).await {
            warn!(thread.id = %self.thread_id, %error, "could not delete the record of a run");
        }
    }

    /// Records a run. If that fails the run continues, and its user can read the answer to its end.
    pub(super) async fn write(&self, run_id: Uuid) {
        let written = self.store.record_run(&self.scope, self.thread_id, run_id).await;
        if let Err(error) = written {
            warn!(
                thread.id = %self.thread_id,
                %error,
                "could not record a run: it can be neither joined nor cancelled"
            );
        }
    }
}
