//! Copying the state of an agent's thread. The copy is a thread of the agent too.

use sqlx::Row as _;
use uuid::Uuid;

use super::erase::agent_id;
use super::quoted;
use super::settle::attachment_of;
use crate::store::Error;
use crate::store::pool::Lease;
use crate::store::sql::Statement;

/// Links the new thread to the agent's tables before its rows are copied, so that the trigger finds the
/// thread.
pub(in crate::store) static LINK_COPY: Statement = Statement::new(
    "agent/link_copy",
    "
    with entry as (
        insert into thread_store.agent_thread (agent_thread_id, thread_id, tenant)
        values ($2::uuid::text, $2, $1)
    )
    update thread_store.thread
    set agent_thread_id = $2::uuid::text, agent_made = true,
        metadata = thread.metadata - 'agent_thread_id', last_seq = thread.last_seq + 1
    where thread.tenant = $1 and thread.thread_id = $2",
);

/// Whether `checkpoint_writes` has the column `task_path`, which old checkpointers lack.
pub(in crate::store) static HAS_TASK_PATH: Statement = Statement::new(
    "agent/has_task_path",
    "
    select exists (
        select
        from pg_attribute
        where attrelid = to_regclass($1) and attname = 'task_path' and not attisdropped
    )",
);

/// Copies the rows of a thread to another id. One statement reads one snapshot.
macro_rules! copy_rows {
    ($name:literal, $task_path:literal) => {
        Statement::new(
            $name,
            concat!(
                "
    with blobs as (
        insert into {agent}.checkpoint_blobs
            (thread_id, checkpoint_ns, channel, version, type, blob)
        select $2, checkpoint_ns, channel, version, type, blob
        from {agent}.checkpoint_blobs
        where checkpoint_blobs.thread_id = $1
    ),
    writes as (
        insert into {agent}.checkpoint_writes
            (thread_id, checkpoint_ns, checkpoint_id, task_id, idx, channel, type, blob",
                $task_path,
                ")
        select $2, checkpoint_ns, checkpoint_id, task_id, idx, channel, type, blob",
                $task_path,
                "
        from {agent}.checkpoint_writes
        where checkpoint_writes.thread_id = $1
    )
    insert into {agent}.checkpoints
        (thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, type, checkpoint, metadata)
    select $2, checkpoint_ns, checkpoint_id, parent_checkpoint_id, type, checkpoint, metadata
    from {agent}.checkpoints
    where checkpoints.thread_id = $1"
            ),
        )
    };
}

/// For a checkpointer with `task_path`, and for one without.
pub(in crate::store) static COPY_ROWS: [Statement; 2] =
    [copy_rows!("agent/copy_rows", ", task_path"), copy_rows!("agent/copy_rows_without_paths", "")];

/// Copies the agent's rows of a thread, if it is an agent's. The transaction must already have
/// inserted the row of the copy.
pub(in crate::store) async fn copy_of_agent(
    transaction: &mut Lease,
    (tenant, thread_id): (i64, Uuid),
    (home, copy_id): (i64, Uuid),
) -> Result<(), Error> {
    let Some(id) = agent_id(transaction, tenant, thread_id).await? else { return Ok(()) };
    let Some(attachment) = attachment_of(transaction).await? else { return Ok(()) };
    let schema = quoted(&attachment.schema);
    transaction.execute(sqlx::query(LINK_COPY.text()).bind(home).bind(copy_id)).await?;
    let table = format!("{schema}.checkpoint_writes");
    let row = transaction.fetch_optional(sqlx::query(HAS_TASK_PATH.text()).bind(table)).await?;
    let has_path = row.is_some_and(|row| row.try_get(0).unwrap_or(false));
    let [with_path, without_path] = &COPY_ROWS;
    let statement = if has_path { with_path } else { without_path };
    let copy = sqlx::query(statement.with_agent(&schema)).bind(id).bind(copy_id.to_string());
    transaction.execute(copy).await?;
    Ok(())
}
