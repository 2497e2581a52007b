//! One thread: insert, get, update, delete.

use sqlx::{FromRow, PgConnection, Postgres, QueryBuilder, Row};
use uuid::Uuid;

use super::Store;
use super::filter::{push_jsonb, push_where_thread};
use super::values::{JOIN_HEAD, push_join_values};
use super::{Thread, Ttl};
use crate::auth::Scope;
use crate::json::Object;

/// What a thread's own row gives back.
pub(super) const COLUMNS: &str = "thread.thread_id, thread.created_at, thread.updated_at, \
     thread.state_updated_at, thread.metadata, thread.status";

/// What it says of the thread's end.
const TTL_COLUMNS: &str = ", thread.ttl_minutes, thread.ttl_strategy, thread.expires_at";

/// What to do when the id of a new thread is in use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum IfExists {
    /// Refuse.
    #[default]
    Raise,
    /// Give back the thread that is there, unchanged, if the caller may see it.
    DoNothing,
}

/// A thread to make.
#[derive(Debug)]
pub struct NewThread {
    /// Its id.
    pub thread_id: Uuid,
    /// Its metadata, the owner included.
    pub metadata: Object,
    /// When it ends, if it does.
    pub ttl: Option<Ttl>,
}

/// How an insert ended.
#[derive(Debug)]
pub enum Created {
    /// A new thread.
    New(Box<Thread>),
    /// The caller's own thread, which was there already.
    Existing(Box<Thread>),
    /// The id is in use.
    Conflict,
}

impl Store {
    /// Makes a thread.
    pub async fn create_thread(
        &self,
        scope: &Scope,
        new: &NewThread,
        if_exists: IfExists,
    ) -> Result<Created, sqlx::Error> {
        let mut connection = self.pool.acquire().await?;
        if let Some(thread) = insert(&mut connection, new).await? {
            return Ok(Created::New(Box::new(thread)));
        }
        // Who holds a connection while waiting for another can hold up everybody.
        drop(connection);
        self.existing_thread(scope, new.thread_id, if_exists).await
    }

    /// What an insert that met a thread with its id comes to.
    pub(super) async fn existing_thread(
        &self,
        scope: &Scope,
        thread_id: Uuid,
        if_exists: IfExists,
    ) -> Result<Created, sqlx::Error> {
        let existing = match if_exists {
            IfExists::Raise => None,
            IfExists::DoNothing => self.thread(scope, thread_id, false).await?,
        };
        Ok(existing.map_or(Created::Conflict, |thread| Created::Existing(Box::new(thread))))
    }

    /// One thread, with its values and, if asked for, with its end.
    pub async fn thread(
        &self,
        scope: &Scope,
        thread_id: Uuid,
        with_ttl: bool,
    ) -> Result<Option<Thread>, sqlx::Error> {
        let mut sql = QueryBuilder::new("select ");
        sql.push(COLUMNS).push(if with_ttl { TTL_COLUMNS } else { "" });
        sql.push(", state.values from thread_store.thread").push(JOIN_HEAD);
        push_join_values(&mut sql, "head");
        push_where_thread(&mut sql, scope, thread_id);
        sql.build_query_as().fetch_optional(&self.pool).await
    }

    /// Merges `metadata` into a thread's, key by key at the top level, and sets its end if
    /// `ttl` is given.
    pub async fn update_thread(
        &self,
        scope: &Scope,
        thread_id: Uuid,
        metadata: &Object,
        ttl: Option<Ttl>,
    ) -> Result<Option<Thread>, sqlx::Error> {
        let mut sql = QueryBuilder::new(
            "with thread as ( update thread_store.thread set metadata = metadata || ",
        );
        push_jsonb(&mut sql, &metadata.to_text());
        // An update that waited for another's lock has an older clock: time never goes back.
        sql.push(
            ", updated_at = greatest(clock_timestamp(), updated_at + interval '1 microsecond')",
        );
        if let Some(ttl) = ttl {
            sql.push(", ttl_minutes = ").push_bind(ttl.minutes);
            sql.push(", ttl_strategy = ").push_bind(ttl.strategy.as_str());
            sql.push(", expires_at = ");
            push_expiry(&mut sql, ttl);
        }
        push_where_thread(&mut sql, scope, thread_id);
        sql.push(" returning * ) select ").push(COLUMNS);
        // The values are those of the statement's start. If it waited for a writer of state
        // since, they are old.
        sql.push(", state.values, coalesce(head.seq, 0) = thread.last_seq as is_current");
        sql.push(" from thread").push(JOIN_HEAD);
        push_join_values(&mut sql, "head");
        let _turn = self.writers.turn(thread_id).await;
        let Some(row) = sql.build().fetch_optional(&self.pool).await? else { return Ok(None) };
        if row.try_get("is_current")? {
            return Thread::from_row(&row).map(Some);
        }
        self.thread(scope, thread_id, false).await
    }

    /// Deletes a thread with all that belongs to it. Answers whether there was one.
    pub async fn delete_thread(&self, scope: &Scope, thread_id: Uuid) -> Result<bool, sqlx::Error> {
        let mut sql = QueryBuilder::new("delete from thread_store.thread");
        push_where_thread(&mut sql, scope, thread_id);
        let is_deleted = sql.build().execute(&self.pool).await?.rows_affected() > 0;
        if is_deleted {
            self.changes.announce(thread_id);
        }
        Ok(is_deleted)
    }
}

/// Inserts a thread's row. `None`: the id is in use.
pub(super) async fn insert(
    connection: &mut PgConnection,
    new: &NewThread,
) -> Result<Option<Thread>, sqlx::Error> {
    let inserted = insert_once(connection, new).await?;
    if inserted.is_some() {
        return Ok(inserted);
    }
    // Tried again even if there was nothing to delete: the sweeper may have come first.
    delete_expired(connection, new.thread_id).await?;
    insert_once(connection, new).await
}

/// A thread that the transaction under way has made, whether or not its time is over already.
pub(super) async fn made(
    connection: &mut PgConnection,
    thread_id: Uuid,
) -> Result<Thread, sqlx::Error> {
    let mut sql = QueryBuilder::new("select ");
    sql.push(COLUMNS).push(", state.values from thread_store.thread").push(JOIN_HEAD);
    push_join_values(&mut sql, "head");
    sql.push(" where thread.thread_id = ").push_bind(thread_id);
    sql.build_query_as().fetch_one(connection).await
}

async fn insert_once(
    connection: &mut PgConnection,
    new: &NewThread,
) -> Result<Option<Thread>, sqlx::Error> {
    let mut sql = QueryBuilder::new(
        "insert into thread_store.thread as thread (thread_id, created_at, updated_at, \
         state_updated_at, metadata, ttl_minutes, ttl_strategy, expires_at) select ",
    );
    sql.push_bind(new.thread_id).push(", moment, moment, moment, ");
    push_jsonb(&mut sql, &new.metadata.to_text());
    match new.ttl {
        None => {
            sql.push(", null, null, null");
        }
        Some(ttl) => {
            sql.push(", ").push_bind(ttl.minutes).push(", ").push_bind(ttl.strategy.as_str());
            sql.push(", ");
            push_expiry(&mut sql, ttl);
        }
    }
    sql.push(" from clock_timestamp() as moment on conflict (thread_id) do nothing returning ");
    sql.push(COLUMNS).push(", null::json as values");
    sql.build_query_as().fetch_optional(connection).await
}

/// An expired thread that was not swept yet must not hold its id.
async fn delete_expired(connection: &mut PgConnection, thread_id: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query(
        "delete from thread_store.thread \
         where thread_id = $1 and ttl_strategy = 'delete' and expires_at <= clock_timestamp()",
    )
    .bind(thread_id)
    .execute(connection)
    .await
    .map(drop)
}

fn push_expiry(sql: &mut QueryBuilder<Postgres>, ttl: Ttl) {
    sql.push("clock_timestamp() + make_interval(secs => ");
    sql.push_bind(ttl.minutes * 60.0).push(")");
}
