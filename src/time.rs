//! Timestamps as the API prints them.

use std::fmt;

use chrono::{DateTime, Datelike, Timelike, Utc};
use serde::{Serialize, Serializer};
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArgumentBuffer, PgTypeInfo, PgValueRef};
use sqlx::{Decode, Encode, Postgres, Type};

/// When Postgres begins to count: 2000-01-01, in microseconds since 1970.
const YEAR_2000: i64 = 946_684_800_000_000;
/// The years that have four digits, from 1 to 9999, in microseconds since 1970.
const YEARS: std::ops::Range<i64> = -62_135_596_800_000_000..253_402_300_800_000_000;

/// A moment read from Postgres, printed as the reference server prints it: RFC 3339 with
/// microseconds and `+00:00`, never `Z` (`THREADS_API.md` section 2), and no fraction at all when
/// it is exactly zero, as Python writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp {
    /// Since 1970. Most answers show moments and calculate nothing with them.
    microseconds: i64,
}

impl Timestamp {
    /// Milliseconds since 1970.
    #[must_use]
    pub fn milliseconds(self) -> i64 {
        self.microseconds.div_euclid(1_000)
    }

    /// By hand: every answer has some, and a format is worth a microsecond.
    fn print(self, text: &mut [u8; 32]) -> Result<&str, fmt::Error> {
        let moment = DateTime::from_timestamp_micros(self.microseconds).ok_or(fmt::Error)?;
        let (date, time) = (moment.date_naive(), moment.time());
        *text = *b"0000-00-00T00:00:00.000000+00:00";
        let [y0, y1, y2, y3, _, m0, m1, _, d0, d1, _, h0, h1, _, i0, i1, _, s0, s1, ..] = text;
        print_digits(date.year().unsigned_abs(), [y0, y1, y2, y3]);
        print_digits(date.month(), [m0, m1]);
        print_digits(date.day(), [d0, d1]);
        print_digits(time.hour(), [h0, h1]);
        print_digits(time.minute(), [i0, i1]);
        print_digits(time.second(), [s0, s1]);
        let microseconds = time.nanosecond() / 1_000;
        let [.., u0, u1, u2, u3, u4, u5, _, _, _, _, _, _] = text;
        print_digits(microseconds, [u0, u1, u2, u3, u4, u5]);
        let mut length = text.len();
        if microseconds == 0 {
            text.copy_within(26.., 19);
            length = 25;
        }
        let printed = text.get(..length).and_then(|text| std::str::from_utf8(text).ok());
        printed.ok_or(fmt::Error)
    }
}

impl From<DateTime<Utc>> for Timestamp {
    fn from(moment: DateTime<Utc>) -> Self {
        Timestamp { microseconds: moment.timestamp_micros() }
    }
}

impl Type<Postgres> for Timestamp {
    fn type_info() -> PgTypeInfo {
        <DateTime<Utc> as Type<Postgres>>::type_info()
    }
}

impl Encode<'_, Postgres> for Timestamp {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        Encode::<Postgres>::encode(self.microseconds.saturating_sub(YEAR_2000), buffer)
    }
}

/// Only the binary form, which statements with parameters are answered in.
impl Decode<'_, Postgres> for Timestamp {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        let since_2000 = <i64 as Decode<Postgres>>::decode(value)?;
        let microseconds =
            since_2000.checked_add(YEAR_2000).filter(|moment| YEARS.contains(moment));
        let microseconds = microseconds.ok_or("a moment out of range")?;
        Ok(Timestamp { microseconds })
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.print(&mut [0; 32])?)
    }
}

/// The last digits of a number.
fn print_digits<const N: usize>(mut number: u32, digits: [&mut u8; N]) {
    for digit in digits.into_iter().rev() {
        *digit = b'0' + u8::try_from(number % 10).unwrap_or_default();
        number /= 10;
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut text = [0; 32];
        serializer.serialize_str(self.print(&mut text).map_err(serde::ser::Error::custom)?)
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
