//! The conditions of a search or a count.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::filter::{Field, Filter};
use super::status::Status;
use crate::authz::Scope;
use crate::json::{Object, Raw, check, contains};
use crate::text::Query;

/// Maximum number of conditions of a filter that is tested on the newest threads first.
const CHEAP_FILTER: usize = 12;
/// Maximum bytes of agents' values in the parameters of a search. Further values count as absent.
const MAX_BROUGHT: usize = 8 * 1024 * 1024;

/// The values of agents' threads that a search has read.
#[derive(Debug, Default)]
pub(in crate::store) struct AgentsValues {
    /// The threads whose values contain the object of the search.
    pub(in crate::store) matching: Vec<Uuid>,
    /// The channels that the filter names, of each thread. `None`: the filter names none, or there
    /// are no threads of agents.
    pub(in crate::store) of_filter: Option<BTreeMap<Uuid, Raw>>,
    bytes: usize,
}

/// The conditions on threads. All of them must hold.
#[derive(Debug, Clone, Default)]
pub struct Criteria {
    /// Contained in the thread's metadata.
    pub metadata: Object,
    /// Contained in the thread's values. A thread without values does not match, nor does one whose
    /// values are too large to compare.
    pub values: Option<Object>,
    /// The thread's status.
    pub status: Option<Status>,
    /// One of these; empty for any.
    pub ids: Vec<Uuid>,
    /// Further conditions.
    pub filter: Option<Filter>,
    /// Words in the title and the messages.
    pub query: Option<Query>,
}

impl Criteria {
    pub(super) fn is_empty(&self) -> bool {
        self.metadata.is_empty() && self.filter.is_none() && self.has_no_others()
    }

    /// Whether the only conditions are those on metadata and those of the filter.
    fn has_no_others(&self) -> bool {
        self.values.is_none()
            && self.status.is_none()
            && self.ids.is_empty()
            && self.query.is_none()
    }

    /// The object that the metadata must contain, if that is the only condition.
    pub(in crate::store) fn contained(&self) -> Option<Raw> {
        if !self.has_no_others() {
            return None;
        }
        match &self.filter {
            None if self.metadata.is_empty() => None,
            None => Some(Raw::stored(self.metadata.to_text())),
            Some(filter) if self.metadata.is_empty() => filter.contained(),
            Some(_) => None,
        }
    }

    /// Whether a condition is about the status.
    pub(in crate::store) fn is_by_status(&self) -> bool {
        let is_status = |field: &Field| matches!(field, Field::Status);
        let is_about = |filter: &Filter| filter.is_about(&is_status);
        self.status.is_some() || self.filter.as_ref().is_some_and(is_about)
    }

    /// Whether digests of threads must be read.
    pub(in crate::store) fn is_about_digests(&self) -> bool {
        let is_about = |filter: &Filter| filter.is_about(&Field::is_of_digest);
        self.query.is_some() || self.filter.as_ref().is_some_and(is_about)
    }

    /// The channels that the conditions name, each once.
    pub(in crate::store) fn channels(&self) -> Vec<String> {
        let contained = self.values.iter().flat_map(Object::iter).map(|(name, _)| name.to_owned());
        let mut names: Vec<_> = contained.collect();
        if let Some(filter) = &self.filter {
            filter.each_field(&mut |field| {
                if let Field::Values(path) = field {
                    names.extend(path.first().cloned());
                }
            });
        }
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The conditions that need only the row of a thread.
    pub(in crate::store) fn about_rows(&self) -> Criteria {
        let is_other = |field: &Field| field.is_of_digest() || matches!(field, Field::Values(_));
        let filter = self.filter.clone().filter(|filter| !filter.is_about(&is_other));
        Criteria { values: None, query: None, filter, ..self.clone() }
    }

    /// Whether conditions of the filter are about values.
    pub(in crate::store) fn filter_reads_values(&self) -> bool {
        self.filter.as_ref().is_some_and(Filter::reads_values)
    }

    /// Whether the conditions are few enough to test them on each of the newest threads and to
    /// cache their texts.
    pub(in crate::store) fn is_cheap(&self) -> bool {
        let is_cheap = |filter: &Filter| !filter.reads_values() && filter.size() <= CHEAP_FILTER;
        self.values.is_none() && self.filter.as_ref().is_none_or(is_cheap)
    }

    /// The conditions that the scope does not imply: a policy also writes its filter into the
    /// metadata of a search.
    pub(in crate::store) fn without_implied(&self, scope: &Scope) -> Criteria {
        let Some(filter) = scope.filter() else { return self.clone() };
        let rest = self.metadata.iter().filter(|(key, value)| !filter.implies(key, value));
        let metadata = rest.map(|(key, value)| (key.to_owned(), value.clone())).collect();
        Criteria { metadata, ..self.clone() }
    }
}

impl AgentsValues {
    /// Adds the named channels of a thread. `wanted`: the object that its values have to contain.
    pub(in crate::store) fn add(&mut self, id: Uuid, values: &Raw, wanted: Option<&str>) {
        if wanted.is_some_and(|wanted| contains(values.text(), wanted)) {
            self.matching.push(id);
        }
        let Some(of_filter) = &mut self.of_filter else { return };
        // Postgres must be able to parse the values.
        let bytes = values.text().len();
        if self.bytes + bytes <= MAX_BROUGHT && check(values.text().as_bytes()).is_ok() {
            self.bytes += bytes;
            of_filter.insert(id, values.clone());
        }
    }
}
