//! Fields of request bodies, parsed more strictly than serde does by itself.

use std::fmt::Display;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{DeserializeOwned, Error as _, IntoDeserializer};

use super::body::JsonText;
use crate::json::{Raw, without_position};

/// A struct that is only parsed from a JSON object. By itself serde also accepts a list with the
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

/// For optional fields: absent is `None`, and an explicit `null` is refused like any other value of
/// the wrong type, as on the reference server.
pub fn present<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    T::deserialize(deserializer).map(Some)
}

/// Like [`present`], for names of a fixed set. By itself serde also accepts an object with the name
/// as its only key.
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

/// A value that is parsed only from a string, in place, so that a long list of short names needs no
/// memory for each text.
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
    use axum::response::IntoResponse as _;
    use indexmap::IndexMap;
    use proptest::prelude::*;

    use super::super::body::JsonBody;
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
