//! The actions on threads and on an agent's resources, and the slots that a handler is registered
//! for.

/// The kind of resource that an action is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Resource {
    /// Threads with their state and their runs.
    Threads,
    /// Assistants of the agent that runs are forwarded to. A handler can refuse a request; its
    /// filter has no effect, because the agent stores the assistants.
    Assistants,
    /// Store items of that agent. A filter has no effect here either.
    Store,
    /// Crons of that agent. A filter has no effect here either.
    Crons,
}

/// An action on threads or other resources, with the name that the reference server gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// A thread is created, empty or as a copy.
    Create,
    /// One thread is read: itself, its state, its history or its stream.
    Read,
    /// One thread is changed: its metadata or its state.
    Update,
    /// Threads are deleted or pruned, or get a ttl, which deletes them later.
    Delete,
    /// Threads are searched or counted.
    Search,
    /// A run of the agent is started, in one thread or in none.
    CreateRun,
    /// A store item is written.
    Put,
    /// A store item is read.
    Get,
    /// Namespaces of the store are listed.
    ListNamespaces,
}

/// The slot of a handler. Exactly one handler runs for an action: that of the resource and action,
/// else of the resource, else of the action, else of everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Slot {
    resource: Option<Resource>,
    action: Option<Action>,
}

/// The slot of every action without a more specific handler.
#[derive(Debug, Clone, Copy)]
pub struct Everything;

impl From<Everything> for Slot {
    fn from(_: Everything) -> Slot {
        Slot { resource: None, action: None }
    }
}

impl From<Resource> for Slot {
    fn from(resource: Resource) -> Slot {
        Slot { resource: Some(resource), action: None }
    }
}

impl From<Action> for Slot {
    fn from(action: Action) -> Slot {
        Slot { resource: None, action: Some(action) }
    }
}

impl From<(Resource, Action)> for Slot {
    fn from((resource, action): (Resource, Action)) -> Slot {
        Slot { resource: Some(resource), action: Some(action) }
    }
}

/// A slot that already has a handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} already has a handler")]
pub struct SlotTaken(pub Slot);
