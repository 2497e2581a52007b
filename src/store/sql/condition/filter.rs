//! The filter of a search as SQL.
//!
//! A condition is true, false or null, which counts as false: `not` is never applied to null.

use std::fmt::Write as _;

use super::{MAX_COMPARED, Writer};
use crate::json::Raw;
use crate::messages::CHANNEL as MESSAGES;
use crate::store::sql::state::NEWEST_MESSAGES;
use crate::store::{Field, Filter, Test, Time};

/// The form of a condition.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spelling {
    /// Whether tests that the index on metadata supports are also written in its form.
    pub(super) index: bool,
}

impl Writer {
    /// A condition in parentheses.
    pub(super) fn search_filter(&mut self, filter: &Filter, spelling: Spelling) {
        self.text.push('(');
        match filter {
            Filter::All(filters) => self.search_filters(filters, " and ", "true", spelling),
            Filter::Any(filters) => match one_of_or_absent(filters) {
                // A row with another value is not searched for the key again.
                Some((key, strings)) if !spelling.index => {
                    let key = self.value_text(&Raw::from(key));
                    self.text.push_str("coalesce(");
                    self.one_of(&key, strings);
                    self.text.push_str(", ");
                    self.no_key(&key);
                    self.text.push(')');
                }
                _ => self.search_filters(filters, " or ", "false", spelling),
            },
            Filter::Not(filter) => {
                self.text.push_str("not coalesce(");
                // Under `not` the index would find the rows to exclude.
                self.search_filter(filter, Spelling { index: false });
                self.text.push_str(", false)");
            }
            Filter::Field(field, test) => self.field(field, test, spelling),
        }
        self.text.push(')');
    }

    fn search_filters(&mut self, filters: &[Filter], word: &str, none: &str, spelling: Spelling) {
        if filters.is_empty() {
            self.text.push_str(none);
        }
        for (number, filter) in filters.iter().enumerate() {
            if number > 0 {
                self.text.push_str(word);
            }
            self.search_filter(filter, spelling);
        }
    }

    fn field(&mut self, field: &Field, test: &Test, spelling: Spelling) {
        match field {
            Field::Metadata(path) => {
                if spelling.index {
                    let held = self.inside("thread.metadata".to_owned(), path);
                    self.json(&held, test);
                    self.indexed(path, test);
                } else {
                    self.metadata_alone(path, test);
                }
            }
            Field::Values(path) => {
                let value = self.newest_value(path);
                self.text.push_str("select ");
                self.json("one.held", test);
                // `offset 0` keeps the planner from inlining the subquery, so the value is read
                // once.
                let _ = write!(self.text, " from (select {value} as held offset 0) as one");
            }
            Field::Status => self.column("thread.status", "text", test),
            Field::Title => self.column("thread.title", "text", test),
            Field::MessageCount => {
                self.column("thread.message_count", "numeric", test);
            }
            Field::Time(time) => {
                let column = match time {
                    Time::CreatedAt => "thread.created_at",
                    Time::UpdatedAt => "thread.updated_at",
                    Time::StateUpdatedAt => "thread.state_updated_at",
                    Time::LastMessageAt => "thread.last_message_at",
                };
                self.column(column, "timestamptz", test);
            }
        }
    }

    /// A test of metadata without the index, in the form that is the fastest for a row. A planner
    /// that knows the values would estimate some of these forms from the metadata of all users.
    fn metadata_alone(&mut self, path: &[String], test: &Test) {
        match (path, test) {
            // An object contains a scalar at a path only if the scalar is the value there.
            // Containment is one comparison of two columns, without a lookup of each key.
            (_, Test::Equal(value)) if is_scalar(value) => {
                let wanted = self.item(at(path, value).text());
                let _ = write!(self.text, "thread.metadata @> {wanted}");
            }
            ([key], Test::Absent) => {
                let key = self.value_text(&Raw::from(key.as_str()));
                // A planner estimates nothing from the result of a function.
                self.text.push_str("coalesce(");
                self.no_key(&key);
                self.text.push_str(", true)");
            }
            ([key], Test::In(values)) if are_strings(values) => {
                let key = self.value_text(&Raw::from(key.as_str()));
                self.one_of(&key, values);
            }
            _ => {
                let held = self.inside("thread.metadata".to_owned(), path);
                self.json(&held, test);
            }
        }
    }

    /// Whether the metadata has no such key. Metadata is always an object.
    fn no_key(&mut self, key: &str) {
        let _ = write!(self.text, "not thread.metadata ? {key}");
    }

    /// Whether the value of a key is one of these strings: null if there is no such key. Texts are
    /// compared faster than `jsonb`, and only a row with such a text is tested for its type.
    fn one_of(&mut self, key: &str, strings: &[Raw]) {
        let strings = self.list(strings);
        let _ = write!(
            self.text,
            "thread.metadata ->> {key} = any(array(select jsonb_array_elements_text({strings}))) \
             and jsonb_typeof(thread.metadata -> {key}) = 'string'"
        );
    }

    /// The value at a path of keys. A key selects only from objects.
    fn inside(&mut self, from: String, path: &[String]) -> String {
        path.iter().fold(from, |held, key| {
            let key = self.value_text(&Raw::from(key.as_str()));
            format!("({held} -> {key})")
        })
    }

    /// A value in the newest values of a thread. Only its channel is read.
    fn newest_value(&mut self, path: &[String]) -> String {
        let Some((channel, path)) = path.split_first() else { return "null::jsonb".to_owned() };
        let key = self.value_text(&Raw::from(channel.as_str()));
        let value = if channel == MESSAGES {
            format!("select ({NEWEST_MESSAGES}) as value where head.state_bytes < {MAX_COMPARED}")
        } else {
            format!(
                "select channel_value.value::jsonb as value from thread_store.channel_value \
                 where channel_value.tenant = asked.tenant \
                     and channel_value.thread_id = thread.thread_id \
                     and channel_value.seq = (head.channels -> {key} ->> 0)::bigint \
                     and channel_value.channel = {key} \
                     and (head.channels -> {key} ->> 1)::bigint < {MAX_COMPARED}"
            )
        };
        let own = format!(
            "(select newest.value from ( \
                 select * from thread_store.checkpoint \
                 where thread.last_seq > 0 and checkpoint.tenant = asked.tenant \
                     and checkpoint.thread_id = thread.thread_id \
                     and checkpoint.checkpoint_ns = '' \
                 order by checkpoint.checkpoint_id desc limit 1 \
             ) as head cross join lateral ({value}) as newest)"
        );
        let held = match self.agents_values {
            None => own,
            Some(place) => format!(
                "case when thread.agent_thread_id is null then {own} \
                 else asked.{} #> array['{place}', thread.thread_id::text, {key}] end",
                self.column
            ),
        };
        self.inside(held, path)
    }

    /// A test of a `jsonb` expression.
    fn json(&mut self, held: &str, test: &Test) {
        let condition = match test {
            Test::Absent => format!("{held} is null"),
            Test::Equal(value) => format!("{held} = {}", self.item(value.text())),
            Test::In(values) => {
                let values = self.list(values);
                format!("{held} = any(array(select jsonb_array_elements({values})))")
            }
            Test::Compare(comparison, value) => {
                let (operator, value_item) = (comparison.operator(), self.item(value.text()));
                if value.is_string() {
                    format!(
                        "case when jsonb_typeof({held}) = 'string' \
                         then ({held} #>> '{{}}') collate \"C\" {operator} ({value_item} #>> '{{}}') \
                         end"
                    )
                } else {
                    format!(
                        "case when jsonb_typeof({held}) = 'number' \
                         then ({held})::numeric {operator} ({value_item})::numeric end"
                    )
                }
            }
            Test::Prefix(value) => {
                let value = self.value_text(value);
                format!(
                    "case when jsonb_typeof({held}) = 'string' \
                     then starts_with({held} #>> '{{}}', {value}) end"
                )
            }
            Test::Contains(value) if value.text().starts_with('[') => {
                let value = self.item(value.text());
                format!(
                    "case when jsonb_typeof({held}) = 'array' then not exists ( \
                         select jsonb_array_elements({value}) \
                         except select jsonb_array_elements({held})) end"
                )
            }
            Test::Contains(value) => {
                let item = self.item(value.text());
                let is_item = format!("{item} in (select jsonb_array_elements({held}))");
                if value.is_string() {
                    format!(
                        "case jsonb_typeof({held}) when 'array' then {is_item} \
                         when 'string' then strpos({held} #>> '{{}}', {item} #>> '{{}}') > 0 end"
                    )
                } else {
                    format!("case when jsonb_typeof({held}) = 'array' then {is_item} end")
                }
            }
        };
        self.text.push_str(&condition);
    }

    /// A test of a column of this type: `text`, `numeric` or `timestamptz`.
    fn column(&mut self, column: &str, r#type: &str, test: &Test) {
        let collate = if r#type == "text" { " collate \"C\"" } else { "" };
        let condition = match test {
            Test::Absent => format!("{column} is null"),
            Test::Equal(value) if value.is_null() => format!("{column} is null"),
            Test::Equal(value) => {
                format!("{column}{collate} = ({})::{type}", self.value_text(value))
            }
            Test::In(values) => {
                let or_null = if values.iter().any(Raw::is_null) {
                    format!(" or {column} is null")
                } else {
                    String::new()
                };
                let values = self.list(values);
                format!(
                    "{column}{collate} = any(array( \
                         select value::{type} from jsonb_array_elements_text({values}) as value \
                     )){or_null}"
                )
            }
            Test::Compare(comparison, value) => {
                let (operator, value) = (comparison.operator(), self.value_text(value));
                format!("{column}{collate} {operator} ({value})::{type}")
            }
            Test::Prefix(value) => format!("starts_with({column}, {})", self.value_text(value)),
            Test::Contains(value) => format!("strpos({column}, {}) > 0", self.value_text(value)),
        };
        self.text.push_str(&condition);
    }

    /// A JSON list as a single value.
    fn list(&mut self, values: &[Raw]) -> String {
        let values = values.iter().map(Raw::text).collect::<Vec<_>>().join(",");
        self.item(&format!("[{values}]"))
    }

    /// A condition that follows from a test of metadata, in the form of the index on metadata. The
    /// index is used only for scalars: other values would need a scan of all of its entries.
    fn indexed(&mut self, path: &[String], test: &Test) {
        let values = match test {
            Test::Equal(value) => std::slice::from_ref(value),
            Test::In(values) => values.as_slice(),
            _ => return,
        };
        // The owner is not in the index.
        let is_indexed = path.first().is_some_and(|key| key != "owner");
        if !is_indexed || values.is_empty() || !values.iter().all(is_scalar) {
            return;
        }
        let objects = values.iter().map(|value| at(path, value)).collect::<Vec<_>>();
        let objects = self.list(&objects);
        let _ = write!(
            self.text,
            " and jsonb_set('{{}}', array[thread.tenant::text], thread.metadata - 'owner') \
             @> any(array( \
                 select jsonb_set('{{}}', array[asked.tenant::text], object) \
                 from jsonb_array_elements({objects}) as object))"
        );
    }
}

impl Filter {
    /// The object that metadata must contain, if that is the whole filter.
    pub(in crate::store) fn contained(&self) -> Option<Raw> {
        match self {
            Filter::Field(Field::Metadata(path), Test::Equal(value)) if is_scalar(value) => {
                Some(at(path, value))
            }
            Filter::All(filters) if let [only] = filters.as_slice() => only.contained(),
            _ => None,
        }
    }
}

/// The key of metadata that must be absent or have one of these strings, if these two conditions are
/// the whole list.
fn one_of_or_absent(filters: &[Filter]) -> Option<(&str, &[Raw])> {
    let [Filter::Field(one, one_test), Filter::Field(other, other_test)] = filters else {
        return None;
    };
    let (Field::Metadata(path), Field::Metadata(other)) = (one, other) else { return None };
    let ((Test::In(strings), Test::Absent) | (Test::Absent, Test::In(strings))) =
        (one_test, other_test)
    else {
        return None;
    };
    let [key] = path.as_slice() else { return None };
    (path == other && are_strings(strings)).then_some((key, strings))
}

fn are_strings(values: &[Raw]) -> bool {
    !values.is_empty() && values.iter().all(Raw::is_string)
}

fn is_scalar(value: &Raw) -> bool {
    !value.text().starts_with(['{', '['])
}

/// The object with only this value, at a path of keys.
fn at(path: &[String], value: &Raw) -> Raw {
    path.iter().rev().fold(value.clone(), |value, key| {
        Raw::stored(format!("{{{}:{}}}", Raw::from(key.as_str()).text(), value.text()))
    })
}
