//! Runs without a thread, and cancelling runs.

use axum::response::Response;
use uuid::Uuid;

use super::body::{RunBody, Whose};
use super::forward::{Errand, Forward, Sent};
use super::names::Names;
use crate::agent::Area;
use crate::authz::Action;
use crate::http::Error;
use crate::json::{Members, for_each};

type Answer = Result<Response, Error>;

/// Maximum number of runs of one batch or one cancel request.
const MAX_RUNS: usize = 100;

/// `POST /runs`
pub(super) async fn create(forward: Forward, sent: Sent) -> Answer {
    begin(forward, &sent, "/runs").await
}

/// `POST /runs/stream`
pub(super) async fn stream(forward: Forward, sent: Sent) -> Answer {
    begin(forward, &sent, "/runs/stream").await
}

/// `POST /runs/wait`
pub(super) async fn wait(forward: Forward, sent: Sent) -> Answer {
    begin(forward, &sent, "/runs/wait").await
}

async fn begin(forward: Forward, sent: &Sent, path: &str) -> Answer {
    let text = sent.text()?;
    own_names(&forward, Some(text)).await?;
    let body = run_for_agent(&forward, text).await?;
    forward.send(Errand { body: Some(body), ..Errand::to(path.to_owned()) })
}

/// `POST /runs/batch`
pub(super) async fn batch(forward: Forward, sent: Sent) -> Answer {
    let list = || Error::Invalid("request body: expected a list".into());
    let text = sent.0.as_deref().ok_or_else(list)?;
    own_names(&forward, Some(text)).await?;
    let mut runs = Vec::new();
    let take = |run| {
        runs.push(run);
        (runs.len() <= MAX_RUNS).then_some(()).ok_or(())
    };
    if for_each(text, take).map_err(|_| list())?.is_err() {
        return Err(Error::Invalid(format!("request body: more than {MAX_RUNS} runs")));
    }
    let mut bodies = Vec::new();
    for run in runs {
        bodies.push(run_for_agent(&forward, run).await?);
    }
    let body = format!("[{}]", bodies.join(","));
    forward.send(Errand { body: Some(body), ..Errand::to("/runs/batch".to_owned()) })
}

/// The body that the agent gets for a run without a thread.
async fn run_for_agent(forward: &Forward, text: &str) -> Result<String, Error> {
    let mut run = RunBody::read(text, forward.agent().url())?;
    forward.access.on_metadata(Action::CreateRun, &[], &mut run.metadata).await?;
    run.for_agent(Whose {
        key: forward.agent().owner_key(),
        user: &forward.access.user().identity,
        thread_id: None,
    })
}

/// Refuses threads that are not the caller's, and all runs, because their owner is unknown without
/// a thread.
pub(super) async fn own_names(forward: &Forward, body: Option<&str>) -> Result<Names, Error> {
    let names = forward.names(body, None)?;
    for thread_id in &names.threads {
        forward.thread(Action::Read, *thread_id).await?;
    }
    if !names.runs.is_empty() {
        return Err(Error::RunNotFound);
    }
    Ok(names)
}

/// `POST /runs/cancel`: cancels runs of one thread by their ids. Cancelling by status is refused,
/// unless the operator has enabled it.
pub(super) async fn cancel(forward: Forward, sent: Sent) -> Answer {
    let text = sent.text()?;
    let names = forward.names(Some(text), None)?;
    let members = Members::read(text)
        .map_err(|_| Error::Invalid("request body: expected an object".into()))?;
    let by_status = members.get("status").is_some_and(|status| status != "null");
    let errand = Errand { body: Some(text.to_owned()), ..Errand::to("/runs/cancel".to_owned()) };
    let thread_id = match names.threads.as_slice() {
        [thread_id] if !by_status && !names.runs.is_empty() => *thread_id,
        threads => {
            return by_status_or_nothing(forward, errand, threads, &names.runs).await;
        }
    };
    if names.runs.len() > MAX_RUNS {
        return Err(Error::Invalid(format!("run_ids: more than {MAX_RUNS}")));
    }
    let thread = forward.thread(Action::Update, thread_id).await?;
    forward.own_runs(&thread, &names.runs).await?;
    forward.send(Errand { thread: Some(thread), ..errand })
}

async fn by_status_or_nothing(
    forward: Forward,
    errand: Errand,
    threads: &[Uuid],
    runs: &[Uuid],
) -> Answer {
    for thread_id in threads {
        forward.thread(Action::Update, *thread_id).await?;
    }
    if !forward.agent().forwards(Area::Cancel) {
        return Err(Error::NotForwarded("requests to cancel runs by their status"));
    }
    if !runs.is_empty() {
        return Err(Error::RunNotFound);
    }
    forward.access.on(Action::Update, &[]).await?;
    forward.send(errand)
}
