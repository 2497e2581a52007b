//! Checkpoints, as they are asked for and as they are read.

use uuid::Uuid;

use crate::json::{Object, Raw};
use crate::time::Timestamp;

/// Which checkpoints of a thread are meant.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// The namespace; empty for the root.
    pub checkpoint_ns: String,
    /// Just this one.
    pub checkpoint_id: Option<Uuid>,
    /// Only older ones than this.
    pub before: Option<Uuid>,
    /// Contained in the checkpoint's metadata.
    pub metadata: Object,
    /// The newest state as it is now, rather than the record of its checkpoint: of a thread that
    /// an agent writes, with what has been done of the step under way.
    pub is_now: bool,
}

/// Which channels' values are read with a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Channels {
    /// None: the values are absent.
    None,
    /// These, as far as the checkpoint has them.
    Only(Vec<String>),
    /// All.
    All,
}

/// A stored checkpoint.
#[derive(Debug)]
pub struct Checkpoint {
    /// Its id.
    pub checkpoint_id: Uuid,
    /// What it was written onto.
    pub parent_checkpoint_id: Option<Uuid>,
    /// Its number in the thread.
    pub seq: i64,
    /// When it was written.
    pub created_at: Timestamp,
    /// How it came to be.
    pub metadata: Raw,
    /// The values of the channels that were asked for; absent if none were.
    pub values: Option<Raw>,
    /// What is going on there. `None`: nothing, because no graph writes this thread.
    pub run: Option<Box<RunState>>,
}

/// A page of a thread's checkpoints.
#[derive(Debug)]
pub struct History {
    /// When the thread was created, which tells it from a later one with the same id.
    pub created_at: Timestamp,
    /// The checkpoints, in the order asked for.
    pub checkpoints: Vec<Checkpoint>,
    /// Whether the page ends before its limit, because its answer would be too large.
    pub is_cut: bool,
    /// Whether the state of the thread is in the tables of an agent.
    pub(in crate::store) is_agents: bool,
}

/// A place in the sequence of a thread's checkpoints.
#[derive(Debug, Clone, Copy)]
pub struct Position {
    /// Tells the thread from a later one with the same id.
    pub created_at: Timestamp,
    /// No checkpoint with a smaller id is wanted. Saves looking at the old ones.
    pub not_before: Uuid,
    /// Nor one with this number or a smaller one.
    pub seq: i64,
}

/// What is shown of a run at a checkpoint.
#[derive(Debug, Clone)]
pub struct RunState {
    /// The nodes to run next, a JSON list of names.
    pub next: Raw,
    /// The tasks of the step, a JSON list.
    pub tasks: Raw,
    /// What waits for an answer, a JSON list.
    pub interrupts: Raw,
}

/// As of when a state is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum AsOf {
    /// The step's begin: its record, with all of its tasks and questions.
    Step,
    /// Now: what runs and waits now.
    Now,
    /// Now, with what finished tasks of the step have written, as the library's `get_state`.
    NowWithWrites,
}
