//! Statements: whole texts, with holes for the conditions that depend on the scope and the search.
//!
//! Every statement about threads answers any number of requests at once. Their parameters are the
//! columns of a table named `asked`, which has one row for each request:
//!
//! ```sql
//! from unnest($1::bigint[], $2::uuid[]) with ordinality as asked (tenant, thread_id, n)
//! ```
//!
//! If the tables are split by tenant, the requests of a statement have one tenant, and
//! `asked.tenant` is replaced by its parameter, so that the engine can select the shard before it
//! runs the statement. If a plan must depend on the values, a statement answers a single request,
//! and every `asked.column` is replaced in the same way.
//!
//! The texts are checked by tests and not by the compiler: `query!` accepts no text with holes, and
//! would connect to a database or read a cache in every build. The tests of `statements` prepare
//! every text in every form, and `tests/statements.sql` shows them.

pub(super) mod condition;
pub(super) mod state;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, ColumnIndex, Row, SqlSafeStr, SqlStr};

/// Maximum number of cached texts of one statement, which is more than a policy has shapes of
/// filters.
const MAX_RENDERED: usize = 64;

/// The requests that a text can serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Form {
    /// Any number of requests, of any tenants.
    Batch,
    /// Any number of requests of one tenant, which is known to the planner.
    OneTenant,
    /// One request, whose values are known to the planner.
    Single,
    /// Any number of requests, each about the threads of all tenants.
    AllTenants,
}

/// The contents of a text's holes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Holes {
    /// `{visible}`: the condition of the caller's scope on a row of `thread`.
    pub(super) visible: Arc<str>,
    /// `{criteria}`: the conditions of a search.
    pub(super) criteria: Option<Arc<str>>,
    /// `{key}`, `{type}`, `{behind}` and `{direction}`: the order of a search.
    pub(super) order: Option<Order>,
    /// `{agent}`: the schema of the agent's tables, quoted.
    pub(super) agent: Option<Arc<str>>,
}

impl Holes {
    /// The holes of a statement with only the condition of the scope.
    pub(super) fn visible(visible: &Arc<str>) -> Holes {
        Holes { visible: Arc::clone(visible), criteria: None, order: None, agent: None }
    }
}

/// The order of a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Order {
    /// A column of `thread`.
    pub(super) key: &'static str,
    /// Its type.
    pub(super) r#type: &'static str,
    /// Whether the smallest comes first.
    pub(super) ascending: bool,
}

/// A statement, by its text with holes.
pub(super) struct Statement {
    /// Its name in the list of all statements.
    pub(super) name: &'static str,
    text: &'static str,
    rendered: RwLock<BTreeMap<(Form, Holes), Arc<str>>>,
}

impl Statement {
    pub(super) const fn new(name: &'static str, text: &'static str) -> Statement {
        Statement { name, text, rendered: RwLock::new(BTreeMap::new()) }
    }

    /// The text of a statement about an agent's tables. `schema` is their schema, quoted.
    pub(super) fn with_agent(&self, schema: &str) -> SqlStr {
        AssertSqlSafe(self.text.replace("{agent}", schema)).into_sql_str()
    }

    /// The text of a statement without holes.
    pub(super) fn text(&self) -> &'static str {
        self.text
    }

    /// The whole text.
    pub(super) fn render(&self, form: Form, holes: Holes) -> SqlStr {
        let key = (form, holes);
        let rendered = self.rendered.read().unwrap_or_else(PoisonError::into_inner);
        let known = rendered.get(&key).cloned();
        drop(rendered);
        let text = known.unwrap_or_else(|| self.remember(key));
        AssertSqlSafe(text).into_sql_str()
    }

    fn remember(&self, key: (Form, Holes)) -> Arc<str> {
        let text: Arc<str> = render(self.text, key.0, &key.1).into();
        let mut rendered = self.rendered.write().unwrap_or_else(PoisonError::into_inner);
        if rendered.len() >= MAX_RENDERED {
            // The number of texts is limited, because clients choose the shape of a search's
            // conditions.
            rendered.clear();
        }
        rendered.insert(key, Arc::clone(&text));
        text
    }
}

impl fmt::Debug for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

fn render(text: &str, form: Form, holes: &Holes) -> String {
    let mut text = text.replace("{visible}", &holes.visible);
    if let Some(criteria) = &holes.criteria {
        text = text.replace("{criteria}", criteria);
    }
    if let Some(agent) = &holes.agent {
        text = text.replace("{agent}", agent);
    }
    if let Some(Order { key, r#type, ascending }) = holes.order {
        let (behind, direction) = if ascending { (">", "asc") } else { ("<", "desc") };
        text = text.replace("{key}", key).replace("{type}", r#type);
        text = text.replace("{behind}", behind).replace("{direction}", direction);
    }
    match form {
        Form::Batch => text,
        Form::OneTenant => one_tenant(&text),
        Form::AllTenants => text.replace("asked.tenant", "thread.tenant"),
        Form::Single => single(&one_tenant(&text)),
    }
}

/// Replaces the tenants of the requests by a single one, which is a parameter and not a column: an
/// engine that sends a statement to one shard must know it before execution.
fn one_tenant(text: &str) -> String {
    let text = text.replace("$1::bigint[]", "array[$1::bigint]");
    text.replace("asked.tenant", "$1::bigint").replace("mine.tenant", "$1::bigint")
}

/// Replaces each `asked.column` by the only item of the column's parameter.
fn single(text: &str) -> String {
    let asked = text.split_once("unnest(").and_then(|(_, rest)| {
        let (parameters, rest) = rest.split_once(") with ordinality as asked (")?;
        Some((parameters, rest.split_once(')')?.0))
    });
    let Some((parameters, columns)) = asked else { return text.to_owned() };
    let mut columns: Vec<_> =
        columns.split(',').map(str::trim).zip(parameters.split(',').map(str::trim)).collect();
    // Longer names first, because a name may be the prefix of another.
    columns.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
    columns.into_iter().fold(text.to_owned(), |text, (name, parameter)| {
        text.replace(&format!("asked.{name}"), &format!("({parameter})[1]"))
    })
}

/// A microsecond after a time. Times never go back, even if a statement waited for a lock and has
/// an older `statement_timestamp()`. It is written without the session's time zone, on which adding
/// an interval to a `timestamptz` depends: an engine that splits a statement accepts no such
/// expression in a write.
macro_rules! later {
    ($moment:literal) => {
        concat!(
            "((",
            $moment,
            " at time zone 'UTC') + interval '1 microsecond') at time zone 'UTC'"
        )
    };
}
pub(super) use later;

/// Joins to each request the thread that it is about, if the scope's condition holds for it.
/// `offset 0` keeps it a subquery of its own, so that the thread is looked up before its dependent
/// rows.
macro_rules! visible_thread {
    () => {
        "
    cross join lateral (
        select *
        from thread_store.thread
        where thread.tenant = asked.tenant
            and thread.thread_id = asked.thread_id
            and {visible}
        offset 0
    ) as thread"
    };
}
pub(super) use visible_thread;

/// The request that a row belongs to: its index in the batch, from a column that counts from 1.
pub(super) fn index(row: &PgRow, column: impl ColumnIndex<PgRow>) -> Result<usize, sqlx::Error> {
    let number: i64 = row.try_get(column)?;
    Ok(usize::try_from(number - 1).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_request_is_spelled_with_its_own_parameters() {
        let text = "select asked.n from unnest($1::bigint[], $2::text[]::jsonb[], $3::text[]) with \
                    ordinality as asked (tenant, filter, filter_x, n) \
                    where a = asked.tenant and b = asked.filter_x and c = asked.filter -> 0";
        let expected = "select asked.n from unnest(array[$1::bigint], $2::text[]::jsonb[], \
                        $3::text[]) with ordinality as asked (tenant, filter, filter_x, n) \
                        where a = $1::bigint and b = ($3::text[])[1] \
                        and c = ($2::text[]::jsonb[])[1] -> 0";
        assert_eq!(single(&one_tenant(text)), expected);
    }
}
