//! The status of a thread.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The status of a thread. This server runs no graphs, so its own threads are idle, but the field
/// can be filtered and sorted by like any other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// A run is active.
    Busy,
    /// The last run failed.
    Error,
    /// No run is active.
    Idle,
    /// A run waits for an answer.
    Interrupted,
}

impl Status {
    pub(super) const ALL: [Status; 4] =
        [Status::Busy, Status::Error, Status::Idle, Status::Interrupted];

    /// The name in the API and in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Busy => "busy",
            Status::Error => "error",
            Status::Idle => "idle",
            Status::Interrupted => "interrupted",
        }
    }
}
