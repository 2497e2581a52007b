//! The reducer of the `messages` field (`DECISIONS.md` D7).
//!
//! [`read`] turns what a client sent into [`Change`]s, one an entry and in order.
//! [`ids_to_look_up`] names the ids whose presence in the thread's list decides the outcome, and
//! [`reduce()`] says which rows to write. Nothing here reads the messages that are stored already,
//! so an update costs as much as the update is long, whatever the conversation's length.

mod coerce;
mod reduce;

pub use coerce::{MAX_ID_BYTES, read};
pub use reduce::{Plan, Row, ids_to_look_up, reduce};

use crate::json::Raw;

/// The channel with this reducer. All others keep their last value.
pub const CHANNEL: &str = "messages";

/// One entry of an update.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// Replaces the message that has the id, or appends when there is none.
    Put {
        /// The id, which `message` carries too.
        id: String,
        /// Whether the id was made here, so that no stored message can have it.
        generated: bool,
        /// The whole message, typed and with its id.
        message: Raw,
    },
    /// Removes the message that has the id.
    Remove {
        /// The id.
        id: String,
    },
    /// Drops everything before it, earlier entries of the same update included.
    RemoveAll,
}

/// Why an update is refused. The text starts with the field, from `values` on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(String);
