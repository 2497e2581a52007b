//! Writing state: each update becomes a checkpoint.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use indexmap::IndexMap;
use uuid::{Timestamp as UuidTimestamp, Uuid};

use super::insert::{NewCheckpoint, insert, length};
use super::parent::{Ancestor, Parent, ThreadHead, plan};
use super::update::{Append, Update};
use crate::authz::Scope;
use crate::store::error::MAX_CHANNELS;
use crate::store::operation::{Asked, Operation, run_one};
use crate::store::pool::Lease;
use crate::store::thread_lock::lock;
use crate::store::{Error, Store};

/// Maximum bytes of a graph id that is stored with each checkpoint.
const MAX_GRAPH_ID: usize = 1024;
/// Maximum bytes of an update in a batch.
const LIGHT_UPDATE: usize = 512 * 1024;

/// The outcome of an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Appended {
    /// The new checkpoint.
    Written(Uuid),
    /// There is no such thread.
    NotFound,
    /// Another writer wrote to the thread at the same time. Nothing was written.
    Raced,
}

impl Operation for Append {
    type Answer = Appended;
    const KIND: &'static str = "update_state";

    fn asked(&self) -> &Asked {
        &self.asked
    }

    fn weight(&self) -> usize {
        1 + self.update.bytes() / 8192
    }

    fn committed(&self, appended: &Appended) {
        if let Appended::Written(_) = appended {
            self.changes.announce(self.thread_id);
            self.digests.add(self.asked.tenant, self.thread_id);
        }
    }

    async fn run(
        lease: &mut Lease,
        appends: &[&Append],
    ) -> Result<Vec<Result<Self::Answer, Error>>, Error> {
        let heads = ThreadHead::read_all(lease, appends).await?;
        let mut answers = Vec::with_capacity(appends.len());
        let mut new = Vec::with_capacity(appends.len());
        for (place, (append, head)) in appends.iter().zip(&heads).enumerate() {
            let Some(head) = head else {
                answers.push(Ok(Appended::NotFound));
                continue;
            };
            match append.onto(head) {
                Ok(checkpoint) => {
                    answers.push(Ok(Appended::Raced));
                    new.push((place, checkpoint));
                }
                Err(error) => answers.push(Err(error)),
            }
        }
        let checkpoints: Vec<_> = new.iter().map(|(_, checkpoint)| checkpoint).collect();
        for written in insert(lease, &checkpoints).await? {
            let Some((place, checkpoint)) = new.get(written) else { continue };
            if let Some(answer) = answers.get_mut(*place) {
                *answer = Ok(Appended::Written(checkpoint.checkpoint_id));
            }
        }
        Ok(answers)
    }
}

impl Append {
    /// The checkpoint that this update creates.
    fn onto<'a>(&'a self, head: &ThreadHead) -> Result<NewCheckpoint<'a>, Error> {
        if head.is_agents {
            return Err(Error::WrittenByAgent);
        }
        let (update, parent) = (&self.update, head.parent.as_ref());
        if let Some(wanted) = update.checkpoint_id {
            // The statement finds the newest checkpoint up to that id.
            let found = parent.filter(|parent| parent.checkpoint_id == wanted);
            found.ok_or(Error::CheckpointNotFound(wanted))?;
        }
        let seq = head.last_seq + 1;
        let mut channels = parent.map(|parent| parent.channels.clone()).unwrap_or_default();
        let new = update.channels.iter();
        channels.extend(new.map(|(name, value)| (name.clone(), (seq, length(value.text())))));
        if channels.len() > MAX_CHANNELS {
            return Err(Error::TooManyChannels);
        }
        let before = parent.and_then(|parent| parent.messages);
        let mut message_bytes = parent.map_or(0, Parent::message_bytes);
        let (messages, rows) = match &update.messages {
            None => (before, Vec::new()),
            Some(changes) => {
                let (plan, growth) = plan(changes, parent)?;
                message_bytes = if plan.start.is_some() { growth } else { message_bytes + growth };
                let start = plan.start.or(before.map(|(start, _)| start)).unwrap_or(0);
                (Some((start, plan.end)), plan.rows)
            }
        };
        let is_fork = parent.is_some_and(|parent| parent.is_followed);
        let checkpoint = NewCheckpoint {
            asked: &self.asked,
            thread_id: self.thread_id,
            created_at: head.created_at,
            pruned: head.pruned,
            seq,
            moment: head.moment,
            checkpoint_ns: &update.checkpoint_ns,
            checkpoint_id: checkpoint_id_at(head.moment, random_counter(), random_node()),
            parent_checkpoint_id: parent.map(|parent| parent.checkpoint_id),
            metadata: metadata(head, update),
            branch: parent.filter(|_| !is_fork).map_or(seq, |parent| parent.branch),
            ancestors: parent
                .map(|parent| parent.ancestors_of_next(is_fork, messages))
                .unwrap_or_default(),
            state_bytes: state_bytes(&channels, messages.map(|_| message_bytes)),
            channels,
            messages,
            values: &update.channels,
            rows,
        };
        let max = self.max_bytes.unwrap_or(i64::MAX);
        if head.stored_bytes.saturating_add(checkpoint.new_bytes()) > max {
            return Err(Error::StateTooLarge(max));
        }
        Ok(checkpoint)
    }
}

impl Parent {
    /// Bytes of its list of messages.
    fn message_bytes(&self) -> i64 {
        self.messages.map_or(0, |_| self.state_bytes - state_bytes(&self.channels, Some(0)))
    }

    /// The branches that the next checkpoint inherits from, nearest first. Branches whose messages
    /// were all cleared are left out.
    fn ancestors_of_next(&self, is_fork: bool, messages: Option<(i64, i64)>) -> Vec<Ancestor> {
        let own = is_fork.then_some((self.branch, self.seq, self.messages_end()));
        let start = messages.map_or(0, |(start, _)| start);
        let ancestors = own.into_iter().chain(self.ancestors.iter().copied());
        ancestors.filter(|(_, _, end)| *end > start).collect()
    }
}

/// Bytes of values in the form of an answer: `{"a":1,"messages":[...]}`.
fn state_bytes(channels: &IndexMap<String, (i64, i64)>, messages: Option<i64>) -> i64 {
    let channels = channels.iter().map(|(name, (_, bytes))| length(name) + bytes + 4);
    2 + channels.sum::<i64>() + messages.map_or(0, |bytes| 13 + bytes)
}

impl Store {
    /// Writes a checkpoint. `None`: there is no such thread.
    ///
    /// Writers to one thread are serialised, so every checkpoint has its own parent.
    pub async fn update_state(
        &self,
        scope: &Scope,
        thread_id: Uuid,
        update: Update,
    ) -> Result<Option<Uuid>, Error> {
        let Some(asked) = self.asked_about(scope, thread_id).await? else { return Ok(None) };
        let guard = self.writers.lock((thread_id, asked.fingerprint())).await;
        let append = Append {
            asked,
            thread_id,
            update: Arc::new(update),
            max_bytes: self.quotas.state_bytes,
            changes: self.changes.clone(),
            digests: self.digests.clone(),
            _guard: Some(Arc::new(guard)),
        };
        let mut appended = if append.update.bytes() <= LIGHT_UPDATE {
            self.appends.answer(append.clone()).await?
        } else {
            Box::pin(self.run_alone(&append)).await?
        };
        if appended == Appended::Raced {
            appended = Box::pin(self.append_locked(&append)).await?;
        }
        match appended {
            Appended::Written(checkpoint_id) => Ok(Some(checkpoint_id)),
            Appended::NotFound => Ok(None),
            // No other writer can write to a thread that this transaction has locked.
            Appended::Raced => Err(Error::Overloaded),
        }
    }

    /// Writes while the thread is locked against other writers.
    async fn append_locked(&self, append: &Append) -> Result<Appended, Error> {
        let mut transaction = self.pool.begin(append.asked.holder).await?;
        if !lock(&mut transaction, &append.asked, append.thread_id).await? {
            return Ok(Appended::NotFound);
        }
        let appended = run_one(&mut transaction, append).await?;
        transaction.commit().await?;
        append.committed(&appended);
        Ok(appended)
    }

    /// Writes the first checkpoints of a thread that the current transaction has created and that
    /// is not visible to others yet.
    pub(in crate::store) async fn first_checkpoints(
        &self,
        transaction: &mut Lease,
        asked: &Asked,
        thread_id: Uuid,
        updates: Vec<Update>,
    ) -> Result<(), Error> {
        for update in updates {
            let append = Append {
                asked: asked.clone(),
                thread_id,
                update: Arc::new(update),
                max_bytes: self.quotas.state_bytes,
                changes: self.changes.clone(),
                digests: self.digests.clone(),
                _guard: None,
            };
            match run_one(transaction, &append).await? {
                Appended::Written(_) => {}
                Appended::NotFound | Appended::Raced => return Err(Error::Overloaded),
            }
        }
        Ok(())
    }
}

/// The checkpoint's metadata, as on the reference server for an update of state, except
/// `thread_id`, which is added on reading.
fn metadata(head: &ThreadHead, update: &Update) -> serde_json::Value {
    let mut metadata = serde_json::json!({
        "user_id": update.user_id,
        "source": "update",
        "step": head.parent.as_ref().map_or(-1, |parent| parent.step) + 1,
        "parents": {},
    });
    // Metadata can be long, but the part that is stored with each checkpoint must not be.
    let graph_id = head.graph_id.as_ref().filter(|graph_id| graph_id.len() <= MAX_GRAPH_ID);
    if let Some(fields) = metadata.as_object_mut() {
        let named = [("graph_id", graph_id), ("as_node", update.as_node.as_ref())];
        let named = named.into_iter().filter_map(|(name, value)| Some((name, value?)));
        fields.extend(named.map(|(name, value)| (name.to_owned(), value.as_str().into())));
    }
    metadata
}

/// A version 6 UUID of this time. Its leading bits are the time, so ids sort by time.
fn checkpoint_id_at(moment: DateTime<Utc>, counter: u16, node: [u8; 6]) -> Uuid {
    /// 100 ns intervals between 1582, where UUID time begins, and 1970.
    const GREGORIAN_OFFSET: i64 = 0x01B2_1DD2_1381_4000;
    let ticks = moment.timestamp_micros().saturating_mul(10).saturating_add(GREGORIAN_OFFSET);
    let ticks = u64::try_from(ticks).unwrap_or(0);
    Uuid::new_v6(UuidTimestamp::from_gregorian_time(ticks, counter), &node)
}

/// The least checkpoint id of a time in milliseconds since 1970.
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
