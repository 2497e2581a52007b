//! A thread as Markdown, for people and for programs.
//!
//! Each message is a second-level heading, and its text is a fenced code block. The fence is longer
//! than any run of backticks or tildes in the text, so no text can end the block: a message cannot
//! imitate another message, and the block contains what was sent.

use std::borrow::Cow;
use std::fmt::Write as _;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::digest::Digest;
use crate::json::{Members, for_each};
use crate::messages::CHANNEL;
use crate::store::Thread;
use crate::text::one_line;

/// Maximum number of characters of a role, a name or a kind of block.
const MAX_NAME: usize = 60;

/// The messages of a thread, and the number of other branches.
pub(super) fn of(thread: &Thread, other_branches: usize) -> String {
    let values = thread.values.as_ref().and_then(|values| Members::read(values.text()).ok());
    let messages = values.as_ref().and_then(|values| values.get(CHANNEL)).unwrap_or("[]");
    let named = thread.metadata.parse::<Named>().unwrap_or_default().title;
    let title = Digest::of(named.as_deref(), messages).title;
    let title = title.unwrap_or_else(|| thread.thread_id.to_string());
    let mut text = format!("# {}\n\n", escaped(&title));
    let _ = writeln!(text, "Thread {}, last updated {}.", thread.thread_id, thread.updated_at);
    match other_branches {
        0 => {}
        1 => text.push_str("\nThis is the current branch. There is 1 other.\n"),
        others => {
            let _ = writeln!(text, "\nThis is the current branch. There are {others} others.");
        }
    }
    let _ = for_each(messages, |message| {
        push_turn(&mut text, message);
        Ok::<_, std::convert::Infallible>(())
    });
    text
}

/// The title in the metadata.
#[derive(Default, Deserialize)]
struct Named {
    #[serde(default)]
    title: Option<String>,
}

fn push_turn(text: &mut String, message: &str) {
    let message = Members::read(message).unwrap_or_default();
    let role = message.get("type").or_else(|| message.get("role")).and_then(string);
    let name = message.get("name").and_then(string);
    let role =
        role.as_deref().map_or_else(|| "message".to_owned(), |role| one_line(role, MAX_NAME));
    let _ = write!(text, "\n## {}", escaped(&role));
    if let Some(name) = name {
        let _ = write!(text, " ({})", escaped(&one_line(&name, MAX_NAME)));
    }
    text.push_str("\n\n");
    let (body, left_out) = content(message.get("content").unwrap_or("null"));
    push_fenced(text, "", &body);
    for kind in left_out {
        let _ = write!(text, "\nLeft out: {}\n", escaped(&one_line(&kind, MAX_NAME)));
    }
    let calls = message.get("tool_calls").filter(|calls| calls.len() > "[]".len());
    if let Some(calls) = calls {
        text.push_str("\nTool calls:\n\n");
        push_fenced(text, "json", calls);
    }
}

/// The text of a message's `content`, and the kinds of the blocks that are not text.
fn content(content: &str) -> (String, Vec<String>) {
    if let Some(text) = string(content) {
        return (text.into_owned(), Vec::new());
    }
    let (mut texts, mut left_out) = (Vec::new(), Vec::new());
    let read = for_each(content, |block| {
        if let Some(text) = string(block) {
            texts.push(text.into_owned());
        } else {
            let block = Members::read(block).unwrap_or_default();
            let kind = block.get("type").and_then(string).unwrap_or(Cow::Borrowed("block"));
            match block.get("text").and_then(string) {
                Some(text) if kind == "text" => texts.push(text.into_owned()),
                _ => left_out.push(kind.into_owned()),
            }
        }
        Ok::<_, std::convert::Infallible>(())
    });
    if read.is_err() && content != "null" {
        return (content.to_owned(), Vec::new());
    }
    (texts.join("\n"), left_out)
}

fn string(json: &str) -> Option<Cow<'_, str>> {
    let value: &RawValue = serde_json::from_str(json).ok()?;
    serde_json::from_str::<String>(value.get()).ok().map(Cow::Owned)
}

/// Writes a text in a fence that the text cannot end. The line break before the closing fence is
/// not part of the text.
fn push_fenced(text: &mut String, language: &str, body: &str) {
    let longest = |mark: char| body.split(|c| c != mark).map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest('`').max(longest('~')).max(2) + 1);
    let _ = write!(text, "{fence}{language}\n{body}\n{fence}\n");
}

/// A line with Markdown's special characters escaped.
fn escaped(line: &str) -> String {
    line.chars().fold(String::with_capacity(line.len()), |mut escaped, c| {
        if c.is_ascii_punctuation() {
            escaped.push('\\');
        }
        escaped.push(c);
        escaped
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fence_is_longer_than_any_in_the_text() {
        let mut text = String::new();
        push_fenced(&mut text, "", "a ```` b\n~~~~~\n```");
        assert_eq!(text, "``````\na ```` b\n~~~~~\n```\n``````\n");
        text.clear();
        push_fenced(&mut text, "json", "");
        assert_eq!(text, "```json\n\n```\n");
    }
}
