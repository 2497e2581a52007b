//! Which runs belong to which thread. What a run is, its agent knows.

use sqlx::Row as _;
use uuid::Uuid;

use super::operation::{Asked, Operation, column, query, run_one};
use super::pool::{Account, Lease};
use super::sql::{Statement, later};
use super::{Error, Store};
use crate::auth::Scope;
use crate::json::Object;

/// A run begins in these threads: those that may be seen are touched, and get what they lack of the
/// metadata.
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

/// Remembers runs of threads that may be seen.
pub(super) static RECORD: Statement = Statement::new(
    "runs/record",
    "
    insert into thread_store.run (tenant, thread_id, run_id)
    select asked.tenant, asked.thread_id, asked.run_id
    from unnest($1::bigint[], $2::text[]::jsonb[], $3::uuid[], $4::uuid[])
        with ordinality as asked (tenant, filter, thread_id, run_id, n)
    join thread_store.thread
        on thread.tenant = asked.tenant
        and thread.thread_id = asked.thread_id
        and {visible}
    on conflict do nothing",
);

/// Which of these runs are remembered, each for a thread that may be seen.
pub(super) static KNOWN: Statement = Statement::new(
    "runs/known",
    "
    select asked.run_id
    from unnest($1::bigint[], $2::text[]::jsonb[], $3::uuid[], $4::uuid[])
        with ordinality as asked (tenant, filter, thread_id, run_id, n)
    join thread_store.thread
        on thread.tenant = asked.tenant
        and thread.thread_id = asked.thread_id
        and {visible}
    join thread_store.run
        on run.tenant = asked.tenant
        and run.thread_id = asked.thread_id
        and run.run_id = asked.run_id",
);

/// Forgets runs of threads that may be seen.
pub(super) static FORGET: Statement = Statement::new(
    "runs/forget",
    "
    delete from thread_store.run
    using unnest($1::bigint[], $2::text[]::jsonb[], $3::uuid[], $4::uuid[])
        with ordinality as asked (tenant, filter, thread_id, run_id, n)
    join thread_store.thread
        on thread.tenant = asked.tenant
        and thread.thread_id = asked.thread_id
        and {visible}
    where run.tenant = asked.tenant
        and run.thread_id = asked.thread_id
        and run.run_id = asked.run_id",
);

/// A run that begins.
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
    /// A run begins in a thread: it was updated now, and gets the keys of `metadata` that it does
    /// not have. Answers whether there is such a thread.
    pub async fn begin_run(
        &self,
        scope: &Scope,
        thread_id: Uuid,
        metadata: &Object,
    ) -> Result<bool, Error> {
        let Some(asked) = self.asked_about(scope, thread_id).await? else { return Ok(false) };
        let begin = Begin { asked, thread_id, metadata: metadata.to_text() };
        let mut lease = self.pool.acquire(Account::Holder(scope.holder())).await?;
        let is_there = run_one(&mut lease, &begin).await?;
        lease.commit().await?;
        Ok(is_there)
    }

    /// Remembers that a run belongs to a thread, if there is such a thread.
    pub async fn record_run(
        &self,
        scope: &Scope,
        thread_id: Uuid,
        run_id: Uuid,
    ) -> Result<(), Error> {
        self.about_runs(&RECORD, scope, thread_id, &[run_id]).await.map(drop)
    }

    /// Whether all of these runs belong to a thread, and the thread may be seen.
    pub async fn has_runs(
        &self,
        scope: &Scope,
        thread_id: Uuid,
        run_ids: &[Uuid],
    ) -> Result<bool, Error> {
        let known = self.about_runs(&KNOWN, scope, thread_id, run_ids).await?;
        Ok(run_ids.iter().all(|run_id| known.contains(run_id)))
    }

    /// Forgets a run of a thread.
    pub async fn forget_run(
        &self,
        scope: &Scope,
        thread_id: Uuid,
        run_id: Uuid,
    ) -> Result<(), Error> {
        self.about_runs(&FORGET, scope, thread_id, &[run_id]).await.map(drop)
    }

    /// Runs a statement about runs of one thread, and answers with those that it names.
    async fn about_runs(
        &self,
        statement: &Statement,
        scope: &Scope,
        thread_id: Uuid,
        run_ids: &[Uuid],
    ) -> Result<Vec<Uuid>, Error> {
        let Some(asked) = self.asked_about(scope, thread_id).await? else { return Ok(Vec::new()) };
        let mut lease = self.pool.acquire(Account::Holder(scope.holder())).await?;
        let mut named = Vec::new();
        // In the form for one request there is one row of `asked`.
        for run_id in run_ids {
            let query = asked.query(statement).bind(vec![thread_id]).bind(vec![*run_id]);
            for row in lease.fetch_all(query).await? {
                named.push(row.try_get("run_id")?);
            }
        }
        lease.commit().await?;
        Ok(named)
    }
}
