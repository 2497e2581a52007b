//! Writing state: what a new checkpoint is, and who comes first.

use chrono::{DateTime, Utc};
use indexmap::IndexMap;
use sqlx::QueryBuilder;
use uuid::{Timestamp as UuidTimestamp, Uuid};

use super::bases::{Asked, Base, Origin, Room, origins};
use super::create::{insert, made};
use super::filter::{Shape, push_where_thread};
use super::inserts::{NewCheckpoint, insert_checkpoints, insert_other_messages};
use super::lanes::{Answers, Job};
use super::messages;
use super::pool::{Connection, Pool};
use super::storage::most_bytes_of;
use super::writers::Turn;
use super::{Changes, Created, IfExists, MOST_CHANNELS, NewThread, Store, WriteError};
use crate::auth::Scope;
use crate::json::Raw;
use crate::messages::Change;

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

impl Store {
    /// Writes a checkpoint. `None`: no such thread.
    ///
    /// Writers to one thread come one after the other, so every checkpoint has its own parent.
    pub async fn update_state(
        &self,
        scope: Scope,
        thread_id: Uuid,
        update: Update,
    ) -> Result<Option<Uuid>, WriteError> {
        let turn = self.writers.turn(thread_id).await;
        let room = self.caps.state_bytes.map(|most| Room { most, taken: None });
        let changes = self.changes.clone();
        let append = Append { scope, thread_id, update, room, changes, _turn: turn };
        Ok(self.appends.answer(append).await?.map(|written| written.checkpoint_id))
    }

    /// Makes a thread of `owner` and writes its first checkpoints: all of it, or nothing. `scope`
    /// is for a thread that is there already.
    pub async fn create_thread_with_state(
        &self,
        owner: &Scope,
        scope: &Scope,
        new: &NewThread,
        if_exists: IfExists,
        updates: Vec<Update>,
    ) -> Result<Created, WriteError> {
        let thread_id = new.thread_id;
        let (mut transaction, _turn) = match self.begin_making(owner).await {
            Err(at_cap @ WriteError::TooManyThreads(_)) => {
                return self.existing_thread_at_cap(scope, thread_id, if_exists, at_cap).await;
            }
            begun => begun?,
        };
        let Some(mut thread) = insert(&mut transaction, new).await? else {
            drop(transaction);
            return Ok(self.existing_thread(scope, thread_id, if_exists).await?);
        };
        // Nobody else sees the row yet. It is ours even if its time is over.
        let mut taken = 0;
        for update in &updates {
            // What is there was all written here, so it need not be measured.
            let room = self.caps.state_bytes.map(|most| Room { most, taken: Some(taken) });
            let asked = Asked { thread_id, scope: None, update, room };
            let written = write_one(&mut transaction, &Shape::any(), asked).await?;
            taken += written.map_or(0, |written| written.bytes);
        }
        if !updates.is_empty() {
            thread = made(&mut transaction, thread_id).await?;
        }
        transaction.commit().await?;
        Ok(Created::New(Box::new(thread)))
    }
}

/// A checkpoint that was written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Written {
    checkpoint_id: Uuid,
    /// What it takes at most, if there is a cap.
    bytes: i64,
}

/// A checkpoint to write to a thread.
pub(super) struct Append {
    scope: Scope,
    thread_id: Uuid,
    update: Update,
    room: Option<Room>,
    changes: Changes,
    /// Held until it is done: no two of one thread are written together.
    _turn: Turn,
}

impl Append {
    fn asked(&self) -> Asked<'_> {
        let Append { thread_id, scope, update, room, .. } = self;
        Asked { thread_id: *thread_id, scope: Some(scope), update, room: *room }
    }

    /// Keeps everybody else from writing to the thread meanwhile.
    async fn write_locked(&self, pool: &Pool) -> Result<Option<Written>, WriteError> {
        let mut transaction = pool.begin().await?;
        let mut sql = QueryBuilder::new("select from thread_store.thread");
        push_where_thread(&mut sql, &self.scope, self.thread_id);
        sql.push(" for no key update of thread");
        if sql.build().fetch_optional(&mut transaction).await?.is_none() {
            return Ok(None);
        }
        let written = write_one(&mut transaction, &self.key(), self.asked()).await?;
        transaction.commit().await?;
        Ok(written)
    }
}

/// `None`: no such thread.
impl Job for Append {
    type Answer = Option<Written>;
    type Error = WriteError;
    const KIND: &'static str = "update_state";
    type Key = Shape;

    fn key(&self) -> Shape {
        Shape::of(&self.scope)
    }

    async fn alone(&self, pool: &Pool) -> Result<Option<Written>, WriteError> {
        let mut connection = pool.acquire().await?;
        let one = write(&mut connection, &self.key(), &[self.asked()], false).await?;
        connection.commit().await?;
        match one.into_iter().next().flatten() {
            Some(answer) => answer,
            None => self.write_locked(pool).await,
        }
    }

    /// One to whose thread another instance writes at the same time is left to
    /// [`Append::write_locked`].
    async fn together(
        connection: &mut Connection,
        shape: &Shape,
        jobs: &[Append],
    ) -> Result<Answers<Append>, sqlx::Error> {
        let asked: Vec<_> = jobs.iter().map(Append::asked).collect();
        write(connection, shape, &asked, false).await
    }

    fn committed(&self, answer: &Result<Option<Written>, WriteError>) {
        if let Ok(Some(_)) = answer {
            self.changes.announce(self.thread_id);
        }
    }
}

async fn write_one(
    connection: &mut Connection,
    shape: &Shape,
    asked: Asked<'_>,
) -> Result<Option<Written>, WriteError> {
    let written = write(connection, shape, &[asked], true).await?;
    // The transaction under way holds the row: nobody can have come between.
    written.into_iter().next().flatten().unwrap_or(Ok(None))
}

/// Writes a checkpoint for each of these, which are for different threads and whose scopes are of
/// one shape. Answers in their order. `None`: somebody else is writing to the thread, or it takes
/// several statements and there is no transaction that holds them together.
///
/// Reading what to write onto takes no lock. It need not: a checkpoint is inserted only if the
/// thread has had no other one since.
async fn write(
    connection: &mut Connection,
    shape: &Shape,
    asked: &[Asked<'_>],
    in_transaction: bool,
) -> Result<Answers<Append>, sqlx::Error> {
    let mut answers = Vec::with_capacity(asked.len());
    let mut new = Vec::with_capacity(asked.len());
    let origins = origins(connection, shape, asked).await?;
    for (number, (asked, origin)) in asked.iter().zip(&origins).enumerate() {
        let Some(origin) = origin else {
            answers.push(Some(Ok(None)));
            continue;
        };
        match NewCheckpoint::onto(origin, asked).and_then(|new| new.that_fits(origin, asked)) {
            Ok((checkpoint, bytes)) => {
                answers.push(None);
                if in_transaction || !checkpoint.takes_several_statements() {
                    new.push((number, checkpoint, bytes));
                }
            }
            Err(error) => answers.push(Some(Err(error))),
        }
    }
    let new_ones: Vec<_> = new.iter().map(|(_, checkpoint, _)| checkpoint).collect();
    for place in insert_checkpoints(connection, shape, &new_ones).await? {
        let Some((number, checkpoint, bytes)) = new.get(place) else { continue };
        insert_other_messages(connection, checkpoint).await?;
        if let Some(answer) = answers.get_mut(*number) {
            let written = Written { checkpoint_id: checkpoint.checkpoint_id, bytes: *bytes };
            *answer = Some(Ok(Some(written)));
        }
    }
    Ok(answers)
}

impl<'a> NewCheckpoint<'a> {
    fn onto(origin: &Origin, asked: &Asked<'a>) -> Result<NewCheckpoint<'a>, WriteError> {
        let Asked { update, .. } = *asked;
        let base = origin.base.as_ref();
        if let Some(wanted) = update.checkpoint_id {
            // What was found is the newest up to that one.
            let found = base.filter(|base| base.checkpoint_id == wanted);
            found.ok_or(WriteError::CheckpointNotFound(wanted))?;
        }
        let seq = origin.last_seq + 1;
        let mut channels = base.map(|base| base.channels.clone()).unwrap_or_default();
        channels.extend(update.channels.keys().map(|channel| (channel.clone(), seq)));
        if channels.len() > MOST_CHANNELS {
            return Err(WriteError::TooManyChannels);
        }
        let changes = update.messages.as_deref();
        let plan = changes.map(|changes| messages::plan(changes, base)).transpose()?;
        let before = base.and_then(Base::messages);
        let messages = match &plan {
            Some(plan) => {
                let start = plan.start.or(before.map(|(start, _)| start)).unwrap_or(0);
                Some((start, plan.end))
            }
            None => before,
        };
        let fork = base
            .filter(|base| base.is_followed)
            .map(|base| (base.branch, base.seq, base.messages_end()));
        Ok(NewCheckpoint {
            thread_id: asked.thread_id,
            scope: asked.scope,
            created_at: origin.created_at,
            seq,
            moment: origin.moment,
            checkpoint_ns: &update.checkpoint_ns,
            checkpoint_id: checkpoint_id_at(origin.moment, random_counter(), random_node()),
            parent_checkpoint_id: base.map(|base| base.checkpoint_id),
            metadata: metadata(origin, update),
            channels,
            branch: base.filter(|_| fork.is_none()).map_or(seq, |base| base.branch),
            fork,
            messages,
            values: &update.channels,
            rows: plan.map(|plan| plan.rows).unwrap_or_default(),
        })
    }

    /// Refuses what its thread has no room for. With what it takes at most.
    ///
    /// What the thread took when it was read is what it takes at the insert, or more: only another
    /// checkpoint makes it grow, and then nothing is inserted.
    fn that_fits(
        self,
        origin: &Origin,
        asked: &Asked<'_>,
    ) -> Result<(NewCheckpoint<'a>, i64), WriteError> {
        let Some(Room { most, taken }) = asked.room else { return Ok((self, 0)) };
        let bytes = most_bytes_of(&self);
        if taken.unwrap_or(origin.state_bytes).saturating_add(bytes) > most {
            return Err(WriteError::StateTooLarge(most));
        }
        Ok((self, bytes))
    }
}

/// The checkpoint's metadata as the reference server writes it for an update of state
/// (`THREADS_API.md` section 4), but for `thread_id`, which is added when it is read.
fn metadata(origin: &Origin, update: &Update) -> serde_json::Value {
    let mut metadata = serde_json::json!({
        "user_id": update.user_id,
        "source": "update",
        "step": origin.base.as_ref().map_or(-1, |base| base.step) + 1,
        "parents": {},
    });
    let graph_id = origin.graph_id.as_ref().and_then(|graph_id| graph_id.parse::<String>().ok());
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
