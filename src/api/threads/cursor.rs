//! The position where a page of a search ended, so that the next page can begin there without
//! counting the threads before it. The cost of an offset grows with the offset; a cursor has no
//! such cost. Cursors are an addition of this server: clients of other servers use the offset.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use chrono::{DateTime, Datelike, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::digest::MAX_LINE;
use crate::http::Error;
use crate::store::{Behind, Page, SortKey, Status, Thread};
use crate::time::Timestamp;

/// `last_message_at` of a thread without messages, as Postgres spells it.
const NO_MOMENT: &str = "-infinity";

/// The last thread of a page, by the sort key of the search.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::api) struct Cursor {
    sort_by: SortKey,
    ascending: bool,
    /// The thread's value of the sort key.
    value: String,
    thread_id: Uuid,
    /// The number of threads up to and including this one.
    pub(super) number: i64,
}

impl Cursor {
    /// The position after the last thread of a page.
    pub(in crate::api) fn behind(thread: &Thread, page: &Page, number: i64) -> Cursor {
        let thread_id = thread.thread_id;
        let value = match page.sort_by {
            SortKey::ThreadId => thread_id.to_string(),
            SortKey::Status => thread.status.as_str().to_owned(),
            SortKey::CreatedAt => thread.created_at.to_string(),
            SortKey::UpdatedAt => thread.updated_at.to_string(),
            SortKey::StateUpdatedAt => thread.state_updated_at.to_string(),
            SortKey::Title => {
                let digest = thread.digest.as_ref();
                digest.and_then(|digest| digest.title.clone()).unwrap_or_default()
            }
            SortKey::LastMessageAt => {
                let digest = thread.digest.as_ref();
                let moment = digest.and_then(|digest| digest.last_message_at);
                moment.map_or_else(|| NO_MOMENT.to_owned(), |moment| moment.to_string())
            }
        };
        let (sort_by, ascending) = (page.sort_by, page.ascending);
        Cursor { sort_by, ascending, value, thread_id, number }
    }

    /// Parses the text of [`Cursor::to_text`], for a page that must have the same order.
    pub(in crate::api) fn read(text: &str, page: &Page) -> Result<Cursor, Error> {
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
        // Only in this server's spelling, because Postgres accepts other spellings and dates than
        // the parsers here.
        let value = self.value.as_str();
        let is_value = match self.sort_by {
            SortKey::ThreadId => Uuid::parse_str(value).is_ok_and(|id| id.to_string() == value),
            SortKey::Status => serde_json::from_value::<Status>(value.into()).is_ok(),
            SortKey::Title => value.chars().count() <= MAX_LINE && !value.contains('\0'),
            SortKey::LastMessageAt if value == NO_MOMENT => true,
            _ => value.parse::<DateTime<Utc>>().is_ok_and(|moment| {
                (1..=9999).contains(&moment.year()) && Timestamp::from(moment).to_string() == value
            }),
        };
        is_value && self.number >= 0
    }

    /// The text for clients, in characters that are valid in a header.
    pub(in crate::api) fn to_text(&self) -> Option<String> {
        serde_json::to_vec(self).ok().map(|bytes| BASE64_URL_SAFE_NO_PAD.encode(bytes))
    }

    pub(in crate::api) fn into_place(self) -> Behind {
        Behind { value: self.value, thread_id: self.thread_id }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::*;

    fn page(sort_by: SortKey) -> Page {
        Page { behind: None, limit: 10, offset: 0, sort_by, ascending: false }
    }

    fn key() -> impl Strategy<Value = SortKey> {
        prop::sample::select(vec![
            SortKey::ThreadId,
            SortKey::Status,
            SortKey::CreatedAt,
            SortKey::UpdatedAt,
            SortKey::StateUpdatedAt,
            SortKey::Title,
            SortKey::LastMessageAt,
        ])
    }

    fn cursor(sort_by: SortKey, value: &str, number: i64) -> Cursor {
        let (value, thread_id) = (value.to_owned(), Uuid::nil());
        Cursor { sort_by, ascending: false, value, thread_id, number }
    }

    #[test]
    fn what_postgres_would_not_read_is_refused() {
        for (sort_by, value) in [
            (SortKey::ThreadId, "urn:uuid:00000000-0000-0000-0000-000000000000"),
            (SortKey::UpdatedAt, "0000-01-01T00:00:00+00:00"),
            (SortKey::UpdatedAt, "2020-01-01T00:00:00+23:59"),
            (SortKey::UpdatedAt, "2020-01-01T23:59:60.999999999+00:00"),
            (SortKey::UpdatedAt, "+12020-01-01T00:00:00+00:00"),
        ] {
            let text = cursor(sort_by, value, 0).to_text().unwrap();
            assert!(Cursor::read(&text, &page(sort_by)).is_err(), "{value}");
        }
    }

    /// Values that a cursor may have, and values that are similar to them.
    fn value() -> impl Strategy<Value = String> {
        prop_oneof![
            any::<u128>().prop_map(|id| Uuid::from_u128(id).to_string()),
            any::<u128>().prop_map(|id| Uuid::from_u128(id).urn().to_string()),
            "[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-6][0-9]([.][0-9]{1,12})?([+]00:00|Z|[+-][0-2][0-9]:[0-5][0-9])",
            "[0-9]{4}-0[1-9]-[0-2][1-8]T[01][0-9]:[0-5][0-9]:[0-5][0-9][.][0-9]{5}[1-9][+]00:00",
            prop::sample::select(vec!["idle", "busy", "error", "Idle", ""]).prop_map(str::to_owned),
            ".*",
        ]
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in ".*", sort_by in key()) {
            let _ = Cursor::read(&text, &page(sort_by));
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..200), sort_by in key(),
        ) {
            let _ = Cursor::read(&BASE64_URL_SAFE_NO_PAD.encode(bytes), &page(sort_by));
        }

        /// A cursor with some of its bytes replaced.
        #[test]
        fn any_damage_is_refused_or_leaves_a_cursor(
            sort_by in key(), value in value(), number in any::<i64>(),
            edits in prop::collection::vec((any::<Index>(), 0..4_usize, prop::collection::vec(any::<u8>(), 0..3)), 1..4),
        ) {
            let mut bytes = serde_json::to_vec(&cursor(sort_by, &value, number)).unwrap();
            for (at, length, piece) in edits {
                let at = at.index(bytes.len() + 1);
                let end = bytes.len().min(at + length);
                bytes.splice(at..end, piece);
            }
            let text = BASE64_URL_SAFE_NO_PAD.encode(bytes);
            let Ok(read) = Cursor::read(&text, &page(sort_by)) else { return Ok(()) };
            prop_assert!(read.number >= 0);
            let again = Cursor::read(&read.to_text().unwrap(), &page(sort_by)).unwrap();
            prop_assert_eq!((again.value, again.thread_id, again.number), (read.value, read.thread_id, read.number));
        }

        /// Postgres can parse it, because this server writes ids, statuses and times in that form.
        #[test]
        fn what_is_read_is_as_this_server_writes_it(
            sort_by in key(), value in value(), number in any::<i64>(),
        ) {
            let text = cursor(sort_by, &value, number).to_text().unwrap();
            let Ok(read) = Cursor::read(&text, &page(sort_by)) else { return Ok(()) };
            prop_assert!(read.number >= 0);
            prop_assert_eq!(&read.value, &value);
            match sort_by {
                SortKey::ThreadId => prop_assert_eq!(value.parse::<Uuid>().unwrap().to_string(), value),
                SortKey::Status => prop_assert!(["idle", "busy", "interrupted", "error"].contains(&value.as_str())),
                SortKey::Title => prop_assert!(!value.contains('\0')),
                SortKey::LastMessageAt if value == NO_MOMENT => {}
                _ => {
                    prop_assert!(value.ends_with("+00:00") && value.len() <= 32 && !value.starts_with("0000"));
                    prop_assert!(!value.contains(":60"));
                }
            }
        }
    }
}
