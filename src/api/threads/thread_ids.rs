//! Lists of thread ids in bodies.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, SeqAccess, Visitor};
use uuid::Uuid;

use crate::http::{Name, parse_uuid};
use crate::json::excerpt;

/// A client's list of thread ids. Each id is parsed in place, so that a long list needs no memory
/// for the texts.
#[derive(Debug, Default)]
pub(super) struct ThreadIds {
    ids: Vec<Uuid>,
    /// The first text that is not an id.
    invalid: Option<String>,
}

impl ThreadIds {
    /// The ids in order. The error is the beginning of the first text that is not an id.
    pub(super) fn valid(self) -> Result<Vec<Uuid>, String> {
        match self.invalid {
            Some(invalid) => Err(invalid),
            None => Ok(self.ids),
        }
    }
}

impl<'de> Deserialize<'de> for ThreadIds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(List)
    }
}

struct List;

impl<'de> Visitor<'de> for List {
    type Value = ThreadIds;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of thread ids")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<ThreadIds, A::Error> {
        let mut read = ThreadIds::default();
        while let Some(id) = list.next_element::<Name<Id>>()? {
            match id {
                // The rest is only checked to be strings.
                _ if read.invalid.is_some() => {}
                Name(Id(Ok(id))) => read.ids.push(id),
                Name(Id(Err(invalid))) => read.invalid = Some(invalid),
            }
        }
        Ok(read)
    }
}

struct Id(Result<Uuid, String>);

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'_, str>::deserialize(deserializer)?;
        Ok(Id(parse_uuid(&text).ok_or_else(|| excerpt(&text))))
    }
}
