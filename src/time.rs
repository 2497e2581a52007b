//! Timestamps as the API prints them.

use std::fmt;

use chrono::{DateTime, Datelike, Timelike, Utc};
use serde::{Serialize, Serializer};

/// A moment read from Postgres, printed as the reference server prints it: RFC 3339 with
/// microseconds and `+00:00`, never `Z` (`THREADS_API.md` section 2), and no fraction at all when
/// it is exactly zero, as Python writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, sqlx::Type)]
#[sqlx(transparent)]
pub struct Timestamp(DateTime<Utc>);

impl Timestamp {
    /// Milliseconds since 1970.
    #[must_use]
    pub fn milliseconds(self) -> i64 {
        self.0.timestamp_millis()
    }

    /// The moment itself.
    #[must_use]
    pub fn utc(self) -> DateTime<Utc> {
        self.0
    }
}

impl From<DateTime<Utc>> for Timestamp {
    fn from(moment: DateTime<Utc>) -> Self {
        Timestamp(moment)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (date, time) = (self.0.date_naive(), self.0.time());
        // By hand: every answer has some, and a format is worth a microsecond.
        let mut text = *b"0000-00-00T00:00:00.000000+00:00";
        let [y0, y1, y2, y3, _, m0, m1, _, d0, d1, _, h0, h1, _, i0, i1, _, s0, s1, ..] = &mut text;
        print_digits(date.year().unsigned_abs(), [y0, y1, y2, y3]);
        print_digits(date.month(), [m0, m1]);
        print_digits(date.day(), [d0, d1]);
        print_digits(time.hour(), [h0, h1]);
        print_digits(time.minute(), [i0, i1]);
        print_digits(time.second(), [s0, s1]);
        let [.., u0, u1, u2, u3, u4, u5, _, _, _, _, _, _] = &mut text;
        let microseconds = time.nanosecond() / 1_000;
        print_digits(microseconds, [u0, u1, u2, u3, u4, u5]);
        let text = std::str::from_utf8(&text).map_err(|_| fmt::Error)?;
        match text.split_once('.') {
            Some((seconds, _)) if microseconds == 0 => write!(f, "{seconds}+00:00"),
            _ => f.write_str(text),
        }
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
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn print(text: &str) -> String {
        Timestamp(text.parse().unwrap()).to_string()
    }

    #[test]
    fn prints_microseconds_and_a_numeric_offset() {
        assert_eq!(print("2026-11-22T14:00:21.293053Z"), "2026-11-22T14:00:21.293053+00:00");
        assert_eq!(print("2026-11-22T14:00:21.000001Z"), "2026-11-22T14:00:21.000001+00:00");
        assert_eq!(print("2026-11-22T14:00:21.5Z"), "2026-11-22T14:00:21.500000+00:00");
    }

    #[test]
    fn a_whole_second_has_no_fraction() {
        assert_eq!(print("2026-11-22T14:00:21Z"), "2026-11-22T14:00:21+00:00");
    }
}
