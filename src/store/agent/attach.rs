//! Attaching the tables of a checkpointer, and detaching them. A thread that is taken in gets a row
//! of `thread`.

use std::fmt::Write as _;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _, raw_sql};

use super::check::{CheckError, check};
use super::{Attachment, quoted, thread_id_of};
use crate::store::attachment::ANNOUNCE;
use crate::store::distribute::tables_of;
use crate::store::error::is_lock_timeout;
use crate::store::schema::{OpenError, connect_for_commands, migrate, refuse_unknown_pooler};
use crate::store::tables::Tables;

/// Number of the agent's existing threads that one statement takes in.
const BATCH: i64 = 200;
/// The time limit for the lock under which triggers change. An agent's write waits at most as long.
const LOCK_TIMEOUT: &str = "set local lock_timeout = '1s'";
/// Maximum number of attempts to get the lock, with a pause after each.
const LOCK_TRIES: usize = 60;
const PAUSE: Duration = Duration::from_millis(500);

/// Triggers on the agent's tables, by their name and table.
const TRIGGERS: [(&str, &str); 4] = [
    ("thread_store_wrote", "checkpoints"),
    ("thread_store_deleted", "checkpoints"),
    ("thread_store_truncated", "checkpoints"),
    ("thread_store_wrote", "checkpoint_writes"),
];

/// What each trigger does. `{on}` is its table.
const CREATE: [&str; 4] = [
    "create trigger thread_store_wrote after insert or update of checkpoint, metadata on {on} \
     for each row when (new.checkpoint_ns = '') \
     execute function thread_store.agent_wrote('checkpoints')",
    "create trigger thread_store_deleted after delete on {on} referencing old table as gone \
     for each statement execute function thread_store.agent_deleted()",
    "create trigger thread_store_truncated after truncate on {on} \
     for each statement execute function thread_store.agent_deleted()",
    "create trigger thread_store_wrote after insert or update on {on} for each row \
     when (new.checkpoint_ns = '' and new.channel in ('__interrupt__', '__error__', '__resume__')) \
     execute function thread_store.agent_wrote('checkpoint_writes')",
];

/// Records the attachment. An existing namespace is kept.
const REMEMBER: &str = "
    insert into thread_store.agent_attachment as attachment (schema_name, owner_key, taken_in_to)
    values ($1, $2, '')
    on conflict (is_only) do update
    set schema_name = excluded.schema_name,
        owner_key = excluded.owner_key,
        is_attached = true,
        taken_in_to = case
            when attachment.is_attached and attachment.schema_name = excluded.schema_name
                and attachment.owner_key = excluded.owner_key
            then coalesce(attachment.taken_in_to, '')
            else ''
        end";

/// Deletes the digests of agents' threads, whose state can no longer be read here.
const FORGET_DIGESTS: &str = "
    delete from thread_store.digest_text
    using thread_store.thread
    where thread.tenant = digest_text.tenant
        and thread.thread_id = digest_text.thread_id
        and thread.agent_thread_id is not null;
    delete from thread_store.digest
    using thread_store.thread
    where thread.tenant = digest.tenant
        and thread.thread_id = digest.thread_id
        and thread.agent_thread_id is not null";

/// The next threads of the agent, each found with one probe of the index.
const NEXT: &str = "
    with recursive next (thread_id, n) as (
        (
            select saved.thread_id, 1
            from {agent}.checkpoints as saved
            where saved.thread_id > $1 or ($2 and saved.thread_id = $1)
            order by saved.thread_id
            limit 1
        )
        union all
        select (
            select saved.thread_id
            from {agent}.checkpoints as saved
            where saved.thread_id > next.thread_id
            order by saved.thread_id
            limit 1
        ), n + 1
        from next
        where next.thread_id is not null and n < $3
    )
    select thread_id from next where thread_id is not null order by n";

/// Why attaching or detaching failed. One line for the operator.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// The database cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The tables cannot be attached.
    #[error(transparent)]
    Check(#[from] CheckError),
    /// The tables of threads are partitioned, or on several nodes.
    #[error(
        "thread-store's tables are partitioned or distributed by tenant: an agent's tables can be \
         attached only where they are not"
    )]
    Split,
    /// Other tables are attached.
    #[error("the tables of schema {0} are already attached: run `thread-store detach` first")]
    Attached(String),
    /// Nothing is attached.
    #[error("no tables are attached")]
    NotAttached,
    /// Other transactions locked the tables at every attempt.
    #[error("the agent's tables are locked by other transactions: try again")]
    Locked,
    /// The database refused a statement.
    #[error("the database refused a statement: {0}")]
    Database(#[from] sqlx::Error),
}

/// The outcome for the threads that existed before the attachment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TakenIn {
    /// Number of threads that got a row, or whose row now shows the agent's state.
    pub taken_in: u64,
    /// Number of threads whose first checkpoint names no owner.
    pub ownerless: u64,
    /// The agent's ids of the first refused threads, whose ids belong to another user.
    pub refused: Vec<String>,
    /// Number of all refused threads.
    pub refused_count: u64,
}

/// An attachment that is being made.
#[derive(Debug)]
pub struct Attaching {
    pub(super) connection: PgConnection,
    attachment: Attachment,
    /// Roles of Supabase that can read the tables.
    pub readers: Vec<String>,
    pub(super) place: String,
    is_begun: bool,
}

impl Attaching {
    /// Checks the tables, creates the triggers and records the attachment.
    pub async fn begin(
        options: &PgConnectOptions,
        schema: &str,
        owner_key: &str,
    ) -> Result<Attaching, AttachError> {
        refuse_unknown_pooler(options).await?;
        migrate(options).await?;
        if tables_of(options).await? != Tables::Whole {
            return Err(AttachError::Split);
        }
        let mut connection = connect_for_commands(options).await?;
        let readers = check(&mut connection, schema).await?;
        if let Some(other) = attached(&mut connection).await?
            && other.schema != schema
        {
            return Err(AttachError::Attached(other.schema));
        }
        let replace = TRIGGERS.iter().zip(CREATE).map(|((name, table), create)| {
            let on = format!("{}.{table}", quoted(schema));
            format!("drop trigger if exists {name} on {on}; {}", create.replace("{on}", &on))
        });
        let replace: Vec<_> = replace.collect();
        let commands = format!("{LOCK_TIMEOUT}; {}", replace.join("; "));
        let mut tries = 0;
        loop {
            match put_triggers(&mut connection, &commands, schema, owner_key).await {
                Ok(()) => break,
                Err(error) if is_lock_timeout(&error) && tries < LOCK_TRIES => tries += 1,
                Err(error) if is_lock_timeout(&error) => return Err(AttachError::Locked),
                Err(error) => return Err(error.into()),
            }
            tokio::time::sleep(PAUSE).await;
        }
        let attachment = attached(&mut connection).await?.ok_or(AttachError::NotAttached)?;
        let place = quoted(schema);
        Ok(Attaching { connection, attachment, readers, place, is_begun: true })
    }

    /// The approximate number of the agent's threads, for progress messages.
    pub async fn estimate(&mut self) -> Result<u64, AttachError> {
        let count = format!(
            "select count(*) from (select thread_id from {}.checkpoints where checkpoint_ns = '' \
             group by thread_id) as one",
            self.place
        );
        let count: i64 =
            sqlx::query_scalar(AssertSqlSafe(count)).fetch_one(&mut self.connection).await?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    /// Takes in the next existing threads. Returns their number: 0 when all are done. Each call commits,
    /// so an attachment that was interrupted continues after the last committed thread.
    pub async fn take_in_some(&mut self, sum: &mut TakenIn) -> Result<u64, AttachError> {
        let mut transaction = self.connection.begin().await?;
        let from: Option<String> =
            sqlx::query_scalar("select taken_in_to from thread_store.agent_attachment for update")
                .fetch_one(&mut *transaction)
                .await?;
        let Some(from) = from else { return Ok(0) };
        // The empty text can be a thread id, so the first call includes it.
        let with_first = self.is_begun && from.is_empty();
        let next = sqlx::query_scalar(AssertSqlSafe(NEXT.replace("{agent}", &self.place)));
        let ids: Vec<String> =
            next.bind(&from).bind(with_first).bind(BATCH).fetch_all(&mut *transaction).await?;
        let uuids: Vec<_> =
            ids.iter().map(|id| thread_id_of(id, self.attachment.namespace)).collect();
        let rows = sqlx::query(
            "select id, thread_store.agent_settle(id, uuid) as what \
             from unnest($1::text[], $2::uuid[]) as asked (id, uuid)",
        );
        for row in rows.bind(&ids).bind(uuids).fetch_all(&mut *transaction).await? {
            sum.add(row.try_get("id")?, row.try_get("what")?);
        }
        sqlx::query("update thread_store.agent_attachment set taken_in_to = $1")
            .bind(ids.last())
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        self.is_begun = false;
        Ok(ids.len().try_into().unwrap_or(0))
    }

    /// The tables that were attached.
    #[must_use]
    pub fn attachment(&self) -> &Attachment {
        &self.attachment
    }
}

impl TakenIn {
    /// Maximum number of refused threads that are named.
    const MAX_NAMES: usize = 20;

    fn add(&mut self, id: String, what: &str) {
        match what {
            "ownerless" => self.ownerless += 1,
            "refused" => {
                self.refused_count += 1;
                if self.refused.len() < TakenIn::MAX_NAMES {
                    self.refused.push(id);
                }
            }
            "made" | "linked" => self.taken_in += 1,
            _ => {}
        }
    }
}

/// Drops the triggers, and marks the attachment as detached. Rows of threads are kept.
pub async fn detach(options: &PgConnectOptions) -> Result<Attachment, AttachError> {
    refuse_unknown_pooler(options).await?;
    let mut connection = connect_for_commands(options).await?;
    let is_migrated = "select to_regclass('thread_store.agent_attachment') is not null";
    if !sqlx::query_scalar(is_migrated).fetch_one(&mut connection).await? {
        return Err(AttachError::NotAttached);
    }
    let attachment = attached(&mut connection).await?.ok_or(AttachError::NotAttached)?;
    let mut drops = String::new();
    for (name, table) in TRIGGERS {
        let on = format!("{}.{table}", quoted(&attachment.schema));
        let is_there: bool = sqlx::query_scalar("select to_regclass($1) is not null")
            .bind(&on)
            .fetch_one(&mut connection)
            .await?;
        if is_there {
            let _ = write!(drops, "; drop trigger if exists {name} on {on}");
        }
    }
    let forget = "update thread_store.agent_attachment set is_attached = false, taken_in_to = ''; \
                  delete from thread_store.agent_change";
    for _ in 0..LOCK_TRIES {
        let mut transaction = connection.begin().await?;
        let commands = format!("{LOCK_TIMEOUT}{drops}; {forget}; {ANNOUNCE}");
        match raw_sql(AssertSqlSafe(commands)).execute(&mut *transaction).await {
            Ok(_) => {
                transaction.commit().await?;
                // After the commit: detached threads get no new digest.
                raw_sql(FORGET_DIGESTS).execute(&mut connection).await?;
                return Ok(attachment);
            }
            Err(error) if is_lock_timeout(&error) => {}
            Err(error) => return Err(error.into()),
        }
        drop(transaction);
        tokio::time::sleep(PAUSE).await;
    }
    Err(AttachError::Locked)
}

/// Creates the triggers and records the attachment in one transaction.
async fn put_triggers(
    connection: &mut PgConnection,
    commands: &str,
    schema: &str,
    owner_key: &str,
) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin().await?;
    raw_sql(AssertSqlSafe(commands.to_owned())).execute(&mut *transaction).await?;
    sqlx::query(REMEMBER).bind(schema).bind(owner_key).execute(&mut *transaction).await?;
    raw_sql(ANNOUNCE).execute(&mut *transaction).await?;
    transaction.commit().await
}

async fn attached(connection: &mut PgConnection) -> Result<Option<Attachment>, sqlx::Error> {
    let row = sqlx::query(super::settle::ATTACHMENT.text()).fetch_optional(connection).await?;
    row.map(|row| {
        Ok(Attachment {
            schema: row.try_get("schema_name")?,
            owner_key: row.try_get("owner_key")?,
            namespace: row.try_get("namespace")?,
        })
    })
    .transpose()
}
