//! The status of agents' threads, stored in their rows so that searches can use it.

use std::collections::HashMap;

use sqlx::Row as _;
use uuid::Uuid;

use super::fill::status;
use crate::authz::Scope;
use crate::store::operation::Asked;
use crate::store::sql::Statement;
use crate::store::{Channels, Error, Store};

/// Threads whose status one statement finds.
const BATCH: i64 = 100;
/// Maximum number of rounds before a search by status.
const ROUNDS: usize = 50;

/// Threads with writes since their status was determined, and busy threads without a write for 5
/// minutes. `$1`: the tenant, or null for all.
pub(in crate::store) static UNSETTLED: Statement = Statement::new(
    "agent/unsettled",
    "
    select thread.tenant, thread.thread_id, thread.last_seq,
        thread.state_updated_at < statement_timestamp() - interval '5 minutes' as is_quiet
    from thread_store.thread
    where thread.agent_thread_id is not null
        and (thread.agent_settled < thread.last_seq or thread.status = 'busy')
        and (
            thread.agent_settled < thread.last_seq
            or thread.state_updated_at < statement_timestamp() - interval '5 minutes'
        )
        and ($1::bigint is null or thread.tenant = $1)
    order by thread.tenant, thread.thread_id
    limit $2",
);

/// Stores the status of threads, except those with writes since it was determined. A thread that is
/// locked is left to the next round: waiting for it with other rows locked could deadlock with a
/// transaction that locks several threads in another order, such as that of an attachment.
pub(in crate::store) static SETTLED: Statement = Statement::new(
    "agent/settled",
    "
    with found as (
        select *
        from unnest($1::bigint[], $2::uuid[], $3::bigint[], $4::text[], $5::bigint[])
            as found (tenant, thread_id, seq, status, bytes)
    ),
    free as (
        select found.*
        from found
        cross join lateral (
            select
            from thread_store.thread
            where thread.tenant = found.tenant
                and thread.thread_id = found.thread_id
                and thread.last_seq = found.seq
            for no key update skip locked
        ) as thread
    )
    update thread_store.thread
    set status = free.status,
        state_bytes = free.bytes,
        agent_settled = free.seq
    from free
    where thread.tenant = free.tenant
        and thread.thread_id = free.thread_id
        and thread.last_seq = free.seq",
);

impl Store {
    /// Updates the status of a scope's threads before a search by status.
    pub(in crate::store) async fn settle_before(
        &self,
        scope: &Scope,
        is_by_status: bool,
    ) -> Result<(), Error> {
        if !is_by_status || !self.agents.is_attached() {
            return Ok(());
        }
        let tenant = scope.tenant().map(crate::authz::Tenant::number);
        for _ in 0..ROUNDS {
            if !Box::pin(self.settle_statuses(tenant)).await? {
                break;
            }
        }
        Ok(())
    }

    /// Updates the status of some threads. Returns whether there may be more.
    pub(super) async fn settle_statuses(&self, tenant: Option<i64>) -> Result<bool, Error> {
        let mut lease = self.pool.begin_in_background().await?;
        let unsettled = sqlx::query(UNSETTLED.text()).bind(tenant).bind(BATCH);
        let rows = lease.fetch_all(unsettled).await?;
        lease.commit().await?;
        let mut of_tenant: HashMap<i64, Vec<(Uuid, i64, bool)>> = HashMap::new();
        for row in &rows {
            let thread = (row.try_get(1)?, row.try_get(2)?, row.try_get(3)?);
            // The same writes change the thread's digest.
            self.digests.add(row.try_get(0)?, thread.0);
            of_tenant.entry(row.try_get(0)?).or_default().push(thread);
        }
        for (tenant, threads) in of_tenant {
            self.settle_statuses_of(tenant, &threads).await?;
        }
        Ok(i64::try_from(rows.len()).is_ok_and(|found| found == BATCH))
    }

    async fn settle_statuses_of(
        &self,
        tenant: i64,
        threads: &[(Uuid, i64, bool)],
    ) -> Result<(), Error> {
        let asked = Asked::of_server(tenant);
        let ids: Vec<_> = threads.iter().map(|(id, ..)| *id).collect();
        // No limit is needed: no values are read.
        let states = self.newest_agent_states(&asked, &ids, &Channels::None, i64::MAX).await?;
        let states: HashMap<_, _> = states.unwrap_or_default().into_iter().collect();
        let (mut seqs, mut statuses, mut bytes) = (Vec::new(), Vec::new(), Vec::new());
        for (id, seq, is_quiet) in threads {
            let state = states.get(id);
            seqs.push(*seq);
            statuses.push(state.map_or("idle", |state| status(&state.run, *is_quiet).as_str()));
            bytes.push(state.map_or(0, |state| state.bytes));
        }
        let mut lease = self.pool.begin_in_background().await?;
        let settled = sqlx::query(SETTLED.text()).bind(vec![tenant; ids.len()]).bind(ids);
        lease.execute(settled.bind(seqs).bind(statuses).bind(bytes)).await?;
        Ok(lease.commit().await?)
    }
}
