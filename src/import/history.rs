//! The states of a thread of the source, in the form for the destination.

use std::collections::HashMap;

use uuid::Uuid;

use super::snapshot::{Found, Snapshot};
use super::values::{Interner, Values};
use crate::messages::MAX_PER_REQUEST;

/// A state of the source, in the form for the destination.
#[derive(Debug)]
pub(super) struct State {
    id: String,
    /// The index of the state that it is written onto, which precedes it.
    pub(super) parent: Option<usize>,
    pub(super) as_node: Option<String>,
    pub(super) values: Values,
}

/// The differences from the source that cannot be avoided.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Losses {
    /// Number of messages that were given an id, counted in every state.
    pub(super) ids_given: usize,
    /// Number of keys that a state no longer had and that were kept.
    pub(super) keys_kept: usize,
    /// Number of states whose parent is not in the history and that were written onto the previous
    /// state.
    pub(super) parents_changed: usize,
    /// Number of states that were added because of the maximum number of messages in one update.
    pub(super) parts_added: usize,
}

/// The states of a thread of the source.
#[derive(Debug, Default)]
pub(super) struct History {
    /// Oldest first.
    pub(super) states: Vec<State>,
    pub(super) losses: Losses,
}

/// A history during reading, newest first.
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

    /// Adds the next older state.
    pub(super) fn take(&mut self, snapshot: &Snapshot, texts: &mut Interner) -> Result<(), String> {
        let id = snapshot.id().unwrap_or_default().to_owned();
        let read = Values::read(snapshot.values.as_ref(), self.thread_id, texts);
        let (values, without_id) =
            read.map_err(|why| format!("state {id} cannot be written: {why}"))?;
        self.ids_given += without_id;
        let state = State { id, parent: None, as_node: snapshot.as_node(), values };
        self.newest_first.push((state, snapshot.parent_id().map(str::to_owned)));
        Ok(())
    }

    /// Determines for each state its parent and its resulting values.
    pub(super) fn end(self) -> History {
        let mut losses = Losses { ids_given: self.ids_given, ..Losses::default() };
        let mut states: Vec<State> = Vec::with_capacity(self.newest_first.len());
        let mut places: HashMap<String, usize> = HashMap::new();
        for (mut state, parent_id) in self.newest_first.into_iter().rev() {
            let known = parent_id.as_ref().and_then(|id| places.get(id)).copied();
            // Only the first state of a thread can have no parent.
            state.parent = known.or(states.len().checked_sub(1));
            // The oldest state does not count: its parent may have been pruned.
            if known.is_none() && !states.is_empty() {
                losses.parents_changed += 1;
            }
            let nothing = Values::default();
            let before = state.parent.and_then(|parent| states.get(parent));
            let before = before.map_or(&nothing, |before| &before.values);
            losses.keys_kept += state.values.inherit(before);
            for values in state.values.in_parts(before, MAX_PER_REQUEST) {
                losses.parts_added += 1;
                let (id, as_node) = (String::new(), state.as_node.clone());
                states.push(State { id, parent: state.parent, as_node, values });
                state.parent = Some(states.len() - 1);
            }
            places.insert(state.id.clone(), states.len());
            states.push(state);
        }
        History { states, losses }
    }
}

impl History {
    /// Checks that the destination has only the first of these states, or all of them and
    /// possibly later ones. Both are oldest first. The error is the first position that differs.
    pub(super) fn begins_with(&self, found: &[Found]) -> Result<(), usize> {
        let mut places: HashMap<&str, usize> = HashMap::new();
        for (place, (state, found)) in self.states.iter().zip(found).enumerate() {
            let parent = found.parent_id.as_deref().and_then(|id| places.get(id)).copied();
            if state.parent != parent || !state.values.is_same_as(&found.values) {
                return Err(place);
            }
            places.insert(&found.id, place);
        }
        Ok(())
    }
}
