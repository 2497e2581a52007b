//! Authorization filters and metadata conditions as SQL. The one place that compiles them.

use sqlx::{Postgres, QueryBuilder};
use uuid::Uuid;

use crate::auth::{Filter, Scope};

/// Appends the condition that a row of `thread` is one that `scope` may see: it passes the
/// filter, and it has not expired. A thread is gone for readers when its time is over, whether
/// or not the sweeper came by.
pub(super) fn push_visible(sql: &mut QueryBuilder<Postgres>, scope: &Scope) {
    match scope.filter() {
        Filter::Equal { key, value } => {
            // The key is part of the statement, not a parameter, so that the planner can match
            // it with the expression of an index.
            sql.push("thread.metadata -> ").push(quoted(key)).push(" = ");
            push_jsonb(sql, value.text());
        }
    }
    sql.push(
        " and (thread.expires_at is null or thread.expires_at > clock_timestamp() \
         or thread.ttl_strategy = 'keep_latest')",
    );
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
