//! Threads of agents that write with LangGraph's own checkpointers (D30). Their rows of `thread` are
//! made by a trigger on the agent's tables; their state is read from those tables.
//!
//! `attach` puts the triggers there, `settle` works off what they leave to the servers, `read` and
//! `states` read state, `erase`, `prune` and `copy` act on the agent's rows in the transaction that
//! acts on ours.

mod attach;
mod chain;
mod check;
mod fill;
mod known;
mod read;
mod settle;
mod states;
mod status;
mod survey;

pub use attach::{AttachError, Attaching, Attachment, TakenIn, detach};
pub use check::CheckError;
pub use settle::Settled;
pub use states::RunState;
pub use survey::Survey;

pub(in crate::store) use known::Agents;
pub(in crate::store) use read::{AgentState, AsOf};
pub(in crate::store) use states::ReadAgentStates;

use uuid::Uuid;

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
