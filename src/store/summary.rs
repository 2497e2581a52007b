//! The data of a thread for lists, without its state.

use sqlx::Row as _;
use sqlx::postgres::PgRow;

use crate::digest::{Digest, Match};
use crate::time::Timestamp;

/// The parts of a digest in an answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// One line. `None`: the thread has no title.
    pub title: Option<String>,
    /// One line. `None`: no message has text.
    pub preview: Option<String>,
    /// The number of messages.
    pub message_count: i64,
    /// When a message was last written.
    pub last_message_at: Option<Timestamp>,
    /// The occurrences of a query's words, if they are selected.
    pub matches: Vec<Match>,
}

impl Summary {
    /// Reads the columns of a thread. `None`: the thread has state, but no digest of its current
    /// state. Of a thread without state there is only the title.
    pub(in crate::store) fn read(row: &PgRow) -> Result<Option<Summary>, sqlx::Error> {
        if !row.try_get::<bool, _>("has_digest")? {
            let named: Option<&str> = row.try_get("named")?;
            return Ok(named.map(|named| Summary {
                title: Digest::of(Some(named), "[]").title,
                ..Summary::default()
            }));
        }
        Ok(Some(Summary {
            title: row.try_get("title")?,
            preview: row.try_get("preview")?,
            message_count: row.try_get("message_count")?,
            last_message_at: row.try_get("last_message_at")?,
            matches: Vec::new(),
        }))
    }
}
