//! `extract` of a search: single values of threads.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::value::RawValue;

use crate::http::Error;
use crate::json::{MAX_ECHO, Object, Raw, excerpt};
use crate::store::Thread;

/// Maximum number of extracts of one search, as on the reference server.
const MAX_EXTRACTS: usize = 10;
/// Maximum number of steps of a path.
const MAX_STEPS: usize = 64;

/// Names that a result cannot have, because they are fields of a thread.
const RESERVED: [&str; 12] = [
    "thread_id",
    "created_at",
    "updated_at",
    "state_updated_at",
    "metadata",
    "status",
    "config",
    "values",
    "error",
    "interrupts",
    "ttl",
    "extracted",
];

const ROOTS: [(&str, Root); 4] = [
    ("config", Root::Config),
    ("interrupts", Root::Interrupts),
    ("metadata", Root::Metadata),
    ("values", Root::Values),
];

/// A value of a thread.
#[derive(Debug, Clone)]
pub(super) struct Extract {
    /// The client's name for it.
    alias: String,
    /// The field. `None`: the path is invalid, and the value is null.
    root: Option<Root>,
    /// The path from the field.
    path: Vec<Step>,
}

/// A field that values can be taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Root {
    Values,
    Metadata,
    Config,
    Interrupts,
}

/// One step into JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    /// Into an object.
    Key(String),
    /// Into an array; negative from its end.
    Index(i32),
}

impl Extract {
    /// Whether the values of the thread are needed.
    pub(super) fn needs_values(&self) -> bool {
        self.root == Some(Root::Values)
    }
}

/// The extracted values of a thread, by alias.
pub(super) fn extracted(thread: &Thread, extracts: &[Extract]) -> Object {
    let empty = Raw::empty_object();
    let of = |extract: &Extract| {
        let root = match extract.root? {
            Root::Values => thread.values.as_ref()?,
            Root::Metadata => &thread.metadata,
            Root::Config | Root::Interrupts => &empty,
        };
        let found = extract.path.iter().try_fold(root.text(), |json, step| step.into(json))?;
        Raw::from_text(found).ok()
    };
    extracts
        .iter()
        .map(|extract| (extract.alias.clone(), of(extract).unwrap_or_default()))
        .collect()
}

impl Step {
    /// The value that a step into a JSON text leads to.
    fn into<'a>(&self, json: &'a str) -> Option<&'a str> {
        match self {
            Step::Key(key) => {
                let object: HashMap<Cow<'a, str>, &'a RawValue> =
                    serde_json::from_str(json).ok()?;
                object.get(key.as_str()).map(|value| value.get())
            }
            Step::Index(index) => {
                let list: Vec<&'a RawValue> = serde_json::from_str(json).ok()?;
                let behind = usize::try_from(index.unsigned_abs()).ok()?;
                let place = if *index < 0 { list.len().checked_sub(behind)? } else { behind };
                list.get(place).map(|value| value.get())
            }
        }
    }
}

/// Parses a client's extracts, by alias.
pub(super) fn read(sent: Object) -> Result<Vec<Extract>, Error> {
    if sent.iter().nth(MAX_EXTRACTS).is_some() {
        return Err(Error::Invalid(format!(
            "extract: at most {MAX_EXTRACTS} values can be extracted"
        )));
    }
    let read = |(alias, path): (String, Raw)| {
        let not_text =
            |_| Error::Invalid(format!("extract.{}: expected a string", excerpt(&alias)));
        let path: String = path.parse().map_err(not_text)?;
        one(alias, &path)
    };
    sent.into_iter().map(read).collect()
}

fn one(alias: String, path: &str) -> Result<Extract, Error> {
    let shown = excerpt(&alias);
    if RESERVED.contains(&alias.as_str()) {
        return Err(Error::Invalid(format!(
            "Extract keys cannot use reserved field names: ['{shown}']"
        )));
    }
    let is_letter = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    let is_identifier = alias.bytes().next().is_some_and(is_letter)
        && alias.bytes().all(|byte| is_letter(byte) || byte.is_ascii_digit());
    if !is_identifier {
        return Err(Error::Invalid(format!(
            "Extract key '{shown}' must be a valid identifier (letters, digits, underscores)"
        )));
    }
    // The alias is repeated in the answer.
    if shown.len() < alias.len() {
        let why = format!("Extract key '{shown}' must not be longer than {MAX_ECHO} characters");
        return Err(Error::Invalid(why));
    }
    if path.is_empty() {
        return Err(Error::Invalid(format!(
            "Extract path for '{shown}' must be a non-empty string"
        )));
    }
    let root_name = path.split(['.', '[']).next().unwrap_or_default();
    let Some((_, root)) = ROOTS.iter().find(|(name, _)| *name == root_name) else {
        let names = ROOTS.map(|(name, _)| name).join(", ");
        return Err(Error::Invalid(format!(
            "Extract path '{}' must start with one of: {names}",
            excerpt(path)
        )));
    };
    // A malformed path gives null, like a path to a missing field.
    match steps(path.get(root_name.len()..).unwrap_or_default()) {
        Some(steps) if steps.len() > MAX_STEPS => Err(Error::Invalid(format!(
            "Extract path for '{shown}' has more than {MAX_STEPS} steps"
        ))),
        Some(path) => Ok(Extract { alias, root: Some(*root), path }),
        None => Ok(Extract { alias, root: None, path: Vec::new() }),
    }
}

/// Parses `.key` and `[index]`, any number of times. Keys that begin with `_` are private.
fn steps(mut rest: &str) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if let Some(inside) = rest.strip_prefix('[') {
            let (index, behind) = inside.split_once(']')?;
            steps.push(Step::Index(index.parse().ok()?));
            rest = behind;
        } else {
            let inside = rest.strip_prefix('.')?;
            let end = inside.find(['.', '[']).unwrap_or(inside.len());
            let (key, behind) = inside.split_at_checked(end)?;
            if key.is_empty() || key.starts_with('_') {
                return None;
            }
            steps.push(Step::Key(key.to_owned()));
            rest = behind;
        }
    }
    Some(steps)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn path(text: &str) -> (Option<Root>, Vec<Step>) {
        let extract = one("a".to_owned(), text).unwrap();
        (extract.root, extract.path)
    }

    #[test]
    fn reads_keys_and_indexes() {
        let key = |key: &str| Step::Key(key.to_owned());
        assert_eq!(path("metadata"), (Some(Root::Metadata), vec![]));
        assert_eq!(
            path("values.messages[-1].content"),
            (Some(Root::Values), vec![key("messages"), Step::Index(-1), key("content")])
        );
        assert_eq!(path("values[0][1]").1, [Step::Index(0), Step::Index(1)]);
        assert_eq!(path("values.ü x").1, [key("ü x")]);
    }

    #[test]
    fn malformed_and_private_paths_lead_nowhere() {
        for text in [
            "metadata[k]",
            "metadata[",
            "metadata[]",
            "metadata.",
            "metadata..a",
            "metadata._x",
            "metadata.a[0]b",
            "metadata[99999999999]",
            "metadata[0",
        ] {
            assert_eq!(path(text), (None, vec![]), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(alias in ".*", path in "(values|metadata)?.*") {
            let _ = one(alias, &path);
        }

        /// What is read, written again as a path, is read as the same.
        #[test]
        fn a_path_is_read_as_it_is_written(
            path in "(values|metadata|config|interrupts|x)([.][a-z_\u{e9} ]{0,3}|[\\[]-?[0-9]{0,11}[\\]]?|[\\].\\[]){0,70}",
        ) {
            let Ok(read) = one("a".to_owned(), &path) else { return Ok(()) };
            let Some(root) = read.root else {
                prop_assert!(read.path.is_empty());
                return Ok(());
            };
            prop_assert!(read.path.len() <= MAX_STEPS);
            let mut written = ROOTS.iter().find(|(_, known)| *known == root).unwrap().0.to_owned();
            for step in &read.path {
                match step {
                    Step::Key(key) => {
                        prop_assert!(!key.is_empty() && !key.starts_with('_'));
                        written.extend([".", key]);
                    }
                    Step::Index(index) => written.extend(["[", &index.to_string(), "]"]),
                }
            }
            let again = one("a".to_owned(), &written).unwrap();
            prop_assert_eq!((again.root, again.path), (Some(root), read.path));
        }
    }
}
