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
