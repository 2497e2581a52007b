//! `filter` of a search or a count: conditions in JSON, with operators such as `$in` and `$or`.
//!
//! `{"$or": [{"metadata.repo": {"$in": ["a/b"]}}, {"metadata.repo": {"$exists": false}}]}`.
//! `docs/search.md` defines each operator's result for an absent key.

use chrono::{DateTime, Datelike as _, Timelike as _, Utc};

use crate::http::Error;
use crate::json::{Object, Raw, excerpt};
use crate::store::{Comparison, Field, Filter, Status, Test, Time};
use crate::text::Query;
use crate::time::Timestamp;

/// Maximum bytes of a filter.
const MAX_BYTES: usize = 65_536;
/// Maximum number of conditions, including operators that combine others.
const MAX_CONDITIONS: usize = 100;
/// Maximum number of conditions on values, for which the newest state of each thread is read.
const MAX_ON_VALUES: usize = 10;
/// Maximum nesting of operators that combine others.
const MAX_DEPTH: usize = 16;
/// Maximum number of keys in the path to a value.
const MAX_KEYS: usize = 16;

const OPERATORS: &str = "$eq, $ne, $gt, $gte, $lt, $lte, $in, $nin, $exists, $prefix, $contains, \
                         $not, and around conditions $and, $or, $not";
const FIELDS: &str = "metadata.<key>, values.<key>, status, created_at, updated_at, \
                      state_updated_at, last_message_at, title, message_count";

/// Reads a filter.
pub(super) fn read(sent: &Raw) -> Result<Filter, Error> {
    if sent.text().len() > MAX_BYTES {
        return Err(refused(&format!("must not be longer than {MAX_BYTES} bytes")));
    }
    let mut reader = Reader { conditions: 0, on_values: 0 };
    reader.conditions(sent, 0)
}

/// Reads the words of a query.
pub(super) fn read_query(sent: &str) -> Result<Query, Error> {
    Query::read(sent).map_err(|why| Error::Invalid(format!("query: {why}")))
}

fn refused(why: &str) -> Error {
    Error::Invalid(format!("filter: {why}"))
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", excerpt(name))
}

struct Reader {
    conditions: usize,
    on_values: usize,
}

impl Reader {
    fn count(&mut self, depth: usize) -> Result<(), Error> {
        self.conditions += 1;
        if self.conditions > MAX_CONDITIONS {
            return Err(refused(&format!("must not have more than {MAX_CONDITIONS} conditions")));
        }
        if depth > MAX_DEPTH {
            return Err(refused(&format!("must not be nested more than {MAX_DEPTH} levels deep")));
        }
        Ok(())
    }

    /// An object of conditions, all of which must hold.
    fn conditions(&mut self, sent: &Raw, depth: usize) -> Result<Filter, Error> {
        self.count(depth)?;
        let all = object(sent).ok_or_else(|| refused("conditions must be an object"))?;
        let read = all.iter().map(|(name, value)| match name {
            "$and" => Ok(Filter::All(self.list(name, value, depth)?)),
            "$or" => Ok(Filter::Any(self.list(name, value, depth)?)),
            "$not" => Ok(Filter::Not(Box::new(self.conditions(value, depth + 1)?))),
            _ if name.starts_with('$') => Err(unknown_operator(name)),
            _ => self.of_field(name, value, depth),
        });
        Ok(one_of(read.collect::<Result<_, _>>()?))
    }

    fn list(&mut self, operator: &str, sent: &Raw, depth: usize) -> Result<Vec<Filter>, Error> {
        let list = list(sent);
        let list =
            list.ok_or_else(|| refused(&format!("{operator} must have a list of objects")))?;
        list.iter().map(|conditions| self.conditions(conditions, depth + 1)).collect()
    }

    /// The condition on a field: a value that it must have, or operators.
    fn of_field(&mut self, name: &str, sent: &Raw, depth: usize) -> Result<Filter, Error> {
        self.count(depth)?;
        let field = field(name)?;
        if matches!(field, Field::Values(_)) {
            self.on_values += 1;
            if self.on_values > MAX_ON_VALUES {
                let why = format!("must not have more than {MAX_ON_VALUES} conditions on values");
                return Err(refused(&why));
            }
        }
        let operand = Operand { name, field };
        let operators = object(sent).filter(|object| object.iter().any(is_operator));
        let Some(operators) = operators else { return operand.test("$eq", sent) };
        self.operators(&operand, &operators, depth)
    }

    fn operators(
        &mut self,
        operand: &Operand<'_>,
        operators: &Object,
        depth: usize,
    ) -> Result<Filter, Error> {
        let read = operators.iter().map(|(operator, value)| {
            self.count(depth)?;
            if operator != "$not" {
                return operand.test(operator, value);
            }
            let negated = object(value).filter(|object| object.iter().all(is_operator));
            let why = || refused(&format!("$not of {} must have operators", quoted(operand.name)));
            let negated = self.operators(operand, &negated.ok_or_else(why)?, depth + 1)?;
            Ok(Filter::Not(Box::new(negated)))
        });
        Ok(one_of(read.collect::<Result<_, _>>()?))
    }
}

fn is_operator((key, _): (&str, &Raw)) -> bool {
    key.starts_with('$')
}

fn one_of(mut filters: Vec<Filter>) -> Filter {
    match filters.pop() {
        Some(only) if filters.is_empty() => only,
        last => Filter::All(filters.into_iter().chain(last).collect()),
    }
}

fn object(sent: &Raw) -> Option<Object> {
    sent.is_object().then(|| sent.parse().ok())?
}

fn list(sent: &Raw) -> Option<Vec<Raw>> {
    sent.parse().ok()
}

fn unknown_operator(name: &str) -> Error {
    refused(&format!("unknown operator {}, must be one of {OPERATORS}", quoted(name)))
}

/// The field of a name. A dot selects a key of an object, and everything between two dots is a key.
fn field(name: &str) -> Result<Field, Error> {
    let keys = |path: &str| -> Result<Vec<String>, Error> {
        let keys: Vec<_> = path.split('.').map(str::to_owned).collect();
        if keys.len() > MAX_KEYS {
            let why = format!("{} must not have more than {MAX_KEYS} keys", quoted(name));
            return Err(refused(&why));
        }
        Ok(keys)
    };
    Ok(match name.split_once('.') {
        Some(("metadata", path)) => Field::Metadata(keys(path)?),
        Some(("values", path)) => Field::Values(keys(path)?),
        _ => match name {
            "status" => Field::Status,
            "created_at" => Field::Time(Time::CreatedAt),
            "updated_at" => Field::Time(Time::UpdatedAt),
            "state_updated_at" => Field::Time(Time::StateUpdatedAt),
            "last_message_at" => Field::Time(Time::LastMessageAt),
            "title" => Field::Title,
            "message_count" => Field::MessageCount,
            _ => {
                let name = quoted(name);
                return Err(refused(&format!("unknown field {name}, must be one of {FIELDS}")));
            }
        },
    })
}

/// A field whose operators are parsed.
struct Operand<'a> {
    name: &'a str,
    field: Field,
}

impl Operand<'_> {
    fn refused(&self, operator: &str, must_be: &str) -> Error {
        refused(&format!("{operator} of {} must be {must_be}", quoted(self.name)))
    }

    fn test(&self, operator: &str, value: &Raw) -> Result<Filter, Error> {
        let not = |filter| Filter::Not(Box::new(filter));
        match operator {
            "$eq" => self.equal(operator, value),
            "$ne" => Ok(not(self.equal(operator, value)?)),
            "$in" => self.one_of(operator, value),
            "$nin" => Ok(not(self.one_of(operator, value)?)),
            "$exists" => {
                let absent = Filter::Field(self.field.clone(), Test::Absent);
                match value.text() {
                    "true" => Ok(not(absent)),
                    "false" => Ok(absent),
                    _ => Err(self.refused(operator, "true or false")),
                }
            }
            "$lt" => self.compare(operator, Comparison::Less, value),
            "$lte" => self.compare(operator, Comparison::LessOrEqual, value),
            "$gt" => self.compare(operator, Comparison::Greater, value),
            "$gte" => self.compare(operator, Comparison::GreaterOrEqual, value),
            "$prefix" => {
                self.is_of_text(operator)?;
                if !value.is_string() {
                    return Err(self.refused(operator, "a string"));
                }
                Ok(Filter::Field(self.field.clone(), Test::Prefix(value.clone())))
            }
            "$contains" => {
                self.is_of_text(operator)?;
                if !self.is_json() && !value.is_string() {
                    return Err(self.refused(operator, "a string"));
                }
                Ok(Filter::Field(self.field.clone(), Test::Contains(value.clone())))
            }
            _ => Err(unknown_operator(operator)),
        }
    }

    fn is_json(&self) -> bool {
        matches!(self.field, Field::Metadata(_) | Field::Values(_))
    }

    fn is_of_text(&self, operator: &str) -> Result<(), Error> {
        match self.field {
            Field::Time(_) | Field::MessageCount => {
                let name = quoted(self.name);
                Err(refused(&format!(
                    "{operator} cannot be used with {name}, which is not a string"
                )))
            }
            _ => Ok(()),
        }
    }

    fn equal(&self, operator: &str, value: &Raw) -> Result<Filter, Error> {
        let never = Filter::Any(Vec::new());
        let test = match self.value(operator, value)? {
            Operated::Value(value) => Test::Equal(value),
            // No time of a thread has a fraction of a microsecond.
            Operated::Between(_) => return Ok(never),
        };
        Ok(Filter::Field(self.field.clone(), test))
    }

    fn one_of(&self, operator: &str, value: &Raw) -> Result<Filter, Error> {
        let values = list(value).ok_or_else(|| self.refused(operator, "a list"))?;
        let mut kept = Vec::with_capacity(values.len());
        for value in &values {
            if let Operated::Value(value) = self.value(operator, value)? {
                kept.push(value);
            }
        }
        Ok(Filter::Field(self.field.clone(), Test::In(kept)))
    }

    fn compare(&self, operator: &str, how: Comparison, value: &Raw) -> Result<Filter, Error> {
        if value.is_null() {
            return Err(self.refused(operator, self.comparable()));
        }
        let (how, value) = match (self.value(operator, value)?, how) {
            (Operated::Value(value), how) => (how, value),
            (Operated::Between(before), Comparison::Less | Comparison::LessOrEqual) => {
                (Comparison::LessOrEqual, before)
            }
            (Operated::Between(before), _) => (Comparison::Greater, before),
        };
        if self.is_json() && !value.is_string() && !is_number(&value) {
            return Err(self.refused(operator, self.comparable()));
        }
        Ok(Filter::Field(self.field.clone(), Test::Compare(how, value)))
    }

    fn comparable(&self) -> &'static str {
        match self.field {
            Field::Metadata(_) | Field::Values(_) => "a number or a string",
            Field::Status => STATUSES,
            Field::Time(_) => MOMENT,
            Field::Title => "a string",
            Field::MessageCount => "a number",
        }
    }

    /// A value to compare the field with.
    fn value(&self, operator: &str, value: &Raw) -> Result<Operated, Error> {
        let may_be_null = matches!(self.field, Field::Title | Field::Time(Time::LastMessageAt));
        let is_right = match self.field {
            Field::Metadata(_) | Field::Values(_) => true,
            Field::Status => value.parse::<Status>().is_ok(),
            Field::Time(_) if value.is_string() => {
                let moment = value.parse::<String>().ok().and_then(|text| moment(&text));
                return moment.ok_or_else(|| self.refused(operator, MOMENT));
            }
            Field::Time(_) => false,
            Field::Title => value.is_string(),
            Field::MessageCount => is_number(value),
        };
        if is_right || may_be_null && value.is_null() {
            return Ok(Operated::Value(value.clone()));
        }
        Err(self.refused(operator, self.comparable()))
    }
}

const STATUSES: &str = "one of idle, busy, interrupted, error";
const MOMENT: &str = "a time such as 2026-11-01T00:00:00Z";

/// The value that a field is compared with.
enum Operated {
    /// This value.
    Value(Raw),
    /// A time less than a microsecond after this one, which no thread can have.
    Between(Raw),
}

/// Parses RFC 3339 with a time zone.
fn moment(text: &str) -> Option<Operated> {
    let moment = DateTime::parse_from_rfc3339(text).ok()?.with_timezone(&Utc);
    let written = |moment: DateTime<Utc>| Raw::from(Timestamp::from(moment).to_string().as_str());
    if !(1..=9999).contains(&moment.year()) {
        // Postgres spells the year 0 differently, and no thread is that old.
        let first = DateTime::from_timestamp(-62_135_596_800, 0)?;
        let end = DateTime::from_timestamp(253_402_300_799, 0)?;
        return Some(Operated::Between(written(if moment < first { first } else { end })));
    }
    let micros = moment.nanosecond() / 1_000 * 1_000;
    let is_whole = micros == moment.nanosecond();
    let written = written(moment.with_nanosecond(micros)?);
    Some(if is_whole { Operated::Value(written) } else { Operated::Between(written) })
}

fn is_number(value: &Raw) -> bool {
    value.text().starts_with(|c: char| c == '-' || c.is_ascii_digit())
}
