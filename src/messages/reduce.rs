//! Applies the changes of an update to a thread's list of messages.

use std::collections::{HashMap, HashSet};
use std::hash::BuildHasher;

use super::{Change, Refused};
use crate::json::{Raw, quoted};

/// The rows to write. Positions in the thread's list only grow: a position belongs to one message
/// for life, and a removed message that is added again gets a new one.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan<'a> {
    /// The new start of the list: all messages at earlier positions are removed. `None`: the start
    /// does not change.
    pub start: Option<i64>,
    /// At most one per position and per id. New positions have no gaps.
    pub rows: Vec<Row<'a>>,
    /// The next free position.
    pub end: i64,
}

/// One position in the list.
#[derive(Debug, Clone, PartialEq)]
pub struct Row<'a> {
    /// The position.
    pub position: i64,
    /// The id of the message at the position.
    pub id: &'a str,
    /// The message. `None`: it is removed.
    pub message: Option<&'a Raw>,
}

/// The ids on whose presence in the current list the outcome depends, each once: no generated ids,
/// and none at all if the list is cleared.
#[must_use]
pub fn ids_to_look_up(changes: &[Change]) -> Vec<&str> {
    let mut seen = HashSet::new();
    let mut ids = Vec::new();
    for change in changes {
        match change {
            Change::RemoveAll => return Vec::new(),
            Change::Put { generated: true, .. } => {}
            Change::Put { id, .. } | Change::Remove { id } => {
                if seen.insert(id.as_str()) {
                    ids.push(id.as_str());
                }
            }
        }
    }
    ids
}

/// Marks a message without a position yet.
const NEW: i64 = -1;

/// Applies an update to the list. `present` has the positions of those of [`ids_to_look_up`] that
/// are in the list; `end` is the list's next free position.
pub fn reduce<'a, S: BuildHasher>(
    changes: &'a [Change],
    present: &HashMap<String, i64, S>,
    end: i64,
) -> Result<Plan<'a>, Refused> {
    let clear = changes.iter().rposition(|change| matches!(change, Change::RemoveAll));
    let last = changes.get(clear.map_or(0, |clear| clear + 1)..).unwrap_or_default();
    let position_of = |id: &str| {
        if clear.is_some() { None } else { present.get(id).copied() }
    };

    // In the order of their first occurrence in the update.
    let mut rows: Vec<Row<'a>> = Vec::with_capacity(last.len());
    let mut touched: HashMap<&str, usize> = HashMap::new();
    for change in last {
        let (id, message, is_new) = match change {
            Change::Put { id, message, generated } => (id.as_str(), Some(message), *generated),
            Change::Remove { id } => (id.as_str(), None, false),
            Change::RemoveAll => continue,
        };
        if is_new {
            rows.push(Row { position: NEW, id, message });
            continue;
        }
        if let Some(row) = touched.get(id).and_then(|index| rows.get_mut(*index)) {
            row.message = message;
            continue;
        }
        let position = position_of(id);
        if message.is_none() && position.is_none() {
            return Err(Refused(format!(
                "values.messages: there is no message with the id {} to remove",
                quoted(id)
            )));
        }
        touched.insert(id, rows.len());
        rows.push(Row { position: position.unwrap_or(NEW), id, message });
    }
    let next = place_new(&mut rows, end);
    Ok(Plan { start: clear.map(|_| end), rows, end: next })
}

/// Assigns positions to new messages, and returns the next free one. A new message that the same
/// update removes gets none.
fn place_new(rows: &mut Vec<Row<'_>>, end: i64) -> i64 {
    let mut next = end;
    rows.retain_mut(|row| {
        if row.position != NEW {
            return true;
        }
        row.position = next;
        let stays = row.message.is_some();
        next += i64::from(stays);
        stays
    });
    next
}

#[cfg(test)]
mod tests;
