//! The values of a checkpoint.

use std::collections::{BTreeMap, BTreeSet};

use indexmap::IndexMap;

use super::cipher::AesKey;
use super::document::Document;
use super::stored::decode;
use super::text::push_text;
use super::unreadable::{MAX_DECODED, Unreadable};
use crate::json::Raw;

/// A row of `checkpoint_blobs`.
#[derive(Debug)]
pub struct Blob<'a> {
    /// Its channel.
    pub channel: &'a str,
    /// The type of the bytes.
    pub r#type: &'a str,
    /// The value.
    pub bytes: &'a [u8],
}

/// The channels of a checkpoint.
#[derive(Debug, Default)]
pub struct Values {
    /// The readable values by channel.
    pub channels: IndexMap<String, Raw>,
    /// The channels with unreadable values, with the reasons.
    pub unreadable: BTreeMap<String, Unreadable>,
    /// Channels that only mark which nodes have run. They are not state.
    marks: BTreeSet<String>,
}

/// Whether a channel is part of the state. The others are LangGraph's own.
#[must_use]
pub fn is_state_channel(name: &str) -> bool {
    let own = ["branch:", "join:", "start:"];
    let is_own = name.starts_with("__") && name.ends_with("__") || name == "__pregel_tasks";
    !is_own && !own.iter().any(|prefix| name.starts_with(prefix))
}

impl Values {
    /// The values of a checkpoint: those in the document, overridden by those in its rows.
    ///
    /// The values of channels for which `is_wanted` is false are left out.
    #[must_use]
    pub fn read(
        document: &Document<'_>,
        blobs: &[Blob<'_>],
        key: Option<&AesKey>,
        is_wanted: impl Fn(&str) -> bool,
    ) -> Values {
        let mut values = Values::default();
        for (channel, value) in &document.channel_values {
            if is_wanted(channel) {
                let value = Raw::from_text(value.get()).unwrap_or_default();
                values.channels.insert(channel.clone().into_owned(), value);
            }
        }
        let mut bytes = 0;
        for blob in blobs.iter().filter(|blob| is_wanted(blob.channel)) {
            match decode(blob.r#type, blob.bytes, key) {
                Ok(Some(value)) if bytes + value.text().len() > MAX_DECODED => {
                    values.refuse(blob.channel, Unreadable::TooLarge);
                }
                Ok(Some(value)) => {
                    bytes += value.text().len();
                    values.channels.insert(blob.channel.to_owned(), value);
                }
                Ok(None) => {}
                Err(why) => values.refuse(blob.channel, why),
            }
        }
        let marks = values
            .channels
            .iter()
            .filter(|(name, value)| document.is_mark(name, Some(value.text())));
        values.marks = marks.map(|(name, _)| name.clone()).collect();
        values
    }

    /// Records why the value of a channel is unreadable.
    pub fn refuse(&mut self, channel: &str, why: Unreadable) {
        self.channels.shift_remove(channel);
        self.unreadable.insert(channel.to_owned(), why);
    }

    /// The channels of the state as one JSON object.
    #[must_use]
    pub fn to_json(&self) -> Raw {
        let is_shown = |name: &str| is_state_channel(name) && !self.marks.contains(name);
        let channels = self.channels.iter().filter(|(name, _)| is_shown(name));
        let mut text = String::from("{");
        for (index, (name, value)) in channels.enumerate() {
            if index > 0 {
                text.push(',');
            }
            push_text(&mut text, name);
            text.push(':');
            text.push_str(value.text());
        }
        text.push('}');
        Raw::stored(text)
    }
}
