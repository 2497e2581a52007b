//! Which runs belong to which thread. All other data of a run is the agent's.
//!
//! A client waits for the first event of its run, so the start of a run does not wait for the disk.
//! The record is visible at once to the next request about the run. If the database crashes within
//! a second, the run continues but can be neither joined nor cancelled.

use sqlx::Row as _;
use uuid::Uuid;

use super::operation::{Asked, Operation, column, query, run_one};
use super::pool::{Account, Lease};
use super::sql::{Statement, later};
use super::{Error, Store};
use crate::auth::Scope;
use crate::json::Object;

/// Records the start of a run in these threads: sets `updated_at` of the visible ones, and adds
/// metadata that they lack.
pub(super) static BEGIN: Statement = Statement::new(
    "runs/begin",
    concat!(
        "
    with asked as (
        select *
        from unnest($1::bigint[], $2::text[]::jsonb[], $3::uuid[], $4::text[]::jsonb[])
            with ordinality as asked (tenant, filter, thread_id, metadata, n)
    )
    update thread_store.thread
    set metadata = asked.metadata || thread.metadata,
        updated_at = greatest(statement_timestamp(), ",
        later!("thread.updated_at"),
        ")
    from asked
    where thread.tenant = asked.tenant
        and thread.thread_id = asked.thread_id
        and {visible}
    returning asked.n",
    ),
);

/// The rows of `asked`, one per run, whose threads are visible.
macro_rules! asked_runs {
    () => {
        "unnest($1::bigint[], $2::text[]::jsonb[], $3::uuid[], $4::uuid[])
        with ordinality as asked (tenant, filter, thread_id, run_id, n)
    join thread_store.thread
        on thread.tenant = asked.tenant
        and thread.thread_id = asked.thread_id
        and {visible}"
    };
}

/// Records runs of visible threads.
pub(super) static RECORD: Statement = Statement::new(
    "runs/record",
    concat!(
        "
    insert into thread_store.run (tenant, thread_id, run_id)
    select asked.tenant, asked.thread_id, asked.run_id
    from ",
        asked_runs!(),
        "
    on conflict do nothing"
    ),
);

/// Which of these runs are recorded, each for a visible thread.
pub(super) static KNOWN: Statement = Statement::new(
    "runs/known",
    concat!(
        "
    select asked.run_id
    from ",
        asked_runs!(),
        "
    join thread_store.run
        on run.tenant = asked.tenant
        and run.thread_id = asked.thread_id
        and run.run_id = asked.run_id"
    ),
);

/// Deletes the records of runs of visible threads.
pub(super) static FORGET: Statement = Statement::new(
    "runs/forget",
    concat!(
        "
    delete from thread_store.run
    using ",
        asked_runs!(),
        "
    where run.tenant = asked.tenant
        and run.thread_id = asked.thread_id
        and run.run_id = asked.run_id"
    ),
);

/// The start of a run.
#[derive(Debug)]
struct Begin {
    asked: Asked,
    thread_id: Uuid,
    metadata: String,
}

/// Whether there is such a thread.
impl Operation for Begin {
    type Answer = bool;
    const KIND: &'static str = "begin_run";

    fn asked(&self) -> &Asked {
        &self.asked
    }

    async fn run(lease: &mut Lease, runs: &[&Begin]) -> Result<Vec<Result<bool, Error>>, Error> {
        let Some(first) = runs.first() else { return Ok(Vec::new()) };
        let query = query(&BEGIN, &first.asked, runs)
            .bind(column(runs, |run| run.thread_id))
            .bind(column(runs, |run| run.metadata.as_str()));
        let mut answers: Vec<_> = runs.iter().map(|_| Ok(false)).collect();
        for row in lease.fetch_all(query).await? {
            if let Some(answer) = answers.get_mut(super::sql::index(&row, "n")?) {
                *answer = Ok(true);
            }
        }
        Ok(answers)
    }
}

impl Store {
    /// Records the start of a run in a thread: sets `updated_at`, and adds the keys of `metadata`
    /// that it does not have. Returns whether there is such a thread.
    pub async fn begin_run(
        &self,
        scope: &Scope,
        thread_id: Uuid,
        metadata: &Object,
    ) -> Result<bool, Error> {
        let Some(asked) = self.asked_about(scope, thread_id).await? else { return Ok(false) };
        let begin = Begin { asked, thread_id, metadata: metadata.to_text() };
        let mut lease = self.pool.begin_unwaited(scope.holder()).await?;
        let is_there = run_one(&mut lease, &begin).await?;
        lease.commit().await?;
        Ok(is_there)
    }

    /// Records that a run belongs to a thread, if there is such a thread.
    pub async fn record_run(
        &self,
        scope: &Scope,
        thread_id: Uuid,
        run_id: Uuid,
    ) -> Result<(), Error> {
        let Some(asked) = self.asked_about(scope, thread_id).await? else { return Ok(()) };
        let mut lease = self.pool.begin_unwaited(scope.holder()).await?;
        lease.execute(asked.query(&RECORD).bind(vec![thread_id]).bind(vec![run_id])).await?;
        Ok(lease.commit().await?)
    }

    /// Whether all of these runs belong to a thread, and the thread is visible.
    pub async fn has_runs(
        &self,
        scope: &Scope,
        thread_id: Uuid,
        run_ids: &[Uuid],
    ) -> Result<bool, Error> {
        let known = self.about_runs(&KNOWN, scope, thread_id, run_ids).await?;
        Ok(run_ids.iter().all(|run_id| known.contains(run_id)))
    }

    /// Deletes the record of a run.
    pub async fn forget_run(
        &self,
        scope: &Scope,
        thread_id: Uuid,
        run_id: Uuid,
    ) -> Result<(), Error> {
        self.about_runs(&FORGET, scope, thread_id, &[run_id]).await.map(drop)
    }

    /// Executes a statement about runs of one thread, and returns the runs in its result.
    async fn about_runs(
        &self,
        statement: &Statement,
        scope: &Scope,
        thread_id: Uuid,
        run_ids: &[Uuid],
    ) -> Result<Vec<Uuid>, Error> {
        let Some(asked) = self.asked_about(scope, thread_id).await? else { return Ok(Vec::new()) };
        let mut lease = self.pool.acquire(Account::Holder(scope.holder())).await?;
        let (tenants, filters) = (vec![asked.tenant], vec![asked.filter.as_str()]);
        let query = asked.key.query(statement, tenants.repeat(run_ids.len()));
        let query = query
            .bind(filters.repeat(run_ids.len()))
            .bind(vec![thread_id; run_ids.len()])
            .bind(run_ids);
        let rows = lease.fetch_all(query).await?;
        lease.commit().await?;
        let named = rows.iter().map(|row| row.try_get("run_id"));
        Ok(named.collect::<Result<_, _>>()?)
    }
}
