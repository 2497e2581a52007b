//! Delta channels, whose value is not stored: the writes between a snapshot and a checkpoint.

use std::collections::HashMap;

use sqlx::Row as _;
use uuid::Uuid;

use super::agents_thread;
use crate::checkpoints::{AesKey, Unreadable, decode, is_replayed, replay};
use crate::json::Raw;
use crate::store::Error;
use crate::store::operation::{Asked, column};
use crate::store::pool::Lease;
use crate::store::sql::Statement;

/// Maximum number of checkpoints that one statement walks through.
const MAX_LINKS: i64 = 20_000;

/// Channels of checkpoints that one statement reads.
const TOGETHER: usize = 1_000;

/// For each channel of a checkpoint, the checkpoints back to one that has the channel's value, each
/// with the writes onto it. A checkpoint that several chains share is read once.
pub(in crate::store) static CHAIN: Statement = Statement::new(
    "agent/chain",
    concat!(
        "
    with recursive asked as (
        select *
        from unnest(
            $1::bigint[], $2::text[]::jsonb[], $3::uuid[], $4::text[], $5::text[], $6::text[]
        ) with ordinality as asked (
            tenant, filter, thread_id, checkpoint_ns, checkpoint_id, channel, n
        )
    ),
    chain (thread_id, agent_thread_id, checkpoint_ns, channel, checkpoint_id) as (
        select asked.thread_id, thread.agent_thread_id, asked.checkpoint_ns, asked.channel,
            asked.checkpoint_id
        from asked",
        agents_thread!(),
        "
        union
        select chain.thread_id, chain.agent_thread_id, chain.checkpoint_ns, chain.channel,
            saved.parent_checkpoint_id
        from chain
        cross join lateral (
            select parent_checkpoint_id, checkpoint
            from {agent}.checkpoints
            where checkpoints.thread_id = chain.agent_thread_id
                and checkpoints.checkpoint_ns = chain.checkpoint_ns
                and checkpoints.checkpoint_id = chain.checkpoint_id
            offset 0
        ) as saved
        where saved.parent_checkpoint_id is not null
            and coalesce(saved.checkpoint -> 'channel_values' -> chain.channel, 'true') = 'true'
            and not exists (
                select
                from {agent}.checkpoint_blobs as stored
                where stored.thread_id = chain.agent_thread_id
                    and stored.checkpoint_ns = chain.checkpoint_ns
                    and stored.channel = chain.channel
                    and stored.version = saved.checkpoint -> 'channel_versions' ->> chain.channel
                    and stored.type <> 'empty'
            )
    )
    select link.thread_id, link.channel, link.checkpoint_id,
        saved.checkpoint_id is not null as is_there, saved.parent_checkpoint_id,
        nullif(saved.checkpoint -> 'channel_values' -> link.channel, 'true')::text as inlined,
        stored.type, stored.blob, written.types, written.blobs
    from (select * from chain limit $7) as link
    left join lateral (
        select *
        from {agent}.checkpoints
        where checkpoints.thread_id = link.agent_thread_id
            and checkpoints.checkpoint_ns = link.checkpoint_ns
            and checkpoints.checkpoint_id = link.checkpoint_id
        offset 0
    ) as saved on true
    left join lateral (
        select type, blob
        from {agent}.checkpoint_blobs as stored
        where stored.thread_id = link.agent_thread_id
            and stored.checkpoint_ns = link.checkpoint_ns
            and stored.channel = link.channel
            and stored.version = saved.checkpoint -> 'channel_versions' ->> link.channel
            and stored.type <> 'empty'
        offset 0
    ) as stored on true
    left join lateral (
        select array_agg(row.type order by row.task_path, row.task_id, row.idx) as types,
            array_agg(row.blob order by row.task_path, row.task_id, row.idx) as blobs
        from (select '' as task_path) as absent
        cross join lateral (
            select task_id, task_path, idx, type, blob
            from {agent}.checkpoint_writes as written
            where written.thread_id = link.agent_thread_id
                and written.checkpoint_ns = link.checkpoint_ns
                and written.checkpoint_id = link.checkpoint_id
                and written.channel = link.channel
        ) as row
    ) as written on true"
    ),
);

/// A channel of a checkpoint that does not store the channel's value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Wanted {
    pub(super) thread_id: Uuid,
    pub(super) checkpoint_id: String,
    pub(super) channel: String,
}

/// One checkpoint of a chain.
#[derive(Debug)]
struct Link {
    is_there: bool,
    parent: Option<String>,
    seed: Option<Result<Option<Raw>, Unreadable>>,
    writes: Vec<Result<Option<Raw>, Unreadable>>,
}

/// The links of some channels.
#[derive(Debug, Default)]
pub(super) struct Chain(HashMap<Wanted, Link>);

impl Chain {
    /// Reads the links of these channels.
    pub(super) async fn read(
        lease: &mut Lease,
        asked: &Asked,
        checkpoint_ns: &str,
        wanted: &[Wanted],
        key: Option<&AesKey>,
    ) -> Result<Chain, Error> {
        let known: Vec<_> = wanted.iter().filter(|wanted| is_replayed(&wanted.channel)).collect();
        let mut chain = Chain::default();
        for known in known.chunks(TOGETHER) {
            let query = asked.key.query(&CHAIN, column(known, |_| asked.tenant));
            let query = query
                .bind(column(known, |_| asked.filter.as_str()))
                .bind(column(known, |wanted| wanted.thread_id))
                .bind(column(known, |_| checkpoint_ns))
                .bind(column(known, |wanted| wanted.checkpoint_id.as_str()))
                .bind(column(known, |wanted| wanted.channel.as_str()))
                .bind(MAX_LINKS);
            for row in lease.fetch_all(query).await? {
                chain.add(&row, key)?;
            }
        }
        Ok(chain)
    }

    fn add(
        &mut self,
        row: &sqlx::postgres::PgRow,
        key: Option<&AesKey>,
    ) -> Result<(), sqlx::Error> {
        let id = Wanted {
            thread_id: row.try_get("thread_id")?,
            checkpoint_id: row.try_get("checkpoint_id")?,
            channel: row.try_get("channel")?,
        };
        let inlined: Option<&str> = row.try_get("inlined")?;
        let r#type: Option<&str> = row.try_get("type")?;
        let blob: Option<&[u8]> = row.try_get("blob")?;
        let seed = match (r#type, inlined) {
            (Some(r#type), _) => Some(decode(r#type, blob.unwrap_or_default(), key)),
            (None, Some(inlined)) => Some(Ok(Raw::from_text(inlined).ok())),
            (None, None) => None,
        };
        let types: Vec<Option<String>> = row.try_get::<Option<_>, _>("types")?.unwrap_or_default();
        let blobs: Vec<Option<Vec<u8>>> = row.try_get::<Option<_>, _>("blobs")?.unwrap_or_default();
        let writes = types.iter().zip(&blobs).map(|(r#type, blob)| {
            decode(r#type.as_deref().unwrap_or("empty"), blob.as_deref().unwrap_or_default(), key)
        });
        let (is_there, parent) = (row.try_get("is_there")?, row.try_get("parent_checkpoint_id")?);
        let writes = writes.collect();
        self.0.insert(id, Link { is_there, parent, seed, writes });
        Ok(())
    }

    /// The value of a channel.
    pub(super) fn value(&self, wanted: &Wanted) -> Result<Raw, Unreadable> {
        if !is_replayed(&wanted.channel) {
            return Err(Unreadable::Reducer);
        }
        // From the checkpoint back to the one that has the value.
        let mut writes = Vec::new();
        let mut at = wanted.clone();
        let base = loop {
            let link = self.0.get(&at).filter(|link| link.is_there).ok_or(Unreadable::Gap)?;
            if at != *wanted {
                writes.push(&link.writes);
            }
            if let Some(seed) = &link.seed {
                break seed.clone()?;
            }
            match &link.parent {
                Some(parent) => at.checkpoint_id.clone_from(parent),
                None => break None,
            }
            if writes.len() > self.0.len() {
                return Err(Unreadable::Gap);
            }
        };
        let writes = writes.into_iter().rev().flatten().cloned();
        let writes: Result<Vec<_>, _> = writes.collect();
        replay(&wanted.channel, base.as_ref(), &writes?.into_iter().flatten().collect::<Vec<_>>())
    }
}
