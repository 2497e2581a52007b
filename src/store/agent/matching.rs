//! Conditions on the values of agents' threads, which Postgres cannot read.

use sqlx::Row as _;
use uuid::Uuid;

use crate::authz::Scope;
use crate::json::contains;
use crate::store::operation::LIGHT;
use crate::store::sql::Statement;
use crate::store::sql::condition::Condition;
use crate::store::{Channels, Criteria, Error, Store};

/// Threads that are looked at together.
const BATCH: i64 = 100;
/// Bytes of a state beyond which it does not match, as with all threads.
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
    /// The threads of agents whose values meet the condition on values: of all that meet the other
    /// conditions, the channels that are named are read and compared here. Costs grow with how many
    /// those are, as with all conditions on values.
    pub(in crate::store) async fn agents_with_values(
        &self,
        scope: &Scope,
        criteria: &Criteria,
    ) -> Result<Vec<Uuid>, Error> {
        let Some(values) = &criteria.values else { return Ok(Vec::new()) };
        if self.recent_attachment().await?.is_none() {
            return Ok(Vec::new());
        }
        let names: Vec<_> = values.iter().map(|(name, _)| name.to_owned()).collect();
        let channels = Channels::Only(names);
        let rest = Condition::criteria(&Criteria { values: None, ..criteria.clone() }, false, &[]);
        let wanted = values.to_text();
        let mut asked = self.asked(scope);
        asked.key.holes.criteria = Some(rest.text);
        asked.key = asked.key.planned();
        let (mut matching, mut behind) = (Vec::new(), Uuid::nil());
        loop {
            let query = asked.query(&CANDIDATES).bind(vec![rest.values.as_str()]);
            let query = query.bind(vec![behind]).bind(vec![BATCH]);
            let mut lease = self.pool.begin_planned(asked.holder).await?;
            let rows = lease.fetch_all(query).await?;
            lease.commit().await?;
            let ids = rows.iter().map(|row| row.try_get(0)).collect::<Result<Vec<Uuid>, _>>()?;
            let Some(last) = ids.last() else { return Ok(matching) };
            behind = *last;
            matching.extend(self.matching(scope, &ids, &channels, &wanted).await?);
        }
    }

    async fn matching(
        &self,
        scope: &Scope,
        ids: &[Uuid],
        channels: &Channels,
        wanted: &str,
    ) -> Result<Vec<Uuid>, Error> {
        let asked = self.asked(scope);
        let states = match self.newest_agent_states(&asked, ids, channels, LIGHT).await? {
            Ok(states) => states,
            Err(bytes) => {
                let memory = self.memory(asked.holder, bytes.min(MAX_COMPARED)).await;
                let mut states = Vec::new();
                for id in ids {
                    let one = [*id];
                    let one = self.newest_agent_states(&asked, &one, channels, MAX_COMPARED).await;
                    // What is too large does not match.
                    states.extend(one?.unwrap_or_default());
                }
                drop(memory);
                states
            }
        };
        let is_match = |values: &crate::json::Raw| contains(values.text(), wanted);
        let states = states.into_iter();
        let matching = states
            .filter(|(_, state)| state.checkpoint.values.as_ref().is_some_and(is_match))
            .map(|(id, _)| id);
        Ok(matching.collect())
    }
}
