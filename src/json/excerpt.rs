//! Excerpts of clients' input for errors and answers.

/// Maximum characters of a client's input in an error or answer.
pub const MAX_ECHO: usize = 200;

/// The first [`MAX_ECHO`] characters of a text. A truncated text ends with three dots, which count.
#[must_use]
pub fn excerpt(text: &str) -> String {
    if text.char_indices().nth(MAX_ECHO).is_none() {
        return text.to_owned();
    }
    text.chars().take(MAX_ECHO - 3).chain("...".chars()).collect()
}

/// An excerpt in quotation marks, with escapes for characters that cannot be printed, and of the
/// same maximum length.
#[must_use]
pub fn quoted(text: &str) -> String {
    excerpt(&format!("{:?}", excerpt(text)))
}

/// The text of an error of `serde_json` without its line and column, which are useless for a body
/// that an SDK wrote on one line.
#[must_use]
pub fn without_position(message: &str) -> &str {
    message.rfind(" at line ").and_then(|end| message.get(..end)).unwrap_or(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_text_is_repeated_whole() {
        let longest = "\u{e9}".repeat(MAX_ECHO);
        assert_eq!(excerpt(&longest), longest);
        assert_eq!(quoted("a\"\n"), r#""a\"\n""#);
    }

    #[test]
    fn no_repetition_is_longer_than_the_limit() {
        for text in ["x".repeat(1_000_000), "\u{1}".repeat(MAX_ECHO), "\u{1F600}".repeat(1000)] {
            assert_eq!(excerpt(&text).chars().count(), text.chars().count().min(MAX_ECHO));
            assert_eq!(quoted(&text).chars().count(), MAX_ECHO);
        }
        assert!(excerpt(&"x".repeat(MAX_ECHO + 1)).ends_with("x..."));
    }
}
