//! Inserting checkpoints with all their rows.

use chrono::{DateTime, Utc};
use indexmap::IndexMap;
use sqlx::postgres::PgBindIterExt as _;
use sqlx::types::Json;
use sqlx::{Postgres, QueryBuilder};
use uuid::Uuid;

use super::filter::Shape;
use super::lanes::place;
use super::pool::Connection;
use crate::auth::Scope;
use crate::json::Raw;
use crate::messages;

/// Bytes of new messages that one statement takes at most, unless one message alone is longer. A
/// statement's values are in memory twice while it is sent.
const MAX_BYTES_AT_ONCE: usize = 1 << 20;

/// A checkpoint about to be inserted, if its thread has had no other one since.
pub(super) struct NewCheckpoint<'a> {
    pub(super) thread_id: Uuid,
    /// `None`: the transaction under way has made the thread.
    pub(super) scope: Option<&'a Scope>,
    /// When the thread was made, which tells it from a later one with the same id.
    pub(super) created_at: DateTime<Utc>,
    /// Its own number, the one after the thread's last.
    pub(super) seq: i64,
    pub(super) moment: DateTime<Utc>,
    pub(super) checkpoint_ns: &'a str,
    pub(super) checkpoint_id: Uuid,
    pub(super) parent_checkpoint_id: Option<Uuid>,
    pub(super) metadata: serde_json::Value,
    /// The `seq` of every channel's value, its own included.
    pub(super) channels: IndexMap<String, i64>,
    pub(super) branch: i64,
    /// The parent's branch, seq and end of messages, if a branch begins here.
    pub(super) fork: Option<(i64, i64, i64)>,
    /// Where its messages begin and end, if it has any.
    pub(super) messages: Option<(i64, i64)>,
    /// New values of channels.
    pub(super) values: &'a IndexMap<String, Raw>,
    /// What is new among its messages.
    pub(super) rows: Vec<messages::Row<'a>>,
}

/// Inserts checkpoints of different threads, whose scopes are of one shape, and moves the threads'
/// clocks, in one statement. Answers with the places of those that were inserted: not of those whose
/// threads are locked or have had another checkpoint since, or may not be seen any more.
pub(super) async fn insert_checkpoints(
    connection: &mut Connection,
    shape: &Shape,
    new: &[&NewCheckpoint<'_>],
) -> Result<Vec<usize>, sqlx::Error> {
    if new.is_empty() {
        return Ok(Vec::new());
    }
    let mut sql = QueryBuilder::new("with asked as ( select * from unnest(");
    macro_rules! column {
        ($first:literal, $value:expr) => {
            sql.push($first).push_bind(new.iter().map($value).collect::<Vec<_>>())
        };
    }
    column!("", |new| new.thread_id);
    column!(", ", |new| new.created_at);
    column!(", ", |new| new.seq);
    column!(", ", |new| new.moment);
    column!(", ", |new| new.checkpoint_ns.to_owned());
    column!(", ", |new| new.checkpoint_id);
    column!(", ", |new| new.parent_checkpoint_id);
    column!(", ", |new| new.metadata.clone());
    column!(", ", |new| Json(new.channels.clone()));
    column!(", ", |new| new.branch);
    column!(", ", |new| new.fork.map(|(branch, _, _)| branch));
    column!(", ", |new| new.fork.map(|(_, seq, _)| seq));
    column!(", ", |new| new.fork.map(|(_, _, end)| end));
    column!(", ", |new| new.messages.map(|(start, _)| start));
    column!(", ", |new| new.messages.map(|(_, end)| end));
    shape.push_values(&mut sql, new.iter().filter_map(|new| new.scope));
    sql.push(
        ") with ordinality as asked (thread_id, created_at, seq, moment, checkpoint_ns, \
             checkpoint_id, parent_checkpoint_id, metadata, channels, branch, \
             parent_branch, fork_seq, fork_end, messages_start, messages_end",
    );
    shape.push_names(&mut sql);
    // Nobody waits here for somebody else's lock: all would.
    sql.push(
        ", n) ), mine as ( \
             select asked.* from asked cross join lateral ( \
                 select from thread_store.thread \
                 where thread.thread_id = asked.thread_id \
                     and thread.created_at = asked.created_at \
                     and thread.last_seq = asked.seq - 1 and ",
    );
    shape.push_visible(&mut sql);
    sql.push(
        " for no key update skip locked ) as thread \
         ), moved as ( \
             update thread_store.thread \
             set last_seq = mine.seq, state_updated_at = mine.moment, \
                 updated_at = greatest(mine.moment, \
                     thread.updated_at + interval '1 microsecond') \
             from mine where thread.thread_id = mine.thread_id \
         ), new_checkpoint as ( \
             insert into thread_store.checkpoint (thread_id, checkpoint_ns, checkpoint_id, \
                 parent_checkpoint_id, seq, created_at, metadata, channels, branch, \
                 messages_start, messages_end) \
             select thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, seq, moment, \
                 metadata, channels, branch, messages_start, messages_end from mine )",
    );
    if new.iter().any(|new| new.fork.is_some()) {
        sql.push(
            ", new_branch as ( \
                 insert into thread_store.branch \
                     (thread_id, branch, parent_branch, fork_seq, fork_end) \
                 select thread_id, branch, parent_branch, fork_seq, fork_end \
                 from mine where parent_branch is not null )",
        );
    }
    push_values(&mut sql, new);
    push_messages(&mut sql, new);
    sql.push(" select n from mine");
    let rows = sql.build().fetch_all(connection).await?;
    rows.iter().map(|row| place(row, 0)).collect()
}

fn push_values(sql: &mut QueryBuilder<Postgres>, new: &[&NewCheckpoint<'_>]) {
    let (mut numbers, mut channels, mut values) = (Vec::new(), Vec::new(), Vec::new());
    for (number, new) in (1_i64..).zip(new) {
        for (channel, value) in new.values {
            numbers.push(number);
            channels.push(channel.as_str());
            values.push(value.text());
        }
    }
    if numbers.is_empty() {
        return;
    }
    sql.push(
        ", new_values as ( \
             insert into thread_store.channel_value (thread_id, seq, channel, value) \
             select mine.thread_id, mine.seq, new.channel, new.value::json \
             from unnest(",
    );
    sql.push_bind(numbers).push(", ").push_bind(channels).push(", ").push_bind(values);
    sql.push(") as new (n, channel, value) join mine using (n) )");
}

fn push_messages(sql: &mut QueryBuilder<Postgres>, new: &[&NewCheckpoint<'_>]) {
    let rows = (1_i64..).zip(new).flat_map(|(number, new)| {
        new.rows.iter().take(at_once(&new.rows)).map(move |row| (number, row))
    });
    if rows.clone().next().is_none() {
        return;
    }
    sql.push(
        ", new_messages as ( \
             insert into thread_store.message \
                 (thread_id, branch, position, seq, message_id, message) \
             select mine.thread_id, mine.branch, new.position, mine.seq, new.message_id, \
                 new.message::json \
             from unnest(",
    );
    sql.push_bind(rows.clone().map(|(number, _)| number).bind_iter()).push(", ");
    push_rows(sql, rows.map(|(_, row)| row));
    sql.push(") as new (n, position, message_id, message) join mine using (n) )");
}

/// Appends columns of positions, ids and messages.
fn push_rows<'a>(
    sql: &mut QueryBuilder<Postgres>,
    rows: impl Iterator<Item = &'a messages::Row<'a>> + Clone,
) {
    sql.push_bind(rows.clone().map(|row| row.position).bind_iter());
    sql.push(", ").push_bind(rows.clone().map(|row| row.id).bind_iter());
    sql.push(", ").push_bind(rows.map(|row| row.message.map(Raw::text)).bind_iter());
}

/// How many of these rows one statement takes.
fn at_once(rows: &[messages::Row<'_>]) -> usize {
    let mut bytes = 0;
    let fits = rows.iter().take_while(|row| {
        bytes += row.id.len() + row.message.map_or(0, |message| message.text().len());
        bytes <= MAX_BYTES_AT_ONCE
    });
    fits.count().max(1)
}

impl NewCheckpoint<'_> {
    /// Whether [`insert_checkpoints`] leaves some of its messages to [`insert_other_messages`], so
    /// that both need a transaction around them.
    pub(super) fn takes_several_statements(&self) -> bool {
        at_once(&self.rows) < self.rows.len()
    }
}

/// Inserts the messages of a checkpoint that were too many for the statement that inserted it.
pub(super) async fn insert_other_messages(
    connection: &mut Connection,
    new: &NewCheckpoint<'_>,
) -> Result<(), sqlx::Error> {
    let mut rows = new.rows.as_slice();
    loop {
        rows = rows.get(at_once(rows)..).unwrap_or_default();
        let Some(part) = rows.get(..at_once(rows)).filter(|part| !part.is_empty()) else {
            return Ok(());
        };
        let mut sql = QueryBuilder::new(
            "insert into thread_store.message \
                 (thread_id, branch, position, seq, message_id, message) select ",
        );
        sql.push_bind(new.thread_id).push(", ").push_bind(new.branch);
        sql.push(", new.position, ").push_bind(new.seq);
        sql.push(", new.message_id, new.message::json from unnest(");
        push_rows(&mut sql, part.iter());
        sql.push(") as new (position, message_id, message)");
        sql.build().execute(&mut *connection).await?;
    }
}
