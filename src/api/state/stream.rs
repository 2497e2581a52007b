//! `GET /threads/{thread_id}/stream`: writes of state, as server-sent events.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::stream::{self, Stream};
use serde::Serialize;
use tracing::warn;
use uuid::Uuid;

use super::snapshot::{StateSnapshot, Wanted};
use crate::authn;
use crate::authz::{Action, Scope};
use crate::http::answer::counted_bytes;
use crate::http::{Access, App, Credentials, Error, Query, ThreadId};
use crate::json::{Raw, excerpt};
use crate::shares::{Kind, Permit};
use crate::store::{self, Checkpoint, Held, Position, Watch, first_checkpoint_id_of};

/// Interval of comments on a silent stream, so that proxies keep it open.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Maximum number of checkpoints per statement: each may be large.
const BATCH: i64 = 20;
/// Pause after the database failed.
const RETRY: Duration = Duration::from_secs(1);

/// Stream modes, separated by commas or as a JSON list.
#[derive(utoipa::ToSchema)]
#[schema(value_type = String, pattern = r#"^[\[\]" ]*(run_modes|lifecycle|state_update)?[\[\]" ]*(,[\[\]" ]*(run_modes|lifecycle|state_update)?[\[\]" ]*)*$"#)]
#[expect(dead_code, reason = "the document is made of it")]
pub(crate) struct StreamModes(String);

/// Follow a thread
///
/// With the mode `state_update` an event is sent for each checkpoint of the root namespace. The
/// modes `run_modes` (the default) and `lifecycle` are about runs: they are accepted, and no events
/// are sent for them.
#[utoipa::path(
    get, path = "/threads/{thread_id}/stream", tag = "state",
    params(
        ("thread_id" = Uuid, Path, description = "The thread"),
        ("stream_modes" = Option<Vec<StreamModes>>, Query, description = "`run_modes`, `lifecycle`, `state_update`; also as `stream_mode`"),
        ("Last-Event-ID" = Option<String>, Header, nullable = false, pattern = "^(-|[0-9]+(-[0-9]+)?)$", description = "Send the events after this one; `-` for all"),
    ),
    responses(
        (status = 200, description = "The events", content_type = "text/event-stream", body = String),
        (status = 404, description = "No such thread, or not the caller's"),
        (status = 422, description = "The request is not valid"),
        (status = 503, description = "Too many streams are open"),
    )
)]
pub(super) async fn stream(
    State(app): State<Arc<App>>,
    access: Access,
    ThreadId(thread_id): ThreadId,
    credentials: Credentials,
    headers: HeaderMap,
    query: Query,
) -> Result<Response, Error> {
    let sends_state = modes(&query)?.any(|mode| mode == "state_update");
    let since = headers.get("last-event-id").map(last_event_id).transpose()?;
    let follow = Follow::open(app, access, credentials, thread_id, sends_state, since).await?;
    Ok(follow.into_response(HEARTBEAT))
}

/// The requested modes, in both spellings of the parameter, as a list or as a JSON list.
fn modes(query: &Query) -> Result<impl Iterator<Item = String>, Error> {
    let values = query.list("stream_modes").chain(query.list("stream_mode"));
    let trim = |value: &str| value.trim_matches(['[', ']', '"', ' ']).to_owned();
    let modes: Vec<_> = values.map(trim).filter(|mode| !mode.is_empty()).collect();
    match modes
        .iter()
        .find(|mode| !["run_modes", "lifecycle", "state_update"].contains(&mode.as_str()))
    {
        Some(unknown) => Err(Error::Invalid(format!("Invalid stream mode: {}", excerpt(unknown)))),
        None => Ok(modes.into_iter()),
    }
}

/// Parses `-`, `<milliseconds>` or `<milliseconds>-<seq>`: the least id of a checkpoint that the
/// client may have missed, and the sequence number of the last one that it has seen.
fn last_event_id(value: &HeaderValue) -> Result<(Uuid, i64), Error> {
    let invalid =
        || Error::Invalid("Invalid last-event-id: must be a valid Redis stream ID".into());
    let text = value.to_str().map_err(|_| invalid())?;
    if text == "-" {
        return Ok((Uuid::nil(), 0));
    }
    let (milliseconds, seq) = text.split_once('-').unwrap_or((text, "0"));
    let number = |digits: &str| {
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| digits.parse().unwrap_or(i64::MAX)).ok_or_else(invalid)
    };
    Ok((first_checkpoint_id_of(number(milliseconds)?), number(seq)?))
}

/// An open stream.
pub(super) struct Follow {
    app: Arc<App>,
    access: Access,
    credentials: Credentials,
    /// The time when the credentials were last accepted.
    checked: Instant,
    scope: Scope,
    thread_id: Uuid,
    watch: Watch,
    /// The permit for one open stream.
    _place: Permit,
    sends_state: bool,
    /// Whether there may be events to send for which no wake-up will arrive.
    is_behind: bool,
    position: Position,
    ready: VecDeque<Checkpoint>,
    /// The memory that was reserved for the checkpoints in `ready`, if they are large.
    memory: Option<Permit>,
}

#[derive(Serialize)]
struct StateUpdate {
    state: StateSnapshot,
    thread_id: Uuid,
}

impl Follow {
    /// Follows a thread that the caller may read. `since` is the client's position: the least id of
    /// a checkpoint that it may lack, and the sequence number of the last one that it has.
    pub(super) async fn open(
        app: Arc<App>,
        access: Access,
        credentials: Credentials,
        thread_id: Uuid,
        sends_state: bool,
        since: Option<(Uuid, i64)>,
    ) -> Result<Follow, Error> {
        let scope = access.on(Action::Read, &[thread_id]).await?;
        let place = app.shares.take(Kind::Streams, access.holder(), 1)?;
        // Watching comes first, so that every write after `last_seq` wakes the stream.
        let watch = app.store.watch(&scope, thread_id).await?;
        let watch = watch.ok_or(Error::ThreadNotFound(thread_id))?;
        let progress = app.store.progress(&scope, thread_id).await?;
        let progress = progress.ok_or(Error::ThreadNotFound(thread_id))?;
        let created_at = progress.created_at;
        let now = Position { created_at, not_before: Uuid::nil(), seq: progress.last_seq };
        let newest = first_checkpoint_id_of(progress.state_updated_at.milliseconds() + 1);
        // A position after the newest event cannot come from this stream, so nothing is replayed.
        let since = since.map(|(not_before, seq)| Position { created_at, not_before, seq });
        let since = since.filter(|since| since.not_before <= newest && since.seq <= now.seq);
        Ok(Follow {
            app,
            access,
            credentials,
            checked: Instant::now(),
            scope,
            thread_id,
            watch,
            _place: place,
            sends_state,
            is_behind: since.is_some(),
            position: since.unwrap_or(now),
            ready: VecDeque::new(),
            memory: None,
        })
    }

    /// Its events as an answer, with a comment after each `heartbeat` of silence.
    pub(super) fn into_response(self, heartbeat: Duration) -> Response {
        let headers = [
            (header::CONTENT_TYPE, "text/event-stream"),
            (header::CACHE_CONTROL, "no-store"),
            // Tells nginx not to buffer events.
            (HeaderName::from_static("x-accel-buffering"), "no"),
        ];
        (headers, Body::from_stream(self.events(heartbeat))).into_response()
    }

    fn events(self, heartbeat: Duration) -> impl Stream<Item = Result<Bytes, Infallible>> {
        stream::unfold(Some(self), move |follow: Option<Follow>| async move {
            let mut follow = follow?;
            let stopping = follow.app.stopping.clone();
            tokio::select! {
                event = follow.next(heartbeat) => event.map(|event| (Ok(event), Some(follow))),
                () = stopping.cancelled() => {
                    let wait = RETRY.as_millis();
                    let goodbye = format!(": the server is stopping\nretry: {wait}\n\n");
                    Some((Ok(goodbye.into()), None))
                }
            }
        })
    }

    /// The next event, or a heartbeat. `None`: the thread is deleted, or the user may no longer see
    /// it.
    async fn next(&mut self, heartbeat: Duration) -> Option<Bytes> {
        let silent_until = Instant::now() + heartbeat;
        loop {
            if let Some(checkpoint) = self.ready.pop_front() {
                return Some(self.event(checkpoint).await);
            }
            self.memory = None;
            // A silent stream outlives its token by at most this time.
            let check = self.app.limits.stream_check;
            let wait = check.min(silent_until.saturating_duration_since(Instant::now()));
            let has_news =
                self.is_behind || tokio::time::timeout(wait, self.watch.changed()).await.is_ok();
            let may_read_the_same = self.check().await?;
            if !has_news && may_read_the_same {
                if Instant::now() >= silent_until {
                    return Some(Bytes::from_static(b":\n\n"));
                }
                continue;
            }
            match self.fetch().await {
                Ok(Some(Held { value: checkpoints, memory })) => {
                    self.is_behind = !checkpoints.is_empty();
                    self.ready = checkpoints.into();
                    self.memory = memory;
                }
                Ok(None) => return None,
                Err(error) => {
                    warn!(%error, "a stream could not read its thread");
                    self.is_behind = true;
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    /// Checks from time to time whether the stream's token is still accepted and what its user may
    /// read. Returns whether the scope is unchanged. `None`: the user may not read the thread any
    /// more. If the auth server is not available, the scope counts as unchanged.
    async fn check(&mut self) -> Option<bool> {
        if self.checked.elapsed() < self.app.limits.stream_check {
            return Some(true);
        }
        self.checked = Instant::now();
        let scope = match self.access.renewed(&self.credentials).await {
            Ok(access) => access.on(Action::Read, &[self.thread_id]).await.ok()?,
            Err(Error::Unauthenticated(authn::Error::Unavailable { .. })) => return Some(true),
            Err(_) => return None,
        };
        let is_same = scope == self.scope;
        self.scope = scope;
        Some(is_same)
    }

    async fn fetch(&self) -> Result<Option<Held<Vec<Checkpoint>>>, store::Error> {
        let (store, scope, id) = (&self.app.store, &self.scope, self.thread_id);
        if self.sends_state {
            let found = store.checkpoints_since(scope, id, &self.position, BATCH).await?;
            return Ok(found.map(|found| found.map(|found| found.checkpoints)));
        }
        let progress = store.progress(scope, id).await?;
        // A thread that was created later with the same id is a different one.
        let is_there = progress.is_some_and(|now| now.created_at == self.position.created_at);
        Ok(is_there.then(|| Held { value: Vec::new(), memory: None }))
    }

    /// The event of a checkpoint, whose bytes are charged to the user until the client takes them.
    async fn event(&mut self, checkpoint: Checkpoint) -> Bytes {
        let id = format!("{}-{}", checkpoint.created_at.milliseconds(), checkpoint.seq);
        self.position.not_before = checkpoint.checkpoint_id;
        self.position.seq = checkpoint.seq;
        let (thread_id, all) = (self.thread_id, Wanted::default());
        let state = StateSnapshot::new(thread_id, "", None, Some(checkpoint), &all);
        let data = Raw::of(&StateUpdate { state, thread_id }).unwrap_or_default();
        let event = format!("event: state_update\ndata: {}\nid: {id}\n\n", data.text());
        let length = event.len() as u64;
        let permit = match &mut self.memory {
            Some(memory) => memory.split(length),
            None => self.app.shares.answer_bytes.take(self.access.holder(), length).await,
        };
        counted_bytes(event.into(), permit)
    }
}
