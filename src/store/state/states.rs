//! Assembles the values of checkpoints from their rows.

use std::collections::HashMap;

use indexmap::IndexMap;
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use uuid::Uuid;

use super::checkpoint::{Channels, Checkpoint};
use super::parent::Ancestor;
use super::texts::Texts;
use crate::json::{Object, Raw};
use crate::messages::CHANNEL as MESSAGES;
use crate::store::sql::state::read_values;
use crate::time::Timestamp;

/// The checkpoint of a row, with the values in it. `None`: there is none.
pub(super) fn state(row: &PgRow, thread_id: Uuid) -> Result<Option<Checkpoint>, sqlx::Error> {
    let Some(checkpoint_id) = row.try_get("checkpoint_id")? else { return Ok(None) };
    Ok(Some(Checkpoint {
        checkpoint_id,
        parent_checkpoint_id: row.try_get("parent_checkpoint_id")?,
        seq: row.try_get("seq")?,
        created_at: row.try_get("created_at")?,
        metadata: with_thread_id(row.try_get("metadata")?, thread_id),
        values: read_values(row)?,
        run: None,
    }))
}

/// The checkpoints of a page, with the values of these channels.
pub(super) fn states(
    row: &PgRow,
    thread_id: Uuid,
    channels: &Channels,
) -> Result<Vec<Checkpoint>, sqlx::Error> {
    let ids: Vec<Uuid> = list(row, "checkpoint_ids")?;
    let parents: Vec<Option<Uuid>> = list(row, "parents")?;
    let seqs: Vec<i64> = list(row, "seqs")?;
    let created_ats: Vec<Timestamp> = list(row, "created_ats")?;
    let metadatas: Vec<Raw> = list(row, "metadatas")?;
    let sources = sources(row)?;
    let rows = Rows::read(row)?;
    let checkpoints = ids.into_iter().zip(parents).zip(seqs.into_iter().zip(created_ats));
    let checkpoints = checkpoints.zip(metadatas.into_iter().zip(&sources));
    Ok(checkpoints
        .map(|(((checkpoint_id, parent), (seq, created_at)), (metadata, source))| Checkpoint {
            checkpoint_id,
            parent_checkpoint_id: parent,
            seq,
            created_at,
            metadata: with_thread_id(metadata, thread_id),
            values: (*channels != Channels::None).then(|| rows.values(seq, source, channels)),
            run: None,
        })
        .collect())
}

/// A checkpoint's metadata as the API shows it. The id of the thread is not stored in it, because a
/// copy would have to rewrite it.
fn with_thread_id(metadata: Raw, thread_id: Uuid) -> Raw {
    const KEY: &str = "thread_id";
    let text = metadata.text();
    let members = text.strip_prefix('{').and_then(|text| text.strip_suffix('}'));
    match members {
        Some("") => Raw::stored(format!("{{\"{KEY}\":\"{thread_id}\"}}")),
        Some(members) if !members.contains(KEY) => {
            Raw::stored(format!("{{{members},\"{KEY}\":\"{thread_id}\"}}"))
        }
        _ => {
            let Ok(mut members) = metadata.parse::<Object>() else { return metadata };
            members.insert(KEY, Raw::from(thread_id.to_string().as_str()));
            Raw::stored(members.to_text())
        }
    }
}

/// The references of a checkpoint to the rows of its values.
struct Source {
    /// For each channel the number of the row with its value, and the bytes of the value.
    channels: IndexMap<String, (i64, i64)>,
    branch: i64,
    /// The start and the end of its messages, if it has any.
    messages: Option<(i64, i64)>,
    /// Branch, seq and end of the branches that it inherits from.
    ancestors: Vec<Ancestor>,
}

fn sources(row: &PgRow) -> Result<Vec<Source>, sqlx::Error> {
    type Channels = IndexMap<String, (i64, i64)>;
    let channels: Vec<Json<Channels>> = list(row, "channels")?;
    let branches: Vec<i64> = list(row, "branches")?;
    let starts: Vec<Option<i64>> = list(row, "starts")?;
    let ends: Vec<Option<i64>> = list(row, "ends")?;
    let ancestors: Vec<Option<Json<Vec<Ancestor>>>> = list(row, "ancestors")?;
    let messages = starts.into_iter().zip(ends).map(|(start, end)| start.zip(end));
    let sources = channels.into_iter().zip(branches).zip(messages.zip(ancestors));
    Ok(sources
        .map(|((Json(channels), branch), (messages, ancestors))| {
            let ancestors = ancestors.map(|Json(ancestors)| ancestors).unwrap_or_default();
            Source { channels, branch, messages, ancestors }
        })
        .collect())
}

/// The rows of the values of a page.
struct Rows<'r> {
    /// By position, then by seq.
    messages: Vec<Message<'r>>,
    values: HashMap<(i64, &'r str), &'r str>,
}

/// A version of a message.
struct Message<'r> {
    position: i64,
    seq: i64,
    branch: i64,
    /// `None`: it was removed.
    text: Option<&'r str>,
}

impl<'r> Rows<'r> {
    fn read(row: &'r PgRow) -> Result<Rows<'r>, sqlx::Error> {
        let positions: Vec<i64> = list(row, "message_positions")?;
        let seqs: Vec<i64> = list(row, "message_seqs")?;
        let branches: Vec<i64> = list(row, "message_branches")?;
        let texts: Option<Texts<'r>> = row.try_get("message_texts")?;
        let places = positions.into_iter().zip(seqs).zip(branches);
        let messages = places.zip(texts.unwrap_or_default().0);
        let message = |(((position, seq), branch), text)| Message { position, seq, branch, text };
        let mut messages: Vec<_> = messages.map(message).collect();
        messages.sort_unstable_by_key(|message| (message.position, message.seq));
        let value_seqs: Vec<i64> = list(row, "value_seqs")?;
        let names: Option<Texts<'r>> = row.try_get("value_names")?;
        let texts: Option<Texts<'r>> = row.try_get("value_texts")?;
        let names = names.unwrap_or_default().0.into_iter().flatten();
        let texts = texts.unwrap_or_default().0.into_iter().flatten();
        let values = value_seqs.into_iter().zip(names).zip(texts).collect();
        Ok(Rows { messages, values })
    }

    /// The values of a checkpoint, as JSON.
    fn values(&self, seq: i64, source: &Source, channels: &Channels) -> Raw {
        let is_wanted = |name: &str| match channels {
            Channels::Only(names) => names.iter().any(|wanted| wanted == name),
            _ => true,
        };
        let mut text = String::from("{");
        for (name, (value_seq, _)) in source.channels.iter().filter(|(name, _)| is_wanted(name)) {
            let Some(value) = self.values.get(&(*value_seq, name.as_str())) else { continue };
            begin_item(&mut text, '{');
            text.push_str(Raw::from(name.as_str()).text());
            text.push(':');
            text.push_str(value);
        }
        if let Some((start, end)) = source.messages.filter(|_| is_wanted(MESSAGES)) {
            begin_item(&mut text, '{');
            text.push_str("\"messages\":[");
            for message in self.visible(seq, source, start, end) {
                begin_item(&mut text, '[');
                text.push_str(message);
            }
            text.push(']');
        }
        text.push('}');
        Raw::stored(text)
    }

    /// The messages of a checkpoint: the newest visible version at each position.
    fn visible<'a>(
        &'a self,
        seq: i64,
        source: &'a Source,
        start: i64,
        end: i64,
    ) -> impl Iterator<Item = &'r str> + 'a {
        let first = self.messages.partition_point(|message| message.position < start);
        let last = self.messages.partition_point(|message| message.position < end);
        let messages = self.messages.get(first..last).unwrap_or_default();
        let is_visible = move |message: &Message<'_>| {
            (message.branch == source.branch && message.seq <= seq)
                || source.ancestors.iter().any(|(branch, seq, end)| {
                    message.branch == *branch && message.seq <= *seq && message.position < *end
                })
        };
        let positions = messages.chunk_by(|one, other| one.position == other.position);
        positions.filter_map(move |versions| {
            versions.iter().rev().find(|message| is_visible(message))?.text
        })
    }
}

/// Appends a comma, unless the list or object has just begun.
fn begin_item(text: &mut String, opening: char) {
    if !text.ends_with(opening) {
        text.push(',');
    }
}

/// A list in a column; null is empty.
pub(super) fn list<'r, T>(row: &'r PgRow, column: &str) -> Result<Vec<T>, sqlx::Error>
where
    Option<Vec<T>>: sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
{
    Ok(row.try_get::<Option<Vec<T>>, _>(column)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_shown_with_the_thread_that_it_is_of() {
        let id = Uuid::nil();
        for (stored, shown) in [
            ("{}", format!(r#"{{"thread_id":"{id}"}}"#)),
            (r#"{"step":1}"#, format!(r#"{{"step":1,"thread_id":"{id}"}}"#)),
            (r#"{"a":"thread_id"}"#, format!(r#"{{"a":"thread_id","thread_id":"{id}"}}"#)),
            (r#"{"thread_id":7,"a":[1]}"#, format!(r#"{{"thread_id":"{id}","a":[1]}}"#)),
        ] {
            assert_eq!(with_thread_id(Raw::stored(stored), id).text(), shown);
        }
    }
}
