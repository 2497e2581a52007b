//! The attached tables, read from the database at most once a second.

use std::time::Duration;

use super::Attachment;
use crate::store::{Error, Store};

/// Interval of checking whether tables are attached, with a connection that receives notifications.
const RECHECK: Duration = Duration::from_mins(1);
/// The same without such a connection.
const RECHECK_UNHEARD: Duration = Duration::from_secs(5);

impl Store {
    /// The attached tables, as of at most 1 second ago.
    pub(in crate::store) async fn recent_attachment(&self) -> Result<Option<Attachment>, Error> {
        match self.agents.fresh() {
            Some(attachment) => Ok(Some(attachment)),
            None => self.attachment().await,
        }
    }

    /// Waits until tables may have been attached: for a notification, or for the next check.
    pub async fn attachment_news(&self) {
        let hears = self.pool.sessions().is_some();
        self.agents.news(if hears { RECHECK } else { RECHECK_UNHEARD }).await;
    }

    /// Whether the tables of an agent can be read. `None`: none are attached.
    #[must_use]
    pub fn can_read_agents(&self) -> Option<bool> {
        self.agents.can_be_read()
    }
}
