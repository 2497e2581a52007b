//! Whether a user may still see the thread whose run they follow.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use tracing::warn;
use uuid::Uuid;

use crate::authn;
use crate::authz::{Action, Scope};
use crate::http::{Access, Credentials, Error};
use crate::store::{Store, Watch};
use crate::time::Timestamp;

/// How often the on handlers are asked again.
const CHECK: Duration = Duration::from_secs(10);
/// Least time between two looks at a thread, however much is written to it.
const PAUSE: Duration = Duration::from_millis(100);

/// A thread that a user may see, and goes on to see.
pub(super) struct Lasting {
    store: Store,
    access: Access,
    /// What the request authenticated with, if that is to count for as long as the answer goes on.
    credentials: Option<Credentials>,
    scope: Scope,
    thread_id: Uuid,
    created_at: Timestamp,
    watch: Watch,
}

impl Lasting {
    /// Watches a thread. Whoever asks looks at the thread afterwards: what happens to it after that
    /// is noticed.
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

    /// The same for as long as these credentials count.
    pub(super) fn with(mut self, credentials: Credentials) -> Lasting {
        self.credentials = Some(credentials);
        self
    }

    /// The thread.
    pub(super) fn thread_id(&self) -> Uuid {
        self.thread_id
    }

    /// What the user may see.
    pub(super) fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Resolves when the thread is deleted, or is not the user's any more.
    pub(super) async fn end(mut self) {
        let mut checked = Instant::now();
        loop {
            let wait = CHECK.saturating_sub(checked.elapsed());
            if timeout(wait, self.watch.changed()).await.is_ok() {
                sleep(PAUSE).await;
            }
            if checked.elapsed() >= CHECK {
                checked = Instant::now();
                match self.renewed().await {
                    Ok(scope) => self.scope = scope,
                    Err(Error::Unauthenticated(authn::Error::Unavailable { .. })) => {}
                    Err(_) => return,
                }
            }
            match self.store.progress(&self.scope, self.thread_id).await {
                // A thread made later under the same id is another one.
                Ok(Some(progress)) if progress.created_at == self.created_at => {}
                Ok(_) => return,
                Err(error) => warn!(%error, "could not look at the thread of a run"),
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
