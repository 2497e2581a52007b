//! Threads of agents that write with LangGraph's own checkpointers (D30 in the README). A trigger
//! on the agent's tables creates their rows of `thread`; their state is read from the agent's
//! tables.
//!
//! `attach` creates the triggers, `settle` does the work that they leave to the servers, `read` and
//! `states` read state. `erase`, `prune` and `copy` change the agent's rows and the store's in one
//! transaction.

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
pub(in crate::store) use settle::attachment_of;
pub(in crate::store) use states::ReadAgentStates;

use uuid::Uuid;

use crate::store::attachment::Attachment;

/// The id under which an agent's thread is served: the agent's own id if it is a UUID in the usual form,
/// else a UUID made from its bytes.
#[must_use]
pub fn thread_id_of(agent_thread_id: &str, namespace: Uuid) -> Uuid {
    match Uuid::try_parse(agent_thread_id) {
        Ok(id) if id.to_string() == agent_thread_id => id,
        _ => Uuid::new_v5(&namespace, agent_thread_id.as_bytes()),
    }
}

/// A name as a quoted SQL identifier.
pub(in crate::store) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Joins the agent's thread with this id to each row of `asked`, if it is in the scope.
macro_rules! agents_thread {
    () => {
        "
    cross join lateral (
        select *
        from thread_store.thread
        where thread.tenant = asked.tenant
            and thread.thread_id = asked.thread_id
            and thread.agent_thread_id is not null
            and {visible}
        offset 0
    ) as thread"
    };
}
use agents_thread;

/// The statements, for the tests that read all of them.
#[cfg(test)]
pub(super) mod statements {
    pub(in crate::store) use super::chain::CHAIN;
    pub(in crate::store) use super::copy::{COPY_ROWS, HAS_TASK_PATH, LINK_COPY};
    pub(in crate::store) use super::erase::{
        AGENT_ID, BURY, ERASE, FORGET_ENTRY, LOCK_ENTRY, LOCK_FREE_ENTRY, LOCK_THREAD, OF_AGENTS,
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
