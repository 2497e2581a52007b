//! Operations on the state of threads: checkpoints and what their values are made of.

mod append;
mod insert;
mod parent;
mod progress;
mod read;
mod states;
mod storage;
mod texts;

pub use append::{Update, first_checkpoint_id_of};
pub use progress::Progress;
pub use read::{Channels, Checkpoint, History, Position, Selection};
pub use storage::Storage;

pub(super) use append::Append;
pub(super) use progress::ReadProgress;
pub(super) use read::ReadStates;

/// Every statement about state with its holes, in the order of the tests that read them.
#[cfg(test)]
pub(super) fn statements() -> Vec<super::statements::Listed> {
    use super::statements::Kind::{OfThreads, States};
    vec![
        (&parent::PARENT, OfThreads),
        (&insert::INSERT, OfThreads),
        (&read::READ, States),
        (&progress::PROGRESS, OfThreads),
        (&storage::STORAGE, OfThreads),
    ]
}
