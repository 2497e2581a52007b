//! What handlers take from a request and give back, in the contract's words.

use std::convert::Infallible;
use std::fmt::Display;
use std::marker::PhantomData;

use axum::RequestPartsExt;
use axum::extract::FromRequestParts;
use axum::http::{header, request::Parts};
use axum::response::{IntoResponse, Response};
use serde::de::{DeserializeOwned, Error as _, IntoDeserializer};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::answer::{Chunks, Reserved};
use crate::error::Error;
use crate::json::Raw;
use crate::json_body::JsonText;
use crate::store::Held;

pub(crate) use crate::json::excerpt;
pub use crate::json_body::{Body, JsonBody};

/// A struct that is only read from a JSON object. Left to itself serde also takes a list with the
/// values of the fields.
#[derive(Debug, Clone, Default)]
pub struct ObjectOf<T>(pub T);

impl<'de, T: DeserializeOwned> Deserialize<'de> for ObjectOf<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Raw::deserialize(deserializer)?;
        if !raw.is_object() {
            return Err(D::Error::custom("expected an object"));
        }
        let custom =
            |error: serde_json::Error| D::Error::custom(without_position(&error.to_string()));
        JsonText::new(raw.text()).read().map(ObjectOf).map_err(custom)
    }
}

/// `serde_json` ends its messages with a line and column, which mean nothing for a body that
/// the client's SDK wrote on one line.
pub(crate) fn without_position(message: &str) -> &str {
    message.rfind(" at line ").and_then(|end| message.get(..end)).unwrap_or(message)
}

/// For optional fields: absent is `None`, and an explicit `null` is as wrong as any other
/// value of the wrong type, as on the reference server.
pub fn present<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    T::deserialize(deserializer).map(Some)
}

/// Like [`present`], for names out of a fixed set. Left to itself serde also takes an object
/// with the name as its only key.
pub fn name<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    Name::deserialize(deserializer).map(|Name(name)| Some(name))
}

/// Like [`name`], for lists of names.
pub fn names<'de, D, T>(deserializer: D) -> Result<Option<Vec<T>>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    let names = Vec::<Name<T>>::deserialize(deserializer)?;
    Ok(Some(names.into_iter().map(|Name(name)| name).collect()))
}

/// A value that is read from a string and nothing else, where it stands in the body: a long list of
/// short names takes no memory for each text.
pub(crate) struct Name<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Name<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> serde::de::Visitor<'de> for Text<T> {
            type Value = Name<T>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a string")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Name<T>, E> {
                T::deserialize(text.into_deserializer()).map(Name)
            }
        }
        deserializer.deserialize_str(Text(PhantomData))
    }
}

/// The query string: names with values, in order. Unknown names are ignored by all routes.
#[derive(Debug)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// The last value of a name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// All values of a name: repeated, separated by commas, or both.
    pub fn list<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(key, _)| key == name)
            .flat_map(|(_, value)| value.split(','))
            .filter(|value| !value.is_empty())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let query = parts.uri.query().unwrap_or_default();
        Ok(Query(url::form_urlencoded::parse(query.as_bytes()).into_owned().collect()))
    }
}

/// The thread id of the path, in any of the spellings that the reference server takes: upper
/// case, without dashes, in braces, as `urn:uuid:`.
#[derive(Debug, Clone, Copy)]
pub struct ThreadId(pub Uuid);

impl<S: Send + Sync> FromRequestParts<S> for ThreadId {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        let path = parts.extract::<axum::extract::RawPathParams>().await;
        let path = path.map_err(|_| Error::InvalidThreadId)?;
        path.iter()
            .find(|(name, _)| *name == "thread_id")
            .and_then(|(_, value)| parse_uuid(value))
            .map(ThreadId)
            .ok_or(Error::InvalidThreadId)
    }
}

/// The last segment of the path, percent-decoded.
#[derive(Debug, Clone)]
pub struct Segment(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Segment {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        let segment = parts.uri.path().rsplit('/').next().unwrap_or_default();
        let decoded = percent_encoding::percent_decode_str(segment).decode_utf8();
        decoded.map(|text| Segment(text.into_owned())).map_err(|_| Error::NotFound)
    }
}

/// Reads a UUID in any spelling.
#[must_use]
pub fn parse_uuid(text: &str) -> Option<Uuid> {
    Uuid::parse_str(text).ok()
}

/// A success: compact JSON with `content-type: application/json`.
#[derive(Debug)]
pub struct Json<T>(pub T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        let mut chunks = Chunks::new();
        match serde_json::to_writer(&mut chunks, &self.0) {
            Ok(()) => {
                ([(header::CONTENT_TYPE, "application/json")], chunks.into_body()).into_response()
            }
            Err(error) => {
                Error::Internal(format!("serialising a response: {error}")).into_response()
            }
        }
    }
}

impl<T: Serialize> IntoResponse for Reserving<T> {
    fn into_response(self) -> Response {
        let Reserving(Held { value, memory }) = self;
        let mut response = Json(value).into_response();
        if let Some(permit) = memory {
            response.extensions_mut().insert(Reserved::new(permit));
        }
        response
    }
}

/// A [`Json`] answer for which memory was reserved.
#[derive(Debug)]
pub struct Reserving<T>(pub Held<T>);

/// An integer within bounds. As in JSON Schema, `2.0` is an integer and `true` is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounded<const MIN: i64, const MAX: i64>(pub i64);

impl<'de, const MIN: i64, const MAX: i64> Deserialize<'de> for Bounded<MIN, MAX> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor<const MIN: i64, const MAX: i64>;
        impl<const MIN: i64, const MAX: i64> Visitor<MIN, MAX> {
            fn within<E: serde::de::Error>(
                number: Option<i64>,
                found: &dyn Display,
            ) -> Result<Bounded<MIN, MAX>, E> {
                number.filter(|number| (MIN..=MAX).contains(number)).map(Bounded).ok_or_else(|| {
                    E::custom(format!("{found} is not an integer from {MIN} to {MAX}"))
                })
            }
        }
        impl<const MIN: i64, const MAX: i64> serde::de::Visitor<'_> for Visitor<MIN, MAX> {
            type Value = Bounded<MIN, MAX>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "an integer from {MIN} to {MAX}")
            }

            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Self::Value, E> {
                Self::within(Some(number), &number)
            }

            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Self::Value, E> {
                Self::within(i64::try_from(number).ok(), &number)
            }

            fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Self::Value, E> {
                #[expect(clippy::cast_possible_truncation, reason = "checked to be exact")]
                let whole = (number.fract() == 0.0 && number.abs() < 9e15).then_some(number as i64);
                Self::within(whole, &number)
            }
        }
        deserializer.deserialize_any(Visitor::<MIN, MAX>)
    }
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use indexmap::IndexMap;
    use proptest::prelude::*;

    use super::*;
    use crate::json::Object;
    use crate::store::Status;

    fn read(text: &str) -> Result<i64, String> {
        serde_json::from_str::<Bounded<1, 1000>>(text)
            .map(|bounded| bounded.0)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn an_integral_float_is_an_integer() {
        assert_eq!(read("2.0"), Ok(2));
        assert_eq!(read("1000"), Ok(1000));
    }

    #[test]
    fn everything_else_is_refused() {
        for text in ["0", "-1", "1001", "1.5", "true", "null", "\"5\"", "1e300", "[]"] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    /// Every way in which a field of a body is read.
    #[derive(Debug, Default, Deserialize)]
    #[serde(default)]
    struct Sent {
        #[serde(deserialize_with = "present")]
        text: Option<String>,
        #[serde(deserialize_with = "present")]
        limit: Option<Bounded<1, 1000>>,
        #[serde(deserialize_with = "name")]
        status: Option<Status>,
        #[serde(deserialize_with = "names")]
        select: Option<Vec<Status>>,
        #[serde(deserialize_with = "present")]
        object: Option<Object>,
        #[serde(deserialize_with = "present")]
        inner: Option<ObjectOf<Inner>>,
        raw: Option<Raw>,
    }

    #[derive(Debug, Clone, Default, Deserialize)]
    #[expect(dead_code, reason = "only read from JSON")]
    struct Inner {
        number: Option<f64>,
        list: Option<Vec<ObjectOf<Inner>>>,
    }

    fn json() -> impl Strategy<Value = String> {
        let name = || {
            prop::sample::select(vec![
                "text",
                "limit",
                "status",
                "select",
                "object",
                "inner",
                "raw",
                "number",
                "list",
                "idle",
                "x",
                "\\u0000",
                "\\ud800",
                "t\\u0065xt",
            ])
        };
        let leaf = prop_oneof![
            prop::sample::select(vec![
                "null",
                "true",
                "[]",
                "{}",
                "1",
                "1.0",
                "1.5",
                "-0",
                "1e3",
                "1e400",
                "1e-400",
                "2e9223372036854775807",
                "0e9223372036854775807",
                "18446744073709551616",
                "\"idle\"",
                "nul",
                "",
            ])
            .prop_map(str::to_owned),
            name().prop_map(|name| format!("\"{name}\"")),
        ];
        let inner = leaf.prop_recursive(4, 40, 6, move |inner| {
            let entry = (name(), inner.clone()).prop_map(|(name, value)| format!("\"{name}\" :{value}"));
            prop_oneof![
                1 => prop::collection::vec(inner, 0..4).prop_map(|items| format!("[{}]", items.join(","))),
                3 => prop::collection::vec(entry, 0..6).prop_map(|entries| format!("{{{}}}", entries.join(", "))),
            ]
        });
        (inner, prop::sample::select(vec!["", "", "", " ", "}", "\u{feff}"]))
            .prop_map(|(json, end)| json + end)
    }

    fn is_read_or_refused(bytes: &[u8]) {
        match JsonBody::new(bytes.to_vec()).and_then(|body| body.read::<Sent>()) {
            Ok(_) => {
                let sent: IndexMap<String, serde::de::IgnoredAny> =
                    serde_json::from_slice(bytes).unwrap();
                drop(sent);
            }
            Err(error) => {
                assert_eq!(error.into_response().status(), StatusCode::UNPROCESSABLE_ENTITY);
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            is_read_or_refused(&bytes);
            is_read_or_refused(&[b"{".as_slice(), &bytes, b"}"].concat());
        }

        #[test]
        fn any_json_is_read_or_refused(json in json()) {
            is_read_or_refused(json.as_bytes());
        }
    }
}
