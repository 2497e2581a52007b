//! How much room a thread's state takes.
//!
//! A row counts with what Postgres stores of its columns, compressed if they are, and a number of
//! bytes for what all rows of its table have. Nothing of a value is read for that, however long it
//! is: Postgres says what it takes from where it points to it.

use std::fmt::Write as _;

use sqlx::{FromRow, QueryBuilder};
use uuid::Uuid;

use super::Store;
use super::filter::push_where_thread;
use super::inserts::NewCheckpoint;
use crate::auth::Scope;
use crate::json::Raw;

/// A table of which a thread's state takes rows.
struct Table {
    name: &'static str,
    /// Bytes of a row beside its columns of changing length: header, other columns, and what comes
    /// between them.
    fixed: usize,
    /// Its columns of changing length.
    columns: &'static [&'static str],
}

const CHECKPOINT: Table =
    Table { name: "checkpoint", fixed: 128, columns: &["checkpoint_ns", "metadata", "channels"] };
const CHANNEL_VALUE: Table =
    Table { name: "channel_value", fixed: 56, columns: &["channel", "value"] };
const MESSAGE: Table = Table { name: "message", fixed: 72, columns: &["message_id", "message"] };

/// Most bytes by which a column is longer than its text.
const LENGTH: usize = 4;
/// Most bytes by which `jsonb` is longer than a short object's text.
const OBJECT: usize = 128;
/// Most bytes of an entry of `checkpoint.channels` beside its name.
const CHANNEL: usize = 32;

/// Rows and bytes of a thread's state, as Postgres stores them, compression included.
#[derive(Debug, FromRow)]
pub struct Storage {
    /// Checkpoints.
    pub checkpoints: i64,
    /// Bytes of the rows that say what each checkpoint shows.
    pub checkpoint_bytes: i64,
    /// `{"<channel>": {"count": rows, "bytes": bytes}}`.
    pub by_channel: Raw,
    /// Values and messages of all channels.
    pub values: i64,
    /// Their bytes.
    pub value_bytes: i64,
}

impl Table {
    /// The bytes of the rows that a select aggregates, as SQL.
    fn bytes(&self) -> String {
        let mut sql = format!("coalesce(sum({}", self.fixed);
        for column in self.columns {
            let _ = write!(sql, " + coalesce(pg_column_size({}.{column}), 0)", self.name);
        }
        sql.push_str("), 0)::bigint");
        sql
    }

    /// Most bytes of a row whose columns of changing length have this text.
    fn most_bytes(&self, texts: usize) -> usize {
        self.fixed + LENGTH * self.columns.len() + texts
    }
}

/// The bytes of all rows of the state of `thread`, as an SQL expression. It reads one range of an
/// index for each table.
pub(super) fn state_bytes() -> String {
    let tables = [CHECKPOINT, CHANNEL_VALUE, MESSAGE].map(|table| {
        let (bytes, name) = (table.bytes(), table.name);
        format!(
            "(select {bytes} from thread_store.{name} where {name}.thread_id = thread.thread_id)"
        )
    });
    tables.join(" + ")
}

/// Most bytes that the rows of a new checkpoint will take: all of them, without compression.
pub(super) fn most_bytes_of(new: &NewCheckpoint<'_>) -> i64 {
    let channels = new.channels.keys().map(|name| name.len() + CHANNEL).sum::<usize>();
    let metadata = new.metadata.to_string().len();
    let texts = new.checkpoint_ns.len() + metadata + channels + 2 * OBJECT;
    let checkpoint = CHECKPOINT.most_bytes(texts);
    let values = new.values.iter();
    let values =
        values.map(|(name, value)| CHANNEL_VALUE.most_bytes(name.len() + value.text().len()));
    let messages = new.rows.iter().map(|row| {
        let message = row.message.map_or(0, |message| message.text().len());
        MESSAGE.most_bytes(row.id.len() + message)
    });
    let bytes = checkpoint + values.sum::<usize>() + messages.sum::<usize>();
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

impl Store {
    /// What a thread's state takes. `None`: no such thread.
    pub async fn storage(
        &self,
        scope: &Scope,
        thread_id: Uuid,
    ) -> Result<Option<Storage>, sqlx::Error> {
        let mut sql = QueryBuilder::new(
            "select checkpoints.count as checkpoints, checkpoints.bytes as checkpoint_bytes, \
             channels.by_channel, channels.count as values, channels.bytes as value_bytes \
             from thread_store.thread \
             cross join lateral ( select count(*), ",
        );
        sql.push(CHECKPOINT.bytes()).push(
            " as bytes from thread_store.checkpoint \
                 where checkpoint.thread_id = thread.thread_id \
             ) as checkpoints \
             cross join lateral ( \
                 select coalesce(sum(channel.count), 0)::bigint as count, \
                     coalesce(sum(channel.bytes), 0)::bigint as bytes, \
                     coalesce(jsonb_object_agg(channel.name, \
                         jsonb_build_object('count', channel.count, 'bytes', channel.bytes)), '{}') \
                         as by_channel \
                 from ( select channel_value.channel as name, count(*), ",
        );
        sql.push(CHANNEL_VALUE.bytes()).push(
            " as bytes from thread_store.channel_value \
                     where channel_value.thread_id = thread.thread_id \
                     group by channel_value.channel \
                     union all \
                     select 'messages', count(*), ",
        );
        sql.push(MESSAGE.bytes()).push(
            " from thread_store.message \
                     where message.thread_id = thread.thread_id \
                     having count(*) > 0 \
                 ) as channel \
             ) as channels",
        );
        push_where_thread(&mut sql, scope, thread_id);
        sql.build_query_as().fetch_optional(&self.pool).await
    }
}
