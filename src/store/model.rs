//! Threads, as they are stored and as clients see them.

use serde::{Deserialize, Serialize, Serializer};
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgRow, PgTypeInfo, PgValueRef};
use sqlx::{ColumnIndex, Decode, Postgres, Row, Type};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::json::{Object, Raw};
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
    const ALL: [Status; 4] = [Status::Idle, Status::Busy, Status::Interrupted, Status::Error];

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

impl Type<Postgres> for Status {
    fn type_info() -> PgTypeInfo {
        <str as Type<Postgres>>::type_info()
    }
}

impl Decode<'_, Postgres> for Status {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        let name = value.as_str()?;
        let status = Status::ALL.into_iter().find(|status| status.as_str() == name);
        status.ok_or_else(|| format!("no such status: {name}").into())
    }
}

/// What happens to a thread when its time is over, or when it is pruned.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// The thread is deleted.
    #[default]
    Delete,
    /// All but its latest state is.
    KeepLatest,
}

impl Strategy {
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
    pub const MOST_MINUTES: f64 = 1e9;

    /// A ttl of this length, if it is one that can be stored.
    #[must_use]
    pub fn new(minutes: f64, strategy: Strategy) -> Option<Ttl> {
        (minutes > 0.0 && minutes <= Ttl::MOST_MINUTES).then_some(Ttl { minutes, strategy })
    }
}

/// A thread. All fields are always there (`DECISIONS.md` D13), unless a search selected some.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Thread {
    /// The id, a UUID in lower case.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required, nullable = false)]
    pub thread_id: Option<Uuid>,
    /// When the thread was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, required)]
    pub created_at: Option<Timestamp>,
    /// When metadata or state last changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, required)]
    pub updated_at: Option<Timestamp>,
    /// When state last changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, required)]
    pub state_updated_at: Option<Timestamp>,
    /// What the client keeps with the thread, and its owner.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Object, required)]
    pub metadata: Option<Raw>,
    /// Whether something is going on.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required, nullable = false)]
    pub status: Option<Status>,
    /// Always `{}`: the configuration of runs, of which there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Object, required)]
    pub config: Option<EmptyObject>,
    /// The newest state, null as long as none was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>, required)]
    pub values: Option<Nullable<Raw>>,
    /// Always null: why the last run failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>, required)]
    pub error: Option<Nullable<Raw>>,
    /// Always `{}`: what the last run waits for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Object, required)]
    pub interrupts: Option<EmptyObject>,
    /// When the thread ends, with `include=ttl` and if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub ttl: Option<TtlStatus>,
    /// What a search extracted, by alias.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>, nullable = false)]
    pub extracted: Option<Object>,
}

/// When and how a thread ends.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct TtlStatus {
    /// What happens then.
    #[schema(value_type = Strategy)]
    strategy: String,
    /// What was asked for, in minutes.
    ttl_minutes: f64,
    /// When it happens; null when it has.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
}

/// `{}`.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct EmptyObject {}

/// A value that may be null, unlike an absent one.
#[derive(Debug, Clone)]
pub struct Nullable<T>(pub Option<T>);

impl<T: Serialize> Serialize for Nullable<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

/// Columns of a row of `thread`, in the order in which [`Thread::whole`] reads them, `values`
/// behind them.
pub(super) const ROW: &str = "thread.thread_id, thread.created_at, thread.updated_at, \
     thread.state_updated_at, thread.metadata, thread.status";

/// Columns that [`Thread::whole_with_ttl`] reads behind those of [`Thread::whole`].
pub(super) const TTL: &str = "thread.ttl_minutes, thread.ttl_strategy, thread.expires_at";

impl Thread {
    /// A thread with all its fields but when it ends, from a row that begins with [`ROW`] and `values`.
    pub(super) fn whole(row: &PgRow) -> Result<Thread, sqlx::Error> {
        Ok(Thread {
            thread_id: row.try_get(0)?,
            created_at: row.try_get(1)?,
            updated_at: row.try_get(2)?,
            state_updated_at: row.try_get(3)?,
            metadata: row.try_get(4)?,
            status: row.try_get(5)?,
            config: Some(EmptyObject {}),
            values: Some(Nullable(row.try_get(6)?)),
            error: Some(Nullable(None)),
            interrupts: Some(EmptyObject {}),
            ttl: None,
            extracted: None,
        })
    }

    /// Bytes of what it holds that may be long.
    pub(super) fn length(&self) -> usize {
        let values = self.values.as_ref().and_then(|Nullable(values)| values.as_ref());
        let long = self.metadata.iter().chain(values);
        long.map(|json| json.text().len()).sum()
    }

    /// A thread with all its fields, from a row that begins with [`ROW`], `values` and [`TTL`].
    pub(super) fn whole_with_ttl(row: &PgRow) -> Result<Thread, sqlx::Error> {
        Ok(Thread { ttl: TtlStatus::of(row)?, ..Thread::whole(row)? })
    }

    /// A thread with the fields that a statement selects by name.
    pub(super) fn selected(row: &PgRow) -> Result<Thread, sqlx::Error> {
        Ok(Thread {
            thread_id: if_selected(row, "thread_id")?,
            created_at: if_selected(row, "created_at")?,
            updated_at: if_selected(row, "updated_at")?,
            state_updated_at: if_selected(row, "state_updated_at")?,
            metadata: if_selected(row, "metadata")?,
            status: if_selected(row, "status")?,
            config: Some(EmptyObject {}),
            values: if_selected(row, "values")?.map(Nullable),
            error: Some(Nullable(None)),
            interrupts: Some(EmptyObject {}),
            ttl: None,
            extracted: None,
        })
    }
}

impl TtlStatus {
    fn of(row: &PgRow) -> Result<Option<TtlStatus>, sqlx::Error> {
        let (Some(ttl_minutes), Some(strategy)) = (row.try_get(7)?, row.try_get(8)?) else {
            return Ok(None);
        };
        Ok(Some(TtlStatus { strategy, ttl_minutes, expires_at: row.try_get(9)? }))
    }
}

fn if_selected<'r, T>(row: &'r PgRow, column: &'static str) -> Result<Option<T>, sqlx::Error>
where
    T: Decode<'r, Postgres> + Type<Postgres>,
    &'static str: ColumnIndex<PgRow>,
{
    match row.try_get(column) {
        Ok(value) => Ok(Some(value)),
        Err(sqlx::Error::ColumnNotFound(_)) => Ok(None),
        Err(error) => Err(error),
    }
}
