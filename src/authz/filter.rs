//! Conditions on a thread's metadata, answered by on handlers.

use crate::json::Raw;

/// A condition on a thread's metadata, compiled to SQL by the store in one place.
///
/// Every variant has one meaning, and none matches because it was not understood (D19 in the
/// README). A condition on a key that is not there does not hold, except under
/// [`Filter::Not`].
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    /// The key is there and holds exactly this value: 3 is not "3", missing is not null.
    Equal {
        /// Top-level key of the metadata.
        key: String,
        /// What it must hold.
        value: Raw,
    },
    /// The key holds a list, and this value is one of its items.
    Contains {
        /// Top-level key of the metadata.
        key: String,
        /// The item, compared as by [`Filter::Equal`].
        value: Raw,
    },
    /// The key holds one of these values. None of them: never.
    In {
        /// Top-level key of the metadata.
        key: String,
        /// What it may hold.
        values: Vec<Raw>,
    },
    /// The key is there, even if it holds null.
    Exists {
        /// Top-level key of the metadata.
        key: String,
    },
    /// All of these hold. An empty list never does: it is more likely a mistake than a wish to
    /// show everything, which [`super::Decision::Allow`] says.
    All(Vec<Filter>),
    /// One of these holds. An empty list never does.
    Any(Vec<Filter>),
    /// This does not hold.
    Not(Box<Filter>),
}

impl Filter {
    /// [`Filter::Equal`] with a string or other JSON value.
    pub fn equal(key: impl Into<String>, value: impl Into<Raw>) -> Filter {
        Filter::Equal { key: key.into(), value: value.into() }
    }

    /// [`Filter::Contains`] with a string or other JSON value.
    pub fn contains(key: impl Into<String>, value: impl Into<Raw>) -> Filter {
        Filter::Contains { key: key.into(), value: value.into() }
    }

    /// Both conditions hold.
    #[must_use]
    pub fn and(self, other: Filter) -> Filter {
        if self == other { self } else { Filter::All(vec![self, other]) }
    }

    /// One of the conditions holds.
    #[must_use]
    pub fn or(self, other: Filter) -> Filter {
        Filter::Any(vec![self, other])
    }

    /// Whether this condition leaves only threads with one certain value at `key`.
    #[must_use]
    pub fn fixes(&self, key: &str) -> bool {
        match self {
            Filter::Equal { key: own, .. } => own == key,
            Filter::All(filters) => filters.iter().any(|filter| filter.fixes(key)),
            _ => false,
        }
    }

    /// Whether it follows from this condition that `key` holds `value`.
    #[must_use]
    pub fn implies(&self, key: &str, value: &Raw) -> bool {
        match self {
            Filter::Equal { key: own, value: held } => own == key && held == value,
            Filter::All(filters) => filters.iter().any(|filter| filter.implies(key, value)),
            _ => false,
        }
    }
}
