//! The on step: what a user may do with threads.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::sync::Arc;

use axum::http::StatusCode;
use axum::http::request::Parts;
use futures::future::{BoxFuture, ready};
use uuid::Uuid;

use super::{Authenticate, Filter, Scope, Tenant, User};
use crate::error::Error;
use crate::json::{Object, Raw};

/// What kind of thing an action is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Resource {
    /// Threads with their state and their runs.
    Threads,
    /// Assistants of the agent that runs are forwarded to. A handler's refusal counts; its filter
    /// does not, because the agent keeps what it is about.
    Assistants,
    /// Store items of that agent; a filter does not count here, either.
    Store,
    /// Crons of that agent; nor here.
    Crons,
}

/// What is about to be done with threads. Names are those of the reference server's actions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// A thread is made, anew or as a copy.
    Create,
    /// One thread is read: itself, its state, its history or its stream.
    Read,
    /// One thread is changed: its metadata or its state.
    Update,
    /// Threads are deleted or pruned, or given a ttl, which is to be deleted later.
    Delete,
    /// Threads are searched or counted.
    Search,
    /// A run of the agent begins, in one thread or in none.
    CreateRun,
    /// A store item is written.
    Put,
    /// A store item is read.
    Get,
    /// Namespaces of the store are listed.
    ListNamespaces,
}

/// What a handler is registered for. Exactly one handler runs for an action: that of the
/// resource and action, else of the resource, else of the action, else of everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Slot {
    resource: Option<Resource>,
    action: Option<Action>,
}

/// The slot of every action that has no more specific handler.
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

/// A slot that has a handler already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is a handler for {0:?} already")]
pub struct SlotTaken(pub Slot);

/// What an on handler is asked about.
#[derive(Debug)]
pub struct Event<'a> {
    /// Who is asking.
    pub user: &'a User,
    /// About what kind of thing.
    pub resource: Resource,
    /// What is about to be done.
    pub action: Action,
    /// The path of the request.
    pub path: &'a str,
    /// The threads that the request names, which need not exist: none for a search.
    pub thread_ids: &'a [Uuid],
    /// The metadata that is about to be written, or that a search filters by. Changes take
    /// effect. Empty where the request has none.
    pub metadata: &'a mut Object,
}

impl Event<'_> {
    /// Writes a key into the metadata, over whatever the client sent, and answers the filter
    /// for threads that have it.
    pub fn stamp(&mut self, key: &str, value: Raw) -> Filter {
        self.metadata.insert(key, value.clone());
        Filter::equal(key, value)
    }
}

/// What an on handler decides.
#[derive(Debug)]
pub enum Decision {
    /// The action may be taken, on any thread.
    Allow,
    /// It may not.
    Deny {
        /// A 4xx status; anything else counts as a fault of the handler.
        status: StatusCode,
        /// What the client reads.
        detail: String,
    },
    /// It may be taken on the threads that pass. To others the answer is as if there were none.
    Filter(Filter),
    /// The same for a policy under which every thread that passes belongs to one tenant, so that no
    /// statement looks anywhere else. A thread that is created under this decision gets the tenant
    /// for life: all actions on it have to name the same one.
    Within {
        /// What the threads belong to.
        tenant: Tenant,
        /// The condition on their metadata.
        filter: Filter,
    },
}

impl Decision {
    /// A plain refusal: 403.
    #[must_use]
    pub fn forbidden() -> Decision {
        Decision::Deny { status: StatusCode::FORBIDDEN, detail: "Forbidden".to_owned() }
    }
}

/// An on handler. Functions of an [`Event`] are handlers; implement the trait for one that
/// has to wait for something.
pub trait On: Send + Sync + 'static {
    /// Decides about an action.
    fn on<'a>(&'a self, event: &'a mut Event<'_>) -> BoxFuture<'a, Decision>;
}

impl<F> On for F
where
    F: Fn(&mut Event<'_>) -> Decision + Send + Sync + 'static,
{
    fn on<'a>(&'a self, event: &'a mut Event<'_>) -> BoxFuture<'a, Decision> {
        Box::pin(ready(self(event)))
    }
}

/// The handlers of a server.
pub struct Auth {
    authenticate: Box<dyn Authenticate>,
    on: HashMap<Slot, Box<dyn On>>,
}

impl Auth {
    /// With a way to tell users from strangers, and nobody allowed to do anything yet: an
    /// action without a handler is refused.
    pub fn new(authenticate: impl Authenticate) -> Auth {
        Auth { authenticate: Box::new(authenticate), on: HashMap::new() }
    }

    /// Registers a handler. A slot takes one.
    pub fn on(mut self, slot: impl Into<Slot>, handler: impl On) -> Result<Auth, SlotTaken> {
        match self.on.entry(slot.into()) {
            Entry::Occupied(taken) => Err(SlotTaken(*taken.key())),
            Entry::Vacant(free) => {
                free.insert(Box::new(handler));
                Ok(self)
            }
        }
    }

    pub(crate) async fn authenticate(&self, request: &Parts) -> Result<Arc<User>, Error> {
        self.authenticate.authenticate(request).await.map_err(|error| match error {
            Error::Denied { status, detail } => Error::denied(status, detail),
            error => error,
        })
    }

    /// Whether users could be told from strangers when that was last tried.
    pub(crate) fn is_available(&self) -> Option<bool> {
        self.authenticate.is_available()
    }

    /// Asks the one handler that an action is for.
    pub(super) async fn decide(&self, mut event: Event<'_>) -> Result<Scope, Error> {
        let (resource, action) = (event.resource, event.action);
        let slots: [Slot; 4] =
            [(resource, action).into(), resource.into(), action.into(), Everything.into()];
        let Some(handler) = slots.iter().find_map(|slot| self.on.get(slot)) else {
            return Err(Error::denied(StatusCode::FORBIDDEN, "Forbidden"));
        };
        match handler.on(&mut event).await {
            Decision::Allow => Ok(Scope::new(event.user, None, None)),
            Decision::Filter(filter) => Ok(Scope::new(event.user, None, Some(filter))),
            Decision::Within { tenant, filter } => {
                Ok(Scope::new(event.user, Some(tenant), Some(filter)))
            }
            Decision::Deny { status, detail } => Err(Error::denied(status, detail)),
        }
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Auth").field("on", &self.on.keys()).finish_non_exhaustive()
    }
}

/// Private threads, the rule of the tutorial: stamps `{"owner": identity}` over whatever the
/// client sent, and gives the same as the filter. A thread belongs to its owner.
pub fn add_owner(event: &mut Event<'_>) -> Decision {
    let identity = event.user.identity.as_str();
    let tenant = Tenant::of(identity);
    Decision::Within { tenant, filter: event.stamp("owner", Raw::from(identity)) }
}

/// The policy of the program: every user sees their own threads, and nobody else's.
pub fn private_threads(authenticate: Box<dyn Authenticate>) -> Result<Auth, SlotTaken> {
    Auth::new(authenticate).on(Everything, add_owner)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nobody;

    impl Authenticate for Nobody {
        fn authenticate<'a>(&'a self, _: &'a Parts) -> BoxFuture<'a, Result<Arc<User>, Error>> {
            Box::pin(ready(Ok(Arc::default())))
        }
    }

    fn says(detail: &'static str) -> impl On {
        move |_: &mut Event<'_>| Decision::Deny {
            status: StatusCode::IM_A_TEAPOT,
            detail: detail.to_owned(),
        }
    }

    async fn answer(auth: &Auth, action: Action) -> String {
        let event = Event {
            user: &User::default(),
            resource: Resource::Threads,
            action,
            path: "/threads",
            thread_ids: &[],
            metadata: &mut Object::default(),
        };
        auth.decide(event).await.map_or_else(|error| error.to_string(), |_| "allowed".to_owned())
    }

    #[tokio::test]
    async fn the_most_specific_handler_runs_and_no_other() {
        let all = Auth::new(Nobody)
            .on(Everything, says("everything"))
            .and_then(|auth| auth.on(Action::Read, says("read")))
            .unwrap();
        assert_eq!(answer(&all, Action::Create).await, "everything");
        assert_eq!(answer(&all, Action::Read).await, "read");
        let threads = all.on(Resource::Threads, says("threads")).unwrap();
        assert_eq!(answer(&threads, Action::Read).await, "threads");
        let exact = threads.on((Resource::Threads, Action::Read), says("threads.read")).unwrap();
        assert_eq!(answer(&exact, Action::Read).await, "threads.read");
        assert_eq!(answer(&exact, Action::Create).await, "threads");
    }

    #[tokio::test]
    async fn an_action_without_a_handler_is_refused() {
        let auth = Auth::new(Nobody).on(Action::Read, |_: &mut Event<'_>| Decision::Allow).unwrap();
        assert_eq!(answer(&auth, Action::Read).await, "allowed");
        assert_eq!(answer(&auth, Action::Create).await, "Forbidden");
    }

    #[test]
    fn a_slot_takes_one_handler() {
        let auth = Auth::new(Nobody).on(Action::Read, add_owner).unwrap();
        assert_eq!(auth.on(Action::Read, add_owner).unwrap_err(), SlotTaken(Action::Read.into()));
    }
}
