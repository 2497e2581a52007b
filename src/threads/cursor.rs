//! Where a page of a search ended, so that the next one begins there without counting off what
//! came before. An offset costs as much as it is large; this costs nothing. It is an addition of
//! this server: clients that do not know it use the offset.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use chrono::DateTime;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Thread;
use crate::error::Error;
use crate::store::{Behind, Page, SortKey, Status};

/// The last thread of a page, by what the search was sorted by.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Cursor {
    sort_by: SortKey,
    ascending: bool,
    /// What the thread had there.
    value: String,
    thread_id: Uuid,
    /// How many threads there were up to it.
    pub(super) number: i64,
}

impl Cursor {
    /// Behind a thread that ended a page. `None` if the fields that say where were not selected.
    pub(super) fn behind(thread: &Thread, page: &Page, number: i64) -> Option<Cursor> {
        let thread_id = thread.thread_id?;
        let value = match page.sort_by {
            SortKey::ThreadId => thread_id.to_string(),
            SortKey::Status => thread.status.clone()?,
            SortKey::CreatedAt => thread.created_at?.to_string(),
            SortKey::UpdatedAt => thread.updated_at?.to_string(),
            SortKey::StateUpdatedAt => thread.state_updated_at?.to_string(),
        };
        let (sort_by, ascending) = (page.sort_by, page.ascending);
        Some(Cursor { sort_by, ascending, value, thread_id, number })
    }

    /// Reads what [`Cursor::to_text`] wrote, for a page that has to have the same order.
    pub(super) fn read(text: &str, page: &Page) -> Result<Cursor, Error> {
        let wrong = |why: &str| Error::Invalid(format!("cursor: {why}"));
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok();
        let cursor = bytes.and_then(|bytes| serde_json::from_slice::<Cursor>(&bytes).ok());
        let cursor = cursor.filter(Cursor::is_sound);
        let cursor = cursor.ok_or_else(|| wrong("not one that this server made"))?;
        if (cursor.sort_by, cursor.ascending) != (page.sort_by, page.ascending) {
            return Err(wrong("made by a search with another order"));
        }
        Ok(cursor)
    }

    fn is_sound(&self) -> bool {
        let is_value = match self.sort_by {
            SortKey::ThreadId => Uuid::parse_str(&self.value).is_ok(),
            SortKey::Status => serde_json::from_value::<Status>(self.value.clone().into()).is_ok(),
            _ => DateTime::parse_from_rfc3339(&self.value).is_ok(),
        };
        is_value && self.number >= 0
    }

    /// As clients get it: characters that are at home in a header.
    pub(super) fn to_text(&self) -> Option<String> {
        serde_json::to_vec(self).ok().map(|bytes| BASE64_URL_SAFE_NO_PAD.encode(bytes))
    }

    pub(super) fn into_place(self) -> Behind {
        Behind { value: self.value, thread_id: self.thread_id }
    }
}
