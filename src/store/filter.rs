//! The filter of a search: conditions on fields of a thread, combined.

use crate::json::Raw;

/// Conditions on a thread. Each holds or does not hold; [`Test`] defines the result for an absent
/// field.
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    /// All of these hold. An empty list always holds.
    All(Vec<Filter>),
    /// One of these holds. An empty list never holds.
    Any(Vec<Filter>),
    /// This does not hold.
    Not(Box<Filter>),
    /// The test of a field holds.
    Field(Field, Test),
}

/// A field of a thread that conditions can be about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Field {
    /// A value in the metadata, by its path of keys, which has at least one.
    Metadata(Vec<String>),
    /// A value in the newest values, by its path of keys, which has at least one. Values that are
    /// too large to compare are absent.
    Values(Vec<String>),
    /// The status, a string.
    Status,
    /// A time.
    Time(Time),
    /// The title, a string. Absent if the thread has none.
    Title,
    /// The number of messages.
    MessageCount,
}

impl Field {
    /// Whether the field is in the digest of a thread.
    pub(in crate::store) fn is_of_digest(&self) -> bool {
        matches!(self, Field::Title | Field::MessageCount | Field::Time(Time::LastMessageAt))
    }
}

/// A time of a thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Time {
    /// When it was created.
    CreatedAt,
    /// When its metadata or its state last changed.
    UpdatedAt,
    /// When its state last changed.
    StateUpdatedAt,
    /// When a message was last written. Absent if there is none.
    LastMessageAt,
}

/// A condition on the value of a field. Only [`Test::Absent`] holds for an absent field, except
/// that null equals an absent [`Field::Title`] or [`Time::LastMessageAt`]. No test holds for a
/// value of another type.
///
/// Operands are JSON texts. Operands for a [`Field::Time`] are strings that Postgres parses as
/// times.
#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    /// The field is absent.
    Absent,
    /// The value equals this one: numbers as numbers, objects regardless of the order of their
    /// keys.
    Equal(Raw),
    /// The value is one of these.
    In(Vec<Raw>),
    /// The comparison with another number or string holds: numbers exactly, strings by code point.
    Compare(Comparison, Raw),
    /// The value is a string with this prefix.
    Prefix(Raw),
    /// The value is a string that contains this one, or a list with this item. If this is a list,
    /// each of its items must be in the value.
    Contains(Raw),
}

/// A comparison of two values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// It is less.
    Less,
    /// It is less or equal.
    LessOrEqual,
    /// It is greater.
    Greater,
    /// It is greater or equal.
    GreaterOrEqual,
}

impl Comparison {
    /// The SQL operator.
    pub(in crate::store) fn operator(self) -> &'static str {
        match self {
            Comparison::Less => "<",
            Comparison::LessOrEqual => "<=",
            Comparison::Greater => ">",
            Comparison::GreaterOrEqual => ">=",
        }
    }
}

impl Filter {
    /// Visits the field of each condition.
    pub(in crate::store) fn each_field(&self, take: &mut impl FnMut(&Field)) {
        match self {
            Filter::All(filters) | Filter::Any(filters) => {
                for filter in filters {
                    filter.each_field(take);
                }
            }
            Filter::Not(filter) => filter.each_field(take),
            Filter::Field(field, _) => take(field),
        }
    }

    /// Whether a condition has a field for which `is_meant` holds.
    pub(in crate::store) fn is_about(&self, is_meant: &impl Fn(&Field) -> bool) -> bool {
        let mut is_about = false;
        self.each_field(&mut |field| is_about |= is_meant(field));
        is_about
    }

    /// Whether the newest values of a thread must be read.
    pub(in crate::store) fn reads_values(&self) -> bool {
        self.is_about(&|field| matches!(field, Field::Values(_)))
    }

    /// The number of conditions.
    pub(in crate::store) fn size(&self) -> usize {
        match self {
            Filter::All(filters) | Filter::Any(filters) => {
                1 + filters.iter().map(Filter::size).sum::<usize>()
            }
            Filter::Not(filter) => 1 + filter.size(),
            Filter::Field(..) => 1,
        }
    }
}
