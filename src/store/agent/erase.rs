//! Deleting threads of agents, with their rows in the agent's tables.
//!
//! The order of locks is that of `agent_settle`: the entry in `agent_thread`, the row of `thread`, the
//! agent's rows. The agent waits only for locks on its own rows, and only briefly: a statement here that
//! waits for a row gives up before Postgres checks for a deadlock, so Postgres never ends the agent's
//! transaction.

use sqlx::Row as _;
use uuid::Uuid;

use super::settle::attachment_of;
use super::{agents_thread, quoted};
use crate::store::error::is_lock_timeout;
use crate::store::operation::{Asked, column};
use crate::store::pool::Lease;
use crate::store::sql::Statement;
use crate::store::thread::ERASE_THREAD;
use crate::store::{Error, Store};

/// The time limit for a lock on one of the agent's rows. It is shorter than `deadlock_timeout`.
const LOCK_TIMEOUT: &str = "set local lock_timeout = '500ms'";
/// Threads that one statement reads.
const TOGETHER: usize = 1_000;
/// Maximum number of retries of a deletion that finds the agent's rows locked.
const TRIES: usize = 8;

/// The agents' threads among some threads of a scope.
pub(in crate::store) static OF_AGENTS: Statement = Statement::new(
    "agent/of_agents",
    concat!(
        "
    select thread.tenant, thread.thread_id, thread.agent_thread_id
    from unnest($1::bigint[], $2::text[]::jsonb[], $3::uuid[])
        with ordinality as asked (tenant, filter, thread_id, n)",
        agents_thread!(),
        "
    order by thread.agent_thread_id"
    ),
);

/// Locks the entry of an agent's thread.
pub(in crate::store) static LOCK_ENTRY: Statement = Statement::new(
    "agent/lock_entry",
    "
    select
    from thread_store.agent_thread
    where agent_thread.agent_thread_id = $1 and agent_thread.deleted_at is null
    for update",
);

/// Locks the entry unless another transaction has locked it.
pub(in crate::store) static LOCK_FREE_ENTRY: Statement = Statement::new(
    "agent/lock_free_entry",
    "
    select
    from thread_store.agent_thread
    where agent_thread.agent_thread_id = $1
    for update skip locked",
);

/// Locks a thread of an agent.
pub(in crate::store) static LOCK_THREAD: Statement = Statement::new(
    "agent/lock_thread",
    "
    select
    from thread_store.thread
    where thread.tenant = $1 and thread.thread_id = $2 and thread.agent_thread_id = $3
    for update",
);

/// The thread's id in the agent's tables, or null.
pub(in crate::store) static AGENT_ID: Statement = Statement::new(
    "agent/id",
    "
    select thread.agent_thread_id
    from thread_store.thread
    where thread.tenant = $1 and thread.thread_id = $2",
);

/// Marks a thread as deleted, so that the writes of an active run do not create it again.
pub(in crate::store) static BURY: Statement = Statement::new(
    "agent/bury",
    "
    update thread_store.agent_thread
    set deleted_at = statement_timestamp(), tenant = null
    where agent_thread.agent_thread_id = $1",
);

/// Deletes the entry of a thread whose tables are detached.
pub(in crate::store) static FORGET_ENTRY: Statement = Statement::new(
    "agent/forget_entry",
    "
    delete from thread_store.agent_thread
    where agent_thread.agent_thread_id = $1",
);

/// Deletes the agent's rows of a thread from one table.
macro_rules! erase {
    ($table:literal) => {
        Statement::new(
            concat!("agent/erase_", $table),
            concat!("delete from {agent}.", $table, " as erased where erased.thread_id = $1"),
        )
    };
}

/// Deletes the agent's rows of a thread, table by table.
pub(in crate::store) static ERASE: [Statement; 3] =
    [erase!("checkpoint_writes"), erase!("checkpoint_blobs"), erase!("checkpoints")];

/// A thread of an agent.
#[derive(Debug)]
pub(in crate::store) struct Owned {
    tenant: i64,
    thread_id: Uuid,
    agent_thread_id: String,
}

impl Store {
    /// Deletes a thread if it is an agent's. Returns whether it was deleted.
    pub(in crate::store) async fn delete_of_agent(
        &self,
        asked: &Asked,
        thread_id: Uuid,
    ) -> Result<bool, Error> {
        let mut tries = 0;
        loop {
            let mut transaction = self.pool.begin(asked.holder).await?;
            let outcome = async {
                let owned = lock_entries(&mut transaction, asked, &[thread_id]).await?;
                delete_owned(&mut transaction, &owned).await
            };
            match outcome.await {
                Ok(gone) => {
                    transaction.commit().await?;
                    return Ok(gone > 0);
                }
                Err(Error::Unavailable(cause)) if is_lock_timeout(&cause) && tries < TRIES => {
                    tries += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// Locks the entries of the agents' threads among these, in the order of the agent's ids.
pub(in crate::store) async fn lock_entries(
    transaction: &mut Lease,
    asked: &Asked,
    thread_ids: &[Uuid],
) -> Result<Vec<Owned>, Error> {
    let mut owned = Vec::new();
    let ids: Vec<_> = thread_ids.iter().collect();
    for some in ids.chunks(TOGETHER) {
        let query = asked.key.query(&OF_AGENTS, column(some, |_| asked.tenant));
        let query = query.bind(column(some, |_| asked.filter.as_str()));
        for row in transaction.fetch_all(query.bind(column(some, |id| *id))).await? {
            owned.push(Owned {
                tenant: row.try_get("tenant")?,
                thread_id: row.try_get("thread_id")?,
                agent_thread_id: row.try_get("agent_thread_id")?,
            });
        }
    }
    if owned.is_empty() {
        return Ok(owned);
    }
    owned.sort_by(|one, other| one.agent_thread_id.cmp(&other.agent_thread_id));
    transaction.execute(sqlx::query(LOCK_TIMEOUT)).await?;
    for one in &owned {
        let lock = sqlx::query(LOCK_ENTRY.text()).bind(one.agent_thread_id.as_str());
        transaction.fetch_all(lock).await?;
    }
    Ok(owned)
}

/// Deletes these threads with the agent's rows. Returns the number of threads that existed.
pub(in crate::store) async fn delete_owned(
    transaction: &mut Lease,
    owned: &[Owned],
) -> Result<usize, Error> {
    let mut gone = 0;
    for one in owned {
        let lock = sqlx::query(LOCK_THREAD.text()).bind(one.tenant).bind(one.thread_id);
        let lock = lock.bind(one.agent_thread_id.as_str());
        if transaction.fetch_optional(lock).await?.is_none() {
            continue;
        }
        erase_rows(transaction, &one.agent_thread_id).await?;
        let erase = sqlx::query(ERASE_THREAD.text()).bind(one.tenant).bind(one.thread_id);
        transaction.execute(erase).await?;
        gone += 1;
    }
    Ok(gone)
}

/// Deletes the agent's rows of a thread whose row is locked. The rows in detached tables are kept.
pub(in crate::store) async fn erase_rows(
    transaction: &mut Lease,
    agent_thread_id: &str,
) -> Result<(), Error> {
    let Some(attachment) = attachment_of(transaction).await? else {
        let forget = sqlx::query(FORGET_ENTRY.text()).bind(agent_thread_id);
        transaction.execute(forget).await?;
        return Ok(());
    };
    transaction.execute(sqlx::query(BURY.text()).bind(agent_thread_id)).await?;
    let schema = quoted(&attachment.schema);
    for statement in &ERASE {
        let erase = sqlx::query(statement.with_agent(&schema)).bind(agent_thread_id);
        transaction.execute(erase).await?;
    }
    Ok(())
}

/// Deletes the agent's rows of an expired thread, if it is an agent's. Returns false if another
/// transaction has locked the thread's entry.
pub(in crate::store) async fn erase_expired_rows(
    transaction: &mut Lease,
    tenant: i64,
    thread_id: Uuid,
) -> Result<bool, Error> {
    let Some(id) = agent_id(transaction, tenant, thread_id).await? else { return Ok(true) };
    transaction.execute(sqlx::query(LOCK_TIMEOUT)).await?;
    let lock = sqlx::query(LOCK_FREE_ENTRY.text()).bind(id.as_str());
    if transaction.fetch_optional(lock).await?.is_none() {
        return Ok(false);
    }
    erase_rows(transaction, &id).await?;
    Ok(true)
}

/// The thread's id in the agent's tables. `None`: it is not an agent's thread.
pub(in crate::store) async fn agent_id(
    transaction: &mut Lease,
    tenant: i64,
    thread_id: Uuid,
) -> Result<Option<String>, Error> {
    let query = sqlx::query(AGENT_ID.text()).bind(tenant).bind(thread_id);
    let row = transaction.fetch_optional(query).await?;
    Ok(row.map(|row| row.try_get::<Option<_>, _>(0)).transpose()?.flatten())
}
