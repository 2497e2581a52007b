//! What an on handler is asked about.

use uuid::Uuid;

use super::action::{Action, Resource};
use super::filter::Filter;
use super::user::User;
use crate::json::{Object, Raw};

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
