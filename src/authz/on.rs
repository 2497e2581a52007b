//! The `on` step: the authorization of a user's action.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;

use futures::future::{BoxFuture, ready};

use super::action::{Everything, Slot, SlotTaken};
use super::decision::{Decision, Denied};
use super::event::Event;
use super::filter::OWNER;
use super::scope::{Scope, Tenant};
use crate::json::Raw;

/// An `on` handler. A function that takes an [`Event`] is a handler; implement the trait for a
/// handler that must wait for something.
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

/// The `on` handlers of a server.
#[derive(Default)]
pub struct Handlers(HashMap<Slot, Box<dyn On>>);

impl Handlers {
    /// Registers a handler. A slot has at most one.
    pub fn add(&mut self, slot: impl Into<Slot>, handler: impl On) -> Result<(), SlotTaken> {
        match self.0.entry(slot.into()) {
            Entry::Occupied(taken) => Err(SlotTaken(*taken.key())),
            Entry::Vacant(free) => {
                free.insert(Box::new(handler));
                Ok(())
            }
        }
    }

    /// Calls the handler of an action. An action without a handler is refused.
    pub async fn decide(&self, mut event: Event<'_>) -> Result<Scope, Denied> {
        let (resource, action) = (event.resource, event.action);
        let slots: [Slot; 4] =
            [(resource, action).into(), resource.into(), action.into(), Everything.into()];
        let Some(handler) = slots.iter().find_map(|slot| self.0.get(slot)) else {
            return Err(Denied::forbidden());
        };
        match handler.on(&mut event).await {
            Decision::Allow => Ok(Scope::new(event.user, None, None)),
            Decision::Filter(filter) => Ok(Scope::new(event.user, None, Some(filter))),
            Decision::Within { tenant, filter } => {
                Ok(Scope::new(event.user, Some(tenant), Some(filter)))
            }
            Decision::Deny { status, detail } => Err(Denied { status, detail }),
        }
    }
}

impl fmt::Debug for Handlers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Private threads, the rule of LangGraph's tutorial: sets `owner` in the metadata to the user's
/// identity, whatever the client sent, and returns the filter for threads of that owner.
pub fn add_owner(event: &mut Event<'_>) -> Decision {
    let identity = event.user.identity.as_str();
    let tenant = Tenant::of(identity);
    Decision::Within { tenant, filter: event.stamp(OWNER, Raw::from(identity)) }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::super::{Action, Resource, User};
    use super::*;
    use crate::json::Object;

    fn says(detail: &'static str) -> impl On {
        move |_: &mut Event<'_>| Decision::Deny {
            status: StatusCode::IM_A_TEAPOT,
            detail: detail.to_owned(),
        }
    }

    async fn answer(handlers: &Handlers, action: Action) -> String {
        let event = Event {
            user: &User::default(),
            resource: Resource::Threads,
            action,
            path: "/threads",
            thread_ids: &[],
            metadata: &mut Object::default(),
        };
        handlers.decide(event).await.map_or_else(|denied| denied.detail, |_| "allowed".to_owned())
    }

    #[tokio::test]
    async fn the_most_specific_handler_runs_and_no_other() {
        let mut handlers = Handlers::default();
        handlers.add(Everything, says("everything")).unwrap();
        handlers.add(Action::Read, says("read")).unwrap();
        assert_eq!(answer(&handlers, Action::Create).await, "everything");
        assert_eq!(answer(&handlers, Action::Read).await, "read");
        handlers.add(Resource::Threads, says("threads")).unwrap();
        assert_eq!(answer(&handlers, Action::Read).await, "threads");
        handlers.add((Resource::Threads, Action::Read), says("threads.read")).unwrap();
        assert_eq!(answer(&handlers, Action::Read).await, "threads.read");
        assert_eq!(answer(&handlers, Action::Create).await, "threads");
    }

    #[tokio::test]
    async fn an_action_without_a_handler_is_refused() {
        let mut handlers = Handlers::default();
        handlers.add(Action::Read, |_: &mut Event<'_>| Decision::Allow).unwrap();
        assert_eq!(answer(&handlers, Action::Read).await, "allowed");
        assert_eq!(answer(&handlers, Action::Create).await, "Forbidden");
    }

    #[test]
    fn a_slot_takes_one_handler() {
        let mut handlers = Handlers::default();
        handlers.add(Action::Read, add_owner).unwrap();
        assert_eq!(handlers.add(Action::Read, add_owner), Err(SlotTaken(Action::Read.into())));
    }
}
