//! JSON text that is passed through, and objects parsed one level deep.

use std::borrow::Cow;
use std::fmt;

use indexmap::IndexMap;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::ser::SerializeStruct as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgHasArrayType, PgTypeInfo, PgValueFormat, PgValueRef, Postgres};
use sqlx::{Decode, Type, TypeInfo, ValueRef};

use super::compact::compact;
use super::members::{MAX_KEYS, too_many_keys};

/// One JSON value as compact text, with the digits and the key order of its source.
#[derive(Clone)]
pub struct Raw(Box<str>);

/// The name by which `serde_json` recognises text that it must write unchanged.
const RAW_VALUE: &str = "$serde_json::private::RawValue";

impl Raw {
    /// `{}`.
    #[must_use]
    pub fn empty_object() -> Raw {
        Raw("{}".into())
    }

    /// `[]`.
    #[must_use]
    pub fn empty_list() -> Raw {
        Raw("[]".into())
    }

    /// The text, without whitespace between tokens.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }

    /// Parses JSON text, and removes the whitespace between its tokens.
    pub fn from_text(text: &str) -> Result<Raw, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// Wraps stored compact JSON text, which was checked before it was stored.
    #[must_use]
    pub(crate) fn stored(text: impl Into<Box<str>>) -> Raw {
        Raw(text.into())
    }

    /// Parses JSON text without whitespace between its tokens.
    pub(crate) fn from_compact(text: String) -> Result<Raw, serde_json::Error> {
        serde_json::from_str::<&RawValue>(&text)?;
        Ok(Raw::stored(text))
    }

    /// The JSON text of a value of this program.
    pub fn of(value: &impl Serialize) -> Result<Raw, serde_json::Error> {
        serde_json::to_string(value).map(Raw::stored)
    }

    /// The text itself.
    #[must_use]
    pub fn into_text(self) -> String {
        self.0.into_string()
    }

    /// Whether this is `null`.
    #[must_use]
    pub fn is_null(&self) -> bool {
        self.text() == "null"
    }

    /// Whether this is a string.
    #[must_use]
    pub fn is_string(&self) -> bool {
        self.text().starts_with('"')
    }

    /// Whether this is an object.
    #[must_use]
    pub fn is_object(&self) -> bool {
        self.text().starts_with('{')
    }

    /// Parses the value as `T`.
    pub fn parse<'a, T: Deserialize<'a>>(&'a self) -> Result<T, serde_json::Error> {
        serde_json::from_str(self.text())
    }
}

/// `null`.
impl Default for Raw {
    fn default() -> Raw {
        Raw("null".into())
    }
}

impl fmt::Debug for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Raw").field(&self.text()).finish()
    }
}

/// Like the serialisation of `serde_json`'s `RawValue`, but without checking the text again.
impl Serialize for Raw {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut raw = serializer.serialize_struct(RAW_VALUE, 1)?;
        raw.serialize_field(RAW_VALUE, self.text())?;
        raw.end()
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Box::<RawValue>::deserialize(deserializer)?;
        match compact(value.get()) {
            Cow::Borrowed(_) => Ok(Raw(value.into())),
            Cow::Owned(text) => Ok(Raw::stored(text)),
        }
    }
}

impl From<&str> for Raw {
    /// A JSON string.
    fn from(text: &str) -> Raw {
        Raw::of(&text).unwrap_or_default()
    }
}

impl PartialEq for Raw {
    fn eq(&self, other: &Raw) -> bool {
        self.text() == other.text()
    }
}

impl Type<Postgres> for Raw {
    fn type_info() -> PgTypeInfo {
        <sqlx::types::JsonValue as Type<Postgres>>::type_info()
    }

    fn compatible(ty: &PgTypeInfo) -> bool {
        matches!(ty.name(), "JSON" | "JSONB")
    }
}

impl PgHasArrayType for Raw {
    fn array_type_info() -> PgTypeInfo {
        <sqlx::types::JsonValue as PgHasArrayType>::array_type_info()
    }
}

impl Decode<'_, Postgres> for Raw {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        let is_binary_jsonb =
            value.format() == PgValueFormat::Binary && value.type_info().name() == "JSONB";
        let text = value.as_str()?;
        // The binary form of jsonb is its text after a version byte of 1.
        let text = if is_binary_jsonb { text.trim_start_matches('\u{1}') } else { text };
        Ok(Raw::stored(compact(text)))
    }
}

/// A JSON object whose values stay raw. Of duplicate keys the last counts, as everywhere in JSON.
/// An object with more than [`MAX_KEYS`] keys is refused when it is parsed.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Object(IndexMap<String, Raw>);

impl Object {
    /// Sets `key`. An existing key keeps its position.
    pub fn insert(&mut self, key: impl Into<String>, value: Raw) {
        self.0.insert(key.into(), value);
    }

    /// Removes `key`.
    pub fn remove(&mut self, key: &str) -> Option<Raw> {
        self.0.shift_remove(key)
    }

    /// The value of `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Raw> {
        self.0.get(key)
    }

    /// Whether there is no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Keys and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Raw)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// The object as JSON text.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::from("{");
        for (index, (key, value)) in self.iter().enumerate() {
            if index > 0 {
                text.push(',');
            }
            text.push_str(&serde_json::Value::from(key).to_string());
            text.push(':');
            text.push_str(value.text());
        }
        text.push('}');
        text
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Object;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut entries = IndexMap::new();
                while let Some((key, value)) = map.next_entry()? {
                    entries.insert(key, value);
                    if entries.len() > MAX_KEYS {
                        return Err(A::Error::custom(too_many_keys()));
                    }
                }
                Ok(Object(entries))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

impl FromIterator<(String, Raw)> for Object {
    fn from_iter<T: IntoIterator<Item = (String, Raw)>>(entries: T) -> Self {
        Object(entries.into_iter().collect())
    }
}

impl IntoIterator for Object {
    type Item = (String, Raw);
    type IntoIter = indexmap::map::IntoIter<String, Raw>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_goes_only_between_tokens() {
        let text = "{ \"a b\" :\t[ 1 , \"x \\\" y\\\\\" ] }\n";
        assert_eq!(Raw::from_text(text).unwrap().text(), r#"{"a b":[1,"x \" y\\"]}"#);
    }

    #[test]
    fn digits_and_key_order_are_kept() {
        let text = r#"{"z":1.50,"a":123456789012345678901234567890}"#;
        let object: Object = serde_json::from_str(text).unwrap();
        assert_eq!(object.to_text(), text);
        assert_eq!(serde_json::to_string(&object).unwrap(), text);
    }

    #[test]
    fn of_equal_keys_the_last_counts() {
        let object: Object = serde_json::from_str(r#"{"a":1,"b":2,"a":3}"#).unwrap();
        assert_eq!(object.to_text(), r#"{"a":3,"b":2}"#);
    }

    #[test]
    fn keys_are_escaped() {
        let object: Object = serde_json::from_str(r#"{"a\"\n":1}"#).unwrap();
        assert_eq!(object.to_text(), r#"{"a\"\n":1}"#);
    }
}
