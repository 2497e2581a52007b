//! Threads as clients see them.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::json::Raw;
use crate::time::Timestamp;

/// Whether something is going on in a thread. This server runs no graphs, so its threads are
/// idle, but the field filters and sorts as everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Nothing is going on.
    Idle,
    /// A run is under way.
    Busy,
    /// A run waits for an answer.
    Interrupted,
    /// The last run failed.
    Error,
}

impl Status {
    /// The name in the API and in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Idle => "idle",
            Status::Busy => "busy",
            Status::Interrupted => "interrupted",
            Status::Error => "error",
        }
    }
}

/// A thread, always in this one shape (`DECISIONS.md` D13).
#[derive(Debug, Serialize, ToSchema)]
pub struct Thread {
    /// The id, a UUID in lower case.
    pub thread_id: Uuid,
    /// When the thread was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When metadata or state last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
    /// When state last changed.
    #[schema(value_type = String, format = DateTime)]
    pub state_updated_at: Timestamp,
    /// What the client keeps with the thread, and its owner.
    #[schema(value_type = Object)]
    pub metadata: Raw,
    /// Whether something is going on.
    #[schema(value_type = Status)]
    pub status: String,
    /// Always `{}`: the configuration of runs, of which there are none.
    #[schema(value_type = Object)]
    pub config: EmptyObject,
    /// The newest state, null as long as none was written.
    #[schema(value_type = Option<Object>)]
    pub values: Option<Raw>,
    /// Always null: why the last run failed.
    #[schema(value_type = Option<Object>)]
    pub error: Option<Box<RawValue>>,
    /// Always `{}`: what the last run waits for.
    #[schema(value_type = Object)]
    pub interrupts: EmptyObject,
}

/// `{}`.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct EmptyObject {}

impl FromRow<'_, PgRow> for Thread {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Thread {
            thread_id: row.try_get("thread_id")?,
            created_at: row.try_get("created_at")?,
            updated_at: row.try_get("updated_at")?,
            state_updated_at: row.try_get("state_updated_at")?,
            metadata: row.try_get("metadata")?,
            status: row.try_get("status")?,
            config: EmptyObject {},
            values: None,
            error: None,
            interrupts: EmptyObject {},
        })
    }
}
