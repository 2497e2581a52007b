//! Equality of JSON texts.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::value::RawValue;

use super::for_each;

/// Maximum nesting that is compared. Deeper values are equal if their texts are; they cannot be
/// stored anyway ([`MAX_DEPTH`](super::MAX_DEPTH)).
const MAX_COMPARED_DEPTH: usize = 2 * super::MAX_DEPTH;

/// Maximum digits of a printed 64-bit float.
const MAX_FLOAT_DIGITS: usize = 17;

/// Whether two JSON texts have equal values, regardless of whitespace, escapes and the order of
/// keys. Of duplicate keys the last counts. Numbers are compared digit by digit, unless one of them
/// is a printed 64-bit float, because many servers store numbers as floats.
#[must_use]
pub fn equal(one: &str, other: &str) -> bool {
    equal_at(0, one, other)
}

fn equal_at(depth: usize, one: &str, other: &str) -> bool {
    if one == other {
        return true;
    }
    if depth > MAX_COMPARED_DEPTH {
        return false;
    }
    match (one.as_bytes().first(), other.as_bytes().first()) {
        (Some(b'{'), Some(b'{')) => {
            let (Some(one), Some(other)) = (members(one), members(other)) else { return false };
            one.len() == other.len()
                && one.iter().all(|(key, one)| {
                    other.get(key).is_some_and(|other| equal_at(depth + 1, one.get(), other.get()))
                })
        }
        (Some(b'['), Some(b'[')) => {
            let (one, other) = (elements(one), elements(other));
            one.len() == other.len()
                && one.iter().zip(other).all(|(one, other)| equal_at(depth + 1, one, other))
        }
        (Some(b'"'), Some(b'"')) => {
            let (one, other) = (string(one), string(other));
            one.is_some() && one == other
        }
        (Some(b'-' | b'0'..=b'9'), Some(b'-' | b'0'..=b'9')) => equal_numbers(one, other),
        _ => false,
    }
}

fn members(object: &str) -> Option<HashMap<Cow<'_, str>, &RawValue>> {
    serde_json::from_str(object).ok()
}

/// The items of a JSON list; none if the text is not a list.
pub(super) fn elements(list: &str) -> Vec<&str> {
    let mut elements = Vec::new();
    let _ = for_each(list, |element| {
        elements.push(element);
        Ok::<_, ()>(())
    });
    elements
}

fn string(text: &str) -> Option<String> {
    serde_json::from_str(text).ok()
}

fn equal_numbers(one: &str, other: &str) -> bool {
    let (one_exact, other_exact) = (Decimal::read(one), Decimal::read(other));
    if one_exact == other_exact {
        return true;
    }
    let is_float = |text: &str, number: &Decimal| {
        text.contains(['.', 'e', 'E']) && number.digits.len() <= MAX_FLOAT_DIGITS
    };
    let is_of_floats = is_float(one, &one_exact) || is_float(other, &other_exact);
    // Numbers beyond the range of a float are not compared as floats.
    let is_held = |number: &f64| number.is_finite() && *number != 0.0;
    let one = one.parse().ok().filter(is_held);
    is_of_floats && one.is_some() && one == other.parse().ok()
}

/// A number as `digits` times ten to the power of `exponent`. Equal numbers are equal in all three
/// fields.
#[derive(Debug, PartialEq, Eq)]
struct Decimal {
    is_negative: bool,
    /// Without leading and trailing zeros; empty for zero.
    digits: String,
    exponent: i64,
}

impl Decimal {
    fn read(text: &str) -> Decimal {
        let (is_negative, text) = match text.strip_prefix('-') {
            Some(text) => (true, text),
            None => (false, text),
        };
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (integer, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = format!("{integer}{fraction}");
        let digits = all.trim_end_matches('0');
        let length = |digits: &str| i64::try_from(digits.len()).unwrap_or(i64::MAX);
        let zeros = length(&all) - length(digits);
        let digits = digits.trim_start_matches('0').to_owned();
        if digits.is_empty() {
            return Decimal { is_negative: false, digits, exponent: 0 };
        }
        let exponent: i64 = exponent.parse().unwrap_or(i64::MAX);
        let exponent = exponent.saturating_add(zeros).saturating_sub(length(fraction));
        Decimal { is_negative, digits, exponent }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[test]
    fn spelling_is_no_difference() {
        for (one, other) in [
            ("1.5", "1.50"),
            ("1", "1.0"),
            ("1", "1e0"),
            ("100", "1e2"),
            ("0.001", "1E-3"),
            ("0", "-0.0"),
            ("12345678901234567890123", "1.2345678901234568e+22"),
            ("0.1234567890123456789", "0.12345678901234568"),
            (r#""\u00e9\n""#, "\"é\\u000a\""),
            (r#"{"a":1,"b":[1, 2]}"#, r#"{ "b" : [1,2.0], "\u0061":1 }"#),
            (r#"{"a":1,"a":2}"#, r#"{"a":2}"#),
            (r#"{"a":{"x":1,"x":2}}"#, r#"{"a":{"x":2}}"#),
        ] {
            assert!(equal(one, other) && equal(other, one), "{one} {other}");
        }
    }

    #[test]
    fn what_differs_differs() {
        for (one, other) in [
            ("1", "2"),
            ("1", "-1"),
            ("1", "\"1\""),
            ("1", "10"),
            ("1", "true"),
            ("null", "false"),
            ("12345678901234567890123", "12345678901234567890124"),
            ("0.12345678901234567890", "0.12345678901234567891"),
            ("1e400", "1e401"),
            ("1e-400", "1e-401"),
            ("9007199254740993", "9007199254740992"),
            (r#""a""#, r#""A""#),
            ("[1,2]", "[2,1]"),
            ("[1]", "[1,1]"),
            ("[]", "{}"),
            (r#"{"a":1}"#, r#"{"a":1,"b":null}"#),
            (r#"{"a":1}"#, r#"{"b":1}"#),
            (r#"{"a":1,"a":2}"#, r#"{"a":1}"#),
        ] {
            assert!(!equal(one, other) && !equal(other, one), "{one} {other}");
        }
    }

    #[test]
    fn nesting_hides_nothing() {
        for depth in [127, 128, 129, 500, 1000] {
            let nested = |inner: &str| format!("{}{inner}{}", "[".repeat(depth), "]".repeat(depth));
            let objects =
                |inner: &str| format!("{}{inner}{}", "{\"a\":".repeat(depth), "}".repeat(depth));
            assert!(!equal(&nested("1"), &nested("2")), "{depth}");
            assert!(equal(&nested("1"), &nested("1.0")), "{depth}");
            assert!(!equal(&objects("1"), &objects("2")), "{depth}");
            assert!(equal(&objects("1"), &objects("1.0")), "{depth}");
        }
        let deepest = |inner: &str| format!("{}{inner}{}", "[".repeat(5_000), "]".repeat(5_000));
        assert!(!equal(&deepest("1"), &deepest("2")));
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Into::into),
            (-3..3_i64).prop_map(Into::into),
            prop::sample::select(vec![0.5, 1.0, -2.5e30]).prop_map(Into::into),
            "[a-c]{0,2}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 20, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-c]", inner, 0..4)
                    .prop_map(|entries| Value::Object(entries.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn equality_is_that_of_values(one in json(), other in json()) {
            // `Value` distinguishes integers from floats, `equal` does not.
            let is_equal = one.to_string().replace("1.0", "1") == other.to_string().replace("1.0", "1");
            prop_assert_eq!(equal(&one.to_string(), &other.to_string()), is_equal);
            prop_assert!(equal(&one.to_string(), &serde_json::to_string_pretty(&one).unwrap()));
        }
    }
}
