//! Copying a thread.

use sqlx::QueryBuilder;
use uuid::Uuid;

use super::Store;
use super::Thread;
use super::filter::{push_jsonb, push_where_thread};
use super::read::read;
use crate::auth::Scope;
use crate::json::Object;

/// The tables of a thread's state, with their columns but for `thread_id`.
const STATE_TABLES: [(&str, &str); 4] = [
    (
        "checkpoint",
        "checkpoint_ns, checkpoint_id, parent_checkpoint_id, seq, created_at, metadata, \
         channels, branch, messages_start, messages_end",
    ),
    ("branch", "branch, parent_branch, fork_seq, fork_end"),
    ("channel_value", "seq, channel, value"),
    ("message", "branch, position, seq, message_id, message"),
];

impl Store {
    /// Copies a thread with its state and history under a new id. `None`: no such thread.
    ///
    /// The keys of `stamped` go over its metadata. Checkpoints keep their ids. The copy has its
    /// own timestamps, is idle, and does not end when the original does. A copy that `scope` does
    /// not show is not made. One statement sees one moment, so a copy made while somebody
    /// writes is the thread before or after that write, whole.
    pub async fn copy_thread(
        &self,
        scope: &Scope,
        thread_id: Uuid,
        copy_id: Uuid,
        stamped: &Object,
    ) -> Result<Option<Thread>, sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        let mut sql = QueryBuilder::new("with source as ( select * from thread_store.thread");
        push_where_thread(&mut sql, scope, thread_id);
        sql.push(
            " ), copied as ( insert into thread_store.thread \
             (thread_id, created_at, updated_at, state_updated_at, metadata, last_seq) \
             select ",
        );
        sql.push_bind(copy_id);
        sql.push(", moment, moment, moment, source.metadata || ");
        push_jsonb(&mut sql, &stamped.to_text());
        sql.push(
            ", source.last_seq from source, \
             greatest(clock_timestamp(), source.state_updated_at + interval '1 microsecond') \
             as moment returning thread_id )",
        );
        for (table, columns) in STATE_TABLES {
            sql.push(format_args!(
                ", copied_{table} as ( insert into thread_store.{table} (thread_id, {columns}) \
                 select "
            ));
            sql.push_bind(copy_id);
            sql.push(format_args!(
                ", {columns} from thread_store.{table} \
                 where {table}.thread_id = (select source.thread_id from source) )"
            ));
        }
        sql.push(" select thread_id from copied");
        let copied: Option<Uuid> =
            sql.build_query_scalar().fetch_optional(&mut *transaction).await?;
        if copied.is_none() {
            return Ok(None);
        }
        let thread = read(&mut *transaction, scope, copy_id, false).await?;
        if thread.is_some() {
            transaction.commit().await?;
        }
        Ok(thread)
    }
}
