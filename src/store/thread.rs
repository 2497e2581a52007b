//! Stored threads.

use serde::{Deserialize, Serialize};
use sqlx::Row;
use sqlx::postgres::PgRow;
use utoipa::ToSchema;
use uuid::Uuid;

use super::sql::Statement;
use super::sql::state::read_values;
use super::status::Status;
use super::summary::Summary;
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
    /// Its metadata, including the policy's.
    pub metadata: Raw,
    /// Its status.
    pub status: Status,
    /// Its newest values. `None`: it has no state, or the values are not selected.
    pub values: Option<Raw>,
    /// The open questions of its run, by task: a JSON object of lists. `None`: there are none.
    pub interrupts: Option<Raw>,
    /// How long it is kept. `None`: for ever.
    pub ttl: Option<TtlStatus>,
    /// Its digest for lists. `None`: it is not selected.
    pub digest: Option<Summary>,
    /// Whether its state is in the tables of an agent.
    pub(super) is_agents: bool,
    /// Whether its status is up to date with its state.
    pub(super) is_settled: bool,
    /// Whether its state has not changed for 5 minutes.
    pub(super) is_quiet: bool,
}

/// The action on a thread that expires or is pruned.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// The thread is deleted.
    #[default]
    Delete,
    /// All of its state except the newest is deleted.
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
    /// The action at the end.
    pub strategy: Strategy,
}

impl Ttl {
    /// Longest time in minutes, about 1,900 years: the end must be a date that every client can
    /// parse.
    pub const MAX_MINUTES: f64 = 1e9;

    /// A ttl of this length, if it can be stored.
    #[must_use]
    pub fn new(minutes: f64, strategy: Strategy) -> Option<Ttl> {
        (minutes > 0.0 && minutes <= Ttl::MAX_MINUTES).then_some(Ttl { minutes, strategy })
    }
}

/// When and how a thread ends.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub struct TtlStatus {
    /// The action at the end.
    strategy: Strategy,
    /// The requested time in minutes.
    ttl_minutes: f64,
    /// The time of the end; null when the action has been carried out.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
}

/// Deletes the row of a thread, and its id in the directory. Its other rows are deleted before or
/// with it.
pub(super) static ERASE_THREAD: Statement = Statement::new(
    "threads/erase",
    "
    with gone as (
        delete from thread_store.thread
        where thread.tenant = $1 and thread.thread_id = $2
        returning thread.thread_id
    )
    delete from thread_store.thread_directory
    using gone
    where thread_directory.thread_id = gone.thread_id",
);

/// The columns of `thread` that [`Thread::read`] reads by index. They must be the first of a
/// statement. A new one is appended to them, and counted in [`COLUMNS`]. The last two are null
/// unless an agent writes the state: a null costs almost nothing on both sides.
macro_rules! thread_columns {
    () => {
        thread_columns!("thread.metadata")
    };
    ($metadata:literal) => {
        concat!(
            "thread.thread_id, thread.created_at, thread.updated_at, thread.state_updated_at, ",
            $metadata,
            ", thread.status, thread.ttl_strategy, thread.ttl_minutes, thread.expires_at, \
             case when thread.agent_thread_id is not null \
             then thread.agent_settled >= thread.last_seq end as is_settled, \
             case when thread.agent_thread_id is not null \
             then thread.state_updated_at < statement_timestamp() - interval '5 minutes' \
             end as is_quiet"
        )
    };
}
pub(super) use thread_columns;

/// The number of these columns.
pub(super) const COLUMNS: usize = 11;

impl Thread {
    /// Reads a thread from its columns, without values. By index, because names would be looked up
    /// for each row.
    pub(super) fn read(row: &PgRow) -> Result<Thread, sqlx::Error> {
        let is_settled: Option<bool> = row.try_get(9)?;
        Ok(Thread {
            thread_id: row.try_get(0)?,
            created_at: row.try_get(1)?,
            updated_at: row.try_get(2)?,
            state_updated_at: row.try_get(3)?,
            metadata: row.try_get::<Option<_>, _>(4)?.unwrap_or_default(),
            status: named(row, 5, Status::ALL, Status::as_str)?.unwrap_or(Status::Idle),
            ttl: match named(row, 6, Strategy::ALL, Strategy::as_str)? {
                None => None,
                Some(strategy) => Some(TtlStatus {
                    strategy,
                    ttl_minutes: row.try_get(7)?,
                    expires_at: row.try_get(8)?,
                }),
            },
            is_agents: is_settled.is_some(),
            is_settled: is_settled.unwrap_or(true),
            is_quiet: is_settled.is_some() && row.try_get(10)?,
            values: None,
            interrupts: None,
            digest: None,
        })
    }

    /// The same with the values in the row.
    pub(super) fn read_with_values(row: &PgRow) -> Result<Thread, sqlx::Error> {
        let thread = Thread::read(row)?;
        let values = if thread.is_agents { None } else { read_values(row)? };
        Ok(Thread { values, ..thread })
    }
}

/// The value with the name in a column, which may be null.
fn named<T: Copy, const N: usize>(
    row: &PgRow,
    column: usize,
    values: [T; N],
    name: fn(T) -> &'static str,
) -> Result<Option<T>, sqlx::Error> {
    let Some(found) = row.try_get::<Option<&str>, _>(column)? else { return Ok(None) };
    let value = values.into_iter().find(|value| name(*value) == found);
    value
        .map(Some)
        .ok_or_else(|| sqlx::Error::Decode(format!("column {column}: {found} is unknown").into()))
}
