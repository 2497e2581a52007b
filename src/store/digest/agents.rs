//! Messages of agents' threads, which Postgres cannot read.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use uuid::Uuid;

use super::source::Source;
use crate::json::Members;
use crate::messages::CHANNEL;
use crate::store::agent::{AgentState, ReadAgentStates, attachment_of, quoted};
use crate::store::operation::{Asked, LIGHT, Operation as _};
use crate::store::pool::Lease;
use crate::store::sql::Form;
use crate::store::{Channels, Error, Store};

/// Threads that one statement reads.
const TOGETHER: usize = 32;
/// Maximum bytes of rows that are read at once, unless one thread has more. Further threads are
/// left out.
const MAX_READ: i64 = 8 * 1024 * 1024;
/// Maximum bytes of a state from which a text is made, as for all threads.
const MAX_STATE: i64 = 64 * 1024 * 1024;

/// The messages that were read from the agent's tables.
#[derive(Default)]
struct Read {
    messages: HashMap<Uuid, String>,
    /// Threads that did not fit.
    left: HashSet<Uuid>,
    bytes: i64,
}

impl Store {
    /// Adds the messages of the threads whose state is in an agent's tables, as of the lease's snapshot.
    /// They have none if no tables are attached.
    pub(super) async fn add_messages_of_agents(
        &self,
        lease: &mut Lease,
        asked: &Asked,
        sources: &mut [Source],
    ) -> Result<(), Error> {
        let is_wanted = |source: &&Source| source.is_agents && source.messages.is_some();
        let threads = sources.iter().filter(is_wanted);
        let mut threads: Vec<_> = threads.map(|source| (source.tenant, source.thread_id)).collect();
        if threads.is_empty() {
            return Ok(());
        }
        let Some(attachment) = attachment_of(lease).await? else { return Ok(()) };
        let schema: Arc<str> = quoted(&attachment.schema).into();
        threads.sort_by_key(|(tenant, _)| *tenant);
        let mut asked = asked.clone();
        if asked.key.form == Form::AllTenants {
            asked.key.form = Form::Batch;
        }
        let mut read = Read::default();
        for of_tenant in threads.chunk_by(|(one, _), (other, _)| one == other) {
            for some in of_tenant.chunks(TOGETHER) {
                self.read_some(lease, (&asked, &schema), some, &mut read).await?;
            }
        }
        for source in sources.iter_mut().filter(|source| source.is_agents) {
            if read.left.contains(&source.thread_id) {
                source.messages = None;
            } else if let Some(messages) = read.messages.remove(&source.thread_id) {
                source.messages = Some(messages);
            }
        }
        Ok(())
    }

    async fn read_some(
        &self,
        lease: &mut Lease,
        (asked, schema): (&Asked, &Arc<str>),
        threads: &[(i64, Uuid)],
        read: &mut Read,
    ) -> Result<(), Error> {
        if read.bytes >= MAX_READ {
            read.left.extend(threads.iter().map(|(_, id)| *id));
            return Ok(());
        }
        let schema = || Arc::clone(schema);
        let large = self.read_those(lease, (asked, schema(), LIGHT), threads, read).await?;
        for (thread, bytes) in large {
            let is_first = read.bytes == 0;
            if bytes > MAX_STATE {
                continue;
            }
            if !is_first && read.bytes + bytes > MAX_READ {
                read.left.insert(thread.1);
                continue;
            }
            self.read_those(lease, (asked, schema(), MAX_STATE), &[thread], read).await?;
        }
        Ok(())
    }

    /// Reads the messages of threads. Returns those with more than `max_bytes`, with their bytes.
    async fn read_those(
        &self,
        lease: &mut Lease,
        (asked, schema, max_bytes): (&Asked, Arc<str>, i64),
        threads: &[(i64, Uuid)],
        read: &mut Read,
    ) -> Result<Vec<((i64, Uuid), i64)>, Error> {
        let channels = Channels::Only(vec![CHANNEL.to_owned()]);
        let reads = ReadAgentStates::newest(asked, schema, threads, &channels, max_bytes);
        let Some(first) = reads.first() else { return Ok(Vec::new()) };
        let each: Vec<_> = reads.iter().collect();
        let answers = ReadAgentStates::run(lease, &each).await?;
        let (mut pages, mut large) = (Vec::new(), Vec::new());
        for (thread, answer) in threads.iter().zip(answers) {
            match answer? {
                Some(page) if page.is_cut() => large.push((*thread, page.bytes())),
                Some(page) => {
                    read.bytes += page.bytes();
                    pages.push((thread.1, page));
                }
                None => {}
            }
        }
        for (id, state) in self.agent_states_within(lease, first, pages).await? {
            if let Some(messages) = messages_of(&state) {
                read.messages.insert(id, messages);
            }
        }
        Ok(large)
    }
}

/// The messages of a state, a JSON list. `None`: the state has no such channel, or the channel cannot be
/// read.
fn messages_of(state: &AgentState) -> Option<String> {
    let values = Members::read(state.checkpoint.values.as_ref()?.text()).ok()?;
    values.get(CHANNEL).map(str::to_owned)
}
