//! Conditions on a thread's metadata, returned by `on` handlers.

use crate::json::Raw;

/// The key of a thread's owner in its metadata.
pub(super) const OWNER: &str = "owner";

/// A condition on a thread's metadata, compiled to SQL by the store in one place.
///
/// Every variant has one meaning, and none matches because it was not understood (D19 in the
/// README). A condition on an absent key does not hold, except under [`Filter::Not`].
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    /// The key exists and has exactly this value: 3 is not "3", missing is not null.
    Equal {
        /// Top-level key of the metadata.
        key: String,
        /// The required value.
        value: Raw,
    },
    /// The value of the key is a list, and this value is one of its items.
    Contains {
        /// Top-level key of the metadata.
        key: String,
        /// The item, compared as by [`Filter::Equal`].
        value: Raw,
    },
    /// The key has one of these values. An empty list never matches.
    In {
        /// Top-level key of the metadata.
        key: String,
        /// The allowed values.
        values: Vec<Raw>,
    },
    /// The key exists, even if its value is null.
    Exists {
        /// Top-level key of the metadata.
        key: String,
    },
    /// All of these hold. An empty list never holds, because it is more likely a mistake than a
    /// wish to show everything, for which there is [`super::Decision::Allow`].
    All(Vec<Filter>),
    /// One of these holds. An empty list never holds.
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

    /// Whether all threads that meet this condition have the same value at `key`.
    #[must_use]
    pub fn fixes(&self, key: &str) -> bool {
        match self {
            Filter::Equal { key: own, .. } => own == key,
            Filter::All(filters) => filters.iter().any(|filter| filter.fixes(key)),
            _ => false,
        }
    }

    /// Whether all threads that meet this condition have `value` at `key`.
    #[must_use]
    pub fn implies(&self, key: &str, value: &Raw) -> bool {
        match self {
            Filter::Equal { key: own, value: held } => own == key && held == value,
            Filter::All(filters) => filters.iter().any(|filter| filter.implies(key, value)),
            _ => false,
        }
    }
}
