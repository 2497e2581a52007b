//! How much room a thread's state takes.

use sqlx::{FromRow, QueryBuilder};
use uuid::Uuid;

use super::Store;
use super::filter::push_where_thread;
use crate::auth::Scope;
use crate::json::Raw;

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
             cross join lateral ( \
                 select count(*), coalesce(sum(pg_column_size(checkpoint.*)), 0)::bigint as bytes \
                 from thread_store.checkpoint \
                 where checkpoint.thread_id = thread.thread_id \
             ) as checkpoints \
             cross join lateral ( \
                 select coalesce(sum(channel.count), 0)::bigint as count, \
                     coalesce(sum(channel.bytes), 0)::bigint as bytes, \
                     coalesce(jsonb_object_agg(channel.name, \
                         jsonb_build_object('count', channel.count, 'bytes', channel.bytes)), '{}') \
                         as by_channel \
                 from ( \
                     select channel_value.channel as name, count(*), \
                         sum(pg_column_size(channel_value.*))::bigint as bytes \
                     from thread_store.channel_value \
                     where channel_value.thread_id = thread.thread_id \
                     group by channel_value.channel \
                     union all \
                     select 'messages', count(*), sum(pg_column_size(message.*))::bigint \
                     from thread_store.message \
                     where message.thread_id = thread.thread_id \
                     having count(*) > 0 \
                 ) as channel \
             ) as channels",
        );
        push_where_thread(&mut sql, scope, thread_id);
        sql.build_query_as().fetch_optional(&self.pool).await
    }
}
