//! One thread: insert, get, update, delete.

use sqlx::{Postgres, QueryBuilder};
use uuid::Uuid;

use super::Store;
use super::filter::{push_jsonb, push_visible};
use crate::auth::Scope;
use crate::json::Object;
use crate::threads::Thread;

/// What a thread row gives back.
pub(super) const COLUMNS: &str = "thread.thread_id, thread.created_at, thread.updated_at, \
     thread.state_updated_at, thread.metadata, thread.status";

/// What to do when the id of a new thread is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfExists {
    /// Refuse.
    Raise,
    /// Give back the thread that is there, unchanged, if the caller may see it.
    DoNothing,
}

/// How an insert ended.
#[derive(Debug)]
pub enum Created {
    /// There is a new thread, or the caller's own was there already.
    Thread(Box<Thread>),
    /// The id is in use.
    Conflict,
}

impl Store {
    /// Makes a thread.
    pub async fn create_thread(
        &self,
        scope: &Scope,
        thread_id: Uuid,
        metadata: &Object,
        if_exists: IfExists,
    ) -> Result<Created, sqlx::Error> {
        let mut sql = QueryBuilder::new(
            "insert into thread_store.thread as thread \
             (thread_id, created_at, updated_at, state_updated_at, metadata) \
             select $1, moment, moment, moment, $2::text::jsonb \
             from clock_timestamp() as moment \
             on conflict (thread_id) do nothing \
             returning ",
        );
        sql.push(COLUMNS);
        let inserted = sql
            .build_query_as()
            .bind(thread_id)
            .bind(metadata.to_text())
            .fetch_optional(&self.pool)
            .await?;
        match (inserted, if_exists) {
            (Some(thread), _) => Ok(Created::Thread(Box::new(thread))),
            (None, IfExists::Raise) => Ok(Created::Conflict),
            (None, IfExists::DoNothing) => {
                let existing = self.thread(scope, thread_id).await?;
                Ok(existing.map_or(Created::Conflict, |thread| Created::Thread(Box::new(thread))))
            }
        }
    }

    /// One thread.
    pub async fn thread(
        &self,
        scope: &Scope,
        thread_id: Uuid,
    ) -> Result<Option<Thread>, sqlx::Error> {
        let mut sql = QueryBuilder::new("select ");
        sql.push(COLUMNS).push(" from thread_store.thread");
        push_where_thread(&mut sql, scope, thread_id);
        sql.build_query_as().fetch_optional(&self.pool).await
    }

    /// Merges `metadata` into a thread's, key by key at the top level.
    pub async fn update_thread(
        &self,
        scope: &Scope,
        thread_id: Uuid,
        metadata: &Object,
    ) -> Result<Option<Thread>, sqlx::Error> {
        let mut sql = QueryBuilder::new("update thread_store.thread set metadata = metadata || ");
        push_jsonb(&mut sql, &metadata.to_text());
        // An update that waited for another's lock has an older clock: time never goes back.
        sql.push(
            ", updated_at = greatest(clock_timestamp(), updated_at + interval '1 microsecond')",
        );
        push_where_thread(&mut sql, scope, thread_id);
        sql.push(" returning ").push(COLUMNS);
        sql.build_query_as().fetch_optional(&self.pool).await
    }

    /// Deletes a thread with all that belongs to it. Answers whether there was one.
    pub async fn delete_thread(&self, scope: &Scope, thread_id: Uuid) -> Result<bool, sqlx::Error> {
        let mut sql = QueryBuilder::new("delete from thread_store.thread");
        push_where_thread(&mut sql, scope, thread_id);
        let done = sql.build().execute(&self.pool).await?;
        Ok(done.rows_affected() > 0)
    }
}

fn push_where_thread(sql: &mut QueryBuilder<Postgres>, scope: &Scope, thread_id: Uuid) {
    sql.push(" where thread.thread_id = ").push_bind(thread_id).push(" and ");
    push_visible(sql, scope);
}
