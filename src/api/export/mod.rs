//! Export of a user's threads with state and history, for reading or for importing elsewhere. An
//! addition of this server.

mod lines;
mod markdown;
mod writer;

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::threads::cursor::Cursor;
use crate::authz::Action;
use crate::http::answer::Reserved;
use crate::http::{Access, App, Credentials, Error, Query, ThreadId};
use crate::json::quoted;
use crate::shares::Kind;
use crate::store::{Channels, Page, Selection, SortKey};
use writer::{Exported, Writer};

/// The routes of this area.
pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(export_thread)).routes(routes!(export_all))
}

/// Checkpoints that are counted per statement.
const PAGE: i64 = 1_000;

/// Export a thread
///
/// As JSON it is `{"thread": ..., "states": [...]}` with every state of every branch, newest first.
/// The first one is the current state. As Markdown it has the messages of the current state.
#[utoipa::path(
    get, path = "/threads/{thread_id}/export", tag = "export",
    params(
        ("thread_id" = Uuid, Path, description = "The thread"),
        ("format" = Option<String>, Query, pattern = "^(json|markdown)$", description = "`json` (the default) or `markdown`"),
    ),
    responses(
        (status = 200, description = "The thread", content(
            (serde_json::Value = "application/json"), (String = "text/markdown"),
        )),
        (status = 404, description = "No such thread, or not the caller's"),
        (status = 422, description = "The request is not valid"),
        (status = 503, description = "Too many streams are open"),
    )
)]
async fn export_thread(
    State(app): State<Arc<App>>,
    access: Access,
    credentials: Credentials,
    ThreadId(thread_id): ThreadId,
    query: Query,
) -> Result<Response, Error> {
    match query.get("format") {
        None | Some("json") => {
            let scope = access.on(Action::Read, &[thread_id]).await?;
            let place = app.shares.take(Kind::Streams, access.holder(), 1)?;
            let found = app.store.progress(&scope, thread_id).await?;
            found.ok_or(Error::ThreadNotFound(thread_id))?;
            let body =
                Writer::begin(app, access, credentials, place).body(Exported::Thread(thread_id));
            Ok((attached("application/json", &format!("{thread_id}.json")), body).into_response())
        }
        Some("markdown") => as_markdown(&app, &access, thread_id).await,
        Some(other) => {
            Err(Error::Invalid(format!("format: {} is not json or markdown", quoted(other))))
        }
    }
}

async fn as_markdown(app: &App, access: &Access, thread_id: Uuid) -> Result<Response, Error> {
    let scope = access.on(Action::Read, &[thread_id]).await?;
    let found = app.store.thread(&scope, thread_id).await?;
    let found = found.ok_or(Error::ThreadNotFound(thread_id))?;
    let (mut tips, mut parents) = (Vec::new(), std::collections::HashSet::new());
    let mut selection = Selection::default();
    loop {
        let page =
            app.store.checkpoints(&scope, thread_id, &selection, PAGE, &Channels::None).await?;
        let Some(page) = page.map(|page| page.value.checkpoints) else { break };
        let Some(last) = page.last() else { break };
        selection.before = Some(last.checkpoint_id);
        tips.extend(page.iter().map(|checkpoint| checkpoint.checkpoint_id));
        parents.extend(page.iter().filter_map(|checkpoint| checkpoint.parent_checkpoint_id));
    }
    let branches = tips.iter().filter(|id| !parents.contains(*id)).count();
    let text = markdown::of(&found.value, branches.saturating_sub(1));
    let head = attached("text/markdown; charset=utf-8", &format!("{thread_id}.md"));
    let mut response = (head, text).into_response();
    if let Some(permit) = found.memory {
        response.extensions_mut().insert(Reserved::new(permit));
    }
    Ok(response)
}

/// Export all threads
///
/// A stream of JSON lines, sorted by `updated_at`, oldest first: `{"thread": ...}`, then the
/// thread's states, newest first, as `{"state": ...}`, then `{"cursor": ...}`. The last line is
/// `{"end": true}`. Without it the stream was cut, and can be continued from the last `cursor`. A
/// thread that is written to during the export may occur twice; its last occurrence is valid.
#[utoipa::path(
    get, path = "/export", tag = "export",
    params(("cursor" = Option<String>, Query, description = "Continue after the thread of this cursor")),
    responses(
        (status = 200, description = "The threads", body = String, content_type = "application/x-ndjson"),
        (status = 422, description = "The request is not valid"),
        (status = 503, description = "Too many streams are open"),
    )
)]
async fn export_all(
    State(app): State<Arc<App>>,
    access: Access,
    credentials: Credentials,
    query: Query,
) -> Result<Response, Error> {
    let mut page = Page {
        behind: None,
        limit: writer::THREADS,
        offset: 0,
        sort_by: SortKey::UpdatedAt,
        ascending: true,
    };
    if let Some(cursor) = query.get("cursor") {
        page.behind = Some(Cursor::read(cursor, &page)?.into_place());
    }
    let place = app.shares.take(Kind::Streams, access.holder(), 1)?;
    // A caller without permission to search or read gets the refusal before the stream begins.
    access.on(Action::Search, &[]).await?;
    access.on(Action::Read, &[]).await?;
    let body = Writer::begin(app, access, credentials, place).body(Exported::All(page));
    Ok((attached("application/x-ndjson", "threads.jsonl"), body).into_response())
}

type Head = [(header::HeaderName, HeaderValue); 2];

/// The headers of a download with this file name.
fn attached(content_type: &'static str, name: &str) -> Head {
    let disposition = HeaderValue::try_from(format!("attachment; filename=\"{name}\""));
    [
        (header::CONTENT_TYPE, HeaderValue::from_static(content_type)),
        (
            header::CONTENT_DISPOSITION,
            disposition.unwrap_or(HeaderValue::from_static("attachment")),
        ),
    ]
}
