//! The digest of a thread: a title, a preview, the number of messages, and their text. Lists and
//! searches use it, so that they need not read the thread's state.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::json::for_each;
use crate::text::{Query, Snippet, normalise, one_line, snippet};

/// Maximum characters of a client's title that are stored.
pub const MAX_NAMED: usize = 1_000;
/// Maximum characters of a title and of a preview.
pub const MAX_LINE: usize = 200;
/// Maximum bytes of a part of the text, unless one message has more: two parts fill a page of
/// Postgres if they cannot be compressed, and an appended message rewrites at most this much.
const PART_BYTES: usize = 3_900;
/// Maximum bytes of text that are stored. Of a longer text only the beginning and the end, half of
/// this each, are stored.
const MAX_TEXT: usize = 4 * 1024 * 1024;
/// Maximum number of snippets of a thread.
const MAX_SNIPPETS: usize = 3;

/// The digest of a thread.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Digest {
    /// One line. `None`: the thread has no title in its metadata and no human message with text.
    pub title: Option<String>,
    /// One line: the newest message that has text.
    pub preview: Option<String>,
    /// The number of messages, including those without text.
    pub message_count: i64,
    /// The normalised text, in parts of whole messages. The first part is the client's title, or
    /// empty.
    pub parts: Vec<String>,
}

/// An occurrence of a query's words in a thread.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct Match {
    /// The id of the message. Null for the title.
    message_id: Option<String>,
    /// Its type, such as `human` or `ai`.
    role: Option<String>,
    /// The snippet.
    #[serde(flatten)]
    snippet: Snippet,
}

impl Digest {
    /// The digest of a thread with this title in its metadata and these messages, a JSON list.
    #[must_use]
    pub fn of(named: Option<&str>, messages: &str) -> Digest {
        let named_line = named.map(|named| one_line(named, MAX_LINE));
        let mut digest = Digest {
            title: named_line.filter(|line| !line.is_empty()),
            parts: vec![normalise(named.unwrap_or_default())],
            ..Digest::default()
        };
        let mut last = None;
        let mut all = Text::default();
        each_message(messages, |message| {
            digest.message_count += 1;
            let Some(text) = message.text() else { return };
            if digest.title.is_none() && message.is_human() {
                digest.title = Some(one_line(&text, MAX_LINE)).filter(|line| !line.is_empty());
            }
            all.push(&normalise(&text));
            last = Some(text);
        });
        digest.preview = last.map(|text| one_line(&text, MAX_LINE));
        digest.parts.extend(all.parts());
        digest
    }
}

/// Up to three occurrences of a query's words, in the order of the conversation. They show each
/// word once if possible.
#[must_use]
pub fn matches(title: Option<&str>, messages: &str, query: &Query) -> Vec<Match> {
    let mut hits: Vec<(usize, Vec<bool>, Match)> = Vec::new();
    let mut consider = |number: usize, text: &str, id: Option<String>, role: Option<String>| {
        if !may_have(text, &query.with) {
            return;
        }
        let form = normalise(text);
        let has: Vec<_> = query.with.iter().map(|word| form.contains(word.as_str())).collect();
        let shown = |place: usize| {
            hits.iter().any(|(_, words, _)| words.get(place).copied().unwrap_or(false))
        };
        let is_new = has.iter().enumerate().any(|(place, has)| *has && !shown(place));
        if !is_new && (hits.len() >= MAX_SNIPPETS || !has.contains(&true)) {
            return;
        }
        let Some(snippet) = snippet(text, &query.with) else { return };
        if hits.len() >= MAX_SNIPPETS {
            // Replaces an occurrence whose words are all shown by others.
            let spare = (0..hits.len()).rev().find(|place| is_spare(&hits, *place));
            let Some(spare) = spare else { return };
            hits.remove(spare);
        }
        hits.push((number, has, Match { message_id: id, role, snippet }));
    };
    if let Some(title) = title {
        consider(0, title, None, None);
    }
    let mut number = 0;
    each_message(messages, |message| {
        number += 1;
        if let Some(text) = message.text() {
            consider(number, &text, message.id(), message.kind().map(Cow::into_owned));
        }
    });
    hits.sort_by_key(|(number, ..)| *number);
    hits.into_iter().map(|(.., hit)| hit).collect()
}

/// Whether one of these words may occur in a text. Most texts contain none of them. An ASCII text
/// is checked without normalisation; any other text counts as a possible hit.
fn may_have(text: &str, words: &[String]) -> bool {
    if !text.is_ascii() || text.contains('\0') {
        return true;
    }
    let lower = text.to_ascii_lowercase();
    // The text is not normalised, so its whitespace may differ from that of the word.
    words.iter().any(|word| word.split(' ').all(|piece| lower.contains(piece)))
}

fn is_spare(hits: &[(usize, Vec<bool>, Match)], place: usize) -> bool {
    let Some((_, words, _)) = hits.get(place) else { return false };
    words.iter().enumerate().filter(|(_, has)| **has).all(|(word, _)| {
        let mut others = hits.iter().enumerate().filter(|(other, _)| *other != place);
        others.any(|(_, (_, words, _))| words.get(word).copied().unwrap_or(false))
    })
}

/// Text of messages, normalised.
#[derive(Default)]
struct Text {
    messages: Vec<String>,
    bytes: usize,
}

impl Text {
    fn push(&mut self, text: &str) {
        let text = text.trim();
        if !text.is_empty() {
            self.bytes += text.len();
            self.messages.push(text.to_owned());
        }
    }

    /// Joins messages into parts. Appended messages change only the last part.
    fn parts(mut self) -> Vec<String> {
        if self.bytes > MAX_TEXT {
            self.shorten();
        }
        let mut parts: Vec<String> = Vec::new();
        for message in self.messages {
            match parts.last_mut() {
                Some(part) if part.len() + message.len() < PART_BYTES => {
                    // A line break, which no normalised message contains, so that nothing is found
                    // across two messages.
                    part.push('\n');
                    part.push_str(&message);
                }
                _ => parts.push(message),
            }
        }
        parts
    }

    /// Removes the middle.
    fn shorten(&mut self) {
        let half = MAX_TEXT / 2;
        let mut begin = String::new();
        let mut kept = Vec::new();
        for message in &self.messages {
            let room = half.saturating_sub(begin.len());
            begin.push_str(head(message, room));
            kept.push(head(message, room).to_owned());
            if room <= message.len() {
                break;
            }
        }
        let (mut room, mut end) = (half, Vec::new());
        for message in self.messages.iter().rev() {
            end.push(tail(message, room).to_owned());
            if room <= message.len() {
                break;
            }
            room -= message.len();
        }
        kept.extend(end.into_iter().rev());
        self.messages = kept;
    }
}

/// The first bytes of a text, up to a character boundary.
fn head(text: &str, bytes: usize) -> &str {
    let end = (0..=bytes.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or(0)).unwrap_or_default()
}

/// The last bytes of a text, from a character boundary.
fn tail(text: &str, bytes: usize) -> &str {
    let begin = text.len().saturating_sub(bytes);
    let begin = (begin..=text.len()).find(|begin| text.is_char_boundary(*begin));
    text.get(begin.unwrap_or(0)..).unwrap_or_default()
}

/// A message. All fields are optional, because other programs wrote some messages.
#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    r#type: Option<&'a RawValue>,
    #[serde(borrow, default)]
    role: Option<&'a RawValue>,
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
}

/// A part of a message's content. Only text is used.
#[derive(Deserialize)]
struct Block<'a> {
    #[serde(borrow, default)]
    r#type: Option<&'a RawValue>,
    #[serde(borrow, default)]
    text: Option<&'a RawValue>,
}

fn each_message<'a>(messages: &'a str, mut take: impl FnMut(Message<'a>)) {
    let read = for_each(messages, |message| {
        // A message that is not an object has no text, but is counted.
        let none = Message { id: None, r#type: None, role: None, content: None };
        take(serde_json::from_str(message).unwrap_or(none));
        Ok::<_, std::convert::Infallible>(())
    });
    let _ = read;
}

fn string(value: Option<&RawValue>) -> Option<Cow<'_, str>> {
    let text: String = serde_json::from_str(value?.get()).ok()?;
    Some(Cow::Owned(text))
}

impl<'a> Message<'a> {
    fn id(&self) -> Option<String> {
        string(self.id).map(Cow::into_owned)
    }

    fn kind(&self) -> Option<Cow<'a, str>> {
        string(self.r#type).or_else(|| string(self.role))
    }

    fn is_human(&self) -> bool {
        matches!(self.kind().as_deref(), Some("human" | "user" | "HumanMessageChunk"))
    }

    /// The text of the message, without images and without the arguments and results of tools.
    fn text(&self) -> Option<String> {
        if matches!(
            self.kind().as_deref(),
            Some("tool" | "function" | "remove" | "ToolMessageChunk")
        ) {
            return None;
        }
        let content = self.content?;
        if let Some(text) = string(Some(content)) {
            return Some(text.into_owned()).filter(|text| !text.is_empty());
        }
        let mut text = String::new();
        let _ = for_each(content.get(), |block| {
            let block_text = serde_json::from_str::<String>(block).ok().or_else(|| {
                let block: Block<'_> = serde_json::from_str(block).ok()?;
                let is_text = string(block.r#type).is_none_or(|kind| kind == "text");
                string(block.text.filter(|_| is_text)).map(Cow::into_owned)
            });
            if let Some(block_text) = block_text {
                if !text.is_empty() {
                    text.push('\n');
                }
                text.push_str(&block_text);
            }
            Ok::<_, std::convert::Infallible>(())
        });
        (!text.is_empty()).then_some(text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_text_is_passed_over_that_has_a_word(
            text in "[a-cA-C0É\0 \n\t]{0,12}", words in prop::collection::vec("[a-c0é ]{1,3}", 1..3),
        ) {
            let words: Vec<_> = words.iter().map(|word| normalise(word.trim())).collect();
            let form = normalise(&text);
            let has_one = words.iter().any(|word| form.contains(word.as_str()));
            prop_assert!(!has_one || may_have(&text, &words));
        }
    }
}
