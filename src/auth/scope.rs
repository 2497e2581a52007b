//! The filter that no query can be written without.

use super::Filter;

/// What a user may see, as decided by an on handler.
///
/// Every function of the store that answers a client takes a scope first. Only the on step can
/// make one.
#[derive(Debug, Clone, PartialEq)]
pub struct Scope {
    filter: Option<Filter>,
}

impl Scope {
    /// Every thread that passes the filter; without one, every thread.
    pub(super) fn new(filter: Option<Filter>) -> Scope {
        Scope { filter }
    }

    /// The condition that every thread of this scope meets. `None`: a handler allowed all.
    #[must_use]
    pub fn filter(&self) -> Option<&Filter> {
        self.filter.as_ref()
    }

    /// What is in both scopes, for a request that takes two actions.
    #[must_use]
    pub fn and(self, other: Scope) -> Scope {
        let filter = match (self.filter, other.filter) {
            (Some(one), Some(other)) => Some(one.and(other)),
            (one, other) => one.or(other),
        };
        Scope { filter }
    }
}
