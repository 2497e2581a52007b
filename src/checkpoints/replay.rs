//! Delta channels, whose value is not stored: the later writes are applied to a snapshot.

use std::collections::HashMap;

use indexmap::IndexMap;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::text::push_text;
use super::unreadable::{MAX_DECODED, Unreadable};
use crate::json::{Raw, for_each};
use crate::messages::CHANNEL as MESSAGES;

/// The channel of files of LangChain's agents, a map in which null deletes a file.
const FILES: &str = "files";

/// The id of a removal of all messages.
const REMOVE_ALL: &str = "__remove_all__";

/// Whether the reducer of a channel is implemented: that of `messages`, and that of the `files` of
/// LangChain's agents. All others are the agent's own code.
#[must_use]
pub fn is_replayed(channel: &str) -> bool {
    channel == MESSAGES || channel == FILES
}

/// The value of a channel after some writes, oldest first. `base`: its value before; `None` if it
/// was never written.
pub fn replay(channel: &str, base: Option<&Raw>, writes: &[Raw]) -> Result<Raw, Unreadable> {
    // Begins at the last value that replaces all earlier ones.
    let overwritten = writes.iter().rposition(|write| overwrite(write).is_some());
    let new_base = overwritten.and_then(|place| overwrite(writes.get(place)?));
    let base = if overwritten.is_some() { new_base.as_ref() } else { base };
    let writes = writes.get(overwritten.map_or(0, |place| place + 1)..).unwrap_or_default();
    match channel {
        MESSAGES => messages(base, writes),
        FILES => files(base, writes),
        _ => Err(Unreadable::Reducer),
    }
}

/// The value of a write that replaces all others.
fn overwrite(write: &Raw) -> Option<Raw> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Overwrite<'a> {
        #[serde(borrow)]
        value: &'a RawValue,
        #[serde(rename = "type")]
        r#type: &'a str,
    }
    if !write.text().contains("__overwrite__") {
        return None;
    }
    let read: Overwrite<'_> = serde_json::from_str(write.text()).ok()?;
    (read.r#type == "__overwrite__").then(|| Raw::stored(read.value.get()))
}

/// The id of a message, and whether it is a removal.
#[derive(Deserialize, Default)]
struct Identity<'a> {
    #[serde(borrow, default)]
    id: Option<std::borrow::Cow<'a, str>>,
    #[serde(borrow, default, rename = "type")]
    r#type: Option<std::borrow::Cow<'a, str>>,
}

/// Appends messages, replaces those with the same id, and drops removed ones.
fn messages(base: Option<&Raw>, writes: &[Raw]) -> Result<Raw, Unreadable> {
    // An index in the list belongs to an id until the message is removed.
    let mut list: Vec<Option<&str>> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut add = |text| -> Result<(), Unreadable> {
        let identity: Identity<'_> = serde_json::from_str(text).unwrap_or_default();
        let id = identity.id.as_deref();
        if identity.r#type.as_deref() == Some("remove") {
            match id {
                Some(REMOVE_ALL) => {
                    list.clear();
                    places.clear();
                }
                Some(id) => {
                    let place = places.remove(id).and_then(|place| list.get_mut(place));
                    if let Some(place) = place {
                        *place = None;
                    }
                }
                None => {}
            }
            return Ok(());
        }
        let known = id.and_then(|id| places.get(id)).and_then(|place| list.get_mut(*place));
        if let Some(place) = known {
            *place = Some(text);
            return Ok(());
        }
        if let Some(id) = id {
            places.insert(id.to_owned(), list.len());
        }
        list.push(Some(text));
        Ok(())
    };
    for value in base.into_iter().chain(writes) {
        if !value.text().starts_with('[') {
            // A single message counts as a list of one, and null as an empty list.
            if !value.is_null() {
                add(value.text())?;
            }
            continue;
        }
        for_each(value.text(), &mut add).map_err(|_| Unreadable::Malformed)??;
    }
    joined('[', list.into_iter().flatten(), ']')
}

/// Merges maps. A null value deletes its key.
fn files(base: Option<&Raw>, writes: &[Raw]) -> Result<Raw, Unreadable> {
    let mut merged: IndexMap<String, &RawValue> = IndexMap::new();
    for map in base.into_iter().chain(writes).filter(|map| !map.is_null()) {
        let read: IndexMap<String, &RawValue> =
            serde_json::from_str(map.text()).map_err(|_| Unreadable::Malformed)?;
        for (name, file) in read {
            if file.get() == "null" {
                merged.shift_remove(&name);
            } else {
                merged.insert(name, file);
            }
        }
    }
    let entry = |(name, file): (String, &RawValue)| {
        let mut text = String::new();
        push_text(&mut text, &name);
        text.push(':');
        text.push_str(file.get());
        text
    };
    let entries: Vec<_> = merged.into_iter().map(entry).collect();
    joined('{', entries.iter().map(String::as_str), '}')
}

fn joined<'a>(
    open: char,
    items: impl Iterator<Item = &'a str>,
    close: char,
) -> Result<Raw, Unreadable> {
    let mut text = String::from(open);
    for item in items {
        if text.len() > 1 {
            text.push(',');
        }
        if text.len() + item.len() > MAX_DECODED {
            return Err(Unreadable::TooLarge);
        }
        text.push_str(item);
    }
    text.push(close);
    Ok(Raw::stored(text))
}
