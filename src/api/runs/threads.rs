//! Runs of a thread.

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use axum::response::Response;
use uuid::Uuid;

use super::body::{RunBody, Whose};
use super::forward::{Errand, Forward, Learn, Sent};
use super::lasting::Lasting;
use crate::authz::{Action, Scope};
use crate::http::{Error, ThreadId, parse_uuid};
use crate::json::Object;
use crate::store::{Created, IfExists, NewThread};

/// The run id of the path.
pub(super) struct RunId(Uuid);

impl<S: Send + Sync> FromRequestParts<S> for RunId {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let path = RawPathParams::from_request_parts(parts, state).await;
        let path = path.map_err(|_| Error::InvalidRunId)?;
        let run_id = path.iter().find(|(name, _)| *name == "run_id");
        run_id.and_then(|(_, text)| parse_uuid(text)).map(RunId).ok_or(Error::InvalidRunId)
    }
}

/// `POST /threads/{thread_id}/runs`
pub(super) async fn create(forward: Forward, thread: ThreadId, sent: Sent) -> Answer {
    begin(forward, thread, &sent, "", Learn::Json).await
}

/// `POST /threads/{thread_id}/runs/stream`
pub(super) async fn stream(forward: Forward, thread: ThreadId, sent: Sent) -> Answer {
    begin(forward, thread, &sent, "/stream", Learn::Events).await
}

/// `POST /threads/{thread_id}/runs/wait`
pub(super) async fn wait(forward: Forward, thread: ThreadId, sent: Sent) -> Answer {
    begin(forward, thread, &sent, "/wait", Learn::Head).await
}

type Answer = Result<Response, Error>;

/// Starts a run in a thread.
async fn begin(
    forward: Forward,
    ThreadId(thread_id): ThreadId,
    sent: &Sent,
    end: &str,
    learn: Learn,
) -> Answer {
    let text = sent.text()?;
    let names = forward.names(Some(text), Some(thread_id))?;
    let mut run = RunBody::read(text, forward.agent().url())?;
    let thread = thread_of(&forward, thread_id, &mut run).await?;
    forward.own_runs(&thread, &names.runs).await?;
    let beside = touch(&forward, &thread, run.of_thread());
    let body = run.for_agent(Whose {
        key: forward.agent().owner_key(),
        user: &forward.access.user().identity,
        thread_id: Some(thread_id),
    })?;
    forward.send(Errand {
        body: Some(body),
        thread: Some(thread),
        learn,
        beside,
        ..Errand::to(format!("/threads/{thread_id}/runs{end}"))
    })
}

/// The thread in which a run may be started. A missing thread is created for the same user if the
/// run requests it, unless the id is in use by another user.
pub(super) async fn thread_of(
    forward: &Forward,
    thread_id: Uuid,
    run: &mut RunBody<'_>,
) -> Result<Lasting, Error> {
    let (access, store) = (&forward.access, &forward.app.store);
    let action = Action::CreateRun;
    let scope = access.on_metadata(action, &[thread_id], &mut run.metadata).await?;
    let open =
        async |scope: &Scope| Lasting::open(store, access.clone(), scope.clone(), thread_id).await;
    match open(&scope).await {
        Err(Error::ThreadNotFound(_)) if run.makes_thread => {}
        thread => return thread,
    }
    let mut metadata: Object = run.of_thread();
    for (key, value) in run.metadata.iter() {
        metadata.insert(key, value.clone());
    }
    let owner = access.on_metadata(Action::Create, &[thread_id], &mut metadata).await?;
    let new = NewThread { thread_id, has_new_id: false, metadata, ttl: forward.app.default_ttl };
    let created = store.create_thread(&owner, &scope, new, IfExists::DoNothing, Vec::new()).await?;
    match created {
        Created::New(_) | Created::Existing(_) => open(&scope).await,
        Created::Conflict => Err(Error::ThreadNotFound(thread_id)),
    }
}

/// Records the start of a run in its thread, concurrently with the request to the agent.
pub(super) fn touch(
    forward: &Forward,
    thread: &Lasting,
    metadata: Object,
) -> futures::future::BoxFuture<'static, ()> {
    let (store, scope) = (forward.app.store.clone(), thread.scope().clone());
    let thread_id = thread.thread_id();
    Box::pin(async move {
        if let Err(error) = store.begin_run(&scope, thread_id, &metadata).await {
            tracing::warn!(thread.id = %thread_id, %error, "could not update the thread of a run");
        }
    })
}

/// `GET /threads/{thread_id}/runs`
pub(super) async fn list(forward: Forward, ThreadId(thread_id): ThreadId) -> Answer {
    let names = forward.names(None, Some(thread_id))?;
    let read = forward.access.on(Action::Read, &[thread_id]).await?;
    let scope = read.and(forward.access.on(Action::Search, &[thread_id]).await?);
    let (store, access) = (&forward.app.store, forward.access.clone());
    let thread = Lasting::open(store, access, scope, thread_id).await?;
    forward.own_runs(&thread, &names.runs).await?;
    let path = format!("/threads/{thread_id}/runs");
    forward.send(Errand { thread: Some(thread), ..Errand::to(path) })
}

/// `GET /threads/{thread_id}/runs/{run_id}`
pub(super) async fn get(forward: Forward, thread: ThreadId, run: RunId) -> Answer {
    of_run(forward, thread, run, Action::Read, "").await
}

/// `GET /threads/{thread_id}/runs/{run_id}/join`
pub(super) async fn join(forward: Forward, thread: ThreadId, run: RunId) -> Answer {
    of_run(forward, thread, run, Action::Read, "/join").await
}

/// `GET /threads/{thread_id}/runs/{run_id}/stream`
pub(super) async fn join_stream(forward: Forward, thread: ThreadId, run: RunId) -> Answer {
    of_run(forward, thread, run, Action::Read, "/stream").await
}

/// `POST /threads/{thread_id}/runs/{run_id}/cancel`
pub(super) async fn cancel(forward: Forward, thread: ThreadId, run: RunId) -> Answer {
    of_run(forward, thread, run, Action::Update, "/cancel").await
}

/// `DELETE /threads/{thread_id}/runs/{run_id}`
pub(super) async fn delete(forward: Forward, thread: ThreadId, run: RunId) -> Answer {
    of_run(forward, thread, run, Action::Delete, "").await
}

/// Forwards a request about a run that was started in this thread.
async fn of_run(
    forward: Forward,
    ThreadId(thread_id): ThreadId,
    RunId(run_id): RunId,
    action: Action,
    end: &str,
) -> Answer {
    let mut names = forward.names(None, Some(thread_id))?;
    names.runs.push(run_id);
    let thread = forward.thread(action, thread_id).await?;
    forward.own_runs(&thread, &names.runs).await?;
    let path = format!("/threads/{thread_id}/runs/{run_id}{end}");
    let forgets = Some(run_id).filter(|_| action == Action::Delete);
    forward.send(Errand { thread: Some(thread), forgets, ..Errand::to(path) })
}
