//! Writing state: one checkpoint at a time, each under the lock of its thread's row.

use chrono::{DateTime, TimeDelta, Utc};
use indexmap::IndexMap;
use sqlx::{FromRow, PgConnection, QueryBuilder};
use uuid::{Timestamp as UuidTimestamp, Uuid};

use super::filter::push_where_thread;
use super::messages;
use super::threads::{Created, IfExists, NewThread, insert, made};
use super::{MOST_CHANNELS, Store, WriteError};
use crate::auth::Scope;
use crate::json::Raw;
use crate::messages::{Change, Plan};
use crate::time::Timestamp;

/// Longest graph id that is kept with each checkpoint, in bytes.
const LONGEST_GRAPH_ID: usize = 1024;

/// A change of state, which becomes one checkpoint.
#[derive(Debug, Default)]
pub struct Update {
    /// The namespace; empty for the root.
    pub checkpoint_ns: String,
    /// The checkpoint to write onto. `None`: the newest.
    pub checkpoint_id: Option<Uuid>,
    /// New values of channels.
    pub channels: IndexMap<String, Raw>,
    /// What happens to `messages`; `None` if the update does not speak of them.
    pub messages: Option<Vec<Change>>,
    /// The node that the client says it writes as.
    pub as_node: Option<String>,
    /// Who writes.
    pub user_id: String,
}

/// A thread whose row is locked by the transaction under way.
#[derive(FromRow)]
struct Locked {
    thread_id: Uuid,
    /// Time of the next checkpoint: now, but later than the one before.
    moment: DateTime<Utc>,
    last_seq: i64,
    graph_id: Option<Raw>,
}

/// What a new checkpoint is written onto.
#[derive(FromRow)]
pub(super) struct Base {
    checkpoint_id: Uuid,
    pub(super) seq: i64,
    pub(super) branch: i64,
    channels: sqlx::types::Json<IndexMap<String, i64>>,
    pub(super) messages_start: Option<i64>,
    pub(super) messages_end: Option<i64>,
    step: i64,
    /// Whether its branch goes on behind it.
    is_followed: bool,
}

impl Base {
    pub(super) fn messages_end(&self) -> i64 {
        self.messages_end.unwrap_or(0)
    }
}

impl Store {
    /// Writes a checkpoint. `None`: no such thread.
    ///
    /// Writers to one thread come one after the other, so every checkpoint has its own parent.
    pub async fn update_state(
        &self,
        scope: &Scope,
        thread_id: Uuid,
        update: Update,
    ) -> Result<Option<Uuid>, WriteError> {
        let _turn = self.writers.turn(thread_id).await;
        let mut transaction = self.pool.begin().await?;
        let Some(mut locked) = lock(&mut transaction, scope, thread_id).await? else {
            return Ok(None);
        };
        let checkpoint_id = write(&mut transaction, &mut locked, update).await?;
        transaction.commit().await?;
        self.changes.announce(thread_id);
        Ok(Some(checkpoint_id))
    }

    /// Makes a thread and writes its first checkpoints: all of it, or nothing.
    pub async fn create_thread_with_state(
        &self,
        scope: &Scope,
        new: &NewThread,
        if_exists: IfExists,
        updates: Vec<Update>,
    ) -> Result<Created, WriteError> {
        let mut transaction = self.pool.begin().await?;
        let Some(inserted) = insert(&mut transaction, new).await? else {
            drop(transaction);
            return Ok(self.existing_thread(scope, new.thread_id, if_exists).await?);
        };
        // Nobody else sees the row yet: it needs no lock, and is ours even if its time is over.
        let created_at = inserted.created_at.map(Timestamp::utc).unwrap_or_default();
        let mut locked = Locked {
            thread_id: new.thread_id,
            moment: created_at + TimeDelta::microseconds(1),
            last_seq: 0,
            graph_id: new.metadata.get("graph_id").cloned(),
        };
        for update in updates {
            write(&mut transaction, &mut locked, update).await?;
        }
        let thread = made(&mut transaction, new.thread_id).await?;
        transaction.commit().await?;
        Ok(Created::New(Box::new(thread)))
    }
}

async fn lock(
    connection: &mut PgConnection,
    scope: &Scope,
    thread_id: Uuid,
) -> Result<Option<Locked>, sqlx::Error> {
    let mut sql = QueryBuilder::new(
        "select thread.thread_id, thread.last_seq, thread.metadata -> 'graph_id' as graph_id, \
         greatest(clock_timestamp(), thread.state_updated_at + interval '1 microsecond') as moment \
         from thread_store.thread",
    );
    push_where_thread(&mut sql, scope, thread_id);
    sql.push(" for no key update of thread");
    sql.build_query_as().fetch_optional(connection).await
}

/// The checkpoint that an update continues. Read after the lock was taken, in a statement of
/// its own, so that it sees what the writer before committed.
async fn base(
    connection: &mut PgConnection,
    locked: &Locked,
    update: &Update,
) -> Result<Option<Base>, WriteError> {
    let mut sql = QueryBuilder::new(
        "select checkpoint_id, seq, branch, channels, messages_start, messages_end, \
         coalesce((metadata ->> 'step')::bigint, -1) as step, \
         exists ( \
             select from thread_store.checkpoint as later \
             where later.thread_id = checkpoint.thread_id \
                 and later.checkpoint_ns = checkpoint.checkpoint_ns \
                 and later.checkpoint_id > checkpoint.checkpoint_id \
                 and later.branch = checkpoint.branch \
         ) as is_followed \
         from thread_store.checkpoint where thread_id = ",
    );
    sql.push_bind(locked.thread_id);
    sql.push(" and checkpoint_ns = ").push_bind(update.checkpoint_ns.clone());
    if let Some(checkpoint_id) = update.checkpoint_id {
        sql.push(" and checkpoint_id = ").push_bind(checkpoint_id);
    }
    sql.push(" order by checkpoint_id desc limit 1");
    let base = sql.build_query_as().fetch_optional(connection).await?;
    match (base, update.checkpoint_id) {
        (None, Some(checkpoint_id)) => Err(WriteError::CheckpointNotFound(checkpoint_id)),
        (base, _) => Ok(base),
    }
}

async fn write(
    connection: &mut PgConnection,
    locked: &mut Locked,
    mut update: Update,
) -> Result<Uuid, WriteError> {
    let base = base(connection, locked, &update).await?;
    let seq = locked.last_seq + 1;
    let plan = match update.messages.take() {
        Some(changes) => {
            Some(messages::plan(connection, locked.thread_id, base.as_ref(), changes).await?)
        }
        None => None,
    };
    let checkpoint = NewCheckpoint::onto(base.as_ref(), seq, locked, &update, plan.as_ref());
    if checkpoint.channels.len() > MOST_CHANNELS {
        return Err(WriteError::TooManyChannels);
    }
    checkpoint.insert(connection, locked, update, plan).await?;
    locked.last_seq = seq;
    locked.moment += TimeDelta::microseconds(1);
    Ok(checkpoint.checkpoint_id)
}

/// A checkpoint about to be inserted.
struct NewCheckpoint {
    checkpoint_id: Uuid,
    parent_checkpoint_id: Option<Uuid>,
    seq: i64,
    branch: i64,
    /// The parent's branch, seq and end of messages, if a branch begins here.
    fork: Option<(i64, i64, i64)>,
    channels: IndexMap<String, i64>,
    messages: Option<(i64, i64)>,
    metadata: serde_json::Value,
}

impl NewCheckpoint {
    fn onto(
        base: Option<&Base>,
        seq: i64,
        locked: &Locked,
        update: &Update,
        plan: Option<&Plan>,
    ) -> NewCheckpoint {
        let mut channels = base.map(|base| base.channels.0.clone()).unwrap_or_default();
        channels.extend(update.channels.keys().map(|channel| (channel.clone(), seq)));
        let before = base.and_then(|base| base.messages_start.zip(base.messages_end));
        let messages = match plan {
            Some(plan) => {
                let start = plan.start.or(before.map(|(start, _)| start)).unwrap_or(0);
                Some((start, plan.end))
            }
            None => before,
        };
        let fork = base
            .filter(|base| base.is_followed)
            .map(|base| (base.branch, base.seq, base.messages_end()));
        NewCheckpoint {
            checkpoint_id: checkpoint_id_at(locked.moment, random_counter(), random_node()),
            parent_checkpoint_id: base.map(|base| base.checkpoint_id),
            seq,
            branch: base.filter(|_| fork.is_none()).map_or(seq, |base| base.branch),
            fork,
            channels,
            messages,
            metadata: metadata(base, locked, update),
        }
    }

    /// Inserts the checkpoint with all its rows, and moves the thread's clock, in one statement.
    async fn insert(
        &self,
        connection: &mut PgConnection,
        locked: &Locked,
        update: Update,
        plan: Option<Plan>,
    ) -> Result<(), sqlx::Error> {
        let (channels, values): (Vec<_>, Vec<_>) = update
            .channels
            .into_iter()
            .map(|(channel, value)| (channel, value.into_text()))
            .unzip();
        let rows = plan.map(|plan| plan.rows).unwrap_or_default();
        let positions: Vec<_> = rows.iter().map(|row| row.position).collect();
        let (ids, messages): (Vec<_>, Vec<_>) =
            rows.into_iter().map(|row| (row.id, row.message.map(Raw::into_text))).unzip();
        sqlx::query(
            "with new_checkpoint as ( \
                 insert into thread_store.checkpoint (thread_id, checkpoint_ns, checkpoint_id, \
                     parent_checkpoint_id, seq, created_at, metadata, channels, branch, \
                     messages_start, messages_end) \
                 values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) \
             ), \
             new_branch as ( \
                 insert into thread_store.branch \
                     (thread_id, branch, parent_branch, fork_seq, fork_end) \
                 select $1, $9, $12, $13, $14 where $12::bigint is not null \
             ), \
             new_values as ( \
                 insert into thread_store.channel_value (thread_id, seq, channel, value) \
                 select $1, $5, channel, value::json \
                 from unnest($15::text[], $16::text[]) as new (channel, value) \
             ), \
             new_messages as ( \
                 insert into thread_store.message \
                     (thread_id, branch, position, seq, message_id, message) \
                 select $1, $9, position, $5, message_id, message::json \
                 from unnest($17::bigint[], $18::text[], $19::text[]) \
                     as new (position, message_id, message) \
             ) \
             update thread_store.thread \
             set last_seq = $5, state_updated_at = $6, \
                 updated_at = greatest($6, updated_at + interval '1 microsecond') \
             where thread_id = $1",
        )
        .bind(locked.thread_id)
        .bind(update.checkpoint_ns)
        .bind(self.checkpoint_id)
        .bind(self.parent_checkpoint_id)
        .bind(self.seq)
        .bind(locked.moment)
        .bind(&self.metadata)
        .bind(sqlx::types::Json(&self.channels))
        .bind(self.branch)
        .bind(self.messages.map(|(start, _)| start))
        .bind(self.messages.map(|(_, end)| end))
        .bind(self.fork.map(|(branch, _, _)| branch))
        .bind(self.fork.map(|(_, seq, _)| seq))
        .bind(self.fork.map(|(_, _, end)| end))
        .bind(channels)
        .bind(values)
        .bind(positions)
        .bind(ids)
        .bind(messages)
        .execute(connection)
        .await
        .map(drop)
    }
}

/// The checkpoint's metadata as the reference server writes it for an update of state
/// (`THREADS_API.md` section 4), but for `thread_id`, which is added when it is read.
fn metadata(base: Option<&Base>, locked: &Locked, update: &Update) -> serde_json::Value {
    let mut metadata = serde_json::json!({
        "user_id": update.user_id,
        "source": "update",
        "step": base.map_or(-1, |base| base.step) + 1,
        "parents": {},
    });
    let graph_id = locked.graph_id.as_ref().and_then(|graph_id| graph_id.parse::<String>().ok());
    // Metadata can be long; what is kept with each checkpoint must not be.
    let graph_id = graph_id.filter(|graph_id| graph_id.len() <= LONGEST_GRAPH_ID);
    if let Some(fields) = metadata.as_object_mut() {
        fields.extend(graph_id.map(|graph_id| ("graph_id".to_owned(), graph_id.into())));
        let as_node = update.as_node.clone();
        fields.extend(as_node.map(|as_node| ("as_node".to_owned(), as_node.into())));
    }
    metadata
}

/// A version 6 UUID of this moment. Its leading bits are the time, so ids sort by it.
fn checkpoint_id_at(moment: DateTime<Utc>, counter: u16, node: [u8; 6]) -> Uuid {
    /// 100 ns intervals between 1582, where UUID time begins, and 1970.
    const GREGORIAN_OFFSET: i64 = 0x01B2_1DD2_1381_4000;
    let ticks = moment.timestamp_micros().saturating_mul(10).saturating_add(GREGORIAN_OFFSET);
    let ticks = u64::try_from(ticks).unwrap_or(0);
    Uuid::new_v6(UuidTimestamp::from_gregorian_time(ticks, counter), &node)
}

/// The least checkpoint id of a moment, given in milliseconds since 1970.
#[must_use]
pub fn first_checkpoint_id_of(milliseconds: i64) -> Uuid {
    DateTime::from_timestamp_millis(milliseconds)
        .map_or(Uuid::max(), |moment| checkpoint_id_at(moment, 0, [0; 6]))
}

fn random_counter() -> u16 {
    rand::random::<u16>() & 0x3FFF
}

/// A random node id with the multicast bit, which no network card has (RFC 9562 section 6.10).
fn random_node() -> [u8; 6] {
    let mut node = rand::random::<[u8; 6]>();
    let [first, ..] = &mut node;
    *first |= 1;
    node
}
