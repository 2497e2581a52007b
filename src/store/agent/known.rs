//! What a server knows of the attached tables without asking.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::time::Instant;

use super::Attachment;
use crate::checkpoints::AesKey;
use crate::store::{Error, Store};

/// For this long an answer counts.
const FRESH: Duration = Duration::from_secs(1);

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

    pub(super) fn remember(&self, attachment: Option<Attachment>) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.attachment = attachment.map(|attachment| (attachment, Instant::now()));
    }

    pub(super) fn set_trouble(&self, trouble: Option<String>) {
        self.known.write().unwrap_or_else(PoisonError::into_inner).trouble = trouble;
    }

    /// Whether tables were attached when it was last asked.
    pub(in crate::store) fn is_attached(&self) -> bool {
        self.known.read().unwrap_or_else(PoisonError::into_inner).attachment.is_some()
    }

    fn fresh(&self) -> Option<Attachment> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let (attachment, at) = known.attachment.as_ref()?;
        (at.elapsed() < FRESH).then(|| attachment.clone())
    }
}

impl Store {
    /// The tables that are attached now, or were a second ago.
    pub(in crate::store) async fn recent_attachment(&self) -> Result<Option<Attachment>, Error> {
        match self.agents.fresh() {
            Some(attachment) => Ok(Some(attachment)),
            None => self.attachment().await,
        }
    }

    /// Whether the tables of an agent can be read. `None`: none are attached.
    #[must_use]
    pub fn can_read_agents(&self) -> Option<bool> {
        let known = self.agents.known.read().unwrap_or_else(PoisonError::into_inner);
        known.attachment.as_ref().map(|_| known.trouble.is_none())
    }
}
