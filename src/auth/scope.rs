//! The filter that no query can be written without.

use crate::json::Raw;

/// A condition on a thread's metadata, compiled to SQL by the store.
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    /// The key is there and holds exactly this value: 3 is not "3", missing is not null.
    Equal {
        /// Top-level key of the metadata.
        key: String,
        /// What it must hold.
        value: Raw,
    },
}

/// What a user may see, as decided by the on step.
///
/// Every function of the store takes a scope first. Only [`super::on`] can make one.
#[derive(Debug, Clone)]
pub struct Scope {
    filter: Filter,
}

impl Scope {
    pub(super) fn new(filter: Filter) -> Scope {
        Scope { filter }
    }

    /// The condition that every thread of this scope meets.
    #[must_use]
    pub fn filter(&self) -> &Filter {
        &self.filter
    }
}
