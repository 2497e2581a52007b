//! The event that an `on` handler decides about.

use uuid::Uuid;

use super::action::{Action, Resource};
use super::filter::Filter;
use super::user::User;
use crate::json::{Object, Raw};

/// The event that an `on` handler decides about.
#[derive(Debug)]
pub struct Event<'a> {
    /// The authenticated user.
    pub user: &'a User,
    /// The kind of resource.
    pub resource: Resource,
    /// The action to decide about.
    pub action: Action,
    /// The path of the request.
    pub path: &'a str,
    /// The threads that the request names, which need not exist. Empty for a search.
    pub thread_ids: &'a [Uuid],
    /// The metadata that is about to be written, or that a search filters by. The handler may
    /// change it. Empty if the request has none.
    pub metadata: &'a mut Object,
}

impl Event<'_> {
    /// Writes a key into the metadata, replacing the client's value, and returns the filter for
    /// threads that have it.
    pub fn stamp(&mut self, key: &str, value: Raw) -> Filter {
        self.metadata.insert(key, value.clone());
        Filter::equal(key, value)
    }
}
