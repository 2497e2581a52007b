//! The work that the triggers leave to the servers: threads that were locked, ids that are not
//! UUIDs, deleted checkpoints, and the writes of a run to a thread that was deleted here.

use std::collections::HashMap;
use std::time::Duration;

use sqlx::Row as _;
use tokio::time::Instant;
use tracing::{info, warn};
use uuid::Uuid;

use super::{Attachment, quoted, thread_id_of};
use crate::shares::Holder;
use crate::store::pool::{Account, Lease};
use crate::store::sql::Statement;
use crate::store::{Error, Store};

/// Maximum number of changes that one round processes.
const BATCH: i64 = 200;
/// Pause before a change that failed is processed again.
const PUT_OFF: Duration = Duration::from_mins(1);
/// Interval of the sweep of threads that were deleted here.
const SWEEP: Duration = Duration::from_secs(5);
/// Time after the deletion of a thread during which its run may still write.
const STRAGGLING: &str = "1 hour";
/// Time for which the deletion of a thread is recorded.
const REMEMBERED: &str = "7 days";

/// The tables that are attached.
pub(in crate::store) static ATTACHMENT: Statement = Statement::new(
    "agent/attachment",
    "
    select schema_name, owner_key, namespace
    from thread_store.agent_attachment
    where is_attached",
);

/// The changes to process, oldest first, except those of postponed threads.
pub(in crate::store) static CHANGED: Statement = Statement::new(
    "agent/changed",
    "
    select agent_thread_id, max(id) as last
    from (
        select agent_thread_id, id
        from thread_store.agent_change
        where agent_thread_id is null or agent_thread_id <> all($1)
        order by id
        limit $2
    ) as change
    group by agent_thread_id
    order by last",
);

/// Updates the row of a thread from the agent's tables.
pub(in crate::store) static SETTLE: Statement =
    Statement::new("agent/settle", "select thread_store.agent_settle($1, $2) as what");

/// Deletes changes that were processed.
pub(in crate::store) static FORGET: Statement = Statement::new(
    "agent/forget",
    "
    delete from thread_store.agent_change
    where agent_change.agent_thread_id is not distinct from $1 and agent_change.id <= $2",
);

/// Adds a change for each thread without checkpoints, after a table was truncated.
pub(in crate::store) static TRUNCATED: Statement = Statement::new(
    "agent/truncated",
    "
    insert into thread_store.agent_change (agent_thread_id)
    select entry.agent_thread_id
    from thread_store.agent_thread as entry
    where entry.deleted_at is null
        and not exists (
            select
            from {agent}.checkpoints as saved
            where saved.thread_id = entry.agent_thread_id
        )",
);

/// Threads that were deleted here and have rows again.
pub(in crate::store) static STRAGGLERS: Statement = Statement::new(
    "agent/stragglers",
    "
    select entry.agent_thread_id
    from thread_store.agent_thread as entry
    where entry.deleted_at > statement_timestamp() - $1::text::interval
        and (
            exists (
                select
                from {agent}.checkpoints as saved
                where saved.thread_id = entry.agent_thread_id
            )
            or exists (
                select
                from {agent}.checkpoint_writes as written
                where written.thread_id = entry.agent_thread_id
            )
            or exists (
                select
                from {agent}.checkpoint_blobs as stored
                where stored.thread_id = entry.agent_thread_id
            )
        )
    limit 200",
);

/// Deletes the records of threads that were deleted long ago.
pub(in crate::store) static REMEMBERED_NO_MORE: Statement = Statement::new(
    "agent/remembered",
    "
    delete from thread_store.agent_thread
    where agent_thread.deleted_at < statement_timestamp() - $1::text::interval",
);

/// Whether row security hides rows of the agent's tables, or a table does not exist.
pub(in crate::store) static HIDDEN: Statement = Statement::new(
    "agent/hidden",
    "
    select name,
        coalesce(row_security_active(to_regclass($1 || '.' || name)), false) as is_hidden,
        to_regclass($1 || '.' || name) is null as is_gone,
        current_user::text as role
    from unnest(array['checkpoints', 'checkpoint_blobs', 'checkpoint_writes']) as name",
);

/// A server's state between two rounds.
#[derive(Debug, Default)]
pub struct Settled {
    /// Threads that could not be settled, each with the time of the next attempt.
    put_off: HashMap<String, Instant>,
    swept: Option<Instant>,
    /// The problem with the tables that was logged last.
    trouble: Option<String>,
}

/// The attached tables.
pub(in crate::store) async fn attachment_of(
    lease: &mut Lease,
) -> Result<Option<Attachment>, sqlx::Error> {
    let row = lease.fetch_optional(sqlx::query(ATTACHMENT.text())).await?;
    row.map(|row| {
        Ok(Attachment {
            schema: row.try_get("schema_name")?,
            owner_key: row.try_get("owner_key")?,
            namespace: row.try_get("namespace")?,
        })
    })
    .transpose()
}

impl Store {
    /// Does the work that the triggers have left. Returns whether tables are attached.
    ///
    /// Each thread has a transaction of its own, so that a failure affects no other thread. Any number of
    /// instances can do this at the same time.
    pub async fn settle_agents(&self, settled: &mut Settled) -> Result<bool, Error> {
        let Some(attachment) = self.attachment().await? else {
            settled.say(None);
            self.agents.set_trouble(None);
            return Ok(false);
        };
        if settled.swept.is_none_or(|swept| swept.elapsed() >= SWEEP) {
            settled.swept = Some(Instant::now());
            let trouble = self.hidden_tables(&attachment).await?;
            settled.say(trouble.clone());
            self.agents.set_trouble(trouble.clone());
            if trouble.is_some() {
                return Ok(true);
            }
            self.sweep_stragglers(&attachment).await?;
        }
        if settled.trouble.is_none() {
            self.work_off(&attachment, settled).await?;
            self.settle_statuses(None).await?;
        }
        Ok(true)
    }

    /// The attached tables, read from the database.
    pub(in crate::store) async fn attachment(&self) -> Result<Option<Attachment>, Error> {
        let mut lease = self.pool.acquire(Account::Holder(Holder::SERVER)).await?;
        let attachment = attachment_of(&mut lease).await?;
        lease.commit().await?;
        self.agents.remember(attachment.clone());
        Ok(attachment)
    }

    async fn work_off(&self, attachment: &Attachment, settled: &mut Settled) -> Result<(), Error> {
        settled.put_off.retain(|_, until| *until > Instant::now());
        let excluded: Vec<_> = settled.put_off.keys().cloned().collect();
        let mut lease = self.pool.begin_in_background().await?;
        let changed = sqlx::query(CHANGED.text()).bind(excluded).bind(BATCH);
        let changed = lease.fetch_all(changed).await?;
        lease.commit().await?;
        for row in changed {
            let (id, last): (Option<String>, i64) = (row.try_get(0)?, row.try_get(1)?);
            match self.settle_one(attachment, id.as_deref(), last).await {
                Ok(()) => {}
                Err(error @ (Error::Unavailable(_) | Error::Overloaded)) => return Err(error),
                Err(error) => {
                    warn!(agent_thread.id = ?id, %error, "could not settle an agent's thread: trying again in a minute");
                    settled.put_off.insert(id.unwrap_or_default(), Instant::now() + PUT_OFF);
                }
            }
        }
        Ok(())
    }

    async fn settle_one(
        &self,
        attachment: &Attachment,
        id: Option<&str>,
        last: i64,
    ) -> Result<(), Error> {
        let mut transaction = self.pool.begin_in_background().await?;
        match id {
            None => {
                let truncated = sqlx::query(TRUNCATED.with_agent(&quoted(&attachment.schema)));
                transaction.execute(truncated).await?;
            }
            Some(id) => settle(&mut transaction, attachment, id).await?,
        }
        transaction.execute(sqlx::query(FORGET.text()).bind(id).bind(last)).await?;
        transaction.commit().await?;
        if let Some(id) = id {
            self.changes.announce(thread_id_of(id, attachment.namespace));
        }
        Ok(())
    }

    async fn sweep_stragglers(&self, attachment: &Attachment) -> Result<(), Error> {
        let mut lease = self.pool.begin_in_background().await?;
        let stragglers = STRAGGLERS.with_agent(&quoted(&attachment.schema));
        let rows = lease.fetch_all(sqlx::query(stragglers).bind(STRAGGLING)).await?;
        lease.commit().await?;
        for row in rows {
            let id: String = row.try_get(0)?;
            let mut transaction = self.pool.begin_in_background().await?;
            settle(&mut transaction, attachment, &id).await?;
            transaction.commit().await?;
        }
        let mut lease = self.pool.begin_in_background().await?;
        lease.execute(sqlx::query(REMEMBERED_NO_MORE.text()).bind(REMEMBERED)).await?;
        Ok(lease.commit().await?)
    }

    /// The reason why this server cannot read the agent's tables, for the log.
    async fn hidden_tables(&self, attachment: &Attachment) -> Result<Option<String>, Error> {
        let mut lease = self.pool.acquire(Account::Holder(Holder::SERVER)).await?;
        let hidden = sqlx::query(HIDDEN.text()).bind(quoted(&attachment.schema));
        let rows = lease.fetch_all(hidden).await?;
        lease.commit().await?;
        for row in rows {
            let (name, role): (String, String) = (row.try_get("name")?, row.try_get("role")?);
            let schema = &attachment.schema;
            if row.try_get("is_gone")? {
                return Ok(Some(format!("the agent's table {schema}.{name} does not exist")));
            }
            if row.try_get("is_hidden")? {
                return Ok(Some(format!(
                    "row security hides rows of {schema}.{name} from role {role}"
                )));
            }
        }
        Ok(None)
    }
}

async fn settle(transaction: &mut Lease, attachment: &Attachment, id: &str) -> Result<(), Error> {
    let thread_id: Uuid = thread_id_of(id, attachment.namespace);
    transaction.execute(sqlx::query(SETTLE.text()).bind(id).bind(thread_id)).await?;
    Ok(())
}

impl Settled {
    /// Logs a problem once, and its end once.
    fn say(&mut self, trouble: Option<String>) {
        if self.trouble == trouble {
            return;
        }
        if let Some(trouble) = &trouble {
            warn!("agents' threads cannot be read: {trouble}");
        } else {
            info!("agents' threads can be read again");
        }
        self.trouble = trouble;
    }
}
