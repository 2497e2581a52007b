//! Selections of checkpoints, and checkpoints as they are read.

use uuid::Uuid;

use crate::json::{Object, Raw};
use crate::time::Timestamp;

/// A selection of a thread's checkpoints.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// The namespace; empty for the root.
    pub checkpoint_ns: String,
    /// Only this one.
    pub checkpoint_id: Option<Uuid>,
    /// Only checkpoints older than this one.
    pub before: Option<Uuid>,
    /// Contained in the checkpoint's metadata.
    pub metadata: Object,
    /// Whether to read the current state instead of the checkpoint's record: for a thread that an
    /// agent writes, with the results of the current step so far.
    pub is_now: bool,
}

/// The channels whose values are read with a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Channels {
    /// None: the values are absent.
    None,
    /// Those of these channels that the checkpoint has.
    Only(Vec<String>),
    /// All.
    All,
}

/// A stored checkpoint.
#[derive(Debug)]
pub struct Checkpoint {
    /// Its id.
    pub checkpoint_id: Uuid,
    /// The checkpoint that it was written onto.
    pub parent_checkpoint_id: Option<Uuid>,
    /// Its number in the thread.
    pub seq: i64,
    /// When it was written.
    pub created_at: Timestamp,
    /// Its metadata as the API shows it, with the id of the thread.
    pub metadata: Raw,
    /// The values of the selected channels; absent if none were selected.
    pub values: Option<Raw>,
    /// The state of the run. `None`: no graph writes this thread.
    pub run: Option<Box<RunState>>,
}

/// A page of a thread's checkpoints.
#[derive(Debug)]
pub struct History {
    /// When the thread was created, which distinguishes it from a later one with the same id.
    pub created_at: Timestamp,
    /// The checkpoints, in the requested order.
    pub checkpoints: Vec<Checkpoint>,
    /// Whether the page ends before its limit, because its answer would be too large.
    pub is_cut: bool,
    /// Whether the state of the thread is in the tables of an agent.
    pub(in crate::store) is_agents: bool,
}

/// A position in the sequence of a thread's checkpoints.
#[derive(Debug, Clone, Copy)]
pub struct Position {
    /// Distinguishes the thread from a later one with the same id.
    pub created_at: Timestamp,
    /// Only checkpoints with at least this id, which saves reading old ones.
    pub not_before: Uuid,
    /// Only checkpoints with a number greater than this.
    pub seq: i64,
}

/// The state of a run at a checkpoint.
#[derive(Debug, Clone)]
pub struct RunState {
    /// The nodes to run next, a JSON list of names.
    pub next: Raw,
    /// The tasks of the step, a JSON list.
    pub tasks: Raw,
    /// The open questions, a JSON list.
    pub interrupts: Raw,
}

/// The time that a state is shown for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum AsOf {
    /// The beginning of the step: its record, with all of its tasks and questions.
    Step,
    /// Now: the tasks and questions that are still open.
    Now,
    /// Now, with the writes of the step's finished tasks, as in LangGraph's `get_state`.
    NowWithWrites,
}
