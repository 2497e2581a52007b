//! The tables of an agent that are attached, and what a server knows of them without asking.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use crate::checkpoints::AesKey;

/// For this long an answer counts.
const FRESH: Duration = Duration::from_secs(1);

/// Tables that are attached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// Their schema.
    pub schema: String,
    /// The key in a checkpoint's metadata that names the owner.
    pub owner_key: String,
    /// Where ids are made of the agent's.
    pub namespace: Uuid,
}

/// What is known of the attached tables.
#[derive(Debug, Clone, Default)]
pub(in crate::store) struct Agents {
    /// For encrypted values.
    pub(in crate::store) key: Option<AesKey>,
    known: Arc<RwLock<Known>>,
}

#[derive(Debug, Default)]
struct Known {
    attachment: Option<(Attachment, Instant)>,
    trouble: Option<String>,
}

impl Agents {
    pub(in crate::store) fn new(key: Option<AesKey>) -> Agents {
        Agents { key, known: Arc::default() }
    }

    pub(in crate::store) fn remember(&self, attachment: Option<Attachment>) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.attachment = attachment.map(|attachment| (attachment, Instant::now()));
    }

    pub(in crate::store) fn set_trouble(&self, trouble: Option<String>) {
        self.known.write().unwrap_or_else(PoisonError::into_inner).trouble = trouble;
    }

    /// Whether tables were attached when it was last asked.
    pub(in crate::store) fn is_attached(&self) -> bool {
        self.known.read().unwrap_or_else(PoisonError::into_inner).attachment.is_some()
    }

    /// The tables that are attached, if that was asked a moment ago.
    pub(in crate::store) fn fresh(&self) -> Option<Attachment> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let (attachment, at) = known.attachment.as_ref()?;
        (at.elapsed() < FRESH).then(|| attachment.clone())
    }

    /// Whether the attached tables can be read. `None`: none are attached.
    pub(in crate::store) fn can_be_read(&self) -> Option<bool> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.attachment.as_ref().map(|_| known.trouble.is_none())
    }
}
