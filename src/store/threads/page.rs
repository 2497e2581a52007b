//! Which part of the result of a search is wanted, in which order.

use uuid::Uuid;

use crate::store::sql::Order;

/// Which part of the result is wanted, in which order.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Page {
    /// Only what comes behind this.
    pub behind: Option<Behind>,
    /// Most threads.
    pub limit: i64,
    /// How many to leave out before them.
    pub offset: i64,
    /// What to sort by. Equal threads are sorted by id.
    pub sort_by: SortKey,
    /// Smallest first.
    pub ascending: bool,
}

/// A place in the order of a search: that of a thread as it was.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Behind {
    /// What it was sorted by, as text that Postgres reads.
    pub value: String,
    /// Its id.
    pub thread_id: Uuid,
}

/// What threads can be sorted by.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum SortKey {
    /// The id.
    ThreadId,
    /// The status, by name.
    Status,
    /// When the thread was created.
    CreatedAt,
    /// When metadata or state last changed.
    UpdatedAt,
    /// When state last changed.
    StateUpdatedAt,
}

impl Page {
    pub(in crate::store) fn order(&self) -> Order {
        let (key, r#type) = match self.sort_by {
            SortKey::ThreadId => ("thread.thread_id", "uuid"),
            // By name, byte by byte.
            SortKey::Status => ("thread.status collate \"C\"", "text"),
            SortKey::CreatedAt => ("thread.created_at", "timestamptz"),
            SortKey::UpdatedAt => ("thread.updated_at", "timestamptz"),
            SortKey::StateUpdatedAt => ("thread.state_updated_at", "timestamptz"),
        };
        Order { key, r#type, ascending: self.ascending }
    }

    /// Where the page begins: without [`Page::behind`], before everything.
    pub(super) fn begin(&self) -> Behind {
        if let Some(behind) = &self.behind {
            return behind.clone();
        }
        let thread_id = if self.ascending { Uuid::nil() } else { Uuid::max() };
        let value = match (self.sort_by, self.ascending) {
            (SortKey::ThreadId, _) => thread_id.to_string(),
            (SortKey::Status, true) => String::new(),
            (SortKey::Status, false) => "~".to_owned(),
            (_, true) => "-infinity".to_owned(),
            (_, false) => "infinity".to_owned(),
        };
        Behind { value, thread_id }
    }

    pub(super) fn is_newest_first(&self) -> bool {
        self.sort_by == SortKey::UpdatedAt && !self.ascending
    }
}
