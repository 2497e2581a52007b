//! The form in which texts are compared: NFKC, case folded, without diacritics, whitespace as one
//! space.
//!
//! A text is split into grapheme clusters, which readers see as characters, and each is normalised
//! separately. So a position in the form always has a position in the text, and no hit begins or
//! ends inside a character.

use std::ops::Range;

use unicode_normalization::UnicodeNormalization as _;
use unicode_segmentation::UnicodeSegmentation as _;

/// A text in the form in which texts are compared. It has no line breaks.
#[must_use]
pub fn normalise(text: &str) -> String {
    let mut form = String::with_capacity(text.len());
    each_cluster(text, &mut form, |_, _| ());
    form
}

/// A text in that form, with the positions in the original text.
#[derive(Debug)]
pub struct Normalised {
    /// The form.
    pub form: String,
    /// The start of each cluster in the form and in the text, in bytes. The last entry is the end.
    clusters: Vec<(usize, usize)>,
}

impl Normalised {
    /// Normalises a text.
    #[must_use]
    pub fn of(text: &str) -> Normalised {
        let mut form = String::with_capacity(text.len());
        let mut clusters = Vec::new();
        each_cluster(text, &mut form, |at, begin| clusters.push((at, begin)));
        clusters.push((form.len(), text.len()));
        Normalised { form, clusters }
    }

    /// The indexes of the clusters that overlap this range of the form.
    pub(super) fn clusters_of(&self, range: &Range<usize>) -> Range<usize> {
        // The last cluster that begins at or before the first byte. Some clusters have no bytes in
        // the form.
        let first = self.clusters.partition_point(|(at, _)| *at <= range.start).saturating_sub(1);
        let end = self.clusters.partition_point(|(at, _)| *at < range.end);
        first..end.max(first)
    }

    /// The range of the text of some clusters, in bytes.
    pub(super) fn bytes_of(&self, clusters: &Range<usize>) -> Range<usize> {
        let begin = |number: usize| {
            let last = self.clusters.len().saturating_sub(1);
            self.clusters.get(number.min(last)).map_or(0, |(_, begin)| *begin)
        };
        begin(clusters.start)..begin(clusters.end)
    }

    /// The number of clusters.
    pub(super) fn len(&self) -> usize {
        self.clusters.len().saturating_sub(1)
    }
}

/// A text as one line of at most this many characters, ending in `…` if it was longer.
#[must_use]
pub fn one_line(text: &str, max: usize) -> String {
    let mut line = String::new();
    let mut count = 0;
    for (number, word) in text.split(is_blank).filter(|word| !word.is_empty()).enumerate() {
        let blank = if number > 0 { " " } else { "" };
        for cluster in blank.graphemes(true).chain(word.graphemes(true)) {
            // A cluster can have any number of code points.
            let length = cluster.chars().count();
            if count + length > max {
                if count == max {
                    // The last cluster is replaced by the `…`.
                    let last = line.grapheme_indices(true).next_back().map_or(0, |(at, _)| at);
                    line.truncate(last);
                }
                line.truncate(line.trim_end().len());
                line.push('…');
                return line;
            }
            count += length;
            line.push_str(cluster);
        }
    }
    line
}

fn is_blank(c: char) -> bool {
    c.is_whitespace() || c == '\0'
}

/// Writes the form of each cluster, and passes its start in the form and in the text to `begins`.
fn each_cluster(text: &str, form: &mut String, mut begins: impl FnMut(usize, usize)) {
    let bytes = text.as_bytes();
    let mut at = 0;
    let mut is_after_blank = false;
    while let Some(&byte) = bytes.get(at) {
        let plain = plain_ascii(bytes.get(at..).unwrap_or_default());
        if plain > 0 {
            let begin = form.len();
            (0..plain).for_each(|offset| begins(begin + offset, at + offset));
            form.push_str(text.get(at..at + plain).unwrap_or_default());
            form.get_mut(begin..).unwrap_or_default().make_ascii_lowercase();
            is_after_blank = false;
            at += plain;
            continue;
        }
        // Between two ASCII characters there is always a boundary, or both are whitespace.
        let is_ascii = byte.is_ascii() && bytes.get(at + 1).is_none_or(u8::is_ascii);
        let length = if is_ascii { 1 } else { first_cluster(text.get(at..).unwrap_or_default()) };
        let cluster = text.get(at..at + length).unwrap_or_default();
        let begin = form.len();
        match byte {
            _ if !is_ascii => push_folded(cluster, form),
            0 => form.push('\u{fffd}'),
            byte => form.push(char::from(byte.to_ascii_lowercase())),
        }
        // The form decides, because some characters are a blank with a mark, and lose the mark.
        let added = form.get(begin..).unwrap_or_default();
        let is_blank = !added.is_empty() && added.chars().all(char::is_whitespace);
        let has_form = !added.is_empty();
        if is_blank {
            form.truncate(begin);
        }
        if !(is_blank && is_after_blank) {
            begins(begin, at);
            if is_blank {
                form.push(' ');
            }
        }
        if has_form {
            is_after_blank = is_blank;
        }
        at += length;
    }
}

/// The number of first bytes that are visible ASCII characters and clusters of their own. One
/// before a non-ASCII character may be part of that character's cluster.
fn plain_ascii(bytes: &[u8]) -> usize {
    let visible = bytes.iter().take_while(|byte| byte.is_ascii_graphic()).count();
    match bytes.get(visible) {
        Some(next) if !next.is_ascii() => visible.saturating_sub(1),
        _ => visible,
    }
}

/// Bytes of the first cluster, or of the whole text if there is none.
fn first_cluster(text: &str) -> usize {
    text.graphemes(true).next().map_or(text.len().max(1), str::len)
}

/// The form of a cluster that is not plain ASCII.
fn push_folded(cluster: &str, form: &mut String) {
    let folded: String = cluster.nfkd().flat_map(fold).collect();
    let mut is_latin = false;
    let without_marks = folded.nfkd().filter(|c| {
        if is_diacritic(*c) {
            return !is_latin;
        }
        is_latin = is_latin_or_greek(*c);
        true
    });
    // A letter with a mark that is not removed, such as й, is a separate letter of its script.
    let composed = without_marks.nfc().filter(|c| !is_diacritic(*c));
    form.extend(composed.map(|c| match c {
        '\0' => '\u{fffd}',
        c if c.is_whitespace() => ' ',
        c => c,
    }));
}

/// Unicode's full case folding, by the case mappings of the standard library.
fn fold(c: char) -> impl Iterator<Item = char> {
    c.to_lowercase().flat_map(char::to_uppercase).flat_map(char::to_lowercase)
}

fn is_diacritic(c: char) -> bool {
    ('\u{300}'..='\u{36f}').contains(&c)
}

/// Letters whose diacritics are removed. In other scripts they form separate letters.
fn is_latin_or_greek(c: char) -> bool {
    matches!(c,
        'a'..='z' | 'A'..='Z' | '\u{c0}'..='\u{2af}' | '\u{370}'..='\u{3ff}'
        | '\u{1d00}'..='\u{1dbf}' | '\u{1e00}'..='\u{1fff}' | '\u{2c60}'..='\u{2c7f}'
        | '\u{a720}'..='\u{a7ff}' | '\u{ab30}'..='\u{ab6f}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn spellings_of_one_text_have_one_form() {
        for (text, form) in [
            ("Nevada ネバダ州", "nevada ネバダ州"),
            ("ﬁne ½ 20℃", "fine 1⁄2 20°c"),
            ("E\u{301}cole École ÉCOLE", "ecole ecole ecole"),
            ("STRASSE straße STRAẞE", "strasse strasse strasse"),
            ("ΣΊΣΥΦΟΣ σίσυφος", "σισυφοσ σισυφοσ"),
            ("İstanbul", "istanbul"),
            ("Й й и ё е за\u{301}мок", "й й и ё е замок"),
            ("ｶﾞｷﾞ ガギ カ", "ガギ ガギ カ"),
            ("한국 \u{1112}\u{1161}\u{11ab}국", "한국 한국"),
            ("a\r\n\t b\u{a0}\u{3000}c\n", "a b c "),
            ("Việt Nam ŻÓŁĆ", "viet nam zołc"),
            ("≠ a\0b", "≠ a\u{fffd}b"),
            ("ไทย กำ", "ไทย กํา"),
            ("", ""),
        ] {
            assert_eq!(normalise(text), form, "{text}");
        }
    }

    #[test]
    fn a_line_is_cut_between_characters() {
        assert_eq!(one_line("  a\n\n b\t", 10), "a b");
        assert_eq!(one_line("abcdef", 6), "abcdef");
        assert_eq!(one_line("abcdefg", 6), "abcde…");
        assert_eq!(one_line("ab 👍🏽👍🏽👍🏽", 6), "ab 👍🏽…");
        assert_eq!(one_line("a\u{0}b", 6), "a b");
        assert_eq!(one_line("\n \n", 6), "");
        assert_eq!(one_line(&"x".repeat(12_000), 200).chars().count(), 200);
    }

    #[test]
    fn a_character_that_is_a_blank_with_a_mark_is_a_blank() {
        assert_eq!(normalise("a\u{b8} b"), "a b");
        assert_eq!(normalise("a \u{301}\u{2028} b"), "a b");
    }

    proptest! {
        #[test]
        fn the_form_of_a_form_is_itself(text in "\\PC*") {
            let form = normalise(&text);
            prop_assert_eq!(normalise(&form), form);
        }

        #[test]
        fn the_way_back_covers_what_was_found(
            text in "[a-cÉ½ﬁ👍🏽ネﾊﾞ \u{301}\u{200d}\n]{0,30}", from in 0..30_usize, length in 1..9_usize,
        ) {
            let normalised = Normalised::of(&text);
            prop_assert_eq!(&normalised.form, &normalise(&text));
            let chars: Vec<_> = normalised.form.char_indices().map(|(at, _)| at).collect();
            let Some(&begin) = chars.get(from) else { return Ok(()) };
            let end = chars.get(from + length).copied().unwrap_or(normalised.form.len());
            let clusters = normalised.clusters_of(&(begin..end));
            let found = &text[normalised.bytes_of(&clusters)];
            let form = normalise(found);
            prop_assert!(form.contains(&normalised.form[begin..end]), "{found:?} {form:?}");
        }

        #[test]
        fn a_line_is_one_line_of_bounded_length(text in ".*", max in 1..40_usize) {
            let line = one_line(&text, max);
            prop_assert!(!line.contains(['\n', '\0']) && line.trim() == line);
            prop_assert!(line.chars().count() <= max.max(1), "{line:?}");
        }
    }
}
