//! The second protocol of the SDKs, `threads.stream`: commands, and a concurrent stream of events.

use std::time::Duration;

use axum::response::Response;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::body::{RunBody, Whose};
use super::forward::{Errand, Forward, Learn, Sent};
use super::threads::{thread_of, touch};
use crate::authz::Action;
use crate::http::{Error, Later, ThreadId};
use crate::json::{Members, excerpt};

type Answer = Result<Response, Error>;

/// How long a stream waits for its thread. Clients open the stream together with the command that
/// creates the thread.
const THREAD_DEADLINE: Duration = Duration::from_secs(5);
/// Pause between two lookups of the thread.
const LOOK: Duration = Duration::from_millis(100);

/// `POST /threads/{thread_id}/commands`
pub(super) async fn command(forward: Forward, ThreadId(thread_id): ThreadId, sent: Sent) -> Answer {
    let text = sent.text()?;
    let names = forward.names(Some(text), Some(thread_id))?;
    let mut command = members(text)?;
    let method = command.get("method").and_then(|text| serde_json::from_str::<String>(text).ok());
    let is_start = method.as_deref() == Some("run.start");
    let params = command.get("params").filter(|params| *params != "null").unwrap_or("{}");
    let mut run = RunBody::read(params, forward.agent().url())?;
    // As on the reference server, `run.start` creates a missing thread, whatever the body says.
    run.makes_thread = is_start;
    let is_run = is_start || method.as_deref() == Some("input.respond");
    let thread = if is_run {
        thread_of(&forward, thread_id, &mut run).await?
    } else {
        forward.thread(Action::Read, thread_id).await?
    };
    forward.own_runs(&thread, &names.runs).await?;
    let mut errand = Errand::to(format!("/threads/{thread_id}/commands"));
    if is_run {
        errand.beside = touch(&forward, &thread, run.of_thread());
        errand.learn = Learn::Json;
    }
    let params = run.params_for_agent(
        Whose {
            key: forward.agent().owner_key(),
            user: &forward.access.user().identity,
            thread_id: Some(thread_id),
        },
        is_start,
    )?;
    if command.get("params").is_some() {
        command.set("params", params);
    }
    let body = Some(command.to_text());
    forward.send(Errand { body, thread: Some(thread), ..errand })
}

/// `POST /threads/{thread_id}/stream/events`
pub(super) async fn events(forward: Forward, thread_id: Uuid, text: String) -> Answer {
    let names = forward.names(Some(&text), Some(thread_id))?;
    forward.access.on(Action::Read, &[thread_id]).await?;
    let place = forward.place()?;
    Ok(Later::answer(async move {
        let answer = async {
            let thread = awaited(&forward, thread_id).await?;
            forward.own_runs(&thread, &names.runs).await?;
            let errand = Errand {
                body: Some(text),
                thread: Some(thread.with(forward.credentials.clone())),
                is_endless: true,
                ..Errand::to(format!("/threads/{thread_id}/stream/events"))
            };
            forward.answer(errand, place).await
        };
        answer.await.unwrap_or_else(Error::into)
    }))
}

/// Waits for the thread to exist. A foreign thread is waited for like a missing one.
async fn awaited(forward: &Forward, thread_id: Uuid) -> Result<super::lasting::Lasting, Error> {
    let deadline = Instant::now() + THREAD_DEADLINE;
    loop {
        match forward.thread(Action::Read, thread_id).await {
            Err(Error::ThreadNotFound(_)) if Instant::now() < deadline => sleep(LOOK).await,
            thread => return thread,
        }
    }
}

fn members(text: &str) -> Result<Members<'_>, Error> {
    Members::read(text)
        .map_err(|error| Error::Invalid(format!("request body: {}", excerpt(&error.to_string()))))
}
