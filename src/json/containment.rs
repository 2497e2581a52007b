//! Whether a JSON text contains another, by the rules of Postgres's `@>`.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::value::RawValue;

use super::equal;
use super::equality::elements;

/// Maximum nesting that is searched. Deeper values contain nothing.
const MAX_COMPARED_DEPTH: usize = 1024;

/// Whether `whole` contains `part`: an object needs each key of the part, with a value that
/// contains the part's; a list needs, for each item of the part, one that contains it; all other
/// values must be equal.
#[must_use]
pub fn contains(whole: &str, part: &str) -> bool {
    contains_at(0, whole, part)
}

fn contains_at(depth: usize, whole: &str, part: &str) -> bool {
    if depth > MAX_COMPARED_DEPTH {
        return false;
    }
    match (whole.as_bytes().first(), part.as_bytes().first()) {
        (Some(b'{'), Some(b'{')) => {
            type Fields<'a> = HashMap<Cow<'a, str>, &'a RawValue>;
            let read = serde_json::from_str::<Fields<'_>>;
            let (Ok(whole), Ok(part)) = (read(whole), read(part)) else { return false };
            part.iter().all(|(key, part)| {
                whole.get(key).is_some_and(|whole| contains_at(depth + 1, whole.get(), part.get()))
            })
        }
        (Some(b'['), Some(b'[')) => {
            let items = elements(whole);
            elements(part)
                .into_iter()
                .all(|part| items.iter().any(|whole| contains_at(depth + 1, whole, part)))
        }
        _ => equal(whole, part),
    }
}

#[cfg(test)]
mod tests {
    use super::contains;

    #[test]
    fn objects_contain_their_keys_and_lists_their_items() {
        let whole = r#"{"a":1,"b":{"c":[1,{"d":"x","e":2}],"f":null}}"#;
        let parts = [
            "{}",
            r#"{"a":1.0}"#,
            r#"{"b":{}}"#,
            r#"{"b":{"c":[]}}"#,
            r#"{"b":{"c":[{"d":"x"}]}}"#,
            r#"{"b":{"c":[1,1]}}"#,
            r#"{"b":{"f":null}}"#,
        ];
        for part in parts {
            assert!(contains(whole, part), "{part}");
        }
        let others = [
            r#"{"a":2}"#,
            r#"{"g":null}"#,
            r#"{"b":{"c":{}}}"#,
            r#"{"b":{"c":[{"d":"x","e":3}]}}"#,
            r#"{"b":{"c":[[1]]}}"#,
            r#"{"a":"1"}"#,
        ];
        for part in others {
            assert!(!contains(whole, part), "{part}");
        }
    }
}
