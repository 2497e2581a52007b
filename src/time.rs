//! Timestamps in the API's format.

use std::fmt;

use chrono::{DateTime, SecondsFormat, Timelike as _, Utc};
use serde::{Serialize, Serializer};
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArgumentBuffer, PgHasArrayType, PgTypeInfo, PgValueRef};
use sqlx::{Decode, Encode, Postgres, Type};

/// A time in the reference server's format: RFC 3339 with microseconds and `+00:00`, never `Z`, and
/// without a fraction if it is exactly zero, as Python writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(DateTime<Utc>);

impl Timestamp {
    /// Milliseconds since 1970.
    #[must_use]
    pub fn milliseconds(self) -> i64 {
        self.0.timestamp_millis()
    }
}

impl Timestamp {
    /// The time of a Unix timestamp in seconds and nanoseconds; 1970-01-01 if it is invalid.
    pub(crate) fn from_unix(seconds: i64, nanoseconds: u32) -> Timestamp {
        Timestamp(DateTime::from_timestamp(seconds, nanoseconds).unwrap_or_default())
    }

    fn text(self) -> String {
        let is_whole = self.0.nanosecond() < 1_000;
        let format = if is_whole { SecondsFormat::Secs } else { SecondsFormat::Micros };
        self.0.to_rfc3339_opts(format, false)
    }

    /// Parses a time in the format of RFC 3339.
    pub(crate) fn parse(text: &str) -> Option<Timestamp> {
        DateTime::parse_from_rfc3339(text).ok().map(|moment| Timestamp(moment.to_utc()))
    }
}

impl From<DateTime<Utc>> for Timestamp {
    fn from(moment: DateTime<Utc>) -> Self {
        Timestamp(moment)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text())
    }
}

impl Type<Postgres> for Timestamp {
    fn type_info() -> PgTypeInfo {
        <DateTime<Utc> as Type<Postgres>>::type_info()
    }
}

impl PgHasArrayType for Timestamp {
    fn array_type_info() -> PgTypeInfo {
        <DateTime<Utc> as PgHasArrayType>::array_type_info()
    }
}

impl Encode<'_, Postgres> for Timestamp {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        Encode::<Postgres>::encode_by_ref(&self.0, buffer)
    }
}

impl Decode<'_, Postgres> for Timestamp {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        Decode::<Postgres>::decode(value).map(Timestamp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn print(text: &str) -> String {
        Timestamp::from(text.parse::<DateTime<Utc>>().unwrap()).to_string()
    }

    #[test]
    fn prints_microseconds_and_a_numeric_offset() {
        assert_eq!(print("2026-11-22T14:00:21.293053Z"), "2026-11-22T14:00:21.293053+00:00");
        assert_eq!(print("2026-11-22T14:00:21.000001Z"), "2026-11-22T14:00:21.000001+00:00");
        assert_eq!(print("2026-11-22T14:00:21.5Z"), "2026-11-22T14:00:21.500000+00:00");
    }

    #[test]
    fn moments_before_1970_are_counted_downwards() {
        assert_eq!(print("1969-12-31T23:59:59.999999Z"), "1969-12-31T23:59:59.999999+00:00");
        assert_eq!(print("0001-01-01T00:00:00Z"), "0001-01-01T00:00:00+00:00");
        let before =
            Timestamp::from("1969-12-31T23:59:59.999999Z".parse::<DateTime<Utc>>().unwrap());
        assert_eq!(before.milliseconds(), -1);
    }

    #[test]
    fn a_whole_second_has_no_fraction() {
        assert_eq!(print("2026-11-22T14:00:21Z"), "2026-11-22T14:00:21+00:00");
    }
}
