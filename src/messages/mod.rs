//! The reducer of the `messages` field (D7, D24).
//!
//! [`read`] converts a client's messages to [`Change`]s, one per entry and in order.
//! [`ids_to_look_up`] returns the ids on whose presence in the thread's list the outcome depends,
//! and [`reduce()`] the rows to write. The stored messages are never read, so the cost of an update
//! depends on its own length and not on that of the conversation.

mod entry;
mod fields;
mod form;
mod kind;
mod langchain;
mod openai;
mod reduce;
mod tool_calls;

#[cfg(test)]
mod tests;

pub use reduce::{Plan, Row, ids_to_look_up, reduce};

use crate::json::{Raw, for_each};
use form::Entry;

/// The channel with this reducer. Other channels keep their last value.
pub const CHANNEL: &str = "messages";

/// Maximum bytes of a message id, because ids are indexed.
pub const MAX_ID_BYTES: usize = 1024;

/// Maximum number of entries of `messages` in one request. Each needs a few hundred bytes of memory
/// on its way to the database, and a row there, however short it is.
pub const MAX_PER_REQUEST: usize = 50_000;

/// One entry of an update.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// Replaces the message with the id, or appends if there is none.
    Put {
        /// The id, which is also in `message`.
        id: String,
        /// Whether the id was generated here, so that no stored message can have it.
        generated: bool,
        /// The whole converted message, with its id.
        message: Raw,
    },
    /// Removes the message with the id.
    Remove {
        /// The id.
        id: String,
    },
    /// Removes all earlier messages, including earlier entries of the same update.
    RemoveAll,
}

/// Why an update is refused. The text begins with the path of the field, from `values` on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(String);

/// Parses the JSON text of `messages`: a list, or a single message.
pub fn read(sent: &str) -> Result<Vec<Change>, Refused> {
    let mut changes = Vec::new();
    read_into(&mut changes, sent, usize::MAX)?;
    Ok(changes)
}

/// Parses the same and appends it to other changes of an update. More than `max` entries, the rest
/// of [`MAX_PER_REQUEST`], are refused.
pub fn read_into(changes: &mut Vec<Change>, sent: &str, max: usize) -> Result<(), Refused> {
    if !sent.starts_with('[') {
        check_number(1, max)?;
        changes.push(Entry { index: None }.read(sent)?);
        return Ok(());
    }
    // Counted first, so that a list that is too long is not parsed.
    let mut count = 0;
    let counted = for_each(sent, |_| {
        count += 1;
        check_number(count, max)
    });
    counted.map_err(|_| not_json())??;
    changes.reserve_exact(count);
    let mut index = 0;
    let read = for_each(sent, |entry| {
        changes.push(Entry { index: Some(index) }.read(entry)?);
        index += 1;
        Ok(())
    });
    read.map_err(|_| not_json())?
}

fn check_number(count: usize, max: usize) -> Result<(), Refused> {
    if count <= max {
        return Ok(());
    }
    let why = format!("more than {MAX_PER_REQUEST} messages in one request");
    Err(Refused(format!("values.messages: {why}")))
}

fn not_json() -> Refused {
    Refused("values.messages: not valid JSON".to_owned())
}
