//! Authentication and authorization: who the user is, and what the user may see.
//!
//! There are two kinds of handlers, named as in the reference server. An [`Authenticate`] turns a
//! request's credentials into a [`User`]. Handlers registered with [`Auth::on`] decide what that
//! user may do: they see the metadata of the write or the search, may change it, and allow, deny or
//! return a [`Filter`]. The decision becomes a [`Scope`], which every statement of the store takes.
//! No other code constructs a `Scope`, so a query without an authorization decision does not
//! compile.
//!
//! ```
//! use thread_store::auth::{Auth, Authenticate, Decision, Event, Everything, Tenant};
//!
//! fn policy(authenticate: impl Authenticate) -> Auth {
//!     Auth::new(authenticate).on(Everything, private).expect("the first handler of its slot")
//! }
//!
//! /// Private threads, as `add_owner` makes them.
//! fn private(event: &mut Event<'_>) -> Decision {
//!     let owner = event.user.identity.as_str();
//!     Decision::Within { tenant: Tenant::of(owner), filter: event.stamp("owner", owner.into()) }
//! }
//! ```

use std::fmt;
use std::sync::Arc;

use http::request::Parts;

pub use crate::authn::{
    Authenticate, BearerToken, Error, JwtIssuer, Mode, NoIssuer, Oidc, Supabase, SupabaseOptions,
};
pub use crate::authz::{
    Action, Decision, Denied, Event, Everything, Filter, On, Resource, Scope, Slot, SlotTaken,
    Tenant, User, add_owner,
};

use crate::authz::Handlers;

/// The handlers of a server.
pub struct Auth {
    authenticate: Box<dyn Authenticate>,
    on: Handlers,
}

impl Auth {
    /// Handlers with this authentication and without permissions: an action without a handler is
    /// refused.
    pub fn new(authenticate: impl Authenticate) -> Auth {
        Auth { authenticate: Box::new(authenticate), on: Handlers::default() }
    }

    /// Registers a handler. A slot has at most one.
    pub fn on(mut self, slot: impl Into<Slot>, handler: impl On) -> Result<Auth, SlotTaken> {
        self.on.add(slot, handler)?;
        Ok(self)
    }

    pub(crate) async fn authenticate(&self, request: &Parts) -> Result<Arc<User>, Error> {
        self.authenticate.authenticate(request).await
    }

    /// Whether the last verification of credentials had a result.
    pub(crate) fn is_available(&self) -> Option<bool> {
        self.authenticate.is_available()
    }

    /// Calls the handler of an action.
    pub(crate) async fn decide(&self, event: Event<'_>) -> Result<Scope, Denied> {
        self.on.decide(event).await
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Auth").field("on", &self.on).finish_non_exhaustive()
    }
}

/// The policy of the program: every user sees only their own threads.
pub fn private_threads(authenticate: Box<dyn Authenticate>) -> Result<Auth, SlotTaken> {
    Auth::new(authenticate).on(Everything, add_owner)
}
