//! The `checkpoint` column: the versions of values, and which nodes have seen them.

use std::borrow::Cow;
use std::cmp::Ordering;

use indexmap::IndexMap;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

type Fields<'a> = IndexMap<Cow<'a, str>, &'a RawValue>;

/// A checkpoint without the values that are in separate rows.
#[derive(Debug, Deserialize)]
pub struct Document<'a> {
    /// The version of the format, currently 4.
    #[serde(default)]
    pub v: i64,
    /// When it was written, by the agent's clock.
    #[serde(default)]
    pub ts: Option<String>,
    #[serde(borrow, default, deserialize_with = "or_empty")]
    pub(super) channel_values: Fields<'a>,
    #[serde(borrow, default, deserialize_with = "or_empty")]
    pub(super) channel_versions: Fields<'a>,
    #[serde(borrow, default, deserialize_with = "or_empty")]
    pub(super) versions_seen: IndexMap<Cow<'a, str>, Fields<'a>>,
}

/// Null counts as absent, because older checkpointers left maps out or wrote null.
fn or_empty<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

impl<'a> Document<'a> {
    /// Parses the text of the column. `None`: it is not a checkpoint.
    #[must_use]
    pub fn read(text: &'a str) -> Option<Document<'a>> {
        serde_json::from_str(text).ok()
    }

    /// Whether a channel has a version that a node has not seen.
    pub(super) fn is_news(&self, channel: &str, node: &str) -> bool {
        let Some(version) = self.channel_versions.get(channel) else { return false };
        match self.versions_seen.get(node).and_then(|seen| seen.get(channel)) {
            None => true,
            Some(seen) => compare(version.get(), seen.get()) == Ordering::Greater,
        }
    }

    /// Whether a channel only marks that a node has run, as in checkpoints older than version 4:
    /// its name and its value are the name of the node.
    pub(super) fn is_mark(&self, channel: &str, value: Option<&str>) -> bool {
        let is_name = || value.is_some_and(|value| plain(value) == channel);
        self.v < 4 && (self.versions_seen.contains_key(channel) || is_name())
    }

    /// The version of a channel, in the form of the column `version`.
    #[must_use]
    pub fn version(&self, channel: &str) -> Option<Cow<'_, str>> {
        self.channel_versions.get(channel).map(|version| plain(version.get()))
    }
}

/// Compares versions. Python's are texts that sort in order, JavaScript's are numbers. Null is less
/// than all others, and numbers are less than texts.
fn compare(one: &str, other: &str) -> Ordering {
    let rank = |version: &str| match version.as_bytes().first() {
        Some(b'n') | None => 0,
        Some(b'"') => 2,
        Some(_) => 1,
    };
    rank(one).cmp(&rank(other)).then_with(|| match (one.parse::<f64>(), other.parse::<f64>()) {
        (Ok(one), Ok(other)) => one.total_cmp(&other),
        _ => plain(one).cmp(&plain(other)),
    })
}

/// A version without its quotation marks.
pub(super) fn plain(json: &str) -> Cow<'_, str> {
    if json.starts_with('"') {
        serde_json::from_str::<Cow<'_, str>>(json).unwrap_or_default()
    } else {
        json.into()
    }
}
