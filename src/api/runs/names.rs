//! The threads and runs that a request names, anywhere in it.
//!
//! The user's input for the graph is not searched. Other parts may reach code of the agent that
//! reads a thread id from them, so each name counts, at any depth.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use uuid::Uuid;

use crate::http::{Error, parse_uuid};
use crate::json::{excerpt, without_position};

/// The names in a request.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Names {
    /// Threads, in order.
    pub(super) threads: Vec<Uuid>,
    /// Runs.
    pub(super) runs: Vec<Uuid>,
}

/// Maximum number of names in one request.
const MAX_NAMES: usize = 1000;

/// Fields with the user's input, at the two levels where a request has them.
const OF_THE_USER: [&str; 3] = ["input", "command", "response"];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Thread,
    Run,
}

fn kind_of(key: &str) -> Option<Kind> {
    match key {
        "thread_id" | "threadId" | "thread_ids" | "threadIds" => Some(Kind::Thread),
        "run_id" | "runId" | "run_ids" | "runIds" => Some(Kind::Run),
        _ => None,
    }
}

impl Names {
    /// Parses a JSON body. Duplicate keys are refused, because the agent may use the other value.
    /// Names that are not ids are refused, because their owner is unknown.
    pub(super) fn of_body(text: &str) -> Result<Names, Error> {
        let mut found = Found::default();
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let walk = Walk { found: &mut found, depth: 0, kind: None, in_metadata: false };
        let walked = walk.deserialize(&mut deserializer);
        match (found.refusal, walked) {
            (Some(refusal), _) => Err(refusal),
            (None, Ok(())) => Ok(found.names),
            (None, Err(error)) => {
                let why = error.to_string();
                Err(Error::Invalid(format!("request body: {}", excerpt(without_position(&why)))))
            }
        }
    }

    /// Adds the names in a query.
    pub(super) fn and_of_query(mut self, query: Option<&str>) -> Result<Names, Error> {
        for (key, value) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            if let Some(kind) = kind_of(&key) {
                self.add(kind, &value)?;
            }
        }
        Ok(self)
    }

    fn add(&mut self, kind: Kind, text: &str) -> Result<(), Error> {
        if self.threads.len() + self.runs.len() >= MAX_NAMES {
            return Err(Error::Invalid(format!("more than {MAX_NAMES} threads and runs")));
        }
        match kind {
            Kind::Thread => self.threads.push(parse_uuid(text).ok_or(Error::InvalidThreadId)?),
            Kind::Run => self.runs.push(parse_uuid(text).ok_or(Error::InvalidRunId)?),
        }
        Ok(())
    }
}

#[derive(Default)]
struct Found {
    names: Names,
    refusal: Option<Error>,
}

impl Found {
    fn refuse<E: serde::de::Error>(&mut self, refusal: Error) -> E {
        self.refusal = Some(refusal);
        E::custom("refused")
    }

    fn add<E: serde::de::Error>(&mut self, kind: Option<Kind>, text: &str) -> Result<(), E> {
        match kind.map(|kind| self.names.add(kind, text)) {
            Some(Err(refusal)) => Err(self.refuse(refusal)),
            _ => Ok(()),
        }
    }

    /// Refuses a value in the place of an id that is neither text nor null.
    fn other<E: serde::de::Error>(&mut self, kind: Option<Kind>) -> Result<(), E> {
        match kind {
            None => Ok(()),
            Some(Kind::Thread) => Err(self.refuse(Error::InvalidThreadId)),
            Some(Kind::Run) => Err(self.refuse(Error::InvalidRunId)),
        }
    }
}

/// A walk through one value.
struct Walk<'f> {
    found: &'f mut Found,
    /// The depth of nested objects.
    depth: usize,
    /// The kind of id, if the value is under a key such as `thread_id`.
    kind: Option<Kind>,
    /// Whether the value is in metadata, where users may store other run ids.
    in_metadata: bool,
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<(), E> {
        self.found.other(self.kind)
    }

    fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<(), E> {
        self.found.other(self.kind)
    }

    fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<(), E> {
        self.found.other(self.kind)
    }

    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<(), E> {
        self.found.other(self.kind)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        self.found.add(self.kind, text)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        loop {
            let item = Walk { found: &mut *self.found, ..self };
            if list.next_element_seed(item)?.is_none() {
                return Ok(());
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        self.found.other(self.kind)?;
        let mut keys = HashSet::new();
        while let Some(key) = map.next_key::<Cow<'_, str>>()? {
            let in_metadata = self.in_metadata || key == "metadata";
            let kind = kind_of(&key).filter(|kind| *kind != Kind::Run || !in_metadata);
            if self.depth < 2 && OF_THE_USER.contains(&&*key) {
                map.next_value::<IgnoredAny>()?;
            } else {
                let depth = self.depth + 1;
                map.next_value_seed(Walk { found: &mut *self.found, depth, kind, in_metadata })?;
            }
            let twice = format!("{}: must be given once", excerpt(&key));
            if !keys.insert(key.into_owned()) {
                return Err(self.found.refuse(Error::Invalid(twice)));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "0195e6f0-0000-7000-8000-00000000000a";

    fn threads(text: &str) -> Result<usize, String> {
        Names::of_body(&text.replace("$A", A))
            .map(|names| names.threads.len() * 10 + names.runs.len())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn names_count_at_any_depth_and_in_any_spelling() {
        for (text, found) in [
            (r#"{"thread_id":"$A"}"#, 10),
            (r#"{"config":{"configurable":{"thread_id":"$A"}}}"#, 10),
            (r#"{"config":{"configurable":{"thread\u005fid":"$A"}}}"#, 10),
            (r#"{"checkpoint":{"thread_id":"$A"},"metadata":{"x":[{"threadId":"$A"}]}}"#, 20),
            (r#"{"run_ids":["$A","$A"],"thread_id":null}"#, 2),
            (r#"[{"thread_id":"$A"},{"config":{"run_id":"$A"}}]"#, 11),
            (r#"{"params":{"config":{"thread_id":"$A"},"input":{"thread_id":"x"}}}"#, 10),
            (r#"{"metadata":{"run_id":"mine","n":1.5}}"#, 0),
            (
                r#"{"input":{"thread_id":"theirs","a":1,"a":2},"command":{"resume":{"run_id":1}}}"#,
                0,
            ),
        ] {
            assert_eq!(threads(text), Ok(found), "{text}");
        }
    }

    #[test]
    fn names_that_are_no_ids_and_keys_that_are_there_twice_are_refused() {
        for text in [r#"{"thread_id":"x"}"#, r#"{"thread_id":1}"#, r#"{"thread_id":{"a":1}}"#] {
            assert_eq!(
                threads(text),
                Err("Invalid thread ID: must be a UUID".to_owned()),
                "{text}"
            );
        }
        for (text, key) in [
            (r#"{"config":{},"config":{}}"#, "config"),
            (r#"{"config":{},"con\u0066ig":{}}"#, "config"),
            (r#"{"input":1,"input":2}"#, "input"),
            (r#"{"config":{"configurable":{"a":1,"a":1}}}"#, "a"),
        ] {
            assert_eq!(threads(text), Err(format!("{key}: must be given once")), "{text}");
        }
        assert!(Names::default().and_of_query(Some("x=1&thread_id=%31")).is_err());
        let of_query = Names::default().and_of_query(Some(&format!("run_id={A}&a&thread_id={A}")));
        assert_eq!(of_query.unwrap().threads.len(), 1);
    }
}
