//! Authorization filters and metadata conditions as SQL. The one place that compiles them.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};
use sqlx::{Postgres, QueryBuilder};
use uuid::Uuid;

use crate::auth::{Filter, Scope};
use crate::json::Object;

/// Where a condition is written to, and how it gets its values.
trait Target {
    /// Appends text of the statement.
    fn text(&mut self, sql: &str);
    /// Appends a JSON value, given as text.
    fn json(&mut self, value: &str);
    /// Appends an array of JSON values, given as texts.
    fn list(&mut self, values: Vec<String>);
}

/// A statement for one caller: values are parameters.
impl Target for QueryBuilder<Postgres> {
    fn text(&mut self, sql: &str) {
        self.push(sql);
    }

    fn json(&mut self, value: &str) {
        push_jsonb(self, value);
    }

    fn list(&mut self, values: Vec<String>) {
        self.push_bind(values).push("::text[]::jsonb[]");
    }
}

/// A statement that is planned for its values: they are part of it.
struct Planned<'a>(&'a mut QueryBuilder<Postgres>);

impl Target for Planned<'_> {
    fn text(&mut self, sql: &str) {
        self.0.push(sql);
    }

    fn json(&mut self, value: &str) {
        self.0.push(quoted(value)).push("::jsonb");
    }

    fn list(&mut self, values: Vec<String>) {
        push_array(self, &values);
    }
}

fn push_array(sql: &mut impl Target, values: &[String]) {
    sql.text("array[");
    for (number, value) in values.iter().enumerate() {
        sql.text(if number > 0 { ", " } else { "" });
        sql.json(value);
    }
    sql.text("]::jsonb[]");
}

/// A statement for several callers: values are columns of `asked`, the table of what they ask for.
#[derive(Default)]
struct Columns {
    sql: String,
    values: Vec<String>,
}

impl Target for Columns {
    fn text(&mut self, sql: &str) {
        self.sql.push_str(sql);
    }

    fn json(&mut self, value: &str) {
        let _ = write!(self.sql, "asked.value_{}::jsonb", self.values.len());
        self.values.push(value.to_owned());
    }

    fn list(&mut self, values: Vec<String>) {
        push_array(self, &values);
    }
}

/// Appends the condition that a row of `thread` is one that `scope` may see: it passes the
/// filter, and it has not expired. A thread is gone for readers when its time is over, whether
/// or not the sweeper came by.
pub(super) fn push_visible(sql: &mut QueryBuilder<Postgres>, scope: &Scope) {
    visible(sql, scope);
}

/// The same with the scope's values as part of the statement, so that Postgres sees them before it
/// plans: how to find threads depends on how many an owner has.
pub(super) fn push_visible_planned(sql: &mut QueryBuilder<Postgres>, scope: &Scope) {
    visible(&mut Planned(sql), scope);
}

/// Appends the condition that a thread's metadata contains this object, which is part of the
/// statement like the values of [`push_visible_planned`].
pub(super) fn push_contains_planned(sql: &mut QueryBuilder<Postgres>, metadata: &Object) {
    sql.push("thread.metadata @> ");
    Planned(sql).json(&metadata.to_text());
}

fn visible(sql: &mut impl Target, scope: &Scope) {
    if let Some(filter) = scope.filter() {
        condition(sql, filter);
        sql.text(" and ");
    }
    sql.text(
        "(thread.expires_at is null or thread.expires_at > clock_timestamp() \
         or thread.ttl_strategy = 'keep_latest')",
    );
}

/// A name for a scope, which no other has and which is the same in every instance.
pub(super) fn fingerprint(scope: &Scope) -> Uuid {
    let mut columns = Columns::default();
    visible(&mut columns, scope);
    let parts = std::iter::once(&columns.sql).chain(&columns.values);
    let hash = parts.fold(Sha256::new(), |hash, part| {
        // With its length, so that parts cannot be taken for others.
        hash.chain_update(part.len().to_be_bytes()).chain_update(part)
    });
    let hash = hash.finalize();
    Uuid::from_u128(hash.iter().take(16).fold(0, |half, byte| half << 8 | u128::from(*byte)))
}

/// The values in the condition of a scope. Of two scopes of one [`Shape`] and with the same values
/// each may see what the other may.
pub(super) fn values_of(scope: &Scope) -> Vec<String> {
    let mut columns = Columns::default();
    visible(&mut columns, scope);
    columns.values
}

/// What the conditions of several scopes have in common: all but the values in them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shape {
    sql: String,
    values: usize,
}

impl Shape {
    pub(super) fn of(scope: &Scope) -> Shape {
        let mut columns = Columns::default();
        visible(&mut columns, scope);
        Shape { sql: columns.sql, values: columns.values.len() }
    }

    /// The condition that is met by every row: for those that the transaction under way has made.
    pub(super) fn any() -> Shape {
        Shape { sql: "true".to_owned(), values: 0 }
    }

    /// Appends what [`push_visible`] does, for a row of `asked` and its own values.
    pub(super) fn push_visible(&self, sql: &mut QueryBuilder<Postgres>) {
        sql.push(&self.sql);
    }

    /// Appends the columns that hold the values of these scopes, which must be of this shape, as
    /// arguments of `unnest`.
    pub(super) fn push_values<'a>(
        &self,
        sql: &mut QueryBuilder<Postgres>,
        scopes: impl Iterator<Item = &'a Scope>,
    ) {
        self.push_columns(sql, scopes.map(values_of));
    }

    /// The same with what [`values_of`] those scopes are.
    pub(super) fn push_columns(
        &self,
        sql: &mut QueryBuilder<Postgres>,
        scopes: impl IntoIterator<Item = Vec<String>>,
    ) {
        let mut columns = vec![Vec::new(); self.values];
        for values in scopes {
            for (column, value) in columns.iter_mut().zip(values) {
                column.push(value);
            }
        }
        for column in columns {
            sql.push(", ").push_bind(column).push("::text[]");
        }
    }

    /// Appends the names of those columns.
    pub(super) fn push_names(&self, sql: &mut QueryBuilder<Postgres>) {
        for number in 0..self.values {
            sql.push(format_args!(", value_{number}"));
        }
    }
}

/// Appends a condition in one pair of parentheses. Whatever is not known to hold (a missing key
/// is null in SQL) does not: the caller's `where` drops null as it drops false, and `not` is
/// given no null.
fn condition(sql: &mut impl Target, filter: &Filter) {
    sql.text("(");
    match filter {
        Filter::Equal { key, value } => {
            value_of(sql, key);
            sql.text(" = ");
            sql.json(value.text());
        }
        Filter::Contains { key, value } if !key.contains('\0') => {
            // Containment is what the index finds, but it also takes parts of objects for the
            // whole; the comparison of items decides.
            let list = serde_json::Value::from(key.as_str());
            sql.text("thread.metadata @> ");
            sql.json(&format!("{{{list}:[{}]}}", value.text()));
            sql.text(" and exists (select from jsonb_array_elements(case when jsonb_typeof(");
            value_of(sql, key);
            sql.text(") = 'array' then ");
            value_of(sql, key);
            sql.text(" end) as item where item = ");
            sql.json(value.text());
            sql.text(")");
        }
        Filter::Contains { .. } => sql.text("false"),
        Filter::In { key, values } => {
            value_of(sql, key);
            sql.text(" = any(");
            sql.list(values.iter().map(|value| value.text().to_owned()).collect());
            sql.text(")");
        }
        Filter::Exists { key } => {
            value_of(sql, key);
            sql.text(" is not null");
        }
        Filter::All(filters) => joined(sql, filters, " and "),
        Filter::Any(filters) => joined(sql, filters, " or "),
        Filter::Not(filter) => {
            sql.text("not coalesce(");
            condition(sql, filter);
            sql.text(", false)");
        }
    }
    sql.text(")");
}

fn joined(sql: &mut impl Target, filters: &[Filter], word: &str) {
    if filters.is_empty() {
        sql.text("false");
    }
    for (number, filter) in filters.iter().enumerate() {
        if number > 0 {
            sql.text(word);
        }
        condition(sql, filter);
    }
}

/// The key is part of the statement, not a parameter, so that the planner can match it with the
/// expression of an index.
fn value_of(sql: &mut impl Target, key: &str) {
    if key.contains('\0') {
        // No metadata has such a key, and the statement would end at the character.
        sql.text("null::jsonb");
    } else {
        sql.text("thread.metadata -> ");
        sql.text(&quoted(key));
    }
}

/// Appends ` where` the row of `thread` is this one and visible.
pub(super) fn push_where_thread(sql: &mut QueryBuilder<Postgres>, scope: &Scope, thread_id: Uuid) {
    sql.push(" where thread.thread_id = ").push_bind(thread_id).push(" and ");
    push_visible(sql, scope);
}

/// Appends a parameter that holds JSON.
pub(super) fn push_jsonb(sql: &mut QueryBuilder<Postgres>, text: &str) {
    sql.push_bind(text.to_owned()).push("::text::jsonb");
}

/// A string literal. Safe whatever `standard_conforming_strings` is set to.
fn quoted(text: &str) -> String {
    let mut literal = String::from("E'");
    for character in text.chars() {
        if matches!(character, '\'' | '\\') {
            literal.push('\\');
        }
        literal.push(character);
    }
    literal.push('\'');
    literal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_cannot_be_left() {
        assert_eq!(quoted("owner"), "E'owner'");
        assert_eq!(quoted(r"a'b\'; drop"), r"E'a\'b\\\'; drop'");
    }
}
