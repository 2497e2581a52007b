//! Deleting all but the newest state of an agent's thread.

use sqlx::Row as _;
use uuid::Uuid;

use super::erase::agent_id;
use super::quoted;
use super::settle::attachment_of;
use crate::store::Error;
use crate::store::pool::Lease;
use crate::store::sql::Statement;

/// Whether a thread has delta channels, whose newest value depends on older writes.
pub(in crate::store) static HAS_DELTAS: Statement = Statement::new(
    "agent/has_deltas",
    "
    select exists (
        select
        from {agent}.checkpoints as saved
        where saved.thread_id = $1
            and (
                saved.metadata ? 'counters_since_delta_snapshot'
                or saved.metadata ? 'delta_writes_versioned'
                or exists (
                    select
                    from jsonb_each(
                        case
                            when jsonb_typeof(saved.checkpoint -> 'channel_values') = 'object'
                            then saved.checkpoint -> 'channel_values'
                        end
                    ) as value
                    cross join lateral (
                        select
                        from {agent}.checkpoint_blobs as stored
                        where stored.thread_id = saved.thread_id
                            and stored.checkpoint_ns = saved.checkpoint_ns
                            and stored.channel = value.key
                            and stored.version
                                = saved.checkpoint -> 'channel_versions' ->> value.key
                        offset 0
                    ) as stored
                    where value.value = 'true'
                )
            )
    ) as has_deltas",
);

/// Keeps the newest checkpoint of each namespace with all of its writes, also those of finished
/// tasks, because a waiting run continues from them. The namespace of a subgraph's call is deleted
/// with the checkpoint that made the call. A checkpoint of a format version before 4 has its `Send`
/// messages in the writes of its parent, so the parent is kept too.
///
/// One statement reads one snapshot: rows that the agent adds at the same time are neither read nor
/// deleted.
pub(in crate::store) static KEEP_LATEST: Statement = Statement::new(
    "agent/keep_latest",
    "
    with newest as (
        select distinct on (saved.checkpoint_ns) saved.*
        from {agent}.checkpoints as saved
        where saved.thread_id = $1
        order by saved.checkpoint_ns desc, saved.checkpoint_id desc
    ),
    root as (
        select checkpoint_id from newest where newest.checkpoint_ns = ''
    ),
    kept as materialized (
        select newest.checkpoint_ns, newest.checkpoint_id, newest.parent_checkpoint_id,
            newest.checkpoint
        from newest
        where newest.checkpoint_ns !~ ':'
            or newest.metadata -> 'parents' ->> '' in (select root.checkpoint_id from root)
            or not exists (select from root)
        union all
        select parent.checkpoint_ns, parent.checkpoint_id, parent.parent_checkpoint_id,
            parent.checkpoint
        from newest
        join {agent}.checkpoints as parent
            on parent.thread_id = $1
            and parent.checkpoint_ns = newest.checkpoint_ns
            and parent.checkpoint_id = newest.parent_checkpoint_id
        where newest.checkpoint -> 'v' < '4'
            and exists (
                select
                from {agent}.checkpoint_writes as written
                where written.thread_id = $1
                    and written.checkpoint_ns = parent.checkpoint_ns
                    and written.checkpoint_id = parent.checkpoint_id
                    and written.channel = '__pregel_tasks'
            )
    ),
    version as materialized (
        select kept.checkpoint_ns, version.key as channel, version.value as version
        from kept
        cross join lateral jsonb_each_text(
            case
                when jsonb_typeof(kept.checkpoint -> 'channel_versions') = 'object'
                then kept.checkpoint -> 'channel_versions'
            end
        ) as version
    ),
    blobs as (
        delete from {agent}.checkpoint_blobs as stored
        where stored.thread_id = $1
            and (stored.checkpoint_ns, stored.channel, stored.version) not in (
                select version.checkpoint_ns, version.channel, version.version from version
            )
    ),
    gone as materialized (
        select saved.checkpoint_ns, saved.checkpoint_id
        from {agent}.checkpoints as saved
        where saved.thread_id = $1
            and (saved.checkpoint_ns, saved.checkpoint_id) not in (
                select kept.checkpoint_ns, kept.checkpoint_id from kept
            )
    ),
    writes as (
        delete from {agent}.checkpoint_writes as written
        using gone
        where written.thread_id = $1
            and written.checkpoint_ns = gone.checkpoint_ns
            and written.checkpoint_id = gone.checkpoint_id
    ),
    parents as (
        update {agent}.checkpoints as saved
        set parent_checkpoint_id = null
        from kept
        join gone
            on gone.checkpoint_ns = kept.checkpoint_ns
            and gone.checkpoint_id = kept.parent_checkpoint_id
        where saved.thread_id = $1
            and saved.checkpoint_ns = kept.checkpoint_ns
            and saved.checkpoint_id = kept.checkpoint_id
    )
    delete from {agent}.checkpoints as saved
    using gone
    where saved.thread_id = $1
        and saved.checkpoint_ns = gone.checkpoint_ns
        and saved.checkpoint_id = gone.checkpoint_id",
);

/// Memory for the keys of all values that a long thread keeps.
const ROOM: &str = "set local work_mem = '64MB'";

/// Deletes all but the newest state of a thread, if it is an agent's. Returns whether it is. The
/// transaction must have locked the thread.
pub(in crate::store) async fn keep_latest_of_agent(
    transaction: &mut Lease,
    tenant: i64,
    thread_id: Uuid,
) -> Result<bool, Error> {
    let Some(id) = agent_id(transaction, tenant, thread_id).await? else { return Ok(false) };
    let Some(attachment) = attachment_of(transaction).await? else { return Ok(true) };
    let schema = quoted(&attachment.schema);
    let has_deltas = sqlx::query(HAS_DELTAS.with_agent(&schema)).bind(id.as_str());
    let row = transaction.fetch_optional(has_deltas).await?;
    if row.is_some_and(|row| row.try_get(0).unwrap_or(true)) {
        return Err(Error::DeltaChannels);
    }
    transaction.execute(sqlx::query(ROOM)).await?;
    let keep = sqlx::query(KEEP_LATEST.with_agent(&schema)).bind(id.as_str());
    transaction.execute(keep).await?;
    Ok(true)
}
