//! Threads as clients see them.

use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::json::{Object, Raw};
use crate::store::{self, Status};
use crate::time::Timestamp;

/// A thread. All fields are always there (D13), unless a search selected some.
#[derive(Debug, ToSchema)]
#[schema(as = Thread)]
#[expect(dead_code, reason = "the document is made of it")]
pub(super) struct ThreadSchema {
    /// The id, a UUID in lower case.
    thread_id: Uuid,
    /// When the thread was created.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When metadata or state last changed.
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
    /// When state last changed.
    #[schema(value_type = String, format = DateTime)]
    state_updated_at: Timestamp,
    /// What the client keeps with the thread, and its owner.
    #[schema(value_type = Object)]
    metadata: Raw,
    /// Whether something is going on.
    status: Status,
    /// Always `{}`: the configuration of runs, of which there are none.
    #[schema(value_type = Object)]
    config: Raw,
    /// The newest state, null as long as none was written.
    #[schema(value_type = Option<Object>, required)]
    values: Option<Raw>,
    /// Always null: why the last run failed.
    #[schema(value_type = Option<Object>, required)]
    error: Option<Raw>,
    /// What the last run waits for, by task: `{}` unless an agent writes the thread.
    #[schema(value_type = Object)]
    interrupts: Raw,
    /// When the thread ends, with `include=ttl` and if it does.
    #[schema(nullable = false)]
    ttl: Option<store::TtlStatus>,
    /// What a search extracted, by alias.
    #[schema(value_type = Option<Object>, nullable = false)]
    extracted: Option<Object>,
}

/// A field of a thread that a search can select.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum ThreadField {
    ThreadId,
    CreatedAt,
    UpdatedAt,
    StateUpdatedAt,
    Metadata,
    Config,
    Status,
    Values,
    Interrupts,
}

/// What of a thread an answer shows.
#[derive(Debug, Default, Clone)]
pub(super) struct Selected {
    /// Only these fields. `None`: all.
    pub(super) fields: Option<Vec<ThreadField>>,
    /// When the thread ends.
    pub(super) with_ttl: bool,
}

impl Selected {
    pub(super) fn has(&self, field: ThreadField) -> bool {
        self.fields.as_ref().is_none_or(|fields| fields.contains(&field))
    }
}

/// A thread with what is selected of it.
#[derive(Debug)]
pub(super) struct ThreadView {
    thread: store::Thread,
    selected: Selected,
    extracted: Option<Object>,
}

impl From<store::Thread> for ThreadView {
    /// All of it but the ttl.
    fn from(thread: store::Thread) -> ThreadView {
        ThreadView::new(thread, Selected::default(), None)
    }
}

impl ThreadView {
    pub(super) fn new(
        thread: store::Thread,
        selected: Selected,
        extracted: Option<Object>,
    ) -> ThreadView {
        ThreadView { thread, selected, extracted }
    }
}

/// In the order of the reference server's fields.
impl Serialize for ThreadView {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use ThreadField as F;
        let ThreadView { thread, selected, extracted } = self;
        let empty = Raw::empty_object();
        let mut map = serializer.serialize_map(None)?;
        macro_rules! field {
            ($field:expr, $name:literal, $value:expr) => {
                if selected.has($field) {
                    map.serialize_entry($name, $value)?;
                }
            };
        }
        field!(F::ThreadId, "thread_id", &thread.thread_id);
        field!(F::CreatedAt, "created_at", &thread.created_at);
        field!(F::UpdatedAt, "updated_at", &thread.updated_at);
        field!(F::StateUpdatedAt, "state_updated_at", &thread.state_updated_at);
        field!(F::Metadata, "metadata", &thread.metadata);
        field!(F::Status, "status", &thread.status);
        field!(F::Config, "config", &empty);
        field!(F::Values, "values", &thread.values);
        if selected.fields.is_none() {
            map.serialize_entry("error", &None::<Raw>)?;
        }
        field!(F::Interrupts, "interrupts", thread.interrupts.as_ref().unwrap_or(&empty));
        if let Some(ttl) = thread.ttl.filter(|_| selected.with_ttl) {
            map.serialize_entry("ttl", &ttl)?;
        }
        if let Some(extracted) = extracted {
            map.serialize_entry("extracted", extracted)?;
        }
        map.end()
    }
}
