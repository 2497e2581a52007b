//! Making threads.

use sqlx::{AssertSqlSafe, Executor, Postgres, QueryBuilder};
use uuid::Uuid;

use super::lanes::{Answers, Job};
use super::model::ROW;
use super::pool::{Connection, Pool};
use super::values::push_newest_values;
use super::{Store, Thread, Ttl, WriteError};
use crate::auth::Scope;
use crate::json::Object;

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
        new: NewThread,
        if_exists: IfExists,
    ) -> Result<Created, WriteError> {
        if self.caps.threads.is_some() {
            // In a box of its own: without a cap nobody needs the room.
            let making = self.create_thread_with_state(scope, scope, &new, if_exists, Vec::new());
            return Box::pin(making).await;
        }
        let thread_id = new.thread_id;
        match self.creations.answer(new).await? {
            Some(thread) => Ok(Created::New(Box::new(thread))),
            None => Ok(self.existing_thread(scope, thread_id, if_exists).await?),
        }
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

    /// What making a thread comes to for a user who may have no more. One that is there already,
    /// and is theirs, would not have been made.
    pub(super) async fn existing_thread_at_cap(
        &self,
        scope: &Scope,
        thread_id: Uuid,
        if_exists: IfExists,
        at_cap: WriteError,
    ) -> Result<Created, WriteError> {
        let existing = self.thread(scope, thread_id, false).await?.ok_or(at_cap)?;
        Ok(match if_exists {
            IfExists::Raise => Created::Conflict,
            IfExists::DoNothing => Created::Existing(Box::new(existing)),
        })
    }
}

/// `None`: the id is in use.
impl Job for NewThread {
    type Answer = Option<Thread>;
    type Error = sqlx::Error;
    const KIND: &'static str = "create";
    type Key = ();

    fn key(&self) {}

    async fn alone(&self, pool: &Pool) -> Result<Option<Thread>, sqlx::Error> {
        let mut connection = pool.acquire().await?;
        let inserted = insert(&mut connection, self).await?;
        connection.commit().await?;
        Ok(inserted)
    }

    /// An id that is in use is looked at alone. So is one that several ask for, but for the first.
    async fn together(
        connection: &mut Connection,
        (): &(),
        jobs: &[NewThread],
    ) -> Result<Answers<NewThread>, sqlx::Error> {
        let mut inserted = insert_all(connection, jobs).await?;
        let answers = jobs.iter().map(|job| {
            let place = inserted.iter().position(|thread| thread.thread_id == Some(job.thread_id));
            place.map(|place| Ok(Some(inserted.swap_remove(place))))
        });
        Ok(answers.collect())
    }
}

/// Inserts a thread's row. `None`: the id is in use.
pub(super) async fn insert(
    connection: &mut Connection,
    new: &NewThread,
) -> Result<Option<Thread>, sqlx::Error> {
    let one = std::slice::from_ref(new);
    let inserted = insert_all(&mut *connection, one).await?.pop();
    if inserted.is_some() {
        return Ok(inserted);
    }
    // Tried again even if there was nothing to delete: the sweeper may have come first.
    delete_expired(connection, new.thread_id).await?;
    Ok(insert_all(connection, one).await?.pop())
}

/// Inserts the rows of those threads whose ids are free.
async fn insert_all(
    executor: impl Executor<'_, Database = Postgres>,
    new: &[NewThread],
) -> Result<Vec<Thread>, sqlx::Error> {
    let mut sql = String::from(
        "insert into thread_store.thread as thread (thread_id, created_at, updated_at, \
             state_updated_at, metadata, ttl_minutes, ttl_strategy, expires_at) \
         select thread_id, moment, moment, moment, metadata::jsonb, minutes, strategy, \
             moment + make_interval(secs => minutes * 60) \
         from ( \
             select *, clock_timestamp() as moment \
             from unnest($1::uuid[], $2::text[], $3::float8[], $4::text[]) \
                 as asked (thread_id, metadata, minutes, strategy) \
         ) as new \
         on conflict (thread_id) do nothing \
         returning ",
    );
    sql.push_str(ROW);
    sql.push_str(", null::json as values");
    let rows = sqlx::query(AssertSqlSafe(sql))
        .bind(new.iter().map(|new| new.thread_id).collect::<Vec<_>>())
        .bind(new.iter().map(|new| new.metadata.to_text()).collect::<Vec<_>>())
        .bind(new.iter().map(|new| new.ttl.map(|ttl| ttl.minutes)).collect::<Vec<_>>())
        .bind(new.iter().map(|new| new.ttl.map(|ttl| ttl.strategy.as_str())).collect::<Vec<_>>())
        .fetch_all(executor)
        .await?;
    rows.iter().map(Thread::whole).collect()
}

/// An expired thread that was not swept yet must not hold its id.
async fn delete_expired(connection: &mut Connection, thread_id: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query(
        "delete from thread_store.thread \
         where thread_id = $1 and ttl_strategy = 'delete' and expires_at <= clock_timestamp()",
    )
    .bind(thread_id)
    .execute(connection)
    .await
    .map(drop)
}

/// A thread that the transaction under way has made, whether or not its time is over already.
pub(super) async fn made(
    connection: &mut Connection,
    thread_id: Uuid,
) -> Result<Thread, sqlx::Error> {
    let mut sql = QueryBuilder::new("select ");
    sql.push(ROW).push(", ");
    push_newest_values(&mut sql);
    sql.push(" from thread_store.thread where thread.thread_id = ").push_bind(thread_id);
    Thread::whole(&sql.build().fetch_one(connection).await?)
}
