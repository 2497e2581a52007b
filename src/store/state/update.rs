//! Updates of state.

use std::sync::Arc;

use indexmap::IndexMap;
use uuid::Uuid;

use crate::json::Raw;
use crate::messages::Change;
use crate::store::changes::Changes;
use crate::store::due::Due;
use crate::store::keyed_lock::Guard;
use crate::store::operation::Asked;

/// A change of state, which becomes one checkpoint.
#[derive(Debug, Clone, Default)]
pub struct Update {
    /// The namespace; empty for the root.
    pub checkpoint_ns: String,
    /// The checkpoint to write onto. `None`: the newest.
    pub checkpoint_id: Option<Uuid>,
    /// New values of channels.
    pub channels: IndexMap<String, Raw>,
    /// The changes of `messages`; `None` if the update has none.
    pub messages: Option<Vec<Change>>,
    /// The node that the client names as the writer.
    pub as_node: Option<String>,
    /// The user who writes.
    pub user_id: String,
}

impl Update {
    /// Bytes of the values and messages in it.
    pub(super) fn bytes(&self) -> usize {
        let messages = self.messages.iter().flatten().map(|change| match change {
            Change::Put { message, .. } => message.text().len() + 64,
            _ => 64,
        });
        let values = self.channels.values().map(|value| value.text().len() + 64);
        messages.chain(values).sum()
    }
}

/// An update of a thread.
#[derive(Debug, Clone)]
pub(in crate::store) struct Append {
    pub(super) asked: Asked,
    pub(super) thread_id: Uuid,
    pub(super) update: Arc<Update>,
    /// Maximum bytes of the thread's state. `None`: no limit.
    pub(super) max_bytes: Option<i64>,
    pub(super) changes: Changes,
    pub(super) digests: Due,
    /// Held until the update is done, so that no two updates of one thread share a statement.
    pub(super) _guard: Option<Arc<Guard<(Uuid, i64)>>>,
}
