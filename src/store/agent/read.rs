//! States of agents' threads, assembled from their rows.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use super::chain::{Chain, Wanted};
use super::quoted;
use super::states::{ReadAgentStates, Saved, SavedPage};
use crate::checkpoints::{
    AesKey, Blob, Document, Place, Run, Values, Write, decode, is_state_channel, newest_values,
    run_of,
};
use crate::json::{Object, Raw};
use crate::store::operation::{Asked, MAX_PAGE, Operation as _};
use crate::store::pool::{Account, Lease};
use crate::store::sql::{Form, Order};
use crate::store::state::{AsOf, ReadStates};
use crate::store::{Channels, Checkpoint, Error, Held, History, RunState, Store};
use crate::time::Timestamp;

/// A state from the agent's tables.
#[derive(Debug)]
pub(in crate::store) struct AgentState {
    pub(in crate::store) checkpoint: Checkpoint,
    pub(in crate::store) run: Run,
    /// Bytes of its rows.
    pub(in crate::store) bytes: i64,
}

/// The fields of a checkpoint's metadata that are used here.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Metadata {
    step: Option<i64>,
    counters_since_delta_snapshot: Option<Object>,
}

impl Store {
    /// The schema of the attached tables, quoted. `None`: none are attached.
    pub(in crate::store) async fn agent_schema(&self) -> Result<Option<Arc<str>>, Error> {
        let attachment = self.recent_attachment().await?;
        Ok(attachment.map(|attachment| quoted(&attachment.schema).into()))
    }

    /// The page that `read` requests of a thread whose state is in an agent's tables; `empty` if
    /// the tables are detached. `None`: there is no such thread.
    pub(in crate::store) async fn agent_history(
        &self,
        read: ReadStates,
        empty: History,
        ascending: bool,
        as_of: AsOf,
    ) -> Result<Option<Held<History>>, Error> {
        let Some(schema) = self.agent_schema().await? else {
            return Ok(Some(Held::light(empty)));
        };
        let behind = read.behind_seq;
        let mut read = ReadAgentStates::of(read);
        if behind > 0 {
            // `seq` is the time in a checkpoint's id, so older checkpoints need not be read.
            read.oldest = first_id_behind(behind);
        }
        read.asked.key.holes.agent = Some(schema);
        read.asked.key.holes.order = Some(Order { key: "", r#type: "", ascending });
        let Some(mut page) = self.agent_reads.answer(read.clone()).await? else { return Ok(None) };
        let mut memory = None;
        if page.is_cut {
            memory = Some(self.memory(read.asked.holder, page.bytes.min(MAX_PAGE)).await);
            (read.max_bytes, read.min_states) = (MAX_PAGE, 1);
            let Some(again) = self.run_alone(&read).await? else { return Ok(None) };
            page = again;
            if page.saved.is_empty() && page.is_cut {
                return Err(Error::StateUnreadable(page.bytes));
            }
        }
        let (created_at, is_cut) = (page.thread_created_at, page.is_cut);
        let states = self.agent_states(&read, vec![(read.thread_id, page)], as_of).await?;
        let checkpoints = states.into_iter().map(|(_, state)| state.checkpoint);
        let checkpoints = checkpoints.filter(|checkpoint| checkpoint.seq > behind).collect();
        let value = History { created_at, checkpoints, is_cut, is_agents: true };
        Ok(Some(Held { value, memory }))
    }

    /// The newest states of agents' threads, each with its thread's id. The inner error is the number of
    /// bytes, if they are more than `max_bytes`.
    pub(in crate::store) async fn newest_agent_states(
        &self,
        asked: &Asked,
        thread_ids: &[Uuid],
        channels: &Channels,
        max_bytes: i64,
    ) -> Result<Result<Vec<(Uuid, AgentState)>, i64>, Error> {
        let Some(schema) = self.agent_schema().await? else { return Ok(Ok(Vec::new())) };
        let mut asked = asked.clone();
        // A thread is found with one index probe only if its tenant is known.
        let tenants = if asked.key.form == Form::AllTenants {
            asked.key.form = Form::Batch;
            self.tenants_of(asked.holder, thread_ids).await?
        } else {
            thread_ids.iter().map(|id| (asked.tenant, *id)).collect()
        };
        let reads = ReadAgentStates::newest(&asked, schema, &tenants, channels, max_bytes);
        let Some(first) = reads.first() else { return Ok(Ok(Vec::new())) };
        let mut lease = self.pool.acquire(Account::Holder(asked.holder)).await?;
        let mut pages = Vec::new();
        for some in reads.chunks(TOGETHER) {
            let some: Vec<_> = some.iter().collect();
            let answers = ReadAgentStates::run(&mut lease, &some).await?;
            for (read, answer) in some.iter().zip(answers) {
                pages.extend(answer?.map(|page| (read.thread_id, page)));
            }
        }
        lease.commit().await?;
        let cut = pages.iter().filter(|(_, page)| page.is_cut);
        let too_large: i64 = cut.map(|(_, page)| page.bytes).sum();
        if too_large > 0 {
            return Ok(Err(too_large));
        }
        // A list shows the values of the checkpoint, without later writes.
        self.agent_states(first, pages, AsOf::Now).await.map(Ok)
    }

    /// Decodes pages, and reads the writes of their delta channels.
    async fn agent_states(
        &self,
        read: &ReadAgentStates,
        pages: Vec<(Uuid, SavedPage)>,
        as_of: AsOf,
    ) -> Result<Vec<(Uuid, AgentState)>, Error> {
        let wanted = replayed(&read.channels, &pages);
        let chain = if wanted.is_empty() {
            Chain::default()
        } else {
            let mut lease = self.pool.acquire(Account::Holder(read.asked.holder)).await?;
            let chain = self.chain(&mut lease, read, &wanted).await?;
            lease.commit().await?;
            chain
        };
        self.decoded(read, pages, chain, as_of).await
    }

    /// The same on a leased connection, with the values of the checkpoints themselves.
    pub(in crate::store) async fn agent_states_within(
        &self,
        lease: &mut Lease,
        read: &ReadAgentStates,
        pages: Vec<(Uuid, SavedPage)>,
    ) -> Result<Vec<(Uuid, AgentState)>, Error> {
        let wanted = replayed(&read.channels, &pages);
        let chain = self.chain(lease, read, &wanted).await?;
        self.decoded(read, pages, chain, AsOf::Now).await
    }

    async fn chain(
        &self,
        lease: &mut Lease,
        read: &ReadAgentStates,
        wanted: &[Wanted],
    ) -> Result<Chain, Error> {
        let key = self.agents.key.as_ref();
        Chain::read(lease, &read.asked, &read.checkpoint_ns, wanted, key).await
    }

    async fn decoded(
        &self,
        read: &ReadAgentStates,
        pages: Vec<(Uuid, SavedPage)>,
        chain: Chain,
        as_of: AsOf,
    ) -> Result<Vec<(Uuid, AgentState)>, Error> {
        let (channels, ns) = (read.channels.clone(), read.checkpoint_ns.clone());
        let bytes: i64 = pages.iter().map(|(_, page)| page.bytes).sum();
        let key = self.agents.key.clone();
        let decode = move || {
            let states = pages
                .iter()
                .flat_map(|(id, page)| page.saved.iter().map(|saved| (*id, page.bytes, saved)));
            let decoded = states.filter_map(|(id, bytes, saved)| {
                let (checkpoint, run) =
                    saved.state(id, &ns, &channels, &chain, as_of, key.as_ref())?;
                Some((id, AgentState { checkpoint, run, bytes }))
            });
            decoded.collect::<Vec<_>>()
        };
        if bytes < LARGE {
            return Ok(decode());
        }
        tokio::task::spawn_blocking(decode).await.map_err(|_| Error::Overloaded)
    }
}

/// The channels of pages whose value must be assembled from writes.
fn replayed(channels: &Channels, pages: &[(Uuid, SavedPage)]) -> Vec<Wanted> {
    let saved = pages.iter().flat_map(|(id, page)| page.saved.iter().map(|saved| (*id, saved)));
    saved.flat_map(|(id, saved)| saved.replayed(id, channels)).collect()
}

/// Threads whose newest states one statement reads.
const TOGETHER: usize = 128;

/// Minimum bytes of rows that are decoded on a blocking thread.
const LARGE: i64 = 512 * 1024;

impl Saved {
    fn metadata(&self) -> Metadata {
        serde_json::from_str(&self.metadata).unwrap_or_default()
    }

    /// Delta channels of the checkpoint.
    fn deltas(&self) -> Vec<String> {
        let counters = self.metadata().counters_since_delta_snapshot.unwrap_or_default();
        counters.iter().map(|(channel, _)| channel.to_owned()).collect()
    }

    /// The channels whose value must be assembled from writes.
    fn replayed(&self, thread_id: Uuid, channels: &Channels) -> Vec<Wanted> {
        let is_stored = |channel: &str| self.values.iter().any(|(name, ..)| name == channel);
        let deltas = self.deltas().into_iter();
        let deltas = deltas.filter(|channel| is_wanted(channel, channels) && !is_stored(channel));
        let checkpoint_id = &self.checkpoint_id;
        let wanted = |channel| Wanted { thread_id, checkpoint_id: checkpoint_id.clone(), channel };
        deltas.map(wanted).collect()
    }

    /// The state. `None`: the stored document is not a checkpoint.
    fn state(
        &self,
        thread_id: Uuid,
        checkpoint_ns: &str,
        channels: &Channels,
        chain: &Chain,
        as_of: AsOf,
        key: Option<&AesKey>,
    ) -> Option<(Checkpoint, Run)> {
        let checkpoint_id = Uuid::try_parse(&self.checkpoint_id).ok()?;
        let document = Document::read(&self.document)?;
        let blobs: Vec<_> = self
            .values
            .iter()
            .map(|(channel, r#type, bytes)| Blob { channel, r#type, bytes })
            .collect();
        let wanted = |name: &str| !is_state_channel(name) || is_wanted(name, channels);
        let mut values = Values::read(&document, &blobs, key, wanted);
        let replayed = self.replayed(thread_id, channels);
        for wanted in &replayed {
            match chain.value(wanted) {
                Ok(value) => drop(values.channels.insert(wanted.channel.clone(), value)),
                Err(why) => values.refuse(&wanted.channel, why),
            }
        }
        let writes: Vec<_> = self.writes().collect();
        let metadata = self.metadata();
        let step = metadata.step.unwrap_or(-1);
        let place = Place::new(&self.checkpoint_id, checkpoint_ns, step);
        let is_now = as_of != AsOf::Step;
        let run = run_of(&document, &values, &writes, place, &self.sends(key), is_now, key);
        if as_of == AsOf::NowWithWrites && *channels != Channels::None {
            newest_values(&mut values, &run, &writes, &self.deltas(), key);
        }
        let created_at = document.ts.as_deref().and_then(Timestamp::parse);
        let checkpoint = Checkpoint {
            checkpoint_id,
            parent_checkpoint_id: self
                .parent_checkpoint_id
                .as_deref()
                .and_then(|parent| Uuid::try_parse(parent).ok()),
            seq: seq_of(checkpoint_id),
            created_at: created_at.unwrap_or_else(|| time_of(checkpoint_id)),
            metadata: self.shown_metadata(thread_id, &values),
            values: (*channels != Channels::None).then(|| values.to_json()),
            run: Some(Box::new(RunState {
                next: Raw::of(&run.next).unwrap_or_default(),
                tasks: Raw::of(&run.tasks).unwrap_or_default(),
                interrupts: Raw::of(&run.all_interrupts()).unwrap_or_default(),
            })),
        };
        Some((checkpoint, run))
    }

    fn writes(&self) -> impl Iterator<Item = Write<'_>> {
        let tasks = self.task_ids.iter().zip(&self.task_paths);
        tasks.zip(self.writes.iter()).map(|((task_id, task_path), (channel, r#type, bytes))| {
            Write { task_id, task_path, channel, r#type, bytes }
        })
    }

    fn sends(&self, key: Option<&AesKey>) -> Vec<Raw> {
        let sends = self.send_types.iter().zip(&self.send_blobs);
        let decoded = sends.filter_map(|(r#type, blob)| {
            decode(r#type.as_deref()?, blob.as_deref().unwrap_or_default(), key).ok()?
        });
        decoded.collect()
    }

    /// The metadata, with the thread's id and the channels that cannot be read.
    fn shown_metadata(&self, thread_id: Uuid, values: &Values) -> Raw {
        let mut metadata: Object = serde_json::from_str(&self.metadata).unwrap_or_default();
        metadata.insert("thread_id", Raw::from(thread_id.to_string().as_str()));
        if !values.unreadable.is_empty() {
            let named = values
                .unreadable
                .iter()
                .map(|(channel, why)| (channel.clone(), Value::String(why.to_string())));
            let named = Value::Object(named.collect());
            metadata.insert("unreadable", Raw::of(&named).unwrap_or_default());
        }
        Raw::of(&metadata).unwrap_or_default()
    }
}

fn is_wanted(channel: &str, channels: &Channels) -> bool {
    match channels {
        Channels::None => false,
        Channels::Only(names) => names.iter().any(|name| name == channel),
        Channels::All => true,
    }
}

/// The place of a checkpoint in the sequence of its thread: the time in its id, in units of 100 ns
/// since 1582.
pub(in crate::store) fn seq_of(checkpoint_id: Uuid) -> i64 {
    let ticks = checkpoint_id.get_timestamp().map_or(0, |time| time.to_gregorian().0);
    i64::try_from(ticks).unwrap_or(i64::MAX)
}

/// The least id of a checkpoint after a place in the sequence.
fn first_id_behind(seq: i64) -> Uuid {
    let ticks = u64::try_from(seq.saturating_add(1)).unwrap_or(0);
    Uuid::new_v6(uuid::Timestamp::from_gregorian_time(ticks, 0), &[0; 6])
}

/// The time in an id.
fn time_of(checkpoint_id: Uuid) -> Timestamp {
    let (seconds, nanoseconds) =
        checkpoint_id.get_timestamp().map_or((0, 0), |time| time.to_unix());
    Timestamp::from_unix(i64::try_from(seconds).unwrap_or(0), nanoseconds)
}
