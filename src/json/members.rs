//! Objects and lists that are parsed in place, without copies of their values.

use std::borrow::Cow;
use std::fmt;

use indexmap::IndexMap;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::compact::compact;

/// Maximum number of keys of an object whose keys the server reads. Each key needs a few hundred
/// bytes of memory on the way to the database, however short it is.
pub const MAX_KEYS: usize = 10_000;

/// The members of a JSON object: keys, and values as JSON text. Of duplicate keys the last counts,
/// at the position of the first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Members<'a>(IndexMap<Cow<'a, str>, Cow<'a, str>>);

impl<'a> Members<'a> {
    /// Parses an object. The error says that it is not an object, or that it has more than
    /// [`MAX_KEYS`] keys.
    pub fn read(text: &'a str) -> Result<Members<'a>, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(AsRef::as_ref)
    }

    /// Sets the value of a key. An existing key keeps its position.
    pub fn set(&mut self, key: impl Into<Cow<'a, str>>, value: impl Into<Cow<'a, str>>) {
        self.0.insert(key.into(), value.into());
    }

    /// Removes a key. The others keep their order.
    pub fn take(&mut self, key: &str) -> Option<Cow<'a, str>> {
        self.0.shift_remove(key)
    }

    /// Whether there is no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The object as compact JSON text.
    #[must_use]
    pub fn to_text(&self) -> String {
        let length: usize = self.0.iter().map(|(key, value)| key.len() + value.len() + 4).sum();
        let mut text = String::with_capacity(length + 2);
        text.push('{');
        for (number, (key, value)) in self.0.iter().enumerate() {
            if number > 0 {
                text.push(',');
            }
            push_string(&mut text, key);
            text.push(':');
            text.push_str(&compact(value));
        }
        text.push('}');
        text
    }
}

/// Appends a JSON string.
fn push_string(text: &mut String, string: &str) {
    if string.bytes().any(|byte| byte < b' ' || matches!(byte, b'"' | b'\\')) {
        text.push_str(&serde_json::Value::from(string).to_string());
    } else {
        text.push('"');
        text.push_str(string);
        text.push('"');
    }
}

impl<'a> IntoIterator for Members<'a> {
    type Item = (Cow<'a, str>, Cow<'a, str>);
    type IntoIter = indexmap::map::IntoIter<Cow<'a, str>, Cow<'a, str>>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a, K: Into<Cow<'a, str>>, V: Into<Cow<'a, str>>> FromIterator<(K, V)> for Members<'a> {
    fn from_iter<T: IntoIterator<Item = (K, V)>>(members: T) -> Self {
        Members(members.into_iter().map(|(key, value)| (key.into(), value.into())).collect())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = IndexMap::new();
                while let Some((Key(key), value)) = map.next_entry::<Key<'_>, &RawValue>()? {
                    members.insert(key, Cow::Borrowed(value.get()));
                    if members.len() > MAX_KEYS {
                        return Err(A::Error::custom(too_many_keys()));
                    }
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

pub(super) fn too_many_keys() -> String {
    format!("an object with more than {MAX_KEYS} keys")
}

/// A key, borrowed unless it is written with escapes.
struct Key<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Key<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Key<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// Passes the elements of a JSON list to `take` one after the other, each as JSON text, up to the
/// first that `take` refuses. The outer error says that `list` is not a list.
pub fn for_each<'a, E>(
    list: &'a str,
    take: impl FnMut(&'a str) -> Result<(), E>,
) -> Result<Result<(), E>, serde_json::Error> {
    let mut elements = Elements { take, refused: None };
    let mut deserializer = serde_json::Deserializer::from_str(list);
    let read = deserializer.deserialize_seq(&mut elements).and_then(|()| deserializer.end());
    match elements.refused {
        Some(refused) => Ok(Err(refused)),
        None => read.map(Ok),
    }
}

struct Elements<F, E> {
    take: F,
    refused: Option<E>,
}

impl<'de, E, F: FnMut(&'de str) -> Result<(), E>> Visitor<'de> for &mut Elements<F, E> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(element) = list.next_element::<&RawValue>()? {
            if let Err(refused) = (self.take)(element.get()) {
                self.refused = Some(refused);
                return Err(A::Error::custom("refused"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_comes_back_compact_with_its_digits_and_the_last_of_equal_keys() {
        let text = r#" { "z" : 1.50, "a\n\"" : [ 1 , " " ], "z" : 2 , "b":{"c":1,"c":2} } "#;
        let members = Members::read(text).unwrap();
        assert_eq!(members.get("z"), Some("2"));
        assert_eq!(members.get("a\n\""), Some("[ 1 , \" \" ]"));
        assert_eq!(members.to_text(), r#"{"z":2,"a\n\"":[1," "],"b":{"c":1,"c":2}}"#);
    }

    #[test]
    fn members_keep_their_place() {
        let mut members = Members::read(r#"{"a":1,"b":2,"c":3}"#).unwrap();
        members.set("b", "[]");
        assert_eq!(members.take("a").as_deref(), Some("1"));
        members.set("d", "4");
        assert_eq!(members.to_text(), r#"{"b":[],"c":3,"d":4}"#);
    }

    #[test]
    fn an_object_with_too_many_keys_is_refused_and_equal_keys_are_one() {
        let object = |keys: &mut dyn Iterator<Item = usize>| {
            let entries: Vec<_> = keys.map(|key| format!("\"{key}\":1")).collect();
            format!("{{{}}}", entries.join(","))
        };
        assert!(Members::read(&object(&mut (0..MAX_KEYS))).is_ok());
        assert!(Members::read(&object(&mut (0..2 * MAX_KEYS).map(|key| key % 7))).is_ok());
        let refused = Members::read(&object(&mut (0..=MAX_KEYS))).unwrap_err().to_string();
        assert!(refused.starts_with("an object with more than 10000 keys"), "{refused}");
    }

    #[test]
    fn elements_are_handed_over_in_order_until_one_is_refused() {
        let mut seen = Vec::new();
        let taken = for_each("[1, {\"a\": 2},\"x\" ]", |element| {
            seen.push(element);
            Ok::<_, ()>(())
        });
        assert!(matches!(taken, Ok(Ok(()))));
        assert_eq!(seen, ["1", "{\"a\": 2}", "\"x\""]);
        let refused = for_each("[1,2,3]", |element| if element == "2" { Err(2) } else { Ok(()) });
        assert!(matches!(refused, Ok(Err(2))));
        for text in ["{}", "1", "[1", "[1] x", "[1,]"] {
            assert!(for_each(text, |_| Ok::<_, ()>(())).is_err(), "{text}");
        }
    }
}
