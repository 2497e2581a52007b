//! Prunes threads: deletes them, or all of their state except the newest.

use uuid::Uuid;

use super::delete::delete_all;
use crate::authz::Scope;
use crate::store::agent::{delete_owned, keep_latest_of_agent, lock_entries};
use crate::store::operation::Asked;
use crate::store::pool::Lease;
use crate::store::sql::Statement;
use crate::store::{Error, Store, Strategy};

/// Locks threads in the order of their ids, so that two prunes of the same threads cannot
/// deadlock.
pub(in crate::store) static LOCK_ALL: Statement = Statement::new(
    "threads/lock_all",
    "
    select thread.thread_id
    from unnest($1::bigint[], $2::text[]::jsonb[], $3::text[]::jsonb[])
        with ordinality as asked (tenant, filter, thread_ids, n)
    join thread_store.thread
        on thread.tenant = asked.tenant
        and thread.thread_id = any(array(
            select id::uuid from jsonb_array_elements_text(asked.thread_ids) as id
        ))
        and {visible}
    order by thread.thread_id
    for update of thread",
);

/// Deletes every checkpoint that has a newer one in its namespace.
pub(in crate::store) static KEEP_CHECKPOINTS: Statement = Statement::new(
    "threads/keep_checkpoints",
    "
    delete from thread_store.checkpoint
    where checkpoint.tenant = $1
        and checkpoint.thread_id = $2
        and checkpoint.checkpoint_id < (
            select newest.checkpoint_id
            from thread_store.checkpoint as newest
            where newest.tenant = $1
                and newest.thread_id = $2
                and newest.checkpoint_ns = checkpoint.checkpoint_ns
            order by newest.checkpoint_id desc
            limit 1
        )",
);

/// Removes the parents of the remaining checkpoints.
pub(in crate::store) static DROP_PARENTS: Statement = Statement::new(
    "threads/drop_parents",
    "
    update thread_store.checkpoint
    set parent_checkpoint_id = null
    where checkpoint.tenant = $1 and checkpoint.thread_id = $2",
);

/// Deletes the values that no checkpoint shows.
pub(in crate::store) static KEEP_VALUES: Statement = Statement::new(
    "threads/keep_values",
    "
    delete from thread_store.channel_value
    where channel_value.tenant = $1
        and channel_value.thread_id = $2
        and not exists (
            select
            from thread_store.checkpoint
            where checkpoint.tenant = $1
                and checkpoint.thread_id = $2
                and (checkpoint.channels -> channel_value.channel ->> 0)::bigint = channel_value.seq
        )",
);

/// Deletes the messages that no checkpoint shows. The row of a removed message has no effect
/// without the rows that it hides, and both are deleted here.
pub(in crate::store) static KEEP_MESSAGES: Statement = Statement::new(
    "threads/keep_messages",
    "
    with source as (
        select checkpoint_id, messages_start, branch, seq, messages_end
        from thread_store.checkpoint
        where checkpoint.tenant = $1
            and checkpoint.thread_id = $2
            and checkpoint.messages_end is not null
        union all
        select checkpoint_id, messages_start, (ancestor ->> 0)::bigint, (ancestor ->> 1)::bigint,
            (ancestor ->> 2)::bigint
        from thread_store.checkpoint
        cross join lateral jsonb_array_elements(checkpoint.ancestors) as ancestor
        where checkpoint.tenant = $1
            and checkpoint.thread_id = $2
            and checkpoint.messages_end is not null
    ),
    visible as materialized (
        select distinct on (source.checkpoint_id, message.position)
            message.branch, message.position, message.seq, message.message is null as is_removed
        from source
        join thread_store.message
            on message.tenant = $1
            and message.thread_id = $2
            and message.branch = source.branch
            and message.position >= source.messages_start
            and message.position < source.messages_end
            and message.seq <= source.seq
        order by source.checkpoint_id, message.position, message.seq desc
    )
    delete from thread_store.message
    where message.tenant = $1
        and message.thread_id = $2
        and (message.branch, message.position, message.seq) not in (
            select visible.branch, visible.position, visible.seq
            from visible
            where not visible.is_removed
        )",
);

/// Records the prune and the remaining bytes.
pub(in crate::store) static PRUNED: Statement = Statement::new(
    "threads/pruned",
    "
    update thread_store.thread
    set pruned = thread.pruned + 1,
        stored_bytes = (
            select coalesce(sum(octet_length(channel_value.value::text)), 0)
            from thread_store.channel_value
            where channel_value.tenant = $1 and channel_value.thread_id = $2
        ) + (
            select coalesce(sum(octet_length(message.message::text)), 0)
            from thread_store.message
            where message.tenant = $1 and message.thread_id = $2
        )
    where thread.tenant = $1 and thread.thread_id = $2",
);

impl Store {
    /// Deletes these threads, or all of their state except the newest. If the caller may not see
    /// one of them, nothing is done and the result is `None`; otherwise it is their number.
    pub async fn prune_threads(
        &self,
        scope: &Scope,
        thread_ids: &[Uuid],
        strategy: Strategy,
    ) -> Result<Option<usize>, Error> {
        let tenants = match scope.tenant() {
            Some(tenant) => thread_ids.iter().map(|id| (tenant.number(), *id)).collect(),
            None => self.tenants_of(scope.holder(), thread_ids).await?,
        };
        if tenants.len() != thread_ids.len() {
            return Ok(None);
        }
        let mut transaction = self.pool.begin(scope.holder()).await?;
        for of_one_tenant in tenants.chunk_by(|(one, _), (other, _)| one == other) {
            let Some((tenant, _)) = of_one_tenant.first() else { continue };
            let asked = self.asked_within(scope, *tenant);
            let ids: Vec<_> = of_one_tenant.iter().map(|(_, id)| *id).collect();
            let owned = lock_entries(&mut transaction, &asked, &ids).await?;
            if lock_all(&mut transaction, &asked, &ids).await? != ids.len() {
                return Ok(None);
            }
            match strategy {
                Strategy::Delete => {
                    delete_all(&mut transaction, &asked, &ids).await?;
                    delete_owned(&mut transaction, &owned).await?;
                }
                Strategy::KeepLatest => {
                    for thread_id in ids {
                        keep_latest(&mut transaction, *tenant, thread_id).await?;
                    }
                }
            }
        }
        transaction.commit().await?;
        if strategy == Strategy::Delete {
            for thread_id in thread_ids {
                self.changes.announce(*thread_id);
            }
        }
        Ok(Some(thread_ids.len()))
    }
}

/// Locks the visible ones of these threads, and returns their number.
async fn lock_all(
    transaction: &mut Lease,
    asked: &Asked,
    thread_ids: &[Uuid],
) -> Result<usize, Error> {
    let ids = thread_ids.iter().map(Uuid::to_string).collect::<serde_json::Value>().to_string();
    let query = asked.query(&LOCK_ALL).bind(vec![ids]);
    Ok(transaction.fetch_all(query).await?.len())
}

/// Memory for the keys of all messages that a long thread keeps. With less, Postgres would compare
/// each message with every other one.
const ROOM: &str = "set local work_mem = '64MB'";

/// Deletes all of a thread's state except the newest. The transaction must have locked the thread.
pub(in crate::store) async fn keep_latest(
    transaction: &mut Lease,
    tenant: i64,
    thread_id: Uuid,
) -> Result<(), Error> {
    if keep_latest_of_agent(transaction, tenant, thread_id).await? {
        return Ok(());
    }
    transaction.execute(sqlx::query(ROOM)).await?;
    for statement in [&KEEP_CHECKPOINTS, &DROP_PARENTS, &KEEP_VALUES, &KEEP_MESSAGES, &PRUNED] {
        let query = sqlx::query(statement.text()).bind(tenant).bind(thread_id);
        transaction.execute(query).await?;
    }
    Ok(())
}
