//! The reducer of the `messages` field (D7, D24).
//!
//! [`read`] turns what a client sent into [`Change`]s, one an entry and in order.
//! [`ids_to_look_up`] names the ids whose presence in the thread's list decides the outcome, and
//! [`reduce()`] says which rows to write. Nothing here reads the messages that are stored already,
//! so an update costs as much as the update is long, whatever the conversation's length.

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

/// The channel with this reducer. All others keep their last value.
pub const CHANNEL: &str = "messages";

/// Longest message id in bytes: ids are indexed.
pub const MAX_ID_BYTES: usize = 1024;

/// Most entries of `messages` in one request. Each takes some hundred bytes of memory on its way to
/// the database, and a row there, however short it is.
pub const MAX_PER_REQUEST: usize = 50_000;

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

/// Reads the JSON text of what was sent for `messages`: a list, or a single message.
pub fn read(sent: &str) -> Result<Vec<Change>, Refused> {
    let mut changes = Vec::new();
    read_into(&mut changes, sent, usize::MAX)?;
    Ok(changes)
}

/// Reads the same behind other changes of an update. More than `max` entries are refused, which is
/// what is left of [`MAX_PER_REQUEST`].
pub fn read_into(changes: &mut Vec<Change>, sent: &str, max: usize) -> Result<(), Refused> {
    if !sent.starts_with('[') {
        check_number(1, max)?;
        changes.push(Entry { index: None }.read(sent)?);
        return Ok(());
    }
    // Counted first, so that nothing is made of a list that is too long.
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
