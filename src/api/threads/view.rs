//! The form of threads in the API.

use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::digest::Match;
use crate::json::{Object, Raw};
use crate::store::{self, Status};
use crate::time::Timestamp;

/// A thread. All fields are always present (D13), unless a search selected some.
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
    /// The client's metadata, and the owner.
    #[schema(value_type = Object)]
    metadata: Raw,
    /// Whether a run is active or waits for an answer.
    status: Status,
    /// Always `{}`: the configuration of runs, of which there are none.
    #[schema(value_type = Object)]
    config: Raw,
    /// The newest state; null if none was written, or if the caller may no longer read the thread
    /// after this change.
    #[schema(value_type = Option<Object>, required)]
    values: Option<Raw>,
    /// Always null: why the last run failed.
    #[schema(value_type = Option<Object>, required)]
    error: Option<Raw>,
    /// The pending interrupts of the last run, by task: `{}` unless an agent writes the thread.
    #[schema(value_type = Object)]
    interrupts: Raw,
    /// The ttl, with `include=ttl` and if the thread has one.
    #[schema(nullable = false)]
    ttl: Option<store::TtlStatus>,
    /// The extracted values of a search, by alias.
    #[schema(value_type = Option<Object>, nullable = false)]
    extracted: Option<Object>,
    /// If selected: `metadata.title`, or else the first human message, as one line of at most 200
    /// characters.
    title: Option<String>,
    /// If selected: the newest message that has text, as one line of at most 200 characters.
    preview: Option<String>,
    /// If selected: the number of messages.
    #[schema(nullable = false)]
    message_count: Option<i64>,
    /// If selected: the time when a message was last written.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_message_at: Option<Timestamp>,
    /// If selected: up to three places where words of `query` occur.
    #[schema(nullable = false)]
    matches: Option<Vec<Match>>,
}

/// A field of a thread that a search can select.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::api) enum ThreadField {
    ThreadId,
    CreatedAt,
    UpdatedAt,
    StateUpdatedAt,
    Metadata,
    Config,
    Status,
    Values,
    Interrupts,
    Title,
    Preview,
    MessageCount,
    LastMessageAt,
    Matches,
}

impl ThreadField {
    /// Whether an answer has this field only if it is selected.
    fn is_extra(self) -> bool {
        use ThreadField::{LastMessageAt, Matches, MessageCount, Preview, Title};
        matches!(self, Title | Preview | MessageCount | LastMessageAt | Matches)
    }
}

/// The parts of a thread that an answer has.
#[derive(Debug, Default, Clone)]
pub(in crate::api) struct Selected {
    /// Only these fields. `None`: all.
    pub(in crate::api) fields: Option<Vec<ThreadField>>,
    /// Whether the answer has the ttl.
    pub(in crate::api) with_ttl: bool,
}

impl Selected {
    pub(super) fn has(&self, field: ThreadField) -> bool {
        let is_default = !field.is_extra();
        self.fields.as_ref().map_or(is_default, |fields| fields.contains(&field))
    }

    /// Whether a field of the digest is selected.
    pub(super) fn has_digest(&self) -> bool {
        self.fields.iter().flatten().any(|field| field.is_extra())
    }
}

/// A thread with its selected fields.
#[derive(Debug)]
pub(in crate::api) struct ThreadView {
    thread: store::Thread,
    selected: Selected,
    extracted: Option<Object>,
}

impl From<store::Thread> for ThreadView {
    /// All fields except the ttl.
    fn from(thread: store::Thread) -> ThreadView {
        ThreadView::new(thread, Selected::default(), None)
    }
}

impl ThreadView {
    pub(in crate::api) fn new(
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
        if let Some(digest) = thread.digest.as_ref().filter(|_| selected.has_digest()) {
            field!(F::Title, "title", &digest.title);
            field!(F::Preview, "preview", &digest.preview);
            field!(F::MessageCount, "message_count", &digest.message_count);
            field!(F::LastMessageAt, "last_message_at", &digest.last_message_at);
            field!(F::Matches, "matches", &digest.matches);
        }
        if let Some(ttl) = thread.ttl.filter(|_| selected.with_ttl) {
            map.serialize_entry("ttl", &ttl)?;
        }
        if let Some(extracted) = extracted {
            map.serialize_entry("extracted", extracted)?;
        }
        map.end()
    }
}
