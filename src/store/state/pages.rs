//! Statements that read pages of checkpoints, with the rows of their values.

use crate::store::sql::state::{values_of_head, visible_messages};
use crate::store::sql::{Statement, visible_thread};

/// The requested checkpoints, of which `$rows` says how many and in which order.
macro_rules! checkpoints {
    ($rows:literal) => {
        concat!(
            "
            select *
            from thread_store.checkpoint
            where checkpoint.tenant = asked.tenant
                and checkpoint.thread_id = asked.thread_id
                and checkpoint.checkpoint_ns = asked.checkpoint_ns
                and checkpoint.checkpoint_id >= asked.oldest
                and checkpoint.checkpoint_id <= asked.newest
                and checkpoint.seq > asked.behind_seq
                and (
                    asked.metadata is null
                    or checkpoint.metadata
                        || jsonb_build_object('thread_id', asked.thread_id)
                        @> asked.metadata
                )
            ",
            $rows
        )
    };
    () => {
        checkpoints!(
            "order by checkpoint.checkpoint_id {direction}
            limit asked.max_states"
        )
    };
}

/// The beginning of both statements.
macro_rules! read {
    ($columns:expr, $joined:expr) => {
        concat!(
            "
    select asked.n, thread.created_at as thread_created_at,
        thread.agent_thread_id is not null as is_agents, ",
            $columns,
            "
    from unnest(
        $1::bigint[], $2::text[]::jsonb[], $3::uuid[], $4::text[], $5::uuid[], $6::uuid[],
        $7::bigint[], $8::text[]::jsonb[], $9::bigint[], $10::bool[], $11::text[]::jsonb[],
        $12::bigint[]
    ) with ordinality as asked (
        tenant, filter, thread_id, checkpoint_ns, oldest, newest,
        behind_seq, metadata, max_states, with_values, selected,
        max_bytes, n
    )",
            visible_thread!(),
            $joined
        )
    };
}

/// Pages of checkpoints, each with the rows of its values. If the page has more than `max_bytes`, only
/// the sizes of its checkpoints are read.
pub(in crate::store) static READ: Statement = Statement::new(
    "state/read",
    read!(
        "sized.sizes, picked.*,
        messages.branches as message_branches, messages.positions as message_positions,
        messages.seqs as message_seqs, messages.texts as message_texts,
        stored.seqs as value_seqs, stored.names as value_names, stored.texts as value_texts",
        concat!(
            "
    cross join lateral (
        select array_agg(page.bytes) as sizes, sum(page.bytes) as bytes
        from (
            select 300 + pg_column_size(checkpoint.metadata) + case
                when not asked.with_values then 0
                when asked.selected is null then checkpoint.state_bytes
                else (
                    select coalesce(sum((entry.value ->> 1)::bigint), 0)::bigint
                    from jsonb_each(checkpoint.channels) as entry
                    where asked.selected ? entry.key
                ) + case
                    when asked.selected ? 'messages' then checkpoint.state_bytes
                    else 0
                end
            end as bytes
            from (",
            checkpoints!(),
            "
            ) as checkpoint
        ) as page
    ) as sized
    cross join lateral (
        select array_agg(page.checkpoint_id) as checkpoint_ids,
            array_agg(page.parent_checkpoint_id) as parents,
            array_agg(page.seq) as seqs,
            array_agg(page.created_at) as created_ats,
            array_agg(page.metadata) as metadatas,
            array_agg(page.channels) as channels,
            array_agg(page.branch) as branches,
            array_agg(page.messages_start) as starts,
            array_agg(page.messages_end) as ends,
            array_agg(page.ancestors) as ancestors,
            min(page.messages_start) as messages_start,
            max(page.messages_end) as messages_end,
            max(page.seq) as last_seq,
            count(page.ancestors) > 0 as is_forked,
            bool_or(page.channels <> '{}') as has_channels
        from (",
            checkpoints!(),
            "
        ) as page
        where sized.bytes <= asked.max_bytes
    ) as picked
    left join lateral (
        select array_agg(message.branch) as branches,
            array_agg(message.position) as positions,
            array_agg(message.seq) as seqs,
            array_agg(message.message::text) as texts
        from (
            select distinct unnest(picked.branches || case when picked.is_forked then array(
                select (ancestor ->> 0)::bigint
                from unnest(picked.ancestors) as list
                cross join lateral jsonb_array_elements(list) as ancestor
            ) end) as branch
        ) as source
        cross join lateral (
            select *
            from thread_store.message
            where message.tenant = asked.tenant
                and message.thread_id = asked.thread_id
                and message.branch = source.branch
                and message.position >= picked.messages_start
                and message.position < picked.messages_end
                and message.seq <= picked.last_seq
            offset 0
        ) as message
        where asked.with_values and (asked.selected is null or asked.selected ? 'messages')
    ) as messages on true
    left join lateral (
        select array_agg(wanted.seq) as seqs,
            array_agg(wanted.channel) as names,
            array_agg(found.value::text) as texts
        from (
            select distinct entry.key as channel, (entry.value ->> 0)::bigint as seq
            from unnest(picked.channels) as list
            cross join lateral jsonb_each(list) as entry
            where picked.has_channels
                and asked.with_values
                and (asked.selected is null or asked.selected ? entry.key)
        ) as wanted
        cross join lateral (
            select value
            from thread_store.channel_value
            where channel_value.tenant = asked.tenant
                and channel_value.thread_id = asked.thread_id
                and channel_value.seq = wanted.seq
                and channel_value.channel = wanted.channel
            offset 0
        ) as found
    ) as stored on true"
        )
    ),
);

/// The newest checkpoint of each page, whose values are all read or not at all. This statement has
/// half the parts of the one for pages, whose setup would take as long as answering one request.
pub(in crate::store) static READ_ONE: Statement = Statement::new(
    "state/read_one",
    read!(
        concat!(
            "head.checkpoint_id, head.parent_checkpoint_id, head.seq, head.created_at,
        head.bytes, case when head.bytes <= asked.max_bytes then head.metadata end as metadata,
        case when asked.with_values and head.bytes <= asked.max_bytes then ",
            values_of_head!(),
            " end as values"
        ),
        concat!(
            "
    left join lateral (
        select *, 300 + pg_column_size(checkpoint.metadata)
            + case when asked.with_values then checkpoint.state_bytes else 0 end as bytes
        from (",
            checkpoints!(
                "order by checkpoint.checkpoint_id desc
            limit 1"
            ),
            "
        ) as checkpoint
    ) as head on true"
        )
    ),
);
