//! `POST /threads/search`

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::cursor::Cursor;
use super::extract_path::{self, Extract};
use super::filter;
use super::thread_ids::ThreadIds;
use super::view::{Selected, ThreadField, ThreadSchema, ThreadView};
use crate::authz::Action;
use crate::http::{Access, App, Body, Bounded, Error, Reserving, name, names, present};
use crate::json::{Object, Raw};
use crate::store::{Criteria, Found, Page, SortKey, Status, Thread, Wanted};

const PAGINATION_TOTAL: HeaderName = HeaderName::from_static("x-pagination-total");
const PAGINATION_NEXT: HeaderName = HeaderName::from_static("x-pagination-next");
const PAGINATION_CURSOR: HeaderName = HeaderName::from_static("x-pagination-cursor");

/// The threads to find. All conditions must hold.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct SearchThreads {
    /// Must be contained in the thread's metadata: objects recursively, arrays as subsets.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Object>, nullable = false)]
    metadata: Option<Object>,
    /// Must be contained in the thread's values.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Object>, nullable = false)]
    values: Option<Object>,
    /// The thread's status.
    #[serde(default, deserialize_with = "name")]
    #[schema(nullable = false)]
    status: Option<Status>,
    /// Conditions on fields: `{"$or": [{"metadata.repo": {"$in": ["a/b"]}}, {"metadata.repo":
    /// {"$exists": false}}], "updated_at": {"$gte": "2026-11-01T00:00:00Z"}}`. The operators are
    /// `$eq`, `$ne`, `$gt`, `$gte`, `$lt`, `$lte`, `$in`, `$nin`, `$exists`, `$prefix`,
    /// `$contains`, `$and`, `$or` and `$not`.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Object>, nullable = false)]
    filter: Option<Raw>,
    /// Words that must all occur in the title or the messages, also inside other words, in any
    /// language; a phrase in quotes; `-word` for a word that must not occur. Case, width and
    /// diacritics are ignored.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    query: Option<String>,
    /// Only these threads; empty for any.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Vec<uuid::Uuid>>, nullable = false)]
    ids: Option<ThreadIds>,
    /// Maximum number of threads in the answer.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<i64>, minimum = 1, maximum = 1000, default = 10, nullable = false)]
    limit: Option<Bounded<1, 1000>>,
    /// The number of threads to skip.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<i64>, minimum = 0, default = 0, nullable = false)]
    offset: Option<Bounded<0, { i64::MAX / 2 }>>,
    /// The `X-Pagination-Cursor` of the previous page, to continue after that page even if threads
    /// were written since then. The cost does not depend on the position. The sort must be the
    /// same; `offset` counts from the cursor.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    cursor: Option<String>,
    /// The sort key. Absent: `updated_at`, newest first.
    #[serde(default, deserialize_with = "name")]
    #[schema(nullable = false)]
    sort_by: Option<SortKey>,
    /// The sort order. It has an effect only with `sort_by`.
    #[serde(default, deserialize_with = "name")]
    #[schema(nullable = false)]
    sort_order: Option<SortOrder>,
    /// Only these fields; empty for all. Other fields are not read.
    #[serde(default, deserialize_with = "names")]
    #[schema(nullable = false)]
    select: Option<Vec<ThreadField>>,
    /// Single values to extract, up to 10: `{"last": "values.messages[-1].content"}`.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Object>, nullable = false)]
    extract: Option<Object>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum SortOrder {
    Asc,
    Desc,
}

impl SearchThreads {
    /// The page, and the number of threads before the position from which it counts.
    fn page(&self) -> Result<(Page, i64), Error> {
        let mut page = Page {
            behind: None,
            limit: self.limit.map_or(10, |limit| limit.0),
            offset: self.offset.map_or(0, |offset| offset.0),
            sort_by: self.sort_by.unwrap_or(SortKey::UpdatedAt),
            ascending: self.sort_by.is_some() && self.sort_order == Some(SortOrder::Asc),
        };
        let Some(cursor) = &self.cursor else { return Ok((page, 0)) };
        let cursor = Cursor::read(cursor, &page)?;
        let number = cursor.number;
        page.behind = Some(cursor.into_place());
        Ok((page, number))
    }

    fn criteria(self) -> Result<Criteria, Error> {
        let ids = self.ids.unwrap_or_default().valid();
        Ok(Criteria {
            metadata: self.metadata.unwrap_or_default(),
            values: self.values.filter(|values| !values.is_empty()),
            status: self.status,
            ids: ids.map_err(|id| Error::Invalid(format!("ids: Invalid thread ID {id}")))?,
            filter: self.filter.as_ref().map(filter::read).transpose()?,
            query: self.query.as_deref().map(filter::read_query).transpose()?,
        })
    }
}

/// A thread of which a search selected some fields, for the OpenAPI document.
struct SelectedThread;

impl PartialSchema for SelectedThread {
    fn schema() -> RefOr<Schema> {
        let mut schema = ThreadSchema::schema();
        if let RefOr::T(Schema::Object(thread)) = &mut schema {
            thread.required.clear();
        }
        schema
    }
}

impl ToSchema for SelectedThread {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        ThreadSchema::schemas(schemas);
    }
}

/// Search threads
#[utoipa::path(
    post, path = "/threads/search", tag = "threads", request_body = SearchThreads,
    responses(
        (status = 200, description = "The threads", body = [SelectedThread], headers(
            ("X-Pagination-Total" = i64, description = "Threads up to the end of this page, and one more if there are more"),
            ("X-Pagination-Next" = i64, description = "Offset of the next page, if there is one"),
            ("X-Pagination-Cursor" = String, description = "`cursor` of the next page, if there is one and the id and the sort key are selected"),
        )),
        (status = 422, description = "The body is not valid"),
    )
)]
pub(super) async fn search(
    State(app): State<Arc<App>>,
    access: Access,
    Body(mut body): Body<SearchThreads>,
) -> Result<Response, Error> {
    let (page, before) = body.page()?;
    let fields = body.select.take().filter(|fields| !fields.is_empty());
    let selected = Selected { fields, with_ttl: false };
    let extracts = extract_path::read(body.extract.take().unwrap_or_default())?;
    let wanted = Wanted {
        values: selected.has(ThreadField::Values) || extracts.iter().any(Extract::needs_values),
        digest: selected.has_digest(),
        matches: selected.has(ThreadField::Matches),
    };
    let mut criteria = body.criteria()?;
    let scope = access.on_metadata(Action::Search, &[], &mut criteria.metadata).await?;
    // One thread more than requested shows whether there is a next page.
    let beyond = Page { limit: page.limit + 1, ..page.clone() };
    let found = app.store.search_threads(&scope, &criteria, beyond, wanted).await?;
    let mut headers = HeaderMap::new();
    let threads = found.map(|Found { mut threads, is_cut }| {
        let wanted = usize::try_from(page.limit).unwrap_or(usize::MAX);
        let has_more = is_cut || threads.len() > wanted;
        threads.truncate(wanted);
        headers = pagination(&page, before, &threads, has_more, &selected);
        let view = |thread| {
            let extracted =
                (!extracts.is_empty()).then(|| extract_path::extracted(&thread, &extracts));
            ThreadView::new(thread, selected.clone(), extracted)
        };
        threads.into_iter().map(view).collect::<Vec<_>>()
    });
    Ok((headers, Reserving(threads)).into_response())
}

/// The position of the next page. `before` is the number of threads before the page's `offset`.
fn pagination(
    page: &Page,
    before: i64,
    threads: &[Thread],
    has_more: bool,
    selected: &Selected,
) -> HeaderMap {
    let length = i64::try_from(threads.len()).unwrap_or(i64::MAX);
    let end = before.saturating_add(page.offset).saturating_add(length);
    let total = if has_more { end.saturating_add(1) } else { end };
    let mut headers = HeaderMap::from_iter([(PAGINATION_TOTAL, total.into())]);
    if has_more {
        headers.insert(PAGINATION_NEXT, end.into());
        let last = threads.last().filter(|_| is_selected(page.sort_by, selected));
        let cursor = last.and_then(|last| Cursor::behind(last, page, end).to_text());
        if let Some(cursor) = cursor.and_then(|cursor| cursor.parse().ok()) {
            headers.insert(PAGINATION_CURSOR, cursor);
        }
    }
    headers
}

/// Whether the fields of a cursor are selected: a cursor contains no field that the client did not
/// request.
fn is_selected(sort_by: SortKey, selected: &Selected) -> bool {
    let key = match sort_by {
        SortKey::ThreadId => ThreadField::ThreadId,
        SortKey::Status => ThreadField::Status,
        SortKey::CreatedAt => ThreadField::CreatedAt,
        SortKey::UpdatedAt => ThreadField::UpdatedAt,
        SortKey::StateUpdatedAt => ThreadField::StateUpdatedAt,
        SortKey::Title => ThreadField::Title,
        SortKey::LastMessageAt => ThreadField::LastMessageAt,
    };
    selected.has(ThreadField::ThreadId) && selected.has(key)
}
