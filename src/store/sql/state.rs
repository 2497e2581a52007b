//! How the values of a checkpoint are read: the parts of statements that all of them share.
//!
//! Each part is a macro, because a statement is one literal that is put together when the program
//! is compiled.

use sqlx::Row;
use sqlx::postgres::PgRow;

use crate::json::Raw;

/// The messages of the checkpoint `head` of `thread`, one row a position. Rows are `json`, without
/// those that were removed.
macro_rules! visible_messages {
    () => {
        "
        select distinct on (written.position) written.position, written.message
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

/// Joins to a row of `thread` its newest checkpoint of the root namespace as `head`, if `$when`. It is
/// null as long as there is no state.
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

/// The columns that [`newest_values`] reads: the values of `head`, as the text of its channels and
/// that of its messages.
///
/// The text is put together from stored text: the functions that build json would parse and print
/// every value once more. Cost: one index probe a channel, one index range a branch, and nothing for
/// a thread without state, because a case is what a subquery is not begun without.
macro_rules! value_columns {
    () => {
        concat!(
            "head.seq as head_seq,
        case when head.seq is not null then (
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
        ) end as channels,
        case when head.messages_end is not null then (
            select coalesce(string_agg(visible.message::text, ','), '')
            from (",
            visible_messages!(),
            "
            ) as visible
            where visible.message is not null
        ) end as messages"
        )
    };
}

pub(in crate::store) use {newest_checkpoint, value_columns, visible_messages};

/// The messages of `head` as one value, for conditions on them.
pub(super) const NEWEST_MESSAGES: &str = concat!(
    "select case when head.messages_end is not null then coalesce(jsonb_agg(visible.message::jsonb), '[]') end from (",
    visible_messages!(),
    ") as visible where visible.message is not null"
);

/// The values that a row of [`value_columns`] has. `None`: the thread has no state.
pub(in crate::store) fn newest_values(row: &PgRow) -> Result<Option<Raw>, sqlx::Error> {
    let Some(_) = row.try_get::<Option<i64>, _>("head_seq")? else { return Ok(None) };
    let channels: Option<&str> = row.try_get("channels")?;
    let messages: Option<&str> = row.try_get("messages")?;
    let mut text = String::with_capacity(
        channels.map_or(0, str::len) + messages.map_or(0, str::len) + "{,\"messages\":[]}".len(),
    );
    text.push('{');
    text.push_str(channels.unwrap_or_default());
    if let Some(messages) = messages {
        text.push_str(if channels.is_some() { ",\"messages\":[" } else { "\"messages\":[" });
        text.push_str(messages);
        text.push(']');
    }
    text.push('}');
    Ok(Some(Raw::stored(text)))
}
