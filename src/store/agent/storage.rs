//! How much room the state of an agent's thread takes in the agent's tables.

use std::sync::Arc;

use sqlx::Row as _;
use uuid::Uuid;

use crate::store::operation::{Asked, Operation, column, query, run_one};
use crate::store::pool::{Account, Lease};
use crate::store::sql::{Statement, index};
use crate::store::state::Storage;
use crate::store::{Error, Store};

/// What the rows of threads take, as Postgres stores them.
pub(in crate::store) static AGENT_STORAGE: Statement = Statement::new(
    "agent/storage",
    "
    select asked.n, checkpoints.count as checkpoints, checkpoints.bytes as checkpoint_bytes,
        channels.by_channel, channels.count as values, channels.bytes as value_bytes,
        writes.count as writes, writes.bytes as write_bytes
    from unnest($1::bigint[], $2::text[]::jsonb[], $3::uuid[])
        with ordinality as asked (tenant, filter, thread_id, n)
    cross join lateral (
        select *
        from thread_store.thread
        where thread.tenant = asked.tenant
            and thread.thread_id = asked.thread_id
            and thread.agent_thread_id is not null
            and {visible}
        offset 0
    ) as thread
    cross join lateral (
        select count(*), coalesce(sum(
            160 + pg_column_size(saved.checkpoint) + pg_column_size(saved.metadata)
        ), 0)::bigint as bytes
        from {agent}.checkpoints as saved
        where saved.thread_id = thread.agent_thread_id
    ) as checkpoints
    cross join lateral (
        select coalesce(sum(channel.count), 0)::bigint as count,
            coalesce(sum(channel.bytes), 0)::bigint as bytes,
            coalesce(jsonb_object_agg(
                channel.channel, jsonb_build_object('count', channel.count, 'bytes', channel.bytes)
            ), '{}') as by_channel
        from (
            select stored.channel, count(*),
                sum(100 + coalesce(pg_column_size(stored.blob), 0))::bigint as bytes
            from {agent}.checkpoint_blobs as stored
            where stored.thread_id = thread.agent_thread_id
            group by stored.channel
        ) as channel
    ) as channels
    cross join lateral (
        select count(*), coalesce(sum(160 + pg_column_size(written.blob)), 0)::bigint as bytes
        from {agent}.checkpoint_writes as written
        where written.thread_id = thread.agent_thread_id
    ) as writes",
);

/// A thread to measure.
#[derive(Debug)]
struct Measure {
    asked: Asked,
    thread_id: Uuid,
}

impl Operation for Measure {
    type Answer = Option<Storage>;
    const KIND: &'static str = "agent_storage";

    fn asked(&self) -> &Asked {
        &self.asked
    }

    async fn run(
        lease: &mut Lease,
        measures: &[&Measure],
    ) -> Result<Vec<Result<Self::Answer, Error>>, Error> {
        let Some(first) = measures.first() else { return Ok(Vec::new()) };
        let query = query(&AGENT_STORAGE, &first.asked, measures)
            .bind(column(measures, |measure| measure.thread_id));
        let mut answers: Vec<_> = measures.iter().map(|_| Ok(None)).collect();
        for row in lease.fetch_all(query).await? {
            if let Some(answer) = answers.get_mut(index(&row, "n")?) {
                *answer = Ok(Some(Storage {
                    checkpoints: row.try_get("checkpoints")?,
                    checkpoint_bytes: row.try_get("checkpoint_bytes")?,
                    by_channel: row.try_get("by_channel")?,
                    values: row.try_get("values")?,
                    value_bytes: row.try_get("value_bytes")?,
                    writes: row.try_get("writes")?,
                    write_bytes: row.try_get("write_bytes")?,
                    is_agents: true,
                }));
            }
        }
        Ok(answers)
    }
}

impl Store {
    /// What a thread's state takes in the tables of its agent. `None`: it is no agent's, or those are
    /// detached.
    pub(in crate::store) async fn agent_storage(
        &self,
        mut asked: Asked,
        thread_id: Uuid,
    ) -> Result<Option<Storage>, Error> {
        let schema: Option<Arc<str>> = self.agent_schema().await?;
        let Some(schema) = schema else { return Ok(None) };
        asked.key.holes.agent = Some(schema);
        let measure = Measure { asked, thread_id };
        let mut lease = self.pool.acquire(Account::Holder(measure.asked.holder)).await?;
        let storage = run_one(&mut lease, &measure).await?;
        lease.commit().await?;
        Ok(storage)
    }
}
