//! `POST /threads/count`

use std::sync::Arc;

use axum::extract::State;
use serde::Deserialize;
use utoipa::ToSchema;

use super::filter;
use crate::authz::Action;
use crate::http::{Access, App, Body, Error, Json, name, present};
use crate::json::{Object, Raw};
use crate::store::{Criteria, Status};

/// The threads to count. All conditions must hold.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct CountThreads {
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
}

/// Count threads
#[utoipa::path(
    post, path = "/threads/count", tag = "threads", request_body = CountThreads,
    responses(
        (status = 200, description = "The number of threads", body = i64, content_type = "application/json"),
        (status = 422, description = "The body is not valid"),
    )
)]
pub(super) async fn count(
    State(app): State<Arc<App>>,
    access: Access,
    Body(body): Body<CountThreads>,
) -> Result<Json<i64>, Error> {
    let mut criteria = Criteria {
        metadata: body.metadata.unwrap_or_default(),
        values: body.values.filter(|values| !values.is_empty()),
        status: body.status,
        ids: Vec::new(),
        filter: body.filter.as_ref().map(filter::read).transpose()?,
        query: body.query.as_deref().map(filter::read_query).transpose()?,
    };
    // The reference server calls the handler of `search` for a count.
    let scope = access.on_metadata(Action::Search, &[], &mut criteria.metadata).await?;
    Ok(Json(app.store.count_threads(&scope, &criteria).await?))
}
