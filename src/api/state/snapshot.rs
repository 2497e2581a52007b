//! The form of state in the API.

use serde::de::IntoDeserializer as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::http::{Error, Name};
use crate::json::{Raw, excerpt};
use crate::store::{Channels, Checkpoint};
use crate::time::Timestamp;

/// The state of a thread at one checkpoint. All fields are present unless `select` omits some.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct StateSnapshot {
    /// The latest value of every channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Object)]
    values: Option<Raw>,
    /// The nodes to run next: empty unless an agent writes the thread.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Vec<String>)]
    next: Option<Raw>,
    /// The tasks of the step: empty unless an agent writes the thread.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Vec<Object>)]
    tasks: Option<Raw>,
    /// The origin of the checkpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    metadata: Option<Nullable<Raw>>,
    /// The time when the checkpoint was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    created_at: Option<Nullable<Timestamp>>,
    /// The checkpoint; null for a thread without state.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<CheckpointConfig>)]
    checkpoint: Option<Nullable<CheckpointConfig>>,
    /// The checkpoint that this one was written onto.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<CheckpointConfig>)]
    parent_checkpoint: Option<Nullable<CheckpointConfig>>,
    /// The pending interrupts: empty unless an agent writes the thread.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Vec<Object>)]
    interrupts: Option<Raw>,
    /// The id of `checkpoint`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    checkpoint_id: Option<Nullable<String>>,
    /// The id of `parent_checkpoint`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    parent_checkpoint_id: Option<Nullable<String>>,
}

/// A value that is present and may be null.
#[derive(Debug, Clone)]
pub(super) struct Nullable<T>(Option<T>);

impl<T: Serialize> Serialize for Nullable<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

/// A field of the state of a thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum StateField {
    Values,
    Next,
    Tasks,
    Metadata,
    CreatedAt,
    Checkpoint,
    ParentCheckpoint,
    Interrupts,
    CheckpointId,
    ParentCheckpointId,
}

/// A client's selection: a field, or one key of the values as `values.<key>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Selected {
    Field(StateField),
    Channel(String),
}

impl<'de> Deserialize<'de> for Selected {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        match name.strip_prefix("values.") {
            Some(channel) => Ok(Selected::Channel(channel.to_owned())),
            None => StateField::deserialize(name.into_deserializer()).map(Selected::Field),
        }
    }
}

/// Parses a list of [`Selected`]s in a body. Null counts as absent, because the reference server
/// ignores the field (D17).
pub(super) fn selected<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<Selected>>, D::Error> {
    let names = Option::<Vec<Name<Selected>>>::deserialize(deserializer)?;
    Ok(names.map(|names| names.into_iter().map(|Name(name)| name).collect()))
}

/// A field of the state, or `values.<key>` for one key of the values.
#[derive(ToSchema)]
#[schema(value_type = String, pattern = r"^(values(\.[\s\S]*)?|next|tasks|metadata|created_at|checkpoint|parent_checkpoint|interrupts|checkpoint_id|parent_checkpoint_id)$")]
#[expect(dead_code, reason = "the document is made of it")]
pub(super) struct SelectedName(String);

/// Fields of the state, or `values.<key>` for one key of the values, separated by commas.
#[derive(ToSchema)]
#[schema(value_type = String, pattern = r"^(,|(values(\.[^,]*)?|next|tasks|metadata|created_at|checkpoint|parent_checkpoint|interrupts|checkpoint_id|parent_checkpoint_id)(,|$))*$")]
#[expect(dead_code, reason = "the document is made of it")]
pub(crate) struct SelectedNames(String);

/// The selected fields; empty for all fields.
#[derive(Debug, Clone, Default)]
pub(in crate::api) struct Wanted(Vec<Selected>);

impl Wanted {
    pub(super) fn new(selected: Option<Vec<Selected>>) -> Wanted {
        Wanted(selected.unwrap_or_default())
    }

    /// Parses names from a query string.
    pub(super) fn named<'a>(names: impl Iterator<Item = &'a str>) -> Result<Wanted, Error> {
        let selected = names.map(|name| {
            let name_of = serde::de::value::StrDeserializer::<serde::de::value::Error>::new(name);
            Selected::deserialize(name_of)
                .map_err(|error| Error::Invalid(format!("select: {}", excerpt(&error.to_string()))))
        });
        selected.collect::<Result<_, _>>().map(Wanted)
    }

    /// The channels to read.
    pub(super) fn channels(&self) -> Channels {
        if self.0.is_empty() || self.0.contains(&Selected::Field(StateField::Values)) {
            return Channels::All;
        }
        let channels = self.0.iter().filter_map(|selected| match selected {
            Selected::Channel(channel) => Some(channel.clone()),
            Selected::Field(_) => None,
        });
        let channels: Vec<_> = channels.collect();
        if channels.is_empty() { Channels::None } else { Channels::Only(channels) }
    }

    fn has(&self, field: StateField) -> bool {
        self.0.is_empty() || self.0.contains(&Selected::Field(field))
    }
}

/// The position of a checkpoint.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct CheckpointConfig {
    pub(super) thread_id: Uuid,
    pub(super) checkpoint_ns: String,
    pub(super) checkpoint_id: String,
}

/// A checkpoint in a request. Its `thread_id` is never used: the thread is that of the path, which
/// the caller was authorized for.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
pub(super) struct CheckpointQuery {
    /// Absent: the newest.
    #[serde(default, deserialize_with = "crate::http::present")]
    #[schema(nullable = false)]
    pub(super) checkpoint_id: Option<String>,
    /// Absent: the root namespace.
    #[serde(default, deserialize_with = "crate::http::present")]
    #[schema(nullable = false)]
    pub(super) checkpoint_ns: Option<String>,
    /// Ignored, but must be a string.
    #[serde(default, deserialize_with = "crate::http::present")]
    #[schema(nullable = false)]
    #[expect(dead_code, reason = "checked by being read")]
    thread_id: Option<String>,
    /// Ignored, but must be an object.
    #[serde(default, deserialize_with = "crate::http::present")]
    #[schema(value_type = Option<Object>, nullable = false)]
    #[expect(dead_code, reason = "checked by being read")]
    checkpoint_map: Option<crate::json::Object>,
}

impl StateSnapshot {
    /// The state at `stored`, or the empty state. The id of a missing checkpoint is echoed, as on
    /// the reference server.
    pub(in crate::api) fn new(
        thread_id: Uuid,
        checkpoint_ns: &str,
        asked_for: Option<&str>,
        stored: Option<Checkpoint>,
        wanted: &Wanted,
    ) -> StateSnapshot {
        use StateField as F;
        // A missing checkpoint is echoed as the client sent it, up to a maximum length.
        let checkpoint_ns = match stored {
            Some(_) => checkpoint_ns.to_owned(),
            None => excerpt(checkpoint_ns),
        };
        let config = |checkpoint_id: &String| CheckpointConfig {
            thread_id,
            checkpoint_ns: checkpoint_ns.clone(),
            checkpoint_id: checkpoint_id.clone(),
        };
        let stored_id = stored.as_ref().map(|stored| stored.checkpoint_id.to_string());
        let id = stored_id.or_else(|| asked_for.map(excerpt));
        let parent = stored.as_ref().and_then(|stored| stored.parent_checkpoint_id);
        let parent = parent.map(|parent| parent.to_string());
        let created_at = stored.as_ref().map(|stored| stored.created_at);
        let (metadata, values, run) = stored.map_or((None, None, None), |stored| {
            (Some(stored.metadata), stored.values, stored.run)
        });
        let [next, tasks, interrupts] = match run {
            Some(run) => [run.next, run.tasks, run.interrupts],
            None => [(); 3].map(|()| Raw::empty_list()),
        };
        StateSnapshot {
            values: (wanted.channels() != Channels::None)
                .then(|| values.unwrap_or_else(Raw::empty_object)),
            next: wanted.has(F::Next).then_some(next),
            tasks: wanted.has(F::Tasks).then_some(tasks),
            metadata: wanted.has(F::Metadata).then_some(Nullable(metadata)),
            created_at: wanted.has(F::CreatedAt).then_some(Nullable(created_at)),
            checkpoint: wanted.has(F::Checkpoint).then(|| Nullable(id.as_ref().map(config))),
            parent_checkpoint: wanted
                .has(F::ParentCheckpoint)
                .then(|| Nullable(parent.as_ref().map(config))),
            interrupts: wanted.has(F::Interrupts).then_some(interrupts),
            checkpoint_id: wanted.has(F::CheckpointId).then_some(Nullable(id)),
            parent_checkpoint_id: wanted.has(F::ParentCheckpointId).then_some(Nullable(parent)),
        }
    }
}

impl CheckpointQuery {
    /// This checkpoint of the root namespace.
    pub(super) fn of(checkpoint_id: String) -> CheckpointQuery {
        CheckpointQuery { checkpoint_id: Some(checkpoint_id), ..CheckpointQuery::default() }
    }

    pub(super) fn ns(&self) -> String {
        self.checkpoint_ns.clone().unwrap_or_default()
    }

    /// The id, or the nil UUID if the text cannot be the id of a checkpoint. An empty text means
    /// the newest.
    pub(super) fn id(&self) -> Option<Uuid> {
        let id = self.checkpoint_id.as_deref().filter(|id| !id.is_empty());
        id.map(|id| crate::http::parse_uuid(id).unwrap_or_default())
    }
}
