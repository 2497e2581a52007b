//! Checkpoints in a server's history.

use indexmap::IndexMap;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::values::{Interner, Values};
use crate::json::{Object, Raw};

/// A checkpoint with its state.
#[derive(Debug, Deserialize)]
pub(super) struct Snapshot {
    pub(super) values: Option<Raw>,
    metadata: Option<Raw>,
    checkpoint: Option<Reference>,
    parent_checkpoint: Option<Reference>,
    checkpoint_id: Option<String>,
    parent_checkpoint_id: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Reference {
    checkpoint_id: Option<String>,
}

impl Snapshot {
    /// The newest values of a thread whose history cannot be read.
    pub(super) fn newest(values: Raw) -> Snapshot {
        Snapshot {
            values: Some(values),
            metadata: None,
            checkpoint: None,
            parent_checkpoint: None,
            checkpoint_id: Some(String::new()),
            parent_checkpoint_id: None,
        }
    }

    pub(super) fn id(&self) -> Option<&str> {
        let nested = self.checkpoint.as_ref().and_then(|it| it.checkpoint_id.as_deref());
        self.checkpoint_id.as_deref().or(nested)
    }

    pub(super) fn parent_id(&self) -> Option<&str> {
        let nested = self.parent_checkpoint.as_ref().and_then(|it| it.checkpoint_id.as_deref());
        self.parent_checkpoint_id.as_deref().or(nested)
    }

    /// The node that wrote it, as recorded by this server or by older versions of LangGraph.
    pub(super) fn as_node(&self) -> Option<String> {
        let metadata: Object = self.metadata.as_ref()?.parse().ok()?;
        let recorded = metadata.get("as_node").and_then(|node| node.parse().ok());
        recorded.or_else(|| {
            let writes: IndexMap<String, IgnoredAny> = metadata.get("writes")?.parse().ok()?;
            let [node] = <[String; 1]>::try_from(writes.into_keys().collect::<Vec<_>>()).ok()?;
            Some(node)
        })
    }
}

/// A state of the destination.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) id: String,
    pub(super) parent_id: Option<String>,
    pub(super) values: Values,
}

impl Found {
    pub(super) fn read(snapshot: &Snapshot, texts: &mut Interner) -> Result<Found, String> {
        // Messages of the destination have ids.
        let (values, _) = Values::read(snapshot.values.as_ref(), uuid::Uuid::nil(), texts)?;
        let parent_id = snapshot.parent_id().map(str::to_owned);
        Ok(Found { id: snapshot.id().unwrap_or_default().to_owned(), parent_id, values })
    }
}
