//! One thread.

use sqlx::postgres::PgRow;
use sqlx::{Executor, Postgres, QueryBuilder};
use uuid::Uuid;

use super::filter::{Shape, push_where_thread};
use super::lanes::{Answers, Job, place};
use super::model::{ROW, TTL};
use super::pool::{Connection, Pool};
use super::values::push_newest_values;
use super::{Store, Thread, bounded};
use crate::auth::Scope;

impl Store {
    /// One thread, with its values and, if asked for, with its end.
    pub async fn thread(
        &self,
        scope: &Scope,
        thread_id: Uuid,
        with_ttl: bool,
    ) -> Result<Option<Thread>, sqlx::Error> {
        self.reads.answer(Read { scope: scope.clone(), thread_id, with_ttl }).await
    }
}

/// A thread to read.
pub(super) struct Read {
    scope: Scope,
    thread_id: Uuid,
    with_ttl: bool,
}

impl Job for Read {
    type Answer = Option<Thread>;
    type Error = sqlx::Error;
    const KIND: &'static str = "read";
    type Key = Shape;

    fn key(&self) -> Shape {
        Shape::of(&self.scope)
    }

    async fn alone(&self, pool: &Pool) -> Result<Option<Thread>, sqlx::Error> {
        read(pool, &self.scope, self.thread_id, self.with_ttl).await
    }

    async fn together(
        connection: &mut Connection,
        shape: &Shape,
        jobs: &[Read],
    ) -> Result<Answers<Read>, sqlx::Error> {
        let mut sql = QueryBuilder::new("select ");
        sql.push(ROW).push(", ");
        push_newest_values(&mut sql);
        sql.push(", ").push(TTL).push(", asked.n from unnest(");
        sql.push_bind(jobs.iter().map(|job| job.thread_id).collect::<Vec<_>>());
        shape.push_values(&mut sql, jobs.iter().map(|job| &job.scope));
        sql.push(") with ordinality as asked (thread_id");
        shape.push_names(&mut sql);
        // Without `offset 0` the planner may read all of a small table for a join, and would
        // keep doing so while the table grows.
        sql.push(
            ", n) cross join lateral ( \
                 select * from thread_store.thread where thread.thread_id = asked.thread_id and ",
        );
        shape.push_visible(&mut sql);
        sql.push(" offset 0 ) as thread");
        let mut answers: Vec<_> = jobs.iter().map(|_| Some(Ok(None))).collect();
        for row in bounded::fetch_all(connection, sql.build()).await? {
            let number = place(&row, 10)?;
            if let (Some(job), Some(answer)) = (jobs.get(number), answers.get_mut(number)) {
                *answer = Some(thread(&row, job.with_ttl).map(Some));
            }
        }
        Ok(answers)
    }
}

/// Reads a thread by a statement of its own.
pub(super) async fn read(
    executor: impl Executor<'_, Database = Postgres>,
    scope: &Scope,
    thread_id: Uuid,
    with_ttl: bool,
) -> Result<Option<Thread>, sqlx::Error> {
    let mut sql = QueryBuilder::new("select ");
    sql.push(ROW).push(", ");
    push_newest_values(&mut sql);
    sql.push(", ").push(TTL).push(" from thread_store.thread");
    push_where_thread(&mut sql, scope, thread_id);
    let row = sql.build().fetch_optional(executor).await?;
    row.map(|row| thread(&row, with_ttl)).transpose()
}

fn thread(row: &PgRow, with_ttl: bool) -> Result<Thread, sqlx::Error> {
    if with_ttl { Thread::whole_with_ttl(row) } else { Thread::whole(row) }
}
