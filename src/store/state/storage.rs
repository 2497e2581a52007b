//! The size of a thread's state.
//!
//! A row counts with the stored size of its columns, compressed if they are, and with the fixed
//! size of a row of its table. No value is read for that, however long it is: its size is in the
//! pointer to it.

use sqlx::Row as _;
use uuid::Uuid;

use crate::authz::Scope;
use crate::json::Raw;
use crate::store::operation::{Asked, Operation, column, query};
use crate::store::pool::Lease;
use crate::store::sql::{Statement, index, visible_thread};
use crate::store::{Error, Store};

/// The sizes of the state of threads.
pub(in crate::store) static STORAGE: Statement = Statement::new(
    "state/storage",
    concat!(
        "
    select asked.n, thread.agent_thread_id is not null as is_agents,
        checkpoints.count as checkpoints, checkpoints.bytes as checkpoint_bytes,
        channels.by_channel, channels.count as values, channels.bytes as value_bytes,
        0::bigint as writes, 0::bigint as write_bytes
    from unnest($1::bigint[], $2::text[]::jsonb[], $3::uuid[])
        with ordinality as asked (tenant, filter, thread_id, n)",
        visible_thread!(),
        "
    cross join lateral (
        select count(*), coalesce(sum(
            160 + pg_column_size(checkpoint.checkpoint_ns) + pg_column_size(checkpoint.metadata)
                + pg_column_size(checkpoint.channels)
                + coalesce(pg_column_size(checkpoint.ancestors), 0)
        ), 0)::bigint as bytes
        from thread_store.checkpoint
        where checkpoint.tenant = asked.tenant and checkpoint.thread_id = asked.thread_id
    ) as checkpoints
    cross join lateral (
        select coalesce(sum(channel.count), 0)::bigint as count,
            coalesce(sum(channel.bytes), 0)::bigint as bytes,
            coalesce(jsonb_object_agg(
                channel.name, jsonb_build_object('count', channel.count, 'bytes', channel.bytes)
            ), '{}') as by_channel
        from (
            select channel_value.channel as name, count(*), sum(
                64 + pg_column_size(channel_value.channel) + pg_column_size(channel_value.value)
            )::bigint as bytes
            from thread_store.channel_value
            where channel_value.tenant = asked.tenant
                and channel_value.thread_id = asked.thread_id
            group by channel_value.channel
            union all
            select 'messages', count(*), coalesce(sum(
                80 + pg_column_size(message.message_id)
                    + coalesce(pg_column_size(message.message), 0)
            ), 0)::bigint
            from thread_store.message
            where message.tenant = asked.tenant and message.thread_id = asked.thread_id
            having count(*) > 0
        ) as channel
    ) as channels"
    ),
);

/// Rows and bytes of a thread's state as stored, including compression.
#[derive(Debug)]
pub struct Storage {
    /// Checkpoints.
    pub checkpoints: i64,
    /// Bytes of the rows of checkpoints.
    pub checkpoint_bytes: i64,
    /// `{"<channel>": {"count": rows, "bytes": bytes}}`.
    pub by_channel: Raw,
    /// Values and messages of all channels.
    pub values: i64,
    /// Their bytes.
    pub value_bytes: i64,
    /// Writes of the tasks of an agent.
    pub writes: i64,
    /// Their bytes.
    pub write_bytes: i64,
    /// Whether an agent writes its state.
    pub(in crate::store) is_agents: bool,
}

/// A thread to measure.
#[derive(Debug)]
pub(in crate::store) struct Measure {
    /// The statement for its tables.
    pub(in crate::store) statement: &'static Statement,
    pub(in crate::store) asked: Asked,
    pub(in crate::store) thread_id: Uuid,
}

impl Operation for Measure {
    type Answer = Option<Storage>;
    const KIND: &'static str = "storage";

    fn asked(&self) -> &Asked {
        &self.asked
    }

    async fn run(
        lease: &mut Lease,
        measures: &[&Measure],
    ) -> Result<Vec<Result<Self::Answer, Error>>, Error> {
        let Some(first) = measures.first() else { return Ok(Vec::new()) };
        let query = query(first.statement, &first.asked, measures)
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
                    is_agents: row.try_get("is_agents")?,
                }));
            }
        }
        Ok(answers)
    }
}

impl Store {
    /// The size of a thread's state. `None`: there is no such thread.
    pub async fn storage(&self, scope: &Scope, thread_id: Uuid) -> Result<Option<Storage>, Error> {
        let Some(asked) = self.asked_about(scope, thread_id).await? else { return Ok(None) };
        let measure = Measure { statement: &STORAGE, asked: asked.clone(), thread_id };
        let own = self.run_alone(&measure).await?;
        match own {
            Some(own) if own.is_agents => {
                let of_agent = self.agent_storage(asked, thread_id).await?;
                Ok(Some(of_agent.unwrap_or(own)))
            }
            own => Ok(own),
        }
    }
}
