//! The values of states, and the updates between them.
//!
//! A history repeats the whole state at each checkpoint, but an update of state is a change. So
//! each state is compared with its parent ([`Values::change`]). Each text is stored once
//! ([`Interner`]), so that the memory for a thread does not grow with its number of states.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use indexmap::IndexMap;
use uuid::Uuid;

use crate::json::{self, Members, Object, Raw, for_each};
use crate::messages::{self, Change};

/// A set that stores each text once.
#[derive(Debug, Default)]
pub(super) struct Interner(HashSet<Arc<str>>);

impl Interner {
    fn intern(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.0.get(text) {
            return Arc::clone(known);
        }
        let new: Arc<str> = text.into();
        self.0.insert(Arc::clone(&new));
        new
    }
}

/// The values of a state.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Values {
    /// JSON text by channel.
    channels: IndexMap<Arc<str>, Arc<str>>,
    messages: Option<Vec<Message>>,
}

#[derive(Debug, Clone, PartialEq)]
struct Message {
    id: Arc<str>,
    /// JSON text.
    text: Arc<str>,
}

impl Values {
    /// Parses the values of a state. `messages` are converted by the reducer, so that they can be
    /// compared with the destination's. The returned number counts the messages without an id.
    pub(super) fn read(
        sent: Option<&Raw>,
        thread_id: Uuid,
        texts: &mut Interner,
    ) -> Result<(Values, usize), String> {
        let Some(sent) = sent.filter(|sent| !sent.is_null()) else {
            return Ok((Values::default(), 0));
        };
        if !sent.is_object() {
            return Err("its values are not an object".to_owned());
        }
        let members = Members::read(sent.text()).map_err(|_| "its values have too many keys")?;
        let (mut values, mut without_id) = (Values::default(), 0);
        for (key, value) in members {
            if key == messages::CHANNEL {
                let (list, missing) = read_messages(&value, thread_id, texts)?;
                without_id += missing;
                values.messages = Some(list);
            } else {
                values.channels.insert(texts.intern(&key), texts.intern(&value));
            }
        }
        Ok((values, without_id))
    }

    /// Adds the keys of the previous state that this one does not have, because an update cannot
    /// remove a key. Returns their number.
    pub(super) fn inherit(&mut self, before: &Values) -> usize {
        let mut inherited = 0;
        for (channel, value) in &before.channels {
            if !self.channels.contains_key(channel) {
                self.channels.insert(Arc::clone(channel), Arc::clone(value));
                inherited += 1;
            }
        }
        if self.messages.is_none() && before.messages.is_some() {
            self.messages.clone_from(&before.messages);
            inherited += 1;
        }
        inherited
    }

    /// The update from the previous state to this one. `None`: they are equal.
    pub(super) fn change(&self, before: &Values) -> Result<Option<Object>, serde_json::Error> {
        let mut change = Vec::new();
        for (channel, value) in &self.channels {
            if before.channels.get(channel) != Some(value) {
                change.push((channel.to_string(), Raw::from_text(value)?));
            }
        }
        if let Some(list) = &self.messages
            && let Some(entries) = change_of_messages(list, before.messages.as_deref())
        {
            let entries = Raw::from_text(&format!("[{}]", entries.join(",")))?;
            change.push((messages::CHANNEL.to_owned(), entries));
        }
        Ok(if change.is_empty() { None } else { Some(change.into_iter().collect()) })
    }

    /// The intermediate states, if the change from the previous state has more than `max` messages
    /// and must be written in parts. All channels change with the last part, which is not included.
    pub(super) fn in_parts(&self, before: &Values, max: usize) -> Vec<Values> {
        let list = self.messages.as_deref().unwrap_or_default();
        let change = change_of_messages(list, before.messages.as_deref());
        if change.is_none_or(|entries| entries.len() <= max) {
            return Vec::new();
        }
        // The first part may begin with a removal of all previous messages.
        let ends = (max - 1..list.len()).step_by(max);
        let parts = ends.filter_map(|end| list.get(..end)).map(|part| Values {
            channels: before.channels.clone(),
            messages: Some(part.to_vec()),
        });
        parts.collect()
    }

    /// Whether a server has returned these values unchanged. Numbers may be spelled differently,
    /// and messages may have more fields.
    pub(super) fn is_same_as(&self, other: &Values) -> bool {
        let same_messages = match (&self.messages, &other.messages) {
            (None, None) => true,
            // A graph has an empty list of messages from the beginning.
            (None, Some(list)) => list.is_empty(),
            (Some(one), Some(other)) => {
                one.len() == other.len() && one.iter().zip(other).all(|(a, b)| a.is_same_as(b))
            }
            (Some(_), None) => false,
        };
        same_messages
            && self.channels.len() == other.channels.len()
            && self.channels.iter().all(|(channel, value)| {
                other.channels.get(channel).is_some_and(|other| json::equal(value, other))
            })
    }
}

impl Message {
    /// Compares the fields that all servers keep. Servers add their own fields and omit empty ones.
    fn is_same_as(&self, other: &Message) -> bool {
        if self.id != other.id || self.text == other.text {
            return self.id == other.id;
        }
        let (Ok(one), Ok(other)) = (Members::read(&self.text), Members::read(&other.text)) else {
            return false;
        };
        let same = |field: &str| same_field(one.get(field), other.get(field), json::equal);
        ["type", "content", "name", "tool_call_id"].into_iter().all(same)
            && same_field(one.get("tool_calls"), other.get("tool_calls"), same_calls)
    }
}

fn same_field(
    one: Option<&str>,
    other: Option<&str>,
    same: impl FnOnce(&str, &str) -> bool,
) -> bool {
    let something = |value: &&str| !matches!(*value, "null" | "\"\"" | "[]" | "{}");
    match (one.filter(something), other.filter(something)) {
        (None, None) => true,
        (Some(one), Some(other)) => same(one, other),
        _ => false,
    }
}

/// Whether two lists have the same tool calls. Their `type` is redundant.
fn same_calls(one: &str, other: &str) -> bool {
    let untyped = |list: &str| {
        let mut calls = Vec::new();
        let read = for_each(list, |call| {
            let mut call = Members::read(call)?;
            call.take("type");
            calls.push(call.to_text());
            Ok::<_, serde_json::Error>(())
        });
        matches!(read, Ok(Ok(()))).then_some(calls)
    };
    untyped(one).zip(untyped(other)).is_some_and(|(one, other)| {
        one.len() == other.len()
            && one.iter().zip(&other).all(|(one, other)| json::equal(one, other))
    })
}

/// Parses messages. Each needs an id to be found again. A message without one gets the thread's id
/// with its index in the list, which is the same in a second run.
fn read_messages(
    sent: &str,
    thread_id: Uuid,
    texts: &mut Interner,
) -> Result<(Vec<Message>, usize), String> {
    let (mut list, mut taken, mut without_id) = (Vec::new(), HashSet::new(), 0);
    for change in messages::read(sent).map_err(|refused| refused.to_string())? {
        let Change::Put { mut id, generated, mut message } = change else {
            return Err("its messages contain a removal".to_owned());
        };
        if generated || taken.contains(id.as_str()) {
            id = format!("{thread_id}-{}", list.len());
            without_id += 1;
            let with_id = message.parse().and_then(|mut object: Object| {
                object.insert("id", Raw::from(id.as_str()));
                Raw::of(&object)
            });
            message = with_id.map_err(|error| error.to_string())?;
        }
        let id = texts.intern(&id);
        list.push(Message { id: Arc::clone(&id), text: texts.intern(message.text()) });
        taken.insert(id);
    }
    Ok((list, without_id))
}

/// The entries of an update from `before` to `list`. `None`: they are equal.
fn change_of_messages(list: &[Message], before: Option<&[Message]>) -> Option<Vec<String>> {
    let texts = |list: &[Message]| list.iter().map(|one| one.text.to_string()).collect::<Vec<_>>();
    if before == Some(list) {
        return None;
    }
    let before = before.unwrap_or_default();
    if before.is_empty() {
        return Some(texts(list));
    }
    let removal = |id: &str| {
        let removal = serde_json::json!({ "type": "remove", "id": id, "content": "" });
        removal.to_string()
    };
    let now: HashSet<_> = list.iter().map(|message| &message.id).collect();
    let old: HashMap<_, _> = before.iter().map(|message| (&message.id, &message.text)).collect();
    let kept = before.iter().filter(|message| now.contains(&message.id));
    let known = list.iter().take_while(|message| old.contains_key(&message.id));
    let is_in_place = kept.clone().map(|message| &message.id).eq(known.map(|message| &message.id));
    let gone = before.iter().filter(|message| !now.contains(&message.id));
    let put = list.iter().filter(|message| old.get(&message.id) != Some(&&message.text));
    let is_shorter = gone.clone().count() + put.clone().count() <= 1 + list.len();
    if !is_in_place || kept.count() == 0 || !is_shorter {
        return Some(std::iter::once(removal("__remove_all__")).chain(texts(list)).collect());
    }
    let entries = gone.map(|message| removal(&message.id));
    Some(entries.chain(put.map(|message| message.text.to_string())).collect())
}

#[cfg(test)]
mod tests;
