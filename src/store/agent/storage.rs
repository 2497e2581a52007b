//! The storage of an agent's thread in the agent's tables.

use uuid::Uuid;

use super::agents_thread;
use crate::store::operation::Asked;
use crate::store::sql::Statement;
use crate::store::state::{Measure, Storage};
use crate::store::{Error, Store};

/// The bytes of the rows of threads, as Postgres stores them.
pub(in crate::store) static AGENT_STORAGE: Statement = Statement::new(
    "agent/storage",
    concat!(
        "
    select asked.n, true as is_agents, checkpoints.count as checkpoints, checkpoints.bytes as checkpoint_bytes,
        channels.by_channel, channels.count as values, channels.bytes as value_bytes,
        writes.count as writes, writes.bytes as write_bytes
    from unnest($1::bigint[], $2::text[]::jsonb[], $3::uuid[])
        with ordinality as asked (tenant, filter, thread_id, n)",
        agents_thread!(),
        "
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
    ) as writes"
    ),
);

impl Store {
    /// The storage of a thread's state in the agent's tables. `None`: it is not an agent's thread,
    /// or the tables are detached.
    pub(in crate::store) async fn agent_storage(
        &self,
        mut asked: Asked,
        thread_id: Uuid,
    ) -> Result<Option<Storage>, Error> {
        let Some(schema) = self.agent_schema().await? else { return Ok(None) };
        asked.key.holes.agent = Some(schema);
        self.run_alone(&Measure { statement: &AGENT_STORAGE, asked, thread_id }).await
    }
}
