//! Copying a thread.

use sqlx::{Postgres, QueryBuilder};
use uuid::Uuid;

use super::filter::{push_jsonb, push_where_thread};
use super::read::read;
use super::storage::state_bytes;
use super::{NewThread, Store, Thread, WriteError};
use crate::auth::Scope;

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
    /// Copies a thread with its state and history to `new`, for `owner`. `None`: no such thread.
    ///
    /// The keys of the new metadata go over those of the original. Checkpoints keep their ids. The
    /// copy has its own timestamps and ttl, and is idle. A copy that `scope` does
    /// not show is not made. One statement sees one moment, so a copy made while somebody
    /// writes is the thread before or after that write, whole.
    pub async fn copy_thread(
        &self,
        scope: &Scope,
        owner: &Scope,
        thread_id: Uuid,
        new: &NewThread,
    ) -> Result<Option<Thread>, WriteError> {
        let (mut transaction, _turn) = match self.begin_making(owner).await {
            Err(at_cap @ WriteError::TooManyThreads(_)) => {
                let source = self.progress(scope, thread_id).await?;
                return source.map_or(Ok(None), |_| Err(at_cap));
            }
            begun => begun?,
        };
        let copy_id = new.thread_id;
        let mut sql = QueryBuilder::new("with ");
        let most = self.caps.state_bytes;
        push_source(&mut sql, scope, thread_id, most);
        sql.push(
            ", copied as ( insert into thread_store.thread \
             (thread_id, created_at, updated_at, state_updated_at, metadata, last_seq, \
             ttl_minutes, ttl_strategy, expires_at) select ",
        );
        let minutes = new.ttl.map(|ttl| ttl.minutes);
        sql.push_bind(copy_id);
        sql.push(", moment, moment, moment, source.metadata || ");
        push_jsonb(&mut sql, &new.metadata.to_text());
        sql.push(", source.last_seq, ").push_bind(minutes);
        sql.push(", ").push_bind(new.ttl.map(|ttl| ttl.strategy.as_str()));
        sql.push(", moment + make_interval(secs => ").push_bind(minutes).push("::float8 * 60)");
        sql.push(
            " from source, \
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
        // Of a thread that is too large there is a row, but no copy.
        sql.push(" select (select thread_id from copied) from ");
        sql.push(if most.is_some() { "measured" } else { "source" });
        let copied: Option<Option<Uuid>> =
            sql.build_query_scalar().fetch_optional(&mut transaction).await?;
        match (copied, most) {
            (None, _) => return Ok(None),
            (Some(None), Some(most)) => return Err(WriteError::StateTooLarge(most)),
            (Some(_), _) => {}
        }
        let thread = read(&mut transaction, scope, copy_id, false).await?;
        if thread.is_some() {
            transaction.commit().await?;
        }
        Ok(thread)
    }
}

/// Appends `source`, the row of the thread to copy, if its state takes at most so many bytes. Whether
/// or not it does it is in `measured`, if there is a bound.
fn push_source(
    sql: &mut QueryBuilder<Postgres>,
    scope: &Scope,
    thread_id: Uuid,
    most: Option<i64>,
) {
    sql.push(if most.is_some() { "measured as ( select *, " } else { "source as ( select *" });
    if most.is_some() {
        sql.push(state_bytes()).push(" as state_bytes");
    }
    sql.push(" from thread_store.thread");
    push_where_thread(sql, scope, thread_id);
    sql.push(" )");
    if let Some(most) = most {
        sql.push(", source as ( select * from measured where state_bytes <= ");
        sql.push_bind(most).push(" )");
    }
}
