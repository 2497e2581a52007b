//! Deleting threads of agents, with their rows in the agent's tables.
//!
//! The order of locks is that of `agent_settle`: what is known of the agent's thread, the thread, the
//! agent's rows. The agent waits for none of them but the last, and then not for long: a statement
//! here that finds a row locked gives up long before Postgres looks for a deadlock, so the agent is
//! never the one whose transaction is ended.

use sqlx::Row as _;
use uuid::Uuid;

use super::quoted;
use super::settle::attachment_of;
use crate::store::operation::{Asked, column};
use crate::store::pool::Lease;
use crate::store::sql::Statement;
use crate::store::{Error, Store};

/// For the lock of a row of the agent's, shorter than `deadlock_timeout`.
const LOCK_TIMEOUT: &str = "set local lock_timeout = '500ms'";
/// Threads that one statement is about.
const TOGETHER: usize = 1_000;
/// How often a deletion is tried that finds the agent's rows locked.
const TRIES: usize = 8;

/// Those of some threads that may be seen and whose state is an agent's.
pub(in crate::store) static OF_AGENTS: Statement = Statement::new(
    "agent/of_agents",
    "
    select thread.tenant, thread.thread_id, thread.agent_thread_id
    from unnest($1::bigint[], $2::text[]::jsonb[], $3::uuid[])
        with ordinality as asked (tenant, filter, thread_id, n)
    cross join lateral (
        select tenant, thread_id, agent_thread_id
        from thread_store.thread
        where thread.tenant = asked.tenant
            and thread.thread_id = asked.thread_id
            and thread.agent_thread_id is not null
            and {visible}
        offset 0
    ) as thread
    order by thread.agent_thread_id",
);

/// Locks what is known of an agent's thread.
pub(in crate::store) static LOCK_ENTRY: Statement = Statement::new(
    "agent/lock_entry",
    "
    select
    from thread_store.agent_thread
    where agent_thread.agent_thread_id = $1 and agent_thread.deleted_at is null
    for update",
);

/// The same, unless somebody else has.
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

/// The thread's id in the agent's tables, if its state is there.
pub(in crate::store) static AGENT_ID: Statement = Statement::new(
    "agent/id",
    "
    select thread.agent_thread_id
    from thread_store.thread
    where thread.tenant = $1 and thread.thread_id = $2",
);

/// Remembers that a thread was deleted here, so that a run that is under way cannot bring it back.
pub(in crate::store) static BURY: Statement = Statement::new(
    "agent/bury",
    "
    update thread_store.agent_thread
    set deleted_at = statement_timestamp(), tenant = null
    where agent_thread.agent_thread_id = $1",
);

/// Forgets a thread whose tables are detached.
pub(in crate::store) static FORGET_ENTRY: Statement = Statement::new(
    "agent/forget_entry",
    "
    delete from thread_store.agent_thread
    where agent_thread.agent_thread_id = $1",
);

/// The agent's rows of a thread, table by table.
macro_rules! erase {
    ($table:literal) => {
        Statement::new(
            concat!("agent/erase_", $table),
            concat!("delete from {agent}.", $table, " as erased where erased.thread_id = $1"),
        )
    };
}

/// The agent's rows of a thread.
pub(in crate::store) static ERASE: [Statement; 3] =
    [erase!("checkpoint_writes"), erase!("checkpoint_blobs"), erase!("checkpoints")];

/// The row of a thread.
pub(in crate::store) static ERASE_ROW: Statement = Statement::new(
    "agent/erase_row",
    "
    with gone as (
        delete from thread_store.thread
        where thread.tenant = $1 and thread.thread_id = $2
        returning thread.thread_id
    )
    delete from thread_store.thread_directory
    using gone
    where thread_directory.thread_id = gone.thread_id",
);

/// A thread of an agent.
#[derive(Debug)]
pub(in crate::store) struct Owned {
    tenant: i64,
    thread_id: Uuid,
    agent_thread_id: String,
}

impl Store {
    /// Deletes a thread of an agent. Answers whether there was one.
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
                Err(Error::Unavailable(cause)) if is_locked(&cause) && tries < TRIES => tries += 1,
                Err(error) => return Err(error),
            }
        }
    }
}

fn is_locked(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code)
        .is_some_and(|code| code == "55P03")
}

/// Locks what is known of those of these threads that are agents', in one order.
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

/// Deletes these threads, as far as they are there, with the agent's rows. Answers how many.
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
        let erase = sqlx::query(ERASE_ROW.text()).bind(one.tenant).bind(one.thread_id);
        transaction.execute(erase).await?;
        gone += 1;
    }
    Ok(gone)
}

/// Deletes the agent's rows of a thread whose row is locked. Rows of tables that are detached stay.
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

/// Deletes the agent's rows of a thread whose time is over, if it is one. Answers false if somebody
/// else is at it.
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

/// The thread's id in the agent's tables. `None`: its state is not there.
pub(in crate::store) async fn agent_id(
    transaction: &mut Lease,
    tenant: i64,
    thread_id: Uuid,
) -> Result<Option<String>, Error> {
    let query = sqlx::query(AGENT_ID.text()).bind(tenant).bind(thread_id);
    let row = transaction.fetch_optional(query).await?;
    Ok(row.map(|row| row.try_get::<Option<_>, _>(0)).transpose()?.flatten())
}
