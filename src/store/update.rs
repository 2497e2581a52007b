//! Changing and deleting threads.

use sqlx::postgres::PgRow;
use sqlx::{PgExecutor, Postgres, QueryBuilder, Row};
use uuid::Uuid;

use super::filter::{Shape, push_jsonb, push_where_thread};
use super::lanes::{Answers, Job, place};
use super::model::ROW;
use super::pool::{Connection, Pool};
use super::read::read;
use super::values::push_join_newest_values;
use super::writers::Turn;
use super::{Store, Thread, Ttl};
use crate::auth::Scope;
use crate::json::Object;

impl Store {
    /// Merges `metadata` into a thread's, key by key at the top level, and sets its end if
    /// `ttl` is given.
    pub async fn update_thread(
        &self,
        scope: Scope,
        thread_id: Uuid,
        metadata: &Object,
        ttl: Option<Ttl>,
    ) -> Result<Option<Thread>, sqlx::Error> {
        let metadata = metadata.to_text();
        let turn = self.writers.turn(thread_id).await;
        self.updates.answer(Patch { scope, thread_id, metadata, ttl, _turn: turn }).await
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

/// A change of a thread's own row.
pub(super) struct Patch {
    scope: Scope,
    thread_id: Uuid,
    metadata: String,
    ttl: Option<Ttl>,
    /// Held until it is done: no two of one thread are answered together.
    _turn: Turn,
}

/// `None`: no such thread.
impl Job for Patch {
    type Answer = Option<Thread>;
    type Error = sqlx::Error;
    const KIND: &'static str = "update";
    type Key = Shape;

    fn key(&self) -> Shape {
        Shape::of(&self.scope)
    }

    async fn alone(&self, pool: &Pool) -> Result<Option<Thread>, sqlx::Error> {
        let mut sql = QueryBuilder::new(
            "with thread as ( update thread_store.thread set metadata = thread.metadata || ",
        );
        push_jsonb(&mut sql, &self.metadata);
        sql.push(", updated_at = ").push(NOW);
        if let Some(ttl) = self.ttl {
            sql.push(", ttl_minutes = ").push_bind(ttl.minutes);
            sql.push(", ttl_strategy = ").push_bind(ttl.strategy.as_str());
            sql.push(", expires_at = clock_timestamp() + make_interval(secs => ");
            sql.push_bind(ttl.minutes * 60.0).push(")");
        }
        push_where_thread(&mut sql, &self.scope, self.thread_id);
        sql.push(" returning *, 1::bigint as n )");
        push_updated(&mut sql);
        let updated = sql.build().fetch_optional(pool).await?;
        match updated {
            Some(row) => self.thread(pool, &row).await,
            None => Ok(None),
        }
    }

    /// One whose row somebody else has locked waits alone.
    async fn together(
        connection: &mut Connection,
        shape: &Shape,
        jobs: &[Patch],
    ) -> Result<Answers<Patch>, sqlx::Error> {
        let mut sql = QueryBuilder::new("");
        push_updates(&mut sql, shape, jobs);
        push_updated(&mut sql);
        let mut answers: Vec<_> = jobs.iter().map(|_| None).collect();
        for row in sql.build().fetch_all(&mut *connection).await? {
            let number = place(&row, 7)?;
            if let (Some(job), Some(answer)) = (jobs.get(number), answers.get_mut(number)) {
                *answer = Some(Ok(job.thread(&mut *connection, &row).await?));
            }
        }
        Ok(answers)
    }
}

/// When a thread changes. A change that waited for another's lock has an older clock: time never
/// goes back.
const NOW: &str = "greatest(clock_timestamp(), thread.updated_at + interval '1 microsecond')";

/// Appends the select of what an update named `thread` has left.
///
/// The values are those of the statement's start. If it waited for a writer of state since, they are
/// old.
fn push_updated(sql: &mut QueryBuilder<Postgres>) {
    sql.push(" select ").push(ROW);
    sql.push(
        ", state.values, thread.n, coalesce(head.seq, 0) = thread.last_seq as is_current from thread",
    );
    push_join_newest_values(sql);
}

impl Patch {
    /// The thread as a row of [`push_updated`] has it.
    async fn thread(
        &self,
        executor: impl PgExecutor<'_>,
        row: &PgRow,
    ) -> Result<Option<Thread>, sqlx::Error> {
        if row.try_get(8)? {
            return Thread::whole(row).map(Some);
        }
        read(executor, &self.scope, self.thread_id, false).await
    }
}

/// Appends an update of those of these threads that are there, may be seen and are locked by nobody.
fn push_updates(sql: &mut QueryBuilder<Postgres>, shape: &Shape, jobs: &[Patch]) {
    sql.push("with asked as ( select * from unnest(");
    sql.push_bind(jobs.iter().map(|job| job.thread_id).collect::<Vec<_>>());
    sql.push(", ").push_bind(jobs.iter().map(|job| job.metadata.clone()).collect::<Vec<_>>());
    let minutes = jobs.iter().map(|job| job.ttl.map(|ttl| ttl.minutes));
    sql.push(", ").push_bind(minutes.collect::<Vec<_>>());
    let strategies = jobs.iter().map(|job| job.ttl.map(|ttl| ttl.strategy.as_str()));
    sql.push(", ").push_bind(strategies.collect::<Vec<_>>());
    shape.push_values(sql, jobs.iter().map(|job| &job.scope));
    sql.push(") with ordinality as asked (thread_id, metadata, minutes, strategy");
    shape.push_names(sql);
    sql.push(
        ", n) ), mine as ( \
             select asked.* from asked cross join lateral ( \
                 select from thread_store.thread where thread.thread_id = asked.thread_id and ",
    );
    shape.push_visible(sql);
    sql.push(
        " for no key update skip locked ) as thread ), thread as ( \
             update thread_store.thread set \
                 metadata = thread.metadata || mine.metadata::jsonb, updated_at = ",
    );
    sql.push(NOW).push(
        ", ttl_minutes = coalesce(mine.minutes, thread.ttl_minutes), \
                 ttl_strategy = coalesce(mine.strategy, thread.ttl_strategy), \
                 expires_at = case when mine.minutes is null then thread.expires_at \
                     else clock_timestamp() + make_interval(secs => mine.minutes * 60) end \
             from mine where thread.thread_id = mine.thread_id \
             returning thread.*, mine.n )",
    );
}
