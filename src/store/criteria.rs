//! Which threads a search or a count is about.

use uuid::Uuid;

use super::status::Status;
use crate::authz::Scope;
use crate::json::Object;

/// Which threads are meant. All conditions must hold.
#[derive(Debug, Clone, Default)]
pub struct Criteria {
    /// Contained in the thread's metadata.
    pub metadata: Object,
    /// Contained in the thread's values. A thread without values does not match, nor one whose values
    /// are too large to be compared.
    pub values: Option<Object>,
    /// The thread's status.
    pub status: Option<Status>,
    /// One of these; empty for any.
    pub ids: Vec<Uuid>,
}

impl Criteria {
    pub(super) fn is_empty(&self) -> bool {
        self.metadata.is_empty()
            && self.values.is_none()
            && self.status.is_none()
            && self.ids.is_empty()
    }

    /// The conditions that the scope does not already make: a policy writes what it filters by into
    /// the metadata of a search too.
    pub(in crate::store) fn without_implied(&self, scope: &Scope) -> Criteria {
        let Some(filter) = scope.filter() else { return self.clone() };
        let rest = self.metadata.iter().filter(|(key, value)| !filter.implies(key, value));
        let metadata = rest.map(|(key, value)| (key.to_owned(), value.clone())).collect();
        Criteria { metadata, ..self.clone() }
    }
}
