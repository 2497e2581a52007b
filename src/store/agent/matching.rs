//! Conditions on the values of agents' threads, which Postgres cannot read.

use std::collections::BTreeMap;

use sqlx::Row as _;
use uuid::Uuid;

use crate::authz::Scope;
use crate::json::{Object, Raw};
use crate::store::criteria::AgentsValues;
use crate::store::operation::LIGHT;
use crate::store::sql::Statement;
use crate::store::sql::condition::Condition;
use crate::store::{Channels, Criteria, Error, Store};

/// Threads whose values are read together.
const BATCH: i64 = 100;
/// Maximum bytes of a state that can match, as for all threads.
const MAX_COMPARED: i64 = 32 * 1024 * 1024;

/// Threads of agents that meet all other conditions.
pub(in crate::store) static CANDIDATES: Statement = Statement::new(
    "agent/candidates",
    "
    select thread.thread_id
    from unnest(
        $1::bigint[], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::uuid[], $5::bigint[]
    ) with ordinality as asked (tenant, filter, criteria, behind, max_threads, n)
    cross join lateral (
        select thread.thread_id
        from thread_store.thread
        where thread.tenant = asked.tenant
            and thread.agent_thread_id is not null
            and thread.thread_id > asked.behind
            and {visible}
            and {criteria}
        order by thread.thread_id
        limit asked.max_threads
    ) as thread
    order by thread.thread_id",
);

impl Store {
    /// The values of agents' threads that a search compares: the channels that its conditions name, of all
    /// threads that meet the other conditions. The cost grows with the number of these threads, as for all
    /// conditions on values.
    pub(in crate::store) async fn agents_values(
        &self,
        scope: &Scope,
        criteria: &Criteria,
    ) -> Result<AgentsValues, Error> {
        let named = criteria.channels();
        if named.is_empty() {
            return Ok(AgentsValues::default());
        }
        Box::pin(self.agents_values_of(scope, criteria, named)).await
    }

    async fn agents_values_of(
        &self,
        scope: &Scope,
        criteria: &Criteria,
        named: Vec<String>,
    ) -> Result<AgentsValues, Error> {
        let mut known = AgentsValues::default();
        if self.recent_attachment().await?.is_none() {
            return Ok(known);
        }
        known.of_filter = criteria.filter_reads_values().then(BTreeMap::new);
        let channels = Channels::Only(named);
        let rest = Condition::criteria(&criteria.about_rows(), false, &AgentsValues::default());
        let mut asked = self.asked(scope);
        asked.key.holes.criteria = Some(rest.text);
        asked.key = asked.key.planned();
        let wanted = criteria.values.as_ref().map(Object::to_text);
        let mut behind = Uuid::nil();
        loop {
            let query = asked.query(&CANDIDATES).bind(vec![rest.values.as_str()]);
            let query = query.bind(vec![behind]).bind(vec![BATCH]);
            let mut lease = self.pool.begin_planned(asked.holder).await?;
            let rows = lease.fetch_all(query).await?;
            lease.commit().await?;
            let ids = rows.iter().map(|row| row.try_get(0)).collect::<Result<Vec<Uuid>, _>>()?;
            let Some(last) = ids.last() else { return Ok(known) };
            behind = *last;
            for (id, values) in self.values_of(scope, &ids, &channels).await? {
                known.add(id, &values, wanted.as_deref());
            }
        }
    }

    async fn values_of(
        &self,
        scope: &Scope,
        ids: &[Uuid],
        channels: &Channels,
    ) -> Result<Vec<(Uuid, Raw)>, Error> {
        let asked = self.asked(scope);
        let states = match self.newest_agent_states(&asked, ids, channels, LIGHT).await? {
            Ok(states) => states,
            Err(bytes) => {
                let memory = self.memory(asked.holder, bytes.min(MAX_COMPARED)).await;
                let mut states = Vec::new();
                for id in ids {
                    let one = [*id];
                    let one = self.newest_agent_states(&asked, &one, channels, MAX_COMPARED).await;
                    // A state that is too large does not match.
                    states.extend(one?.unwrap_or_default());
                }
                drop(memory);
                states
            }
        };
        let values = states.into_iter();
        Ok(values.filter_map(|(id, state)| Some((id, state.checkpoint.values?))).collect())
    }
}
