//! Authorization: decisions of `on` handlers, and the scope that they become.
//!
//! Handlers see the metadata that is about to be written or searched by, may change it, and allow,
//! deny or return a [`Filter`]. The decision becomes a [`Scope`], which every statement of the
//! store takes. No other code constructs a `Scope`, so a query without an authorization decision
//! does not compile. This module depends on neither HTTP nor SQL.

mod action;
mod decision;
mod event;
mod filter;
mod on;
mod scope;
mod user;

pub use action::{Action, Everything, Resource, Slot, SlotTaken};
pub use decision::{Decision, Denied};
pub use event::Event;
pub use filter::Filter;
pub use on::{Handlers, On, add_owner};
pub use scope::{Scope, Tenant};
pub use user::User;
