//! `POST /threads/count`

use std::sync::Arc;

use axum::extract::State;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::authz::Action;
use crate::http::{Access, App, Body, Error, Json, name, present};
use crate::json::Object;
use crate::store::{Criteria, Status};

/// What to count. All conditions must hold.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct CountThreads {
    /// Contained in the thread's metadata: objects recursively, arrays as subsets.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Object>, nullable = false)]
    metadata: Option<Object>,
    /// Contained in the thread's values.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Object>, nullable = false)]
    values: Option<Object>,
    /// The thread's status.
    #[serde(default, deserialize_with = "name")]
    #[schema(nullable = false)]
    status: Option<Status>,
}

/// Count threads
#[utoipa::path(
    post, path = "/threads/count", tag = "threads", request_body = CountThreads,
    responses(
        (status = 200, description = "How many threads there are", body = i64, content_type = "application/json"),
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
    };
    // The reference server raises `search` for a count.
    let scope = access.on_metadata(Action::Search, &[], &mut criteria.metadata).await?;
    Ok(Json(app.store.count_threads(&scope, &criteria).await?))
}
