//! Many threads: search and count.

use sqlx::{Postgres, QueryBuilder};
use uuid::Uuid;

use super::Store;
use super::filter::{push_jsonb, push_visible};
use super::threads::COLUMNS;
use crate::auth::{Filter, Scope};
use crate::json::Object;
use crate::threads::{Status, Thread};

/// Which threads are meant. All conditions must hold.
#[derive(Debug, Clone, Default)]
pub struct Criteria {
    /// Contained in the thread's metadata.
    pub metadata: Object,
    /// The thread's status.
    pub status: Option<Status>,
    /// One of these; empty for any.
    pub ids: Vec<Uuid>,
}

/// Which part of the result is wanted, in which order.
#[derive(Debug, Clone, Copy)]
pub struct Page {
    /// Most threads.
    pub limit: i64,
    /// How many to leave out before them.
    pub offset: i64,
    /// What to sort by. Equal threads are sorted by id.
    pub sort_by: SortKey,
    /// Smallest first.
    pub ascending: bool,
}

/// What threads can be sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SortKey {
    /// The id.
    ThreadId,
    /// The status, by name.
    Status,
    /// When the thread was made.
    CreatedAt,
    /// When metadata or state last changed.
    UpdatedAt,
    /// When state last changed.
    StateUpdatedAt,
}

impl SortKey {
    fn column(self) -> &'static str {
        match self {
            SortKey::ThreadId => "thread.thread_id",
            SortKey::Status => "thread.status",
            SortKey::CreatedAt => "thread.created_at",
            SortKey::UpdatedAt => "thread.updated_at",
            SortKey::StateUpdatedAt => "thread.state_updated_at",
        }
    }
}

impl Store {
    /// The threads that meet `criteria`.
    pub async fn search_threads(
        &self,
        scope: &Scope,
        criteria: &Criteria,
        page: &Page,
    ) -> Result<Vec<Thread>, sqlx::Error> {
        let mut sql = QueryBuilder::new("select ");
        sql.push(COLUMNS);
        push_from(&mut sql, scope, criteria);
        let direction = if page.ascending { " asc" } else { " desc" };
        sql.push(" order by ").push(page.sort_by.column()).push(direction);
        if page.sort_by != SortKey::ThreadId {
            sql.push(", thread.thread_id").push(direction);
        }
        sql.push(" limit ").push_bind(page.limit).push(" offset ").push_bind(page.offset);
        sql.build_query_as().fetch_all(&self.pool).await
    }

    /// How many threads meet `criteria`.
    pub async fn count_threads(
        &self,
        scope: &Scope,
        criteria: &Criteria,
    ) -> Result<i64, sqlx::Error> {
        let mut sql = QueryBuilder::new("select count(*)");
        push_from(&mut sql, scope, criteria);
        sql.build_query_scalar().fetch_one(&self.pool).await
    }
}

fn push_from(sql: &mut QueryBuilder<Postgres>, scope: &Scope, criteria: &Criteria) {
    sql.push(" from thread_store.thread where ");
    push_visible(sql, scope);
    let metadata = not_implied(&criteria.metadata, scope);
    if !metadata.is_empty() {
        sql.push(" and thread.metadata @> ");
        push_jsonb(sql, &metadata.to_text());
    }
    if let Some(status) = criteria.status {
        sql.push(" and thread.status = ").push_bind(status.as_str());
    }
    if !criteria.ids.is_empty() {
        sql.push(" and thread.thread_id = any(").push_bind(criteria.ids.clone()).push(")");
    }
}

/// The conditions that the scope does not already make. The on step writes the owner into the
/// metadata of a search too; asking for it twice would hide the owner's index from the planner.
fn not_implied(metadata: &Object, scope: &Scope) -> Object {
    let mut rest = metadata.clone();
    let Filter::Equal { key, value } = scope.filter();
    if rest.get(key) == Some(value) {
        rest.remove(key);
    }
    rest
}
