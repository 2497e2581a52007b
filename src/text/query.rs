//! The parser of search queries.
//!
//! A query has words that must all occur, phrases in quotes, and `-word` for words that must not
//! occur. No other character is special: `100%`, `case_1`, `C:\tmp` and `--flag` are words.

use super::normalise;

/// Maximum characters of a query.
const MAX_CHARACTERS: usize = 1_000;
/// Maximum number of words and phrases.
const MAX_WORDS: usize = 20;

/// The words of a query, in the form in which texts are compared. They may occur anywhere, also
/// inside other words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// The words that must occur. At least one.
    pub with: Vec<String>,
    /// The words that must not occur.
    pub without: Vec<String>,
}

/// Why a text is not a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// It is too long.
    #[error("must not be longer than {MAX_CHARACTERS} characters")]
    TooLong,
    /// It has too many words.
    #[error("must not have more than {MAX_WORDS} words")]
    TooManyWords,
    /// It has no word that must occur.
    #[error("must have a word without a minus")]
    NoWord,
}

impl Query {
    /// Parses a query.
    pub fn read(text: &str) -> Result<Query, Unusable> {
        if text.chars().nth(MAX_CHARACTERS).is_some() {
            return Err(Unusable::TooLong);
        }
        let (mut with, mut without) = (Vec::new(), Vec::new());
        let mut rest = text.trim_start();
        while !rest.is_empty() {
            let (is_excluded, word, behind) = first_word(rest);
            let word = normalise(word).trim().to_owned();
            let words = if is_excluded { &mut without } else { &mut with };
            if !word.is_empty() && !words.contains(&word) {
                words.push(word);
            }
            rest = behind.trim_start();
        }
        if with.len() + without.len() > MAX_WORDS {
            return Err(Unusable::TooManyWords);
        }
        if with.is_empty() { Err(Unusable::NoWord) } else { Ok(Query { with, without }) }
    }
}

/// Whether the first word of a text is excluded, the word, and the rest.
fn first_word(text: &str) -> (bool, &str, &str) {
    let begins_word = |c: char| c == '"' || c.is_alphanumeric();
    let excluded = text.strip_prefix('-').filter(|rest| rest.starts_with(begins_word));
    let (is_excluded, word) = (excluded.is_some(), excluded.unwrap_or(text));
    let word = match word.strip_prefix('"').map(|phrase| (phrase, phrase.split_once('"'))) {
        Some((_, Some((phrase, behind)))) => return (is_excluded, phrase, behind),
        // An unclosed quote is ignored.
        Some((rest, None)) if !is_excluded => return first_word(rest),
        Some((rest, None)) => rest,
        None => word,
    };
    let end = word.find(char::is_whitespace).unwrap_or(word.len());
    let (word, behind) = word.split_at(end);
    // A dash by itself is punctuation, unless it is quoted.
    (is_excluded, if word == "-" { "" } else { word }, behind)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_quotes_and_a_minus_before_a_word_have_a_meaning() {
        for (text, with, without) in [
            ("100%", &["100%"][..], &[][..]),
            ("case_1 C:\\tmp", &["case_1", "c:\\tmp"], &[]),
            ("POL-358 covid-19", &["pol-358", "covid-19"], &[]),
            ("don't use", &["don't", "use"], &[]),
            ("\"--error-on-warnings\"", &["--error-on-warnings"], &[]),
            ("--error-on-warnings", &["--error-on-warnings"], &[]),
            ("TODO: fix", &["todo:", "fix"], &[]),
            ("foo \"bar", &["foo", "bar"], &[]),
            ("foo \"", &["foo"], &[]),
            ("foo \"-bar", &["foo"], &["bar"]),
            ("foo -\"bar baz", &["foo", "baz"], &["bar"]),
            ("a -b -\"c  d\" - -- \"\"", &["a", "--"], &["b", "c d"]),
            ("\"a  -b\"c", &["a -b", "c"], &[]),
            ("5\" pipe", &["5\"", "pipe"], &[]),
            ("École  ECOLE", &["ecole"], &[]),
            ("-猫 犬", &["犬"], &["猫"]),
            ("\"-\" -\"-\"", &["-"], &["-"]),
        ] {
            let read = Query::read(text).unwrap();
            let expected = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
            assert_eq!(read, Query { with: expected(with), without: expected(without) }, "{text}");
        }
    }

    #[test]
    fn a_query_has_a_word_that_must_occur() {
        for text in ["", " ", "-", "\"\"", "\" \"", "-word", "-\"a b\"", "- -", "\u{301}"] {
            assert_eq!(Query::read(text), Err(Unusable::NoWord), "{text}");
        }
        assert_eq!(Query::read(&"x".repeat(1_001)), Err(Unusable::TooLong));
        let many: Vec<_> = (0..21).map(|n| n.to_string()).collect();
        assert_eq!(Query::read(&many.join(" ")), Err(Unusable::TooManyWords));
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in "[-\"a É\\n\u{301}]{0,30}") {
            if let Ok(query) = Query::read(&text) {
                let words = query.with.iter().chain(&query.without);
                for word in words {
                    prop_assert!(!word.is_empty() && !word.contains('\n'), "{word:?}");
                }
            }
        }
    }
}
