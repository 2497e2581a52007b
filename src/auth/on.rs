//! The on step: what a user may do with threads.

use super::User;
use super::scope::{Filter, Scope};
use crate::json::{Object, Raw};

/// What is about to be done with threads. Names are the reference server's
/// (`THREADS_API.md` section 1, "Which handler runs").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// A thread is made.
    Create,
    /// One thread is read: itself, its state or its history.
    Read,
    /// One thread is changed: its metadata or its state.
    Update,
    /// A thread is deleted.
    Delete,
    /// Threads are searched or counted.
    Search,
}

/// The metadata key that holds the identity of a thread's owner.
pub const OWNER: &str = "owner";

/// Private threads: stamps `{"owner": identity}` over whatever the client sent, and gives the
/// same as the filter of every statement. The rule is the tutorial's.
#[must_use]
pub fn add_owner(user: &User, _: Action, metadata: Option<&mut Object>) -> Scope {
    let identity = Raw::from(user.identity.as_str());
    if let Some(metadata) = metadata {
        metadata.insert(OWNER, identity.clone());
    }
    Scope::new(Filter::Equal { key: OWNER.to_owned(), value: identity })
}
