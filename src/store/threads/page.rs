//! The requested part of a search's result, and its order.

use uuid::Uuid;

use crate::digest::MAX_LINE;
use crate::store::sql::Order;

/// The requested part of the result, and its order.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Page {
    /// Only threads after this position.
    pub behind: Option<Behind>,
    /// Maximum number of threads.
    pub limit: i64,
    /// The number of threads to skip.
    pub offset: i64,
    /// The sort key. Threads with equal keys are sorted by id.
    pub sort_by: SortKey,
    /// Smallest first.
    pub ascending: bool,
}

/// A position in the order of a search: that of a thread when an earlier page was read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Behind {
    /// Its value of the sort key, as text that Postgres parses.
    pub value: String,
    /// Its id.
    pub thread_id: Uuid,
}

/// The sort keys of threads.
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
    /// The title, by code point. A missing title sorts like an empty one.
    Title,
    /// When a message was last written. A thread without messages sorts as the oldest.
    LastMessageAt,
}

/// The parts of the found threads in an answer.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted {
    /// Their newest values.
    pub values: bool,
    /// Their titles, previews and counts.
    pub digest: bool,
    /// The occurrences of the query's words.
    pub matches: bool,
}

impl SortKey {
    /// Whether digests of threads must be read.
    #[must_use]
    pub fn is_of_digest(self) -> bool {
        matches!(self, SortKey::Title | SortKey::LastMessageAt)
    }
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
            SortKey::Title => ("coalesce(thread.title, '') collate \"C\"", "text"),
            SortKey::LastMessageAt => {
                ("coalesce(thread.last_message_at, '-infinity'::timestamptz)", "timestamptz")
            }
        };
        Order { key, r#type, ascending: self.ascending }
    }

    /// The position at which the page begins. Without [`Page::behind`] it is before all threads.
    pub(super) fn begin(&self) -> Behind {
        if let Some(behind) = &self.behind {
            return behind.clone();
        }
        let thread_id = if self.ascending { Uuid::nil() } else { Uuid::max() };
        let value = match (self.sort_by, self.ascending) {
            (SortKey::ThreadId, _) => thread_id.to_string(),
            (SortKey::Status | SortKey::Title, true) => String::new(),
            // After any title.
            (SortKey::Title, false) => "\u{10ffff}".repeat(MAX_LINE + 1),
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

/// The columns that all statements of a search read from `thread`, the rows of a page. A lateral
/// subquery can only be joined by a nested loop, so the rows of a request keep their order.
///
/// Large parts are read by a second statement, after their sizes are known: values, and metadata
/// that is compressed or has at least 2,000 bytes. Only the needed columns are read, because each
/// column costs as much per row as finding the row. The columns from `metadata_bytes` to `n` are read
/// by their index ([`at`]). `$columns` is empty or begins with a comma, and is read by name.
macro_rules! page {
    ($rows:expr) => {
        page!("", $rows)
    };
    ($columns:expr, $rows:expr) => {
        page!($columns, $rows, "")
    };
    ($columns:expr, $rows:expr, $joined:expr) => {
        concat!(
            "
    select ",
            thread_columns!(
                "case
            when pg_column_size(thread.metadata) < 2000
                and pg_column_compression(thread.metadata) is null
                then thread.metadata
        end as metadata"
            ),
            ",
        case
            when pg_column_size(thread.metadata) >= 2000
                or pg_column_compression(thread.metadata) is not null
                then octet_length(thread.metadata::text)
        end as metadata_bytes, thread.state_bytes, asked.tenant as tenant, asked.n",
            $columns,
            "
    from unnest(
        $1::bigint[], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::text[], $5::uuid[],
        $6::bigint[], $7::bigint[]
    ) with ordinality as asked (
        tenant, filter, criteria, behind, behind_id, max_threads, skipped, n
    )
    cross join lateral (",
            $rows,
            "
    ) as thread",
            $joined
        )
    };
}

pub(super) use page;

/// The indexes of the columns after those of a thread.
pub(super) mod at {
    /// Bytes of the metadata, if it was not read.
    pub(in super::super) const METADATA_BYTES: usize = crate::store::thread::COLUMNS;
    /// Bytes of the values.
    pub(in super::super) const STATE_BYTES: usize = METADATA_BYTES + 1;
    /// The thread's tenant.
    pub(in super::super) const TENANT: usize = METADATA_BYTES + 2;
    /// The number of the search.
    pub(in super::super) const N: usize = METADATA_BYTES + 3;
}
