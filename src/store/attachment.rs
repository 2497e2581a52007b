//! The attached tables of an agent, and a server's cached knowledge of them.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout};
use tracing::warn;
use uuid::Uuid;

use crate::checkpoints::AesKey;

/// How long the result of a check is used.
const FRESH: Duration = Duration::from_secs(1);

/// The notification channel for attaching and detaching tables.
pub(super) const CHANNEL: &str = "thread_store_attachment";

/// Notifies servers when the transaction is committed.
pub(super) const ANNOUNCE: &str = "notify thread_store_attachment";

/// Attached tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// Their schema.
    pub schema: String,
    /// The key in a checkpoint's metadata for the id of the owner.
    pub owner_key: String,
    /// The namespace of the UUIDs that are made from the agent's ids.
    pub namespace: Uuid,
}

/// The cached knowledge of the attached tables.
#[derive(Debug, Clone, Default)]
pub(in crate::store) struct Agents {
    /// The key of encrypted values.
    pub(in crate::store) key: Option<AesKey>,
    /// The key for the owner in forwarded runs.
    owner_key: Option<Arc<str>>,
    known: Arc<RwLock<Known>>,
    news: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Known {
    attachment: Option<(Attachment, Instant)>,
    trouble: Option<String>,
}

impl Agents {
    pub(in crate::store) fn new(key: Option<AesKey>, owner_key: Option<String>) -> Agents {
        let owner_key = owner_key.map(Arc::from);
        Agents { key, owner_key, known: Arc::default(), news: Arc::default() }
    }

    pub(in crate::store) fn remember(&self, attachment: Option<Attachment>) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let before = known.attachment.take();
        known.attachment = attachment.map(|attachment| (attachment, Instant::now()));
        let (Some(own), Some((new, _))) = (&self.owner_key, &known.attachment) else { return };
        if before.is_none_or(|(before, _)| before != *new) && **own != *new.owner_key {
            warn!(
                agent_owner_key = %own,
                owner_key = %new.owner_key,
                "AGENT_OWNER_KEY is not the key by which the attached tables name the owner of a \
                 thread: what a client sends under that one reaches the agent. Set it to the same, \
                 or attach the tables again with `--owner-key`"
            );
        }
    }

    /// Announces that tables may have been attached or detached.
    pub(in crate::store) fn announce(&self) {
        // Without a waiter `Notify` keeps the permit for the next one.
        self.news.notify_one();
    }

    /// Waits for such an announcement, but at most this long.
    pub(in crate::store) async fn news(&self, patience: Duration) {
        let _ = timeout(patience, self.news.notified()).await;
    }

    pub(in crate::store) fn set_trouble(&self, trouble: Option<String>) {
        self.known.write().unwrap_or_else(PoisonError::into_inner).trouble = trouble;
    }

    /// Whether tables were attached at the last check.
    pub(in crate::store) fn is_attached(&self) -> bool {
        self.known.read().unwrap_or_else(PoisonError::into_inner).attachment.is_some()
    }

    /// The attached tables, if the last check was recent.
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
