//! Operations on the state of threads: checkpoints and the rows of their values.

mod append;
mod checkpoint;
mod insert;
mod pages;
mod parent;
mod progress;
mod read;
mod states;
mod storage;
mod texts;
mod update;

pub use append::first_checkpoint_id_of;
pub(super) use checkpoint::AsOf;
pub use checkpoint::{Channels, Checkpoint, History, Position, RunState, Selection};
pub use progress::Progress;
pub use storage::Storage;
pub use update::Update;

pub(super) use progress::ReadProgress;
pub(super) use read::ReadStates;
pub(super) use storage::Measure;
pub(super) use update::Append;

/// The statements, for the tests that read all of them.
#[cfg(test)]
pub(super) mod statements {
    pub(in crate::store) use super::insert::{INSERT, INSERT_MESSAGES};
    pub(in crate::store) use super::pages::{READ, READ_ONE};
    pub(in crate::store) use super::parent::PARENT;
    pub(in crate::store) use super::progress::PROGRESS;
    pub(in crate::store) use super::storage::STORAGE;
}
