//! Changing and deleting threads.

use sqlx::{QueryBuilder, Row};
use uuid::Uuid;

use super::filter::{Shape, push_where_thread};
use super::lanes::{Answers, Job, place};
use super::model::ROW;
use super::pool::Pool;
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
        let mut updated = update(pool, &self.key(), std::slice::from_ref(self), "").await?;
        match updated.pop() {
            Some((_, thread)) => Ok(Some(thread)),
            None => Ok(None),
        }
    }

    /// One whose row somebody else has locked waits alone.
    async fn together(
        pool: &Pool,
        shape: &Shape,
        jobs: &[Patch],
    ) -> Result<Answers<Patch>, sqlx::Error> {
        let mut answers: Vec<_> = jobs.iter().map(|_| None).collect();
        for (number, thread) in update(pool, shape, jobs, " skip locked").await? {
            if let Some(answer) = answers.get_mut(number) {
                *answer = Some(Ok(Some(thread)));
            }
        }
        Ok(answers)
    }
}

/// Carries out those changes whose threads are there, may be seen and, with ` skip locked`, are
/// locked by nobody. Answers with their numbers.
async fn update(
    pool: &Pool,
    shape: &Shape,
    jobs: &[Patch],
    skip_locked: &'static str,
) -> Result<Vec<(usize, Thread)>, sqlx::Error> {
    let mut sql = QueryBuilder::new("with asked as ( select * from unnest(");
    sql.push_bind(jobs.iter().map(|job| job.thread_id).collect::<Vec<_>>());
    sql.push(", ").push_bind(jobs.iter().map(|job| job.metadata.clone()).collect::<Vec<_>>());
    let minutes = jobs.iter().map(|job| job.ttl.map(|ttl| ttl.minutes));
    sql.push(", ").push_bind(minutes.collect::<Vec<_>>());
    let strategies = jobs.iter().map(|job| job.ttl.map(|ttl| ttl.strategy.as_str()));
    sql.push(", ").push_bind(strategies.collect::<Vec<_>>());
    shape.push_values(&mut sql, jobs.iter().map(|job| &job.scope));
    sql.push(") with ordinality as asked (thread_id, metadata, minutes, strategy");
    shape.push_names(&mut sql);
    // Locked one after the other by their numbers, before anything is written.
    sql.push(
        ", n) ), mine as ( \
             select asked.* from asked cross join lateral ( \
                 select from thread_store.thread where thread.thread_id = asked.thread_id and ",
    );
    shape.push_visible(&mut sql);
    sql.push(" for no key update").push(skip_locked);
    // An update that waited for another's lock has an older clock: time never goes back.
    sql.push(
        " ) as thread ), thread as ( \
             update thread_store.thread set \
                 metadata = thread.metadata || mine.metadata::jsonb, \
                 updated_at = greatest(clock_timestamp(), \
                     thread.updated_at + interval '1 microsecond'), \
                 ttl_minutes = coalesce(mine.minutes, thread.ttl_minutes), \
                 ttl_strategy = coalesce(mine.strategy, thread.ttl_strategy), \
                 expires_at = case when mine.minutes is null then thread.expires_at \
                     else clock_timestamp() + make_interval(secs => mine.minutes * 60) end \
             from mine where thread.thread_id = mine.thread_id \
             returning thread.*, mine.n \
         ) select ",
    );
    // The values are those of the statement's start. If it waited for a writer of state since,
    // they are old.
    sql.push(ROW).push(
        ", state.values, thread.n, coalesce(head.seq, 0) = thread.last_seq as is_current from thread",
    );
    push_join_newest_values(&mut sql);
    let mut updated = Vec::new();
    for row in sql.build().fetch_all(pool).await? {
        let number = place(&row, 10)?;
        let thread = if row.try_get(11)? {
            Some(Thread::whole(&row, false)?)
        } else if let Some(job) = jobs.get(number) {
            read(pool, &job.scope, job.thread_id, false).await?
        } else {
            None
        };
        updated.extend(thread.map(|thread| (number, thread)));
    }
    Ok(updated)
}
