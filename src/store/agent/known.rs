//! What is attached, asked at most once a second.

use super::Attachment;
use crate::store::{Error, Store};

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
        self.agents.can_be_read()
    }
}
