//! Authorization filters and metadata conditions as SQL. The one place that compiles them.

use sqlx::{Postgres, QueryBuilder};
use uuid::Uuid;

use crate::auth::{Filter, Scope};

/// Appends the condition that a row of `thread` is one that `scope` may see: it passes the
/// filter, and it has not expired. A thread is gone for readers when its time is over, whether
/// or not the sweeper came by.
pub(super) fn push_visible(sql: &mut QueryBuilder<Postgres>, scope: &Scope) {
    if let Some(filter) = scope.filter() {
        push_filter(sql, filter);
        sql.push(" and ");
    }
    sql.push(
        "(thread.expires_at is null or thread.expires_at > clock_timestamp() \
         or thread.ttl_strategy = 'keep_latest')",
    );
}

/// Appends a condition in one pair of parentheses. Whatever is not known to hold (a missing key
/// is null in SQL) does not: the caller's `where` drops null as it drops false, and `not` is
/// given no null.
fn push_filter(sql: &mut QueryBuilder<Postgres>, filter: &Filter) {
    sql.push("(");
    match filter {
        Filter::Equal { key, value } => {
            push_key(sql, key).push(" = ");
            push_jsonb(sql, value.text());
        }
        Filter::Contains { key, value } if !key.contains('\0') => {
            // Containment is what the index finds, but it also takes parts of objects for the
            // whole; the comparison of items decides.
            let list = serde_json::Value::from(key.as_str());
            sql.push("thread.metadata @> ");
            push_jsonb(sql, &format!("{{{list}:[{}]}}", value.text()));
            sql.push(" and exists (select from jsonb_array_elements(case when jsonb_typeof(");
            push_key(sql, key).push(") = 'array' then ");
            push_key(sql, key).push(" end) as item where item = ");
            push_jsonb(sql, value.text());
            sql.push(")");
        }
        Filter::Contains { .. } => {
            sql.push("false");
        }
        Filter::In { key, values } => {
            let values: Vec<_> = values.iter().map(|value| value.text().to_owned()).collect();
            push_key(sql, key).push(" = any(").push_bind(values).push("::text[]::jsonb[])");
        }
        Filter::Exists { key } => {
            push_key(sql, key).push(" is not null");
        }
        Filter::All(filters) => push_joined(sql, filters, " and "),
        Filter::Any(filters) => push_joined(sql, filters, " or "),
        Filter::Not(filter) => {
            sql.push("not coalesce(");
            push_filter(sql, filter);
            sql.push(", false)");
        }
    }
    sql.push(")");
}

fn push_joined(sql: &mut QueryBuilder<Postgres>, filters: &[Filter], word: &str) {
    if filters.is_empty() {
        sql.push("false");
    }
    for (number, filter) in filters.iter().enumerate() {
        if number > 0 {
            sql.push(word);
        }
        push_filter(sql, filter);
    }
}

/// The key is part of the statement, not a parameter, so that the planner can match it with the
/// expression of an index.
fn push_key<'a>(sql: &'a mut QueryBuilder<Postgres>, key: &str) -> &'a mut QueryBuilder<Postgres> {
    if key.contains('\0') {
        // No metadata has such a key, and the statement would end at the character.
        return sql.push("null::jsonb");
    }
    sql.push("thread.metadata -> ").push(quoted(key))
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
