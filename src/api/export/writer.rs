//! Writes exports as fast as clients read them, with one page of states in memory.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use bytes::Bytes;
use futures::stream;
use serde::Serialize;
use tokio::sync::mpsc;
use tracing::warn;
use uuid::Uuid;

use super::lines::{Line, without_values};
use crate::api::state::snapshot::{StateSnapshot, Wanted};
use crate::api::threads::cursor::Cursor;
use crate::authz::Action;
use crate::http::answer::counted_bytes;
use crate::http::{Access, App, Credentials, Error};
use crate::json::Raw;
use crate::shares::Permit;
use crate::store::{self, Behind, Channels, Criteria, Held, Page, Selection, Thread};
use crate::time::Timestamp;

/// Threads per lookup.
pub(super) const THREADS: i64 = 50;
/// States per statement: each may be large.
const STATES: i64 = 20;
/// How often the token of an export's request is checked again.
const CHECK: Duration = Duration::from_secs(10);

/// A running export.
pub(super) struct Writer {
    app: Arc<App>,
    access: Access,
    credentials: Credentials,
    checked: Instant,
    /// The permit for one open stream.
    _place: Permit,
    body: mpsc::Sender<io::Result<Bytes>>,
    taken: mpsc::Receiver<io::Result<Bytes>>,
}

/// The content of an export.
pub(super) enum Exported {
    /// One thread, as one JSON object.
    Thread(Uuid),
    /// All threads, beginning with this page, as JSON lines.
    All(Page),
}

/// Why an export ends early.
enum Cut {
    /// The client has disconnected.
    Gone,
    /// An error, which breaks the client's connection.
    Failed(Error),
}

impl<E: Into<Error>> From<E> for Cut {
    fn from(error: E) -> Cut {
        Cut::Failed(error.into())
    }
}

impl Writer {
    pub(super) fn begin(
        app: Arc<App>,
        access: Access,
        credentials: Credentials,
        place: Permit,
    ) -> Writer {
        let (body, taken) = mpsc::channel(1);
        Writer { app, access, credentials, checked: Instant::now(), _place: place, body, taken }
    }

    /// A body that is written as fast as the client takes it.
    pub(super) fn body(mut self, what: Exported) -> Body {
        let (_, none) = mpsc::channel(1);
        let taken = std::mem::replace(&mut self.taken, none);
        tokio::spawn(async move {
            let stopping = self.app.stopping.clone();
            let outcome = tokio::select! {
                outcome = self.write(what) => outcome,
                () = stopping.cancelled() => Err(Cut::Failed(Error::Stopping)),
            };
            if let Err(Cut::Failed(error)) = outcome {
                let cause = error.cause().unwrap_or_else(|| error.to_string());
                warn!(%cause, "an export ended early");
                let _ = self.body.send(Err(io::Error::other("the export ended early"))).await;
            }
        });
        Body::from_stream(stream::unfold(taken, |mut taken| async move {
            Some((taken.recv().await?, taken))
        }))
    }

    async fn write(&mut self, what: Exported) -> Result<(), Cut> {
        match what {
            Exported::Thread(thread_id) => self.object(thread_id).await,
            Exported::All(page) => self.all(page).await,
        }
    }

    async fn object(&mut self, thread_id: Uuid) -> Result<(), Cut> {
        let Some(thread) = self.thread(thread_id).await? else {
            return Err(Cut::Failed(Error::ThreadNotFound(thread_id)));
        };
        let thread = Raw::of(&without_values(thread)).unwrap_or_default();
        self.send(&mut None, format!("{{\"thread\":{},\"states\":[", thread.text())).await?;
        let mut comma = "\n";
        self.states(thread_id, |state| {
            let text = Raw::of(&state).unwrap_or_default().into_text();
            std::mem::replace(&mut comma, ",\n").to_owned() + &text
        })
        .await?;
        self.send(&mut None, "\n]}\n".to_owned()).await
    }

    async fn all(&mut self, mut page: Page) -> Result<(), Cut> {
        let began = self.newest().await?;
        let mut written = HashSet::new();
        loop {
            self.check().await?;
            let mut criteria = Criteria::default();
            let scope =
                self.access.on_metadata(Action::Search, &[], &mut criteria.metadata).await?;
            let wanted = store::Wanted::default();
            let found =
                self.app.store.search_threads(&scope, &criteria, page.clone(), wanted).await?;
            let Some(last) = found.value.threads.last() else { break };
            let (value, thread_id) = (last.updated_at.to_string(), last.thread_id);
            page.behind = Some(Behind { value, thread_id });
            for thread in found.value.threads {
                // A thread that is written to all the time would otherwise keep the export from
                // ending.
                let is_known = !written.insert(thread.thread_id);
                let is_later = |moment| began.is_none_or(|began| moment > began);
                if is_later(thread.created_at) || is_known && is_later(thread.updated_at) {
                    continue;
                }
                let cursor = Cursor::behind(&thread, &page, 0).to_text();
                self.lines_of(thread).await?;
                self.line(&Line::Cursor(cursor.unwrap_or_default())).await?;
            }
        }
        self.line(&Line::End(true)).await
    }

    /// The newest `updated_at`. `None`: there are no threads.
    async fn newest(&mut self) -> Result<Option<Timestamp>, Cut> {
        let scope = self.access.on(Action::Search, &[]).await?;
        let page = Page {
            behind: None,
            limit: 1,
            offset: 0,
            sort_by: store::SortKey::UpdatedAt,
            ascending: false,
        };
        let all = Criteria::default();
        let found =
            self.app.store.search_threads(&scope, &all, page, store::Wanted::default()).await?;
        Ok(found.value.threads.first().map(|thread| thread.updated_at))
    }

    async fn lines_of(&mut self, listed: Thread) -> Result<(), Cut> {
        let thread_id = listed.thread_id;
        // A thread that has since been deleted, or that the user may find but not read, is omitted.
        let Some(thread) = self.thread(thread_id).await? else { return Ok(()) };
        self.line(&Line::Thread(Box::new(without_values(thread)))).await?;
        self.states(thread_id, |state| text(&Line::State(Box::new(state)))).await
    }

    /// A thread without its values.
    async fn thread(&mut self, thread_id: Uuid) -> Result<Option<Thread>, Cut> {
        self.check().await?;
        let scope = self.access.on(Action::Read, &[thread_id]).await?;
        let criteria = Criteria { ids: vec![thread_id], ..Criteria::default() };
        let page = Page {
            behind: None,
            limit: 1,
            offset: 0,
            sort_by: store::SortKey::ThreadId,
            ascending: true,
        };
        let wanted = store::Wanted::default();
        let found = self.app.store.search_threads(&scope, &criteria, page, wanted).await?;
        Ok(found.value.threads.into_iter().next())
    }

    /// All states of a thread, newest first.
    async fn states(
        &mut self,
        thread_id: Uuid,
        mut write: impl FnMut(StateSnapshot) -> String + Send,
    ) -> Result<(), Cut> {
        let mut selection = Selection::default();
        loop {
            self.check().await?;
            let scope = self.access.on(Action::Read, &[thread_id]).await?;
            let all = Channels::All;
            let states =
                self.app.store.checkpoints(&scope, thread_id, &selection, STATES, &all).await?;
            let Some(Held { value, mut memory }) = states else { return Ok(()) };
            let Some(last) = value.checkpoints.last() else { return Ok(()) };
            selection.before = Some(last.checkpoint_id);
            for state in value.checkpoints {
                let wanted = Wanted::default();
                let state = StateSnapshot::new(thread_id, "", None, Some(state), &wanted);
                self.send(&mut memory, write(state)).await?;
            }
        }
    }

    async fn line(&mut self, line: &Line) -> Result<(), Cut> {
        self.send(&mut None, text(line)).await
    }

    /// Sends text, whose bytes are charged to the user until the client has taken them.
    async fn send(&mut self, memory: &mut Option<Permit>, text: String) -> Result<(), Cut> {
        let length = text.len() as u64;
        let permit = match memory {
            Some(memory) if memory.amount() >= length => memory.split(length),
            _ => self.app.shares.answer_bytes.take(self.access.holder(), length).await,
        };
        let bytes = counted_bytes(text.into(), permit);
        self.body.send(Ok(bytes)).await.map_err(|_| Cut::Gone)
    }

    /// Checks every [`CHECK`] whether the token of the export's request is still accepted.
    async fn check(&mut self) -> Result<(), Cut> {
        if self.checked.elapsed() >= CHECK {
            self.access = self.access.renewed(&self.credentials).await?;
            self.checked = Instant::now();
        }
        Ok(())
    }
}

fn text(line: &impl Serialize) -> String {
    Raw::of(line).unwrap_or_default().into_text() + "\n"
}
