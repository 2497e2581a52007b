//! The checks of a request body beyond its syntax.

use serde_json::value::RawValue;

use super::excerpt;

/// Maximum nesting. The limit of Postgres itself is a few thousand, depending on its
/// `max_stack_depth`; that of clients' parsers is about 1,000.
pub const MAX_DEPTH: usize = 512;

/// Maximum digits before the point of a number that is written out without an exponent, the limit
/// of Postgres' `numeric`.
const MAX_INTEGER_DIGITS: i64 = 131_072;
/// Maximum digits after the point, the limit of Postgres' `numeric`.
const MAX_FRACTION_DIGITS: i64 = 16_383;

/// Why a body is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unstorable {
    /// Not JSON, or JSON whose strings or numbers no parser can represent.
    #[error("Invalid JSON in request body")]
    Invalid,
    /// U+0000, which Postgres cannot store. The reference server replaces it silently.
    #[error("{0}: {reason}", reason = self.reason())]
    Nul(String),
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("{0}: {reason}", reason = self.reason())]
    Depth(String),
    /// A number with more digits than Postgres can store.
    #[error("{0}: {reason}", reason = self.reason())]
    Digits(String),
}

impl Unstorable {
    /// The reason, without the field.
    #[must_use]
    pub fn reason(&self) -> String {
        match self {
            Unstorable::Invalid => "not valid JSON".to_owned(),
            Unstorable::Nul(_) => "the character U+0000 cannot be stored".to_owned(),
            Unstorable::Depth(_) => format!("nested deeper than {MAX_DEPTH} levels"),
            Unstorable::Digits(_) => "a number has more digits than can be stored".to_owned(),
        }
    }
}

/// Checks that `bytes` are one JSON document that can be stored and returned exactly.
///
/// The error names the top-level field with the offending value.
pub fn check(bytes: &[u8]) -> Result<&str, Unstorable> {
    let text = std::str::from_utf8(bytes).map_err(|_| Unstorable::Invalid)?;
    serde_json::from_str::<&RawValue>(text).map_err(|_| Unstorable::Invalid)?;
    Scan { bytes, at: 0, depth: 0, field: None }.run()?;
    Ok(text)
}

/// A pass over text that is well-formed JSON.
struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
    depth: usize,
    /// The key read last at depth 1. A value is reached after its key, so for everything nested in
    /// a field this is the field's name.
    field: Option<&'a [u8]>,
}

impl Scan<'_> {
    fn run(mut self) -> Result<(), Unstorable> {
        while let Some(&byte) = self.bytes.get(self.at) {
            match byte {
                b'"' => self.string()?,
                b'-' | b'0'..=b'9' => self.number()?,
                b'{' | b'[' => {
                    self.depth += 1;
                    if self.depth > MAX_DEPTH {
                        return Err(Unstorable::Depth(self.field()));
                    }
                    self.at += 1;
                }
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    self.at += 1;
                }
                _ => self.at += 1,
            }
        }
        Ok(())
    }

    fn field(&self) -> String {
        match self.field {
            Some(name) => excerpt(&String::from_utf8_lossy(name)),
            None => "request body".to_owned(),
        }
    }

    fn string(&mut self) -> Result<(), Unstorable> {
        self.at += 1;
        let start = self.at;
        loop {
            match self.bytes.get(self.at) {
                None => return Err(Unstorable::Invalid),
                Some(b'"') => break,
                Some(b'\\') => self.escape()?,
                Some(_) => self.at += 1,
            }
        }
        // A string that is itself a value at depth 1 ends its field, so the next error
        // cannot be about it: only keys need to be remembered.
        let next = self.bytes.get(self.at + 1..).unwrap_or_default();
        let is_key = next.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b':');
        if self.depth == 1 && is_key {
            self.field = self.bytes.get(start..self.at);
        }
        self.at += 1;
        Ok(())
    }

    fn escape(&mut self) -> Result<(), Unstorable> {
        if self.bytes.get(self.at + 1) != Some(&b'u') {
            self.at += 2;
            return Ok(());
        }
        let unit = self.code_unit(self.at)?;
        self.at += 6;
        match unit {
            0 => Err(Unstorable::Nul(self.field())),
            0xD800..=0xDBFF => match self.code_unit(self.at)? {
                0xDC00..=0xDFFF => {
                    self.at += 6;
                    Ok(())
                }
                _ => Err(Unstorable::Invalid),
            },
            0xDC00..=0xDFFF => Err(Unstorable::Invalid),
            _ => Ok(()),
        }
    }

    /// The value of the `\uXXXX` at `at`.
    fn code_unit(&self, at: usize) -> Result<u16, Unstorable> {
        let escape = self.bytes.get(at..at + 6).ok_or(Unstorable::Invalid)?;
        let digits = escape.strip_prefix(b"\\u").ok_or(Unstorable::Invalid)?;
        std::str::from_utf8(digits)
            .ok()
            .and_then(|digits| u16::from_str_radix(digits, 16).ok())
            .ok_or(Unstorable::Invalid)
    }

    fn number(&mut self) -> Result<(), Unstorable> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let length = rest
            .iter()
            .position(|byte| !matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'))
            .unwrap_or(rest.len());
        self.at += length;
        let text = std::str::from_utf8(rest.get(..length).unwrap_or_default())
            .map_err(|_| Unstorable::Invalid)?;
        if length < 16 && !text.contains(['e', 'E']) {
            return Ok(());
        }
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (integer, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        // Counts the digits that the number has in Postgres, without an exponent.
        let exponent: i64 = exponent.parse().unwrap_or(i64::MIN / 2);
        let length_of = |digits: &str| i64::try_from(digits.len()).unwrap_or(i64::MAX / 2);
        if length_of(integer).saturating_add(exponent.max(0)) > MAX_INTEGER_DIGITS
            || length_of(fraction).saturating_sub(exponent.min(0)) > MAX_FRACTION_DIGITS
        {
            let is_infinite = text.parse::<f64>().is_ok_and(f64::is_infinite);
            let error = if is_infinite && text.contains(['e', 'E']) {
                Unstorable::Invalid
            } else {
                Unstorable::Digits(self.field())
            };
            return Err(error);
        }
        if text.contains(['e', 'E']) {
            let number: f64 = text.parse().map_err(|_| Unstorable::Invalid)?;
            if number.is_infinite() {
                return Err(Unstorable::Invalid);
            }
            let is_zero = mantissa.bytes().all(|byte| !matches!(byte, b'1'..=b'9'));
            if number == 0.0 && !is_zero {
                return Err(Unstorable::Digits(self.field()));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize;
    use serde_json::Value;

    use super::*;

    #[test]
    fn accepts_what_can_be_stored() {
        for text in [
            "{}",
            " [1, -2.5, 1e10, 18446744073709551615, 123456789012345678901234567890] ",
            r#"{"a":"\\u0000","b":"\"\u00e9\ud83d\ude00"}"#,
            "0.1234567890123456789",
            "1e308",
            "0e5",
        ] {
            assert_eq!(check(text.as_bytes()), Ok(text));
        }
    }

    #[test]
    fn refuses_what_is_not_json() {
        for text in [
            &b""[..],
            b"{",
            b"{} x",
            b"{'a':1}",
            b"\xff\xfe",
            b"[NaN]",
            b"\xef\xbb\xbf{}",
            b"\"\x01\"",
            br#"{"a":"\ud800"}"#,
            br#"{"a":"\ud800\u0041"}"#,
            br#"{"a":"\udc00"}"#,
            b"[1e400]",
            b"[-1e999999999999]",
        ] {
            assert_eq!(check(text), Err(Unstorable::Invalid), "{}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn names_the_field_that_cannot_be_stored() {
        let nul = br#"{"title":"x","metadata":{"k":"x","a":["b\u0000"]}}"#;
        assert_eq!(check(nul), Err(Unstorable::Nul("metadata".into())));
        assert_eq!(check(br#"{"k\u0000":1}"#), Err(Unstorable::Nul("request body".into())));
        let deep = format!(r#"{{"values":{}{}}}"#, "[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH));
        assert_eq!(check(deep.as_bytes()), Err(Unstorable::Depth("values".into())));
        let small = br#"{"n":1e-400}"#;
        assert_eq!(check(small), Err(Unstorable::Digits("n".into())));
        let long = format!(r#"{{"n":0.{}}}"#, "1".repeat(16_384));
        assert_eq!(check(long.as_bytes()), Err(Unstorable::Digits("n".into())));
        let both = format!(r#"{{"n":0.{}e-10}}"#, "1".repeat(16_380));
        assert_eq!(check(both.as_bytes()), Err(Unstorable::Digits("n".into())));
    }

    #[test]
    fn the_deepest_allowed_nesting_passes() {
        let deep = "[".repeat(MAX_DEPTH) + &"]".repeat(MAX_DEPTH);
        assert!(check(deep.as_bytes()).is_ok());
    }

    #[test]
    fn an_exponent_of_any_size_is_no_overflow() {
        for exponent in [i64::MAX, i64::MAX - 1, i64::MIN, i64::MIN + 1] {
            for mantissa in ["0", "-0", "0.0", "-0.00"] {
                let sent = format!(r#"{{"n":{mantissa}e{exponent}}}"#);
                assert_eq!(check(sent.as_bytes()), Err(Unstorable::Digits("n".into())), "{sent}");
            }
        }
        let sent = format!("[1e{}]", i64::MAX);
        assert_eq!(check(sent.as_bytes()), Err(Unstorable::Invalid));
    }

    /// Pieces of JSON, whole and broken, that follow each other at random.
    fn pieces() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            4 => prop::sample::select(vec![
                "{", "}", "[", "]", ",", ":", "\"", "\\", "\\u", "\\ud800", "\\udc00", "\\u0000",
                "\\\"", "\\u+123", "null", "true", "-", "0", "1", ".", "e", "E", "+", " ", "\n",
                "\u{e9}", "\u{1f600}", "\"a\":", "{\"a\":1}", "[[", "e99999", "e-99999", "u0000",
                "9223372036854775807", "99999999999999999999",
            ]).prop_map(|piece| piece.as_bytes().to_vec()),
            1 => prop::collection::vec(any::<u8>(), 0..4),
        ];
        prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
    }

    /// A number as JSON spells it.
    fn number() -> impl Strategy<Value = String> {
        let exponent = prop_oneof!["[eE][+-]?[0-9]{1,4}", "[eE][+-]?[0-9]{5,20}"];
        ("-?(0|[1-9][0-9]{0,30})", prop::option::of("[.][0-9]{1,30}"), prop::option::of(exponent))
            .prop_map(|(integer, fraction, exponent)| {
                format!("{integer}{}{}", fraction.unwrap_or_default(), exponent.unwrap_or_default())
            })
    }

    /// What passes is the JSON that a strict parser reads; it has no U+0000 and no lone surrogate.
    fn is_sound(bytes: &[u8]) {
        let Ok(text) = check(bytes) else { return };
        assert_eq!(text.as_bytes(), bytes);
        let mut parser = serde_json::Deserializer::from_slice(bytes);
        match Value::deserialize(&mut parser) {
            Ok(value) => {
                parser.end().unwrap();
                assert!(!value.to_string().contains("\\u0000"), "{text}");
            }
            Err(error) => assert!(error.to_string().contains("recursion"), "{text}: {error}"),
        }
    }

    /// What a strict parser reads passes, unless it is refused by a reason of our own.
    fn is_complete(bytes: &[u8]) {
        if serde_json::from_slice::<Value>(bytes).is_ok() {
            assert_ne!(check(bytes), Err(Unstorable::Invalid), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged_as_a_strict_parser_does(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            is_sound(&bytes);
            is_complete(&bytes);
        }

        #[test]
        fn any_pieces_of_json_are_judged_as_a_strict_parser_does(bytes in pieces()) {
            is_sound(&bytes);
            is_complete(&bytes);
        }

        #[test]
        fn any_number_is_judged_as_a_strict_parser_does(number in number()) {
            is_sound(number.as_bytes());
            is_complete(number.as_bytes());
            // Written out it has no more digits than Postgres holds.
            if check(number.as_bytes()).is_ok() && let Some(at) = number.find(['e', 'E']) {
                let exponent: i64 = number[at + 1..].parse().unwrap();
                prop_assert!((-MAX_FRACTION_DIGITS..=MAX_INTEGER_DIGITS).contains(&exponent));
            }
        }
    }
}
