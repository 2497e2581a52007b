//! States as the two servers tell them, and the updates that make the one from the other.
//!
//! A history repeats the whole state at each checkpoint, but an update of state is a change. So
//! each state is compared with the one it is written onto ([`Values::change`]). All text is kept
//! once ([`Texts`]): what a thread takes in memory is what it says, not that times its states.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::json::{Object, Raw};
use crate::messages::{self, Change};

/// A checkpoint as a server tells it in a history.
#[derive(Debug, Deserialize)]
pub(super) struct Snapshot {
    values: Option<Raw>,
    metadata: Option<Object>,
    checkpoint: Option<Reference>,
    parent_checkpoint: Option<Reference>,
    checkpoint_id: Option<String>,
    parent_checkpoint_id: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Reference {
    checkpoint_id: Option<String>,
}

impl Snapshot {
    /// The newest values of a thread whose history cannot be read.
    pub(super) fn newest(values: Raw) -> Snapshot {
        Snapshot {
            values: Some(values),
            metadata: None,
            checkpoint: None,
            parent_checkpoint: None,
            checkpoint_id: Some(String::new()),
            parent_checkpoint_id: None,
        }
    }

    pub(super) fn id(&self) -> Option<&str> {
        let nested = self.checkpoint.as_ref().and_then(|it| it.checkpoint_id.as_deref());
        self.checkpoint_id.as_deref().or(nested)
    }

    fn parent_id(&self) -> Option<&str> {
        let nested = self.parent_checkpoint.as_ref().and_then(|it| it.checkpoint_id.as_deref());
        self.parent_checkpoint_id.as_deref().or(nested)
    }

    /// The node that wrote it, as this server records it or as LangGraph used to.
    fn as_node(&self) -> Option<String> {
        let metadata = self.metadata.as_ref()?;
        let recorded = metadata.get("as_node").and_then(|node| node.parse().ok());
        recorded.or_else(|| {
            let writes: IndexMap<String, serde::de::IgnoredAny> =
                metadata.get("writes")?.parse().ok()?;
            let [node] = <[String; 1]>::try_from(writes.into_keys().collect::<Vec<_>>()).ok()?;
            Some(node)
        })
    }
}

/// Each text once.
#[derive(Debug, Default)]
pub(super) struct Texts(HashSet<Arc<str>>);

impl Texts {
    fn keep(&mut self, text: &str) -> Arc<str> {
        if let Some(kept) = self.0.get(text) {
            return Arc::clone(kept);
        }
        let kept: Arc<str> = text.into();
        self.0.insert(Arc::clone(&kept));
        kept
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

/// What a message is, whichever server tells it: others add empty fields of their own.
#[derive(PartialEq, Deserialize)]
struct Essence {
    #[serde(rename = "type")]
    kind: Option<String>,
    content: Option<serde_json::Value>,
    tool_calls: Option<Vec<serde_json::Value>>,
}

impl Values {
    /// Reads values as a server tells them. `messages` become what the reducer makes of them, so
    /// that they are comparable with what the destination will tell. The second part of the
    /// answer counts the messages that had no id of their own.
    fn read(
        sent: Option<&Raw>,
        thread_id: Uuid,
        texts: &mut Texts,
    ) -> Result<(Values, usize), String> {
        let Some(sent) = sent.filter(|sent| !sent.is_null()) else {
            return Ok((Values::default(), 0));
        };
        let object: Object =
            sent.parse().map_err(|_| "its values are not an object, so they have no keys")?;
        let (mut values, mut without_id) = (Values::default(), 0);
        for (key, value) in object.iter() {
            if key == messages::CHANNEL {
                let (list, missing) = read_messages(value, thread_id, texts)?;
                without_id += missing;
                values.messages = Some(list);
            } else {
                values.channels.insert(texts.keep(key), texts.keep(value.text()));
            }
        }
        Ok((values, without_id))
    }

    /// Adds what the state before had and this one has not: an update cannot take a key away. The
    /// number of such keys.
    fn inherit(&mut self, before: &Values) -> usize {
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

    /// The update that makes this state of the one before. `None`: they are equal.
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

    /// Whether a server tells these values: numbers may be spelled differently, and messages may
    /// have more fields.
    fn is_told_by(&self, other: &Values) -> bool {
        let same = |one: &str, other: &str| {
            let parsed = |text| serde_json::from_str::<serde_json::Value>(text).ok();
            one == other || parsed(one) == parsed(other)
        };
        let essence = |text: &str| serde_json::from_str::<Essence>(text).ok();
        let same_message = |one: &Message, other: &Message| {
            one.id == other.id
                && (one.text == other.text || essence(&one.text) == essence(&other.text))
        };
        let same_messages = match (&self.messages, &other.messages) {
            (None, None) => true,
            // A graph's own list of messages is there from the beginning.
            (None, Some(list)) => list.is_empty(),
            (Some(one), Some(other)) => {
                one.len() == other.len()
                    && one.iter().zip(other).all(|(one, other)| same_message(one, other))
            }
            (Some(_), None) => false,
        };
        same_messages
            && self.channels.len() == other.channels.len()
            && self.channels.iter().all(|(channel, value)| {
                other.channels.get(channel).is_some_and(|other| same(value, other))
            })
    }
}

/// A message needs an id of its own to be found again. One without gets the thread's id with its
/// place in the list, which a second run gives it too.
fn read_messages(
    sent: &Raw,
    thread_id: Uuid,
    texts: &mut Texts,
) -> Result<(Vec<Message>, usize), String> {
    let (mut list, mut taken, mut without_id) = (Vec::new(), HashSet::new(), 0);
    for change in messages::read(sent.text()).map_err(|refused| refused.to_string())? {
        let Change::Put { mut id, generated, mut message } = change else {
            return Err("its messages hold a removal".to_owned());
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
        let id = texts.keep(&id);
        list.push(Message { id: Arc::clone(&id), text: texts.keep(message.text()) });
        taken.insert(id);
    }
    Ok((list, without_id))
}

/// The entries of an update that make `list` of `before`. `None`: they are equal.
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
    if !is_in_place || kept.count() == 0 {
        return Some(std::iter::once(removal("__remove_all__")).chain(texts(list)).collect());
    }
    let gone = before.iter().filter(|message| !now.contains(&message.id));
    let put = list.iter().filter(|message| old.get(&message.id) != Some(&&message.text));
    let entries = gone.map(|message| removal(&message.id));
    Some(entries.chain(put.map(|message| message.text.to_string())).collect())
}

/// A state of the source, as it is to be in the destination.
#[derive(Debug)]
pub(super) struct State {
    id: String,
    /// The place of the state that it is written onto, which comes before it.
    pub(super) parent: Option<usize>,
    pub(super) as_node: Option<String>,
    pub(super) values: Values,
}

/// What cannot be as it was in the source.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Losses {
    /// Messages that were given an id, counted in every state.
    pub(super) ids_given: usize,
    /// Keys that a state had lost and has again.
    pub(super) keys_kept: usize,
    /// States whose parent is not in the history, written onto the one before.
    pub(super) parents_changed: usize,
}

/// The states of a thread of the source.
#[derive(Debug, Default)]
pub(super) struct History {
    /// Oldest first.
    pub(super) states: Vec<State>,
    pub(super) losses: Losses,
}

/// A history that is being read, newest first.
#[derive(Debug)]
pub(super) struct Reading {
    thread_id: Uuid,
    newest_first: Vec<(State, Option<String>)>,
    ids_given: usize,
}

impl Reading {
    pub(super) fn of(thread_id: Uuid) -> Reading {
        Reading { thread_id, newest_first: Vec::new(), ids_given: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.newest_first.is_empty()
    }

    /// Takes the next older state.
    pub(super) fn take(&mut self, snapshot: &Snapshot, texts: &mut Texts) -> Result<(), String> {
        let id = snapshot.id().unwrap_or_default().to_owned();
        let read = Values::read(snapshot.values.as_ref(), self.thread_id, texts);
        let (values, without_id) =
            read.map_err(|why| format!("state {id} cannot be written: {why}"))?;
        self.ids_given += without_id;
        let state = State { id, parent: None, as_node: snapshot.as_node(), values };
        self.newest_first.push((state, snapshot.parent_id().map(str::to_owned)));
        Ok(())
    }

    /// Says of each state what it is written onto, and what it comes out as then.
    pub(super) fn end(self) -> History {
        let mut losses = Losses { ids_given: self.ids_given, ..Losses::default() };
        let mut states: Vec<State> = Vec::with_capacity(self.newest_first.len());
        let mut places: HashMap<String, usize> = HashMap::new();
        for (mut state, parent_id) in self.newest_first.into_iter().rev() {
            let place = states.len();
            let known = parent_id.as_ref().and_then(|id| places.get(id)).copied();
            // Only the first state of a thread can be written onto nothing.
            state.parent = known.or(place.checked_sub(1));
            // The oldest may well have had a parent that was pruned since.
            if known.is_none() && place > 0 {
                losses.parents_changed += 1;
            }
            if let Some(parent) = state.parent.and_then(|parent| states.get(parent)) {
                losses.keys_kept += state.values.inherit(&parent.values);
            }
            places.insert(state.id.clone(), place);
            states.push(state);
        }
        History { states, losses }
    }
}

/// A state of the destination.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) id: String,
    parent_id: Option<String>,
    values: Values,
}

impl Found {
    pub(super) fn read(snapshot: &Snapshot, texts: &mut Texts) -> Result<Found, String> {
        // Messages that the destination tells have ids.
        let (values, _) = Values::read(snapshot.values.as_ref(), Uuid::nil(), texts)?;
        let parent_id = snapshot.parent_id().map(str::to_owned);
        Ok(Found { id: snapshot.id().unwrap_or_default().to_owned(), parent_id, values })
    }
}

impl History {
    /// Checks that the destination has the first of these states and nothing else, or all of them
    /// and whatever was written there since. Both oldest first. The error is the first place that
    /// differs.
    pub(super) fn begins_with(&self, found: &[Found]) -> Result<(), usize> {
        let mut places: HashMap<&str, usize> = HashMap::new();
        for (place, (state, found)) in self.states.iter().zip(found).enumerate() {
            let parent = found.parent_id.as_deref().and_then(|id| places.get(id)).copied();
            if state.parent != parent || !state.values.is_told_by(&found.values) {
                return Err(place);
            }
            places.insert(&found.id, place);
        }
        Ok(())
    }
}

/// A message body for `POST /threads/{id}/state`.
#[derive(Debug, Serialize)]
pub(super) struct Update<'a> {
    /// `null` for a checkpoint without a change.
    pub(super) values: Option<Object>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) as_node: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) checkpoint_id: Option<&'a str>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::messages::{ids_to_look_up, reduce};

    fn raw(value: &Value) -> Raw {
        Raw::of(value).unwrap()
    }

    fn values(value: &Value) -> Values {
        Values::read(Some(&raw(value)), Uuid::nil(), &mut Texts::default()).unwrap().0
    }

    fn message(id: &str, content: &str) -> Value {
        json!({ "type": "human", "content": content, "id": id })
    }

    /// What the reducer makes of a list and an update, as ids and texts in order.
    fn reduced(before: &[Message], entries: &[String]) -> Vec<(String, String)> {
        let changes = messages::read(&format!("[{}]", entries.join(",")));
        let changes = changes.unwrap();
        let place = |id: &str| before.iter().position(|message| &*message.id == id);
        let present: HashMap<String, i64> = ids_to_look_up(&changes)
            .into_iter()
            .filter_map(|id| Some((id.to_owned(), i64::try_from(place(id)?).unwrap())))
            .collect();
        let plan = reduce(&changes, &present, i64::try_from(before.len()).unwrap()).unwrap();
        let mut list: std::collections::BTreeMap<i64, (String, String)> = before
            .iter()
            .enumerate()
            .map(|(at, one)| {
                (i64::try_from(at).unwrap(), (one.id.to_string(), one.text.to_string()))
            })
            .filter(|(at, _)| plan.start.is_none_or(|start| *at >= start))
            .collect();
        for row in plan.rows {
            match row.message {
                Some(message) => {
                    list.insert(row.position, (row.id.to_owned(), message.text().to_owned()))
                }
                None => list.remove(&row.position),
            };
        }
        list.into_values().collect()
    }

    fn any_list() -> impl Strategy<Value = Vec<Message>> {
        let entries = prop::collection::btree_map(0..12_u8, 0..3_u8, 0..8)
            .prop_flat_map(|map| Just(map.into_iter().collect::<Vec<_>>()).prop_shuffle());
        entries.prop_map(|entries| {
            let texts = &mut Texts::default();
            let list: Vec<_> = entries
                .iter()
                .map(|(id, text)| message(&id.to_string(), &text.to_string()))
                .collect();
            read_messages(&raw(&json!(list)), Uuid::nil(), texts).unwrap().0
        })
    }

    proptest! {
        #[test]
        fn a_change_makes_one_list_of_another(before in any_list(), after in any_list()) {
            let expected: Vec<_> =
                after.iter().map(|one| (one.id.to_string(), one.text.to_string())).collect();
            if let Some(entries) = change_of_messages(&after, Some(&before)) {
                prop_assert_eq!(reduced(&before, &entries), expected);
            } else {
                prop_assert_eq!(before, after);
            }
        }
    }

    #[test]
    fn a_message_more_costs_one_entry() {
        let before = values(&json!({ "messages": [message("1", "a"), message("2", "b")], "k": 1 }));
        let after =
            json!({ "messages": [message("1", "a"), message("2", "b"), message("3", "c")] });
        let mut after = values(&after);
        assert_eq!(after.inherit(&before), 1);
        let change = after.change(&before).unwrap().unwrap();
        assert_eq!(
            change.to_text(),
            format!("{{\"messages\":[{}]}}", raw(&message("3", "c")).text())
        );
        assert_eq!(after.change(&after).unwrap(), None);
    }

    #[test]
    fn messages_without_an_id_get_one_that_the_next_run_gives_too() {
        let sent = raw(&json!(["a", ["ai", "b"], message("1", "c"), message("1", "d")]));
        let thread_id = Uuid::now_v7();
        let read = || read_messages(&sent, thread_id, &mut Texts::default()).unwrap();
        let (list, without_id) = read();
        assert_eq!(without_id, 3);
        let ids: HashSet<_> = list.iter().map(|message| &message.id).collect();
        assert_eq!(ids.len(), 4);
        assert!(list.iter().all(|one| one.text.contains(&*one.id)), "{list:?}");
        assert_eq!(read().0, list);
    }

    #[test]
    fn spelling_and_empty_fields_are_no_difference_but_contents_are() {
        let ours = values(&json!({ "messages": [message("1", "a")], "n": 1.50 }));
        let told = json!({ "n": 1.5, "messages": [
            { "content": "a", "additional_kwargs": {}, "type": "human", "name": null, "id": "1" },
        ] });
        assert!(ours.is_told_by(&values(&told)));
        for other in [
            json!({ "n": 1.5, "messages": [message("1", "b")] }),
            json!({ "n": 1.5, "messages": [message("2", "a")] }),
            json!({ "n": 2, "messages": [message("1", "a")] }),
            json!({ "n": 1.5, "messages": [message("1", "a"), message("2", "a")] }),
            json!({ "n": 1.5, "m": 1, "messages": [message("1", "a")] }),
            json!({ "messages": [message("1", "a")] }),
            json!({ "n": 1.5 }),
        ] {
            assert!(!ours.is_told_by(&values(&other)), "{other}");
        }
    }
}
