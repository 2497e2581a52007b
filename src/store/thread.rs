//! Threads, as they are stored.

use serde::{Deserialize, Serialize};
use sqlx::Row;
use sqlx::postgres::PgRow;
use utoipa::ToSchema;
use uuid::Uuid;

use super::sql::state::newest_values;
use super::status::Status;
use crate::json::Raw;
use crate::time::Timestamp;

/// A thread with its newest values.
#[derive(Debug, Clone)]
pub struct Thread {
    /// Its id.
    pub thread_id: Uuid,
    /// When it was created.
    pub created_at: Timestamp,
    /// When its metadata or its state last changed.
    pub updated_at: Timestamp,
    /// When its state last changed.
    pub state_updated_at: Timestamp,
    /// What the client keeps with it, and what the policy wrote there.
    pub metadata: Raw,
    /// Whether a run is under way.
    pub status: Status,
    /// Its newest values. `None`: it has no state, or the values were not asked for.
    pub values: Option<Raw>,
    /// What its run waits for, by task: a JSON object of lists. `None`: nothing.
    pub interrupts: Option<Raw>,
    /// How long it is kept. `None`: for ever.
    pub ttl: Option<TtlStatus>,
    /// Whether its state is in the tables of an agent.
    pub(super) is_agents: bool,
    /// Whether its status is that of its state.
    pub(super) is_settled: bool,
    /// Whether its state has not changed for 5 minutes.
    pub(super) is_quiet: bool,
}

/// What happens to a thread when its time is over, or when it is pruned.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// The thread is deleted.
    #[default]
    Delete,
    /// All of its state but the newest is deleted.
    KeepLatest,
}

impl Strategy {
    const ALL: [Strategy; 2] = [Strategy::Delete, Strategy::KeepLatest];

    /// The name in the API and in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Strategy::Delete => "delete",
            Strategy::KeepLatest => "keep_latest",
        }
    }
}

/// How long a thread is kept from now on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ttl {
    /// In minutes, positive and finite.
    pub minutes: f64,
    /// What happens then.
    pub strategy: Strategy,
}

impl Ttl {
    /// Longest time in minutes, some 1,900 years: the end must be a date that every client can
    /// read.
    pub const MAX_MINUTES: f64 = 1e9;

    /// A ttl of this length, if it is one that can be stored.
    #[must_use]
    pub fn new(minutes: f64, strategy: Strategy) -> Option<Ttl> {
        (minutes > 0.0 && minutes <= Ttl::MAX_MINUTES).then_some(Ttl { minutes, strategy })
    }
}

/// When and how a thread ends.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub struct TtlStatus {
    /// What happens then.
    strategy: Strategy,
    /// What was asked for, in minutes.
    ttl_minutes: f64,
    /// When it happens; null when it has.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
}

/// The columns of `thread` that [`Thread::read`] reads.
macro_rules! thread_columns {
    () => {
        "thread.thread_id, thread.created_at, thread.updated_at, thread.state_updated_at, \
         thread.metadata, thread.status, thread.ttl_minutes, thread.ttl_strategy, thread.expires_at, \
         thread.agent_thread_id is not null as is_agents, \
         thread.agent_settled >= thread.last_seq as is_settled, \
         thread.state_updated_at < statement_timestamp() - interval '5 minutes' as is_quiet"
    };
}
pub(super) use thread_columns;

impl Thread {
    /// A thread from its columns, without values.
    pub(super) fn read(row: &PgRow) -> Result<Thread, sqlx::Error> {
        Ok(Thread {
            thread_id: row.try_get("thread_id")?,
            created_at: row.try_get("created_at")?,
            updated_at: row.try_get("updated_at")?,
            state_updated_at: row.try_get("state_updated_at")?,
            metadata: row.try_get("metadata")?,
            status: named(row, "status", Status::ALL, Status::as_str)?.unwrap_or(Status::Idle),
            values: None,
            interrupts: None,
            ttl: TtlStatus::read(row)?,
            is_agents: row.try_get("is_agents")?,
            is_settled: row.try_get("is_settled")?,
            is_quiet: row.try_get("is_quiet")?,
        })
    }

    /// The same with the values that the row has too.
    pub(super) fn read_with_values(row: &PgRow) -> Result<Thread, sqlx::Error> {
        let thread = Thread::read(row)?;
        let values = if thread.is_agents { None } else { newest_values(row)? };
        Ok(Thread { values, ..thread })
    }
}

impl TtlStatus {
    fn read(row: &PgRow) -> Result<Option<TtlStatus>, sqlx::Error> {
        let Some(strategy) = named(row, "ttl_strategy", Strategy::ALL, Strategy::as_str)? else {
            return Ok(None);
        };
        let ttl_minutes = row.try_get("ttl_minutes")?;
        Ok(Some(TtlStatus { strategy, ttl_minutes, expires_at: row.try_get("expires_at")? }))
    }
}

/// One of some values by its name in a column, which may be null.
fn named<T: Copy, const N: usize>(
    row: &PgRow,
    column: &str,
    values: [T; N],
    name: fn(T) -> &'static str,
) -> Result<Option<T>, sqlx::Error> {
    let Some(found) = row.try_get::<Option<&str>, _>(column)? else { return Ok(None) };
    let value = values.into_iter().find(|value| name(*value) == found);
    value.map(Some).ok_or_else(|| sqlx::Error::Decode(format!("unknown {column}: {found}").into()))
}
