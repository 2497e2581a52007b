//! Threads of agents that write with LangGraph's own checkpointers (D30). Their rows of `thread` are
//! made by a trigger on the agent's tables; their state is read from those tables.
//!
//! `attach` puts the triggers there, `settle` works off what they leave to the servers, `read` and
//! `states` read state, `erase`, `prune` and `copy` act on the agent's rows in the transaction that
//! acts on ours.

mod attach;
mod chain;
mod check;
mod copy;
mod erase;
mod fill;
mod known;
mod matching;
mod prune;
mod read;
mod settle;
mod states;
mod status;
mod storage;
mod survey;

pub use attach::{AttachError, Attaching, TakenIn, detach};
pub use check::CheckError;
pub use settle::Settled;
pub use survey::Survey;

pub(in crate::store) use copy::copy_of_agent;
pub(in crate::store) use erase::{delete_owned, erase_expired_rows, lock_entries};
pub(in crate::store) use prune::keep_latest_of_agent;
pub(in crate::store) use read::AgentState;
pub(in crate::store) use states::ReadAgentStates;

use uuid::Uuid;

use crate::store::attachment::Attachment;

/// The id under which an agent's thread is served: its own, if that is a UUID spelled as this server
/// spells it, else one made of its bytes.
#[must_use]
pub fn thread_id_of(agent_thread_id: &str, namespace: Uuid) -> Uuid {
    match Uuid::try_parse(agent_thread_id) {
        Ok(id) if id.to_string() == agent_thread_id => id,
        _ => Uuid::new_v5(&namespace, agent_thread_id.as_bytes()),
    }
}

/// A name as SQL spells it.
pub(in crate::store) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The statements, for the tests that read all of them.
#[cfg(test)]
pub(super) mod statements {
    pub(in crate::store) use super::chain::CHAIN;
    pub(in crate::store) use super::copy::{COPY_ROWS, HAS_TASK_PATH, LINK_COPY};
    pub(in crate::store) use super::erase::{
        AGENT_ID, BURY, ERASE, ERASE_ROW, FORGET_ENTRY, LOCK_ENTRY, LOCK_FREE_ENTRY, LOCK_THREAD,
        OF_AGENTS,
    };
    pub(in crate::store) use super::matching::CANDIDATES;
    pub(in crate::store) use super::prune::{HAS_DELTAS, KEEP_LATEST};
    pub(in crate::store) use super::settle::{
        ATTACHMENT, CHANGED, FORGET, HIDDEN, REMEMBERED_NO_MORE, SETTLE, STRAGGLERS, TRUNCATED,
    };
    pub(in crate::store) use super::states::STATES;
    pub(in crate::store) use super::status::{SETTLED, UNSETTLED};
    pub(in crate::store) use super::storage::AGENT_STORAGE;
}
