//! Attaching the tables of a checkpointer, and detaching them.

use std::fmt::Write as _;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _, raw_sql};

use super::check::{CheckError, check};
use super::{Attachment, quoted, thread_id_of};
use crate::store::distribute::tables_of;
use crate::store::schema::{OpenError, connect_for_commands, migrate, refuse_unknown_pooler};
use crate::store::tables::Tables;

/// Threads that are taken in with one statement.
const BATCH: i64 = 200;
/// For the lock that a trigger takes. Whoever writes meanwhile waits that long at most.
const LOCK_TIMEOUT: &str = "set local lock_timeout = '1s'";
/// How often the lock is tried, with a pause before the next one.
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

/// Remembers the attachment. A namespace that is there already stays.
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
    /// The tables are not fit.
    #[error(transparent)]
    Check(#[from] CheckError),
    /// The tables of threads are partitioned, or on several nodes.
    #[error(
        "the tables of threads are split by tenant: an agent's can be attached to whole ones only"
    )]
    Split,
    /// Other tables are attached.
    #[error("the tables of schema {0} are attached: run `thread-store detach` first")]
    Attached(String),
    /// Nothing is attached.
    #[error("no tables are attached")]
    NotAttached,
    /// Somebody holds the tables.
    #[error("the agent's tables were locked by others all the time: try again")]
    Locked,
    /// The database refused something.
    #[error("the database refused a statement: {0}")]
    Database(#[from] sqlx::Error),
}

/// What has become of the threads that were there already.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TakenIn {
    /// Threads that have a row now and had none, or one that showed nothing of the agent's.
    pub taken_in: u64,
    /// Threads whose first checkpoint names no owner.
    pub ownerless: u64,
    /// Threads whose id belongs to somebody else, the first of them.
    pub refused: Vec<String>,
    /// How many they are.
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
    /// Checks the tables, puts the triggers on them and remembers the attachment.
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

    /// About how many threads the agent has, to say how far it is.
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

    /// Takes in some of the threads that were there already, and counts them. Answers how many they
    /// were: none when all are done. What was done counts when this fails or is killed, and the next
    /// attachment goes on behind it.
    pub async fn take_in_some(&mut self, sum: &mut TakenIn) -> Result<u64, AttachError> {
        let mut transaction = self.connection.begin().await?;
        let from: Option<String> =
            sqlx::query_scalar("select taken_in_to from thread_store.agent_attachment for update")
                .fetch_one(&mut *transaction)
                .await?;
        let Some(from) = from else { return Ok(0) };
        // The empty text is a thread id too.
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

    /// Which tables were attached.
    #[must_use]
    pub fn attachment(&self) -> &Attachment {
        &self.attachment
    }
}

impl TakenIn {
    /// Names of refused threads that are kept.
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

/// Takes the triggers off, and forgets that the tables were attached. Rows of threads stay.
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
        let commands = format!("{LOCK_TIMEOUT}{drops}; {forget}");
        match raw_sql(AssertSqlSafe(commands)).execute(&mut *transaction).await {
            Ok(_) => {
                transaction.commit().await?;
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

/// All of it, or nothing.
async fn put_triggers(
    connection: &mut PgConnection,
    commands: &str,
    schema: &str,
    owner_key: &str,
) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin().await?;
    raw_sql(AssertSqlSafe(commands.to_owned())).execute(&mut *transaction).await?;
    sqlx::query(REMEMBER).bind(schema).bind(owner_key).execute(&mut *transaction).await?;
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

fn is_lock_timeout(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code)
        .is_some_and(|code| code == "55P03")
}
