//! Operations on the state of threads: checkpoints and what their values are made of.

mod append;
mod checkpoint;
mod insert;
mod parent;
mod progress;
mod read;
mod states;
mod storage;
mod texts;
mod update;

pub use append::first_checkpoint_id_of;
pub use checkpoint::{Channels, Checkpoint, History, Position, Selection};
pub use progress::Progress;
pub use storage::Storage;
pub use update::Update;

pub(super) use progress::ReadProgress;
pub(super) use read::ReadStates;
pub(super) use update::Append;
