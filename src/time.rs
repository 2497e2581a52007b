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
        // By hand: every answer has some, and a general format is read anew for each.
        let (date, time) = (self.0.date_naive(), self.0.time());
        let (year, month, day) = (date.year(), date.month(), date.day());
        let (hour, minute, second) = (time.hour(), time.minute(), time.second());
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        match time.nanosecond() / 1_000 {
            0 => f.write_str("+00:00"),
            microseconds => write!(f, ".{microseconds:06}+00:00"),
        }
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
