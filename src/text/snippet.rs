//! The part of a text around the hits of a search.

use std::ops::Range;

use serde::Serialize;
use utoipa::ToSchema;

use super::Normalised;

/// Characters before the first hit.
const BEFORE: usize = 40;
/// Characters of a snippet, unless its first hit has more.
const LENGTH: usize = 160;

/// A part of a text in its original letters, with the positions of the hits. It begins and ends
/// between grapheme clusters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Snippet {
    /// The text.
    #[serde(rename = "snippet")]
    pub text: String,
    /// Start and end of each hit in `snippet`, in UTF-16 units, as in JavaScript.
    #[schema(value_type = Vec<Vec<usize>>)]
    pub places: Vec<[usize; 2]>,
}

/// The part around the first occurrence of one of these words. `None`: there is none. The words are
/// in the form in which texts are compared.
#[must_use]
pub fn snippet(text: &str, words: &[String]) -> Option<Snippet> {
    let normalised = Normalised::of(text);
    let first = words.iter().filter_map(|word| {
        let at = normalised.form.find(word.as_str())?;
        Some(normalised.clusters_of(&(at..at + word.len())))
    });
    let first = first.min_by_key(|clusters| clusters.start)?;
    let begin = first.start.saturating_sub(BEFORE);
    let end = (begin + LENGTH).max(first.end).min(normalised.len());
    let whole = normalised.bytes_of(&(begin..end));
    let piece = text.get(whole.clone())?;
    // Searched again in the part, so that a long text is searched only once.
    let in_piece = Normalised::of(piece);
    let places = places(&in_piece, words).into_iter().map(|clusters| {
        let bytes = in_piece.bytes_of(&clusters);
        [units(piece, bytes.start), units(piece, bytes.end)]
    });
    Some(Snippet { text: piece.to_owned(), places: places.collect() })
}

/// The occurrences of the words, without overlaps, in order.
fn places(normalised: &Normalised, words: &[String]) -> Vec<Range<usize>> {
    let mut found: Vec<_> = words
        .iter()
        .filter(|word| !word.is_empty())
        .flat_map(|word| {
            let hits = normalised.form.match_indices(word.as_str());
            hits.map(|(at, hit)| normalised.clusters_of(&(at..at + hit.len())))
        })
        .collect();
    found.sort_unstable_by_key(|range| (range.start, range.end));
    let mut places: Vec<Range<usize>> = Vec::new();
    for range in found {
        match places.last_mut() {
            Some(last) if range.start < last.end => last.end = last.end.max(range.end),
            _ => places.push(range),
        }
    }
    places
}

fn units(text: &str, end: usize) -> usize {
    text.get(..end).map_or(0, |before| before.encode_utf16().count())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::text::{Query, normalise};

    fn cut(text: &str, query: &str) -> (String, Vec<String>) {
        let found = snippet(text, &Query::read(query).unwrap().with).unwrap();
        let units: Vec<u16> = found.text.encode_utf16().collect();
        let hits = found
            .places
            .iter()
            .map(|[begin, end]| String::from_utf16(units.get(*begin..*end).unwrap()).unwrap());
        let hits = hits.collect();
        (found.text, hits)
    }

    #[test]
    fn places_are_those_of_the_original_letters() {
        let text = "½ ½ ﬁne 👍🏽 20℃ ネバダ州 Nevada E\u{301}cole";
        for (query, hits) in [
            ("fine", &["ﬁne"][..]),
            ("20°C", &["20℃"]),
            ("nevada", &["Nevada"]),
            ("école", &["E\u{301}cole"]),
            ("½", &["½", "½"]),
            ("👍", &["👍🏽"]),
            ("バダ", &["バダ"]),
            ("nev vada", &["Nevada"]),
            ("fine école", &["ﬁne", "E\u{301}cole"]),
        ] {
            assert_eq!(
                cut(text, query),
                (text.to_owned(), hits.iter().map(|hit| (*hit).to_owned()).collect())
            );
        }
    }

    #[test]
    fn a_snippet_is_cut_around_the_first_hit() {
        let text = format!("{}needle{}", "a".repeat(1_000), "b".repeat(1_000));
        let (piece, hits) = cut(&text, "NEEDLE");
        assert_eq!(hits, ["needle"]);
        assert!(piece.starts_with(&"a".repeat(BEFORE)) && piece.chars().count() == LENGTH);
        assert_eq!(cut("needle", "needle").1, ["needle"]);
        let long = "x".repeat(500);
        assert_eq!(cut(&text.replace("needle", &long), &long).1, [long]);
        assert_eq!(snippet("hay", &["needle".to_owned()]), None);
    }

    proptest! {
        #[test]
        fn a_hit_has_the_word_and_whole_characters(
            text in "[a-cÉ½ﬁ👍🏽ネﾊﾞ \u{301}\u{200d}\n]{0,30}", word in "[a-ce½👍🏽ネバ ]{1,3}",
        ) {
            let word = normalise(&word);
            let found = snippet(&text, std::slice::from_ref(&word));
            prop_assert_eq!(found.is_some(), normalise(&text).contains(&word));
            let Some(found) = found else { return Ok(()) };
            prop_assert!(!found.places.is_empty());
            let units: Vec<u16> = found.text.encode_utf16().collect();
            for [begin, end] in found.places {
                let hit = String::from_utf16(&units[begin..end]).unwrap();
                prop_assert!(normalise(&hit).contains(&word), "{hit:?} {word:?}");
            }
        }
    }
}
