//! Inserting checkpoints with all their rows.

use chrono::{DateTime, Utc};
use indexmap::IndexMap;
use sqlx::types::Json;
use uuid::Uuid;

use super::parent::Ancestor;
use crate::json::Raw;
use crate::messages;
use crate::store::Error;
use crate::store::operation::Asked;
use crate::store::pool::Lease;
use crate::store::sql::{Statement, index, later};

/// Inserts the checkpoints of the threads that have not changed since they were read, are visible,
/// and are not locked. The statement does not wait for locks, because all of its requests would
/// wait. `$new_value` is a comma and a part that inserts values, or nothing.
macro_rules! insert {
    ($new_value:literal) => {
        concat!(
            "
    with asked as (
        select *
        from unnest(
            $1::bigint[], $2::text[]::jsonb[], $3::uuid[], $4::timestamptz[], $5::bigint[],
            $6::bigint[], $7::timestamptz[], $8::text[], $9::uuid[], $10::uuid[], $11::jsonb[],
            $12::jsonb[], $13::bigint[], $14::bigint[], $15::bigint[], $16::jsonb[],
            $17::bigint[], $18::bigint[]
        ) with ordinality as asked (
            tenant, filter, thread_id, created_at, pruned,
            seq, moment, checkpoint_ns, checkpoint_id, parent_checkpoint_id, metadata,
            channels, branch, messages_start, messages_end, ancestors,
            state_bytes, new_bytes, n
        )
    ),
    mine as (
        select asked.*
        from asked
        cross join lateral (
            select
            from thread_store.thread
            where thread.tenant = asked.tenant
                and thread.thread_id = asked.thread_id
                and thread.created_at = asked.created_at
                and thread.last_seq = asked.seq - 1
                and thread.pruned = asked.pruned
                and {visible}
            for no key update skip locked
        ) as thread
    ),
    moved as (
        update thread_store.thread
        set last_seq = mine.seq,
            state_updated_at = mine.moment,
            updated_at = greatest(mine.moment, ",
            later!("thread.updated_at"),
            "),
            state_bytes = case
                when mine.checkpoint_ns = '' then mine.state_bytes
                else thread.state_bytes
            end,
            stored_bytes = thread.stored_bytes + mine.new_bytes
        from mine
        where thread.tenant = mine.tenant and thread.thread_id = mine.thread_id
    ),
    new_checkpoint as (
        insert into thread_store.checkpoint (
            tenant, thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, seq,
            created_at, metadata, channels, branch, messages_start, messages_end, ancestors,
            state_bytes
        )
        select mine.tenant, thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, seq,
            moment, metadata, channels, branch, messages_start, messages_end, ancestors,
            state_bytes
        from mine
    ),
    new_message as (
        insert into thread_store.message (
            tenant, thread_id, branch, position, seq, message_id, message
        )
        select mine.tenant, mine.thread_id, mine.branch, new.position, mine.seq, new.message_id,
            new.message::json
        from unnest($19::bigint[], $20::bigint[], $21::text[], $22::text[])
            as new (n, position, message_id, message)
        join mine using (n)
    )",
            $new_value,
            "
    select n from mine"
        )
    };
}

/// Inserts checkpoints, of which at least one has new values of channels.
pub(in crate::store) static INSERT: Statement = Statement::new(
    "state/insert",
    insert!(
        ",
    new_value as (
        insert into thread_store.channel_value (tenant, thread_id, seq, channel, value)
        select mine.tenant, mine.thread_id, mine.seq, new.channel, new.value::json
        from unnest($23::bigint[], $24::text[], $25::text[]) as new (n, channel, value)
        join mine using (n)
    )"
    ),
);

/// Inserts checkpoints without new values of channels, as most are. This statement has one part
/// fewer to set up.
pub(in crate::store) static INSERT_MESSAGES: Statement =
    Statement::new("state/insert_messages", insert!(""));

/// A checkpoint about to be inserted.
#[derive(Debug)]
pub(super) struct NewCheckpoint<'a> {
    pub(super) asked: &'a Asked,
    pub(super) thread_id: Uuid,
    /// When the thread was created, which distinguishes it from a later one with the same id.
    pub(super) created_at: DateTime<Utc>,
    /// The number of prunes of the thread's history when the parent was read.
    pub(super) pruned: i64,
    /// Its own number, which follows the thread's last.
    pub(super) seq: i64,
    pub(super) moment: DateTime<Utc>,
    pub(super) checkpoint_ns: &'a str,
    pub(super) checkpoint_id: Uuid,
    pub(super) parent_checkpoint_id: Option<Uuid>,
    pub(super) metadata: serde_json::Value,
    /// The number and the bytes of every channel's value, including new ones.
    pub(super) channels: IndexMap<String, (i64, i64)>,
    pub(super) branch: i64,
    /// Branch, seq and end of the branches that it inherits from, nearest first.
    pub(super) ancestors: Vec<Ancestor>,
    /// The start and the end of its messages, if it has any.
    pub(super) messages: Option<(i64, i64)>,
    pub(super) state_bytes: i64,
    /// New values of channels.
    pub(super) values: &'a IndexMap<String, Raw>,
    /// The new rows of its messages.
    pub(super) rows: Vec<messages::Row<'a>>,
}

impl NewCheckpoint<'_> {
    /// Bytes of JSON that it adds.
    pub(super) fn new_bytes(&self) -> i64 {
        let values = self.values.values().map(|value| length(value.text()));
        let messages = self.rows.iter().filter_map(|row| row.message);
        values.chain(messages.map(|message| length(message.text()))).sum()
    }

    fn ancestors(&self) -> Option<Json<&[Ancestor]>> {
        (!self.ancestors.is_empty()).then_some(Json(self.ancestors.as_slice()))
    }
}

/// Inserts checkpoints of different threads in one statement. Returns the indexes of the inserted
/// ones.
pub(super) async fn insert(
    lease: &mut Lease,
    new: &[&NewCheckpoint<'_>],
) -> Result<Vec<usize>, Error> {
    let Some(first) = new.first() else { return Ok(Vec::new()) };
    macro_rules! column {
        ($value:expr) => {
            new.iter().map($value).collect::<Vec<_>>()
        };
    }
    let values = || rows(new).flat_map(|(n, new)| new.values.iter().map(move |value| (n, value)));
    let messages = || rows(new).flat_map(|(n, new)| new.rows.iter().map(move |row| (n, row)));
    macro_rules! column_of {
        ($rows:ident, $value:expr) => {
            $rows().map($value).collect::<Vec<_>>()
        };
    }
    let has_values = new.iter().any(|new| !new.values.is_empty());
    let statement = if has_values { &INSERT } else { &INSERT_MESSAGES };
    let query = first.asked.key.query(statement, column!(|new| new.asked.tenant));
    let query = query
        .bind(column!(|new| new.asked.filter.as_str()))
        .bind(column!(|new| new.thread_id))
        .bind(column!(|new| new.created_at))
        .bind(column!(|new| new.pruned))
        .bind(column!(|new| new.seq))
        .bind(column!(|new| new.moment))
        .bind(column!(|new| new.checkpoint_ns))
        .bind(column!(|new| new.checkpoint_id))
        .bind(column!(|new| new.parent_checkpoint_id))
        .bind(column!(|new| Json(&new.metadata)))
        .bind(column!(|new| Json(&new.channels)))
        .bind(column!(|new| new.branch))
        .bind(column!(|new| new.messages.map(|(start, _)| start)))
        .bind(column!(|new| new.messages.map(|(_, end)| end)))
        .bind(column!(|new| new.ancestors()))
        .bind(column!(|new| new.state_bytes))
        .bind(column!(|new| new.new_bytes()))
        .bind(column_of!(messages, |(n, _)| n))
        .bind(column_of!(messages, |(_, row)| row.position))
        .bind(column_of!(messages, |(_, row)| row.id))
        .bind(column_of!(messages, |(_, row)| row.message.map(Raw::text)));
    let query = if has_values {
        query
            .bind(column_of!(values, |(n, _)| n))
            .bind(column_of!(values, |(_, (channel, _))| channel.as_str()))
            .bind(column_of!(values, |(_, (_, value))| value.text()))
    } else {
        query
    };
    let inserted = lease.fetch_all(query).await?;
    Ok(inserted.iter().map(|row| index(row, "n")).collect::<Result<_, _>>()?)
}

/// The checkpoints with their numbers in the statement.
fn rows<'a, 'b>(
    new: &'a [&'b NewCheckpoint<'b>],
) -> impl Iterator<Item = (i64, &'b NewCheckpoint<'b>)> + 'a {
    (1_i64..).zip(new.iter().copied())
}

/// Bytes of a text.
pub(super) fn length(text: &str) -> i64 {
    i64::try_from(text.len()).unwrap_or(i64::MAX)
}
