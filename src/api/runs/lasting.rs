//! Checks whether a user may still see the thread of a run that they follow.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use tracing::warn;
use uuid::Uuid;

use crate::authn;
use crate::authz::{Action, Scope};
use crate::http::{Access, Credentials, Error};
use crate::store::{Store, Watch};
use crate::time::Timestamp;

/// How often the `on` handler is called again.
const CHECK: Duration = Duration::from_secs(10);
/// Minimum time between two reads of a thread, regardless of the number of writes to it.
const PAUSE: Duration = Duration::from_millis(100);

/// A thread that a user may see, for as long as they may.
pub(super) struct Lasting {
    store: Store,
    access: Access,
    /// The credentials of the request, if they must stay valid during the answer.
    credentials: Option<Credentials>,
    scope: Scope,
    thread_id: Uuid,
    created_at: Timestamp,
    watch: Watch,
}

impl Lasting {
    /// Watches a thread. The caller must read it afterwards: only later changes are noticed.
    pub(super) async fn watch(
        store: &Store,
        scope: &Scope,
        thread_id: Uuid,
    ) -> Result<Watch, Error> {
        let watch = store.watch(scope, thread_id).await?;
        watch.ok_or(Error::ThreadNotFound(thread_id))
    }

    /// A thread that the caller may see.
    pub(super) async fn open(
        store: &Store,
        access: Access,
        scope: Scope,
        thread_id: Uuid,
    ) -> Result<Lasting, Error> {
        let watch = Lasting::watch(store, &scope, thread_id).await?;
        let progress = store.progress(&scope, thread_id).await?;
        let created_at = progress.ok_or(Error::ThreadNotFound(thread_id))?.created_at;
        let store = store.clone();
        Ok(Lasting { store, access, credentials: None, scope, thread_id, created_at, watch })
    }

    /// The same, but only while these credentials are valid.
    pub(super) fn with(mut self, credentials: Credentials) -> Lasting {
        self.credentials = Some(credentials);
        self
    }

    /// The thread.
    pub(super) fn thread_id(&self) -> Uuid {
        self.thread_id
    }

    /// The user's scope.
    pub(super) fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Resolves when the thread is deleted or no longer the user's. The future is small, because a
    /// run may be silent for hours: large parts exist only while they are used.
    pub(super) async fn end(mut self) {
        let mut checked = Instant::now();
        loop {
            let wait = CHECK.saturating_sub(checked.elapsed());
            if timeout(wait, self.watch.changed()).await.is_ok() {
                sleep(PAUSE).await;
            }
            if checked.elapsed() >= CHECK {
                checked = Instant::now();
                match Box::pin(self.renewed()).await {
                    Ok(scope) => self.scope = scope,
                    Err(Error::Unauthenticated(authn::Error::Unavailable { .. })) => {}
                    Err(_) => return,
                }
            }
            match Box::pin(self.store.progress(&self.scope, self.thread_id)).await {
                // A thread that was created later with the same id is a different one.
                Ok(Some(progress)) if progress.created_at == self.created_at => {}
                Ok(_) => return,
                Err(error) => warn!(%error, "could not read the thread of a run"),
            }
        }
    }

    async fn renewed(&self) -> Result<Scope, Error> {
        let thread_ids = [self.thread_id];
        match &self.credentials {
            None => self.access.on(Action::Read, &thread_ids).await,
            Some(credentials) => {
                let access = self.access.renewed(credentials).await?;
                access.on(Action::Read, &thread_ids).await
            }
        }
    }
}
