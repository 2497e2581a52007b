//! The progress of a thread's sequence of checkpoints.

use sqlx::Row as _;
use uuid::Uuid;

use crate::authz::Scope;
use crate::store::operation::{Asked, LIGHT, Operation, column, query};
use crate::store::pool::Lease;
use crate::store::sql::{Statement, index};
use crate::store::{Channels, Error, Store};
use crate::time::Timestamp;

/// The progress of threads.
pub(in crate::store) static PROGRESS: Statement = Statement::new(
    "state/progress",
    "
    select asked.n, thread.created_at, thread.state_updated_at, thread.last_seq,
        thread.agent_thread_id is not null as is_agents
    from unnest($1::bigint[], $2::text[]::jsonb[], $3::uuid[])
        with ordinality as asked (tenant, filter, thread_id, n)
    join thread_store.thread
        on thread.tenant = asked.tenant
        and thread.thread_id = asked.thread_id
        and {visible}",
);

/// The progress of a thread's sequence of checkpoints.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// Distinguishes the thread from a later one with the same id.
    pub created_at: Timestamp,
    /// When its newest checkpoint was written; without any, when the thread was created.
    pub state_updated_at: Timestamp,
    /// The number of its last checkpoint.
    pub last_seq: i64,
    /// Whether an agent writes its state.
    pub is_agents: bool,
}

/// A thread whose progress is read.
#[derive(Debug)]
pub(in crate::store) struct ReadProgress {
    asked: Asked,
    thread_id: Uuid,
}

impl Operation for ReadProgress {
    type Answer = Option<Progress>;
    const KIND: &'static str = "progress";

    fn asked(&self) -> &Asked {
        &self.asked
    }

    async fn run(
        lease: &mut Lease,
        reads: &[&ReadProgress],
    ) -> Result<Vec<Result<Self::Answer, Error>>, Error> {
        let Some(first) = reads.first() else { return Ok(Vec::new()) };
        let query =
            query(&PROGRESS, &first.asked, reads).bind(column(reads, |read| read.thread_id));
        let mut answers: Vec<_> = reads.iter().map(|_| Ok(None)).collect();
        for row in lease.fetch_all(query).await? {
            if let Some(answer) = answers.get_mut(index(&row, "n")?) {
                *answer = Ok(Some(Progress {
                    created_at: row.try_get("created_at")?,
                    state_updated_at: row.try_get("state_updated_at")?,
                    last_seq: row.try_get("last_seq")?,
                    is_agents: row.try_get("is_agents")?,
                }));
            }
        }
        Ok(answers)
    }
}

impl Store {
    /// The progress of a thread's sequence of checkpoints. `None`: there is no such thread.
    pub async fn progress(
        &self,
        scope: &Scope,
        thread_id: Uuid,
    ) -> Result<Option<Progress>, Error> {
        let Some(asked) = self.asked_about(scope, thread_id).await? else { return Ok(None) };
        let read = ReadProgress { asked: asked.clone(), thread_id };
        let progress = self.progresses.answer(read).await?;
        let Some(mut progress) = progress.filter(|progress| progress.is_agents) else {
            return Ok(progress);
        };
        // An agent's checkpoints are ordered by the time in their ids, which comes from the agent's
        // clock.
        let newest = self.newest_agent_states(&asked, &[thread_id], &Channels::None, LIGHT).await?;
        progress.last_seq = 0;
        for (_, state) in newest.unwrap_or_default() {
            progress.last_seq = state.checkpoint.seq;
            progress.state_updated_at = progress.state_updated_at.max(state.checkpoint.created_at);
        }
        Ok(Some(progress))
    }
}
