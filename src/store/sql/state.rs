//! Reading the values of a checkpoint: common parts of statements.
//!
//! Each part is a macro, because a statement is one literal that is concatenated at compile time.

use sqlx::Row;
use sqlx::postgres::PgRow;

use crate::json::Raw;

/// The messages of the checkpoint `head` of `thread`, one row per position. `message` is `json`,
/// and null if the message was removed.
macro_rules! visible_messages {
    () => {
        "
        select distinct on (written.position) written.position, written.seq, written.message
        from (
            select position, seq, message
            from thread_store.message
            where message.tenant = asked.tenant
                and message.thread_id = thread.thread_id
                and message.branch = head.branch
                and message.position >= head.messages_start
                and message.position < head.messages_end
                and message.seq <= head.seq
            union all
            select inherited.position, inherited.seq, inherited.message
            from jsonb_array_elements(head.ancestors) as ancestor
            cross join lateral (
                select position, seq, message
                from thread_store.message
                where message.tenant = asked.tenant
                    and message.thread_id = thread.thread_id
                    and message.branch = (ancestor ->> 0)::bigint
                    and message.position >= head.messages_start
                    and message.position < (ancestor ->> 2)::bigint
                    and message.seq <= (ancestor ->> 1)::bigint
                offset 0
            ) as inherited
        ) as written
        order by written.position, written.seq desc"
    };
}

/// Joins to a row of `thread` its newest checkpoint of the root namespace as `head`, if `$when`.
/// `head` is null as long as there is no state.
macro_rules! newest_checkpoint {
    ($when:literal) => {
        concat!(
            "
    left join lateral (
        select *
        from thread_store.checkpoint
        where thread.last_seq > 0
            and checkpoint.tenant = asked.tenant
            and checkpoint.thread_id = thread.thread_id
            and checkpoint.checkpoint_ns = ''
            and ",
            $when,
            "
        order by checkpoint.checkpoint_id desc
        limit 1
    ) as head on true"
        )
    };
}

/// The JSON object of the values of the checkpoint `head` of `thread`, as text.
///
/// The text is concatenated from stored text, because the functions that build JSON would parse and
/// print every value again. Cost: one index probe per channel and one index range per branch.
macro_rules! values_of_head {
    () => {
        concat!(
            "'{' || concat_ws(',', (
                select string_agg(to_json(entry.key)::text || ':' || stored.value::text, ',')
                from jsonb_each(head.channels) as entry
                cross join lateral (
                    select value
                    from thread_store.channel_value
                    where channel_value.tenant = asked.tenant
                        and channel_value.thread_id = thread.thread_id
                        and channel_value.seq = (entry.value ->> 0)::bigint
                        and channel_value.channel = entry.key
                    offset 0
                ) as stored
            ), case when head.messages_end is not null then (
                select '\"messages\":[' || coalesce(string_agg(visible.message::text, ','), '') || ']'
                from (",
            visible_messages!(),
            "
                ) as visible
                where visible.message is not null
            ) end) || '}'"
        )
    };
}

/// The column that [`read_values`] reads: the newest values of `thread`, if `$when`. A thread
/// without state costs nothing, because the `case` skips the subquery.
macro_rules! newest_values {
    ($when:literal) => {
        concat!(
            "case when thread.last_seq > 0 and ",
            $when,
            " then (
            select ",
            values_of_head!(),
            "
            from thread_store.checkpoint as head
            where head.tenant = asked.tenant
                and head.thread_id = thread.thread_id
                and head.checkpoint_ns = ''
            order by head.checkpoint_id desc
            limit 1
        ) end as values"
        )
    };
}

pub(in crate::store) use {newest_checkpoint, newest_values, values_of_head, visible_messages};

/// The messages of `head` as one value, for conditions on them.
pub(super) const NEWEST_MESSAGES: &str = concat!(
    "select case when head.messages_end is not null then coalesce(jsonb_agg(visible.message::jsonb), '[]') end from (",
    visible_messages!(),
    ") as visible where visible.message is not null"
);

/// The values in a row. `None`: the thread has no state, or it was not read.
pub(in crate::store) fn read_values(row: &PgRow) -> Result<Option<Raw>, sqlx::Error> {
    let values: Option<&str> = row.try_get("values")?;
    Ok(values.map(|values| Raw::stored(values.to_owned())))
}
