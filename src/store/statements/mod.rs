//! All statements, in every form and for every shape of filter: their texts in one file for people,
//! and the rules that each of them keeps.

mod document;
#[cfg(feature = "embedded")]
mod postgres;
mod references;
mod rules;

use super::agent::statements::*;
use super::criteria::Criteria;
use super::sql::condition::Condition;
use super::sql::{Form, Holes, Order, Statement};
use super::state::statements::*;
use super::threads::statements::*;
use super::threads::{Behind, Page, SortKey};
use super::{changes, runs, schema, thread_lock};
use crate::authz::Filter;
use crate::json::{Object, Raw};
use crate::store::Status;

/// A statement, and what its holes are filled with.
pub(super) type Listed = (&'static Statement, Kind);

/// What a statement is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It has no holes, and takes one row of parameters.
    Fixed,
    /// New threads of one tenant each.
    OfOwn,
    /// Threads by their ids.
    OfThreads,
    /// All threads of a caller.
    OfMany,
    /// Those that meet conditions.
    Search,
    /// Those of the newest that do.
    SearchRecent,
    /// Checkpoints of threads, in one of two directions.
    States,
}

/// A whole text.
pub(super) struct Text {
    /// The statement's name.
    pub(super) name: &'static str,
    /// What it is a text for.
    pub(super) case: String,
    /// Whether the document has it, and not only the tests.
    pub(super) is_shown: bool,
    pub(super) form: Form,
    pub(super) sql: String,
}

/// Every statement of the store, in an order for people.
pub(super) fn statements() -> Vec<Listed> {
    use Kind::{Fixed, OfMany, OfOwn, OfThreads, Search, SearchRecent, States};
    let fixed = |statements: &'static [Statement]| statements.iter().map(|one| (one, Fixed));
    let mut all = vec![
        (&CREATE, OfOwn),
        (&GET, OfThreads),
        (&PATCH, OfThreads),
        (&SEARCH, Search),
        (&SEARCH_RECENT, SearchRecent),
        (&COUNT, Search),
        (&LOCK_OWNER, Fixed),
        (&COUNT_UP_TO, OfMany),
        (&TENANTS, Fixed),
        (&LOCK_SOURCE, OfThreads),
        (&COPY, Fixed),
    ];
    all.extend(fixed(&COPY_STATE));
    all.extend([(&DELETE, OfThreads), (&HIDE, OfThreads), (&LOCK_EXPIRED, Fixed)]);
    all.extend(fixed(&ERASE_STATE));
    all.extend([
        (&ERASE_THREAD, Fixed),
        (&LOCK_ALL, OfThreads),
        (&KEEP_CHECKPOINTS, Fixed),
        (&DROP_PARENTS, Fixed),
        (&KEEP_VALUES, Fixed),
        (&KEEP_MESSAGES, Fixed),
        (&PRUNED, Fixed),
        (&EXPIRED, Fixed),
        (&LOCK_FOR_PRUNING, Fixed),
        (&SWEPT, Fixed),
        (&thread_lock::LOCK, OfThreads),
        (&PARENT, OfThreads),
        (&INSERT, OfThreads),
        (&READ, States),
        (&PROGRESS, OfThreads),
        (&STORAGE, OfThreads),
        (&runs::BEGIN, OfThreads),
        (&runs::RECORD, OfThreads),
        (&runs::KNOWN, OfThreads),
        (&runs::FORGET, OfThreads),
        (&changes::RECHECK_ALL, Fixed),
        (&changes::NOTIFY, Fixed),
        (&schema::PING, Fixed),
        (&STATES, States),
        (&CHAIN, OfThreads),
        (&AGENT_STORAGE, OfThreads),
        (&CANDIDATES, Search),
        (&OF_AGENTS, OfThreads),
    ]);
    let of_agents = [
        &ATTACHMENT,
        &CHANGED,
        &SETTLE,
        &FORGET,
        &TRUNCATED,
        &STRAGGLERS,
        &REMEMBERED_NO_MORE,
        &HIDDEN,
        &UNSETTLED,
        &SETTLED,
        &LOCK_ENTRY,
        &LOCK_FREE_ENTRY,
        &LOCK_THREAD,
        &AGENT_ID,
        &BURY,
        &FORGET_ENTRY,
        &ERASE_ROW,
        &HAS_DELTAS,
        &KEEP_LATEST,
        &LINK_COPY,
        &HAS_TASK_PATH,
    ];
    all.extend(of_agents.map(|one| (one, Fixed)));
    all.extend(fixed(&ERASE));
    all.extend(fixed(&COPY_ROWS));
    all
}

/// The shapes of filters, each with one policy that has it.
pub(super) fn filters() -> Vec<(&'static str, Option<Filter>)> {
    let text = |text: &str| Raw::from(text);
    let shared = Filter::contains("members", text("ada"))
        .or(Filter::In { key: "team".to_owned(), values: vec![text("a"), text("b")] })
        .and(Filter::Not(Box::new(Filter::Exists { key: "archived".to_owned() })));
    vec![
        ("the owner's threads", Some(Filter::equal("owner", text("ada")))),
        ("all threads", None),
        ("members or one of some teams, and not archived", Some(shared)),
        ("no threads", Some(Filter::Any(Vec::new()))),
    ]
}

/// The texts of all statements: those of the default policy first.
pub(super) fn texts() -> Vec<Text> {
    let mut texts: Vec<Text> = Vec::new();
    for (filter_name, filter) in filters() {
        for form in [Form::Batch, Form::OneTenant, Form::Single, Form::AllTenants] {
            for (statement, kind) in statements() {
                for (case, sql) in cases(statement, kind, form, filter.as_ref()) {
                    // Most filters change nothing in statements without a hole for one.
                    if texts.iter().any(|text| text.name == statement.name && text.sql == sql) {
                        continue;
                    }
                    let form_name = match form {
                        Form::Batch => "requests of any tenants",
                        Form::OneTenant => "requests of one tenant",
                        Form::Single => "one request",
                        Form::AllTenants => "requests without a tenant",
                    };
                    // What a search asks for looks the same beside every filter.
                    let is_first = filter_name == filters()[0].0 && form == Form::Batch;
                    let is_shown = case.is_empty() || is_first;
                    let case = format!("{filter_name}; {form_name}{case}");
                    texts.push(Text { name: statement.name, case, is_shown, form, sql });
                }
            }
        }
    }
    texts
}

/// The texts of a statement in a form, each with what is special about it. None: it has none.
fn cases(
    statement: &Statement,
    kind: Kind,
    form: Form,
    filter: Option<&Filter>,
) -> Vec<(String, String)> {
    let visible = Condition::of_filter(filter).text;
    let is_searched = matches!(kind, Kind::Search | Kind::SearchRecent | Kind::OfMany);
    let has_form = match (kind, form) {
        (Kind::Fixed, _) => form == Form::Batch,
        // A search among the newest is never planned for its values.
        (Kind::SearchRecent, Form::Single | Form::AllTenants) => false,
        (_, Form::Single | Form::AllTenants) => is_searched,
        _ => true,
    };
    if !has_form {
        return Vec::new();
    }
    let render = |holes: Holes| statement.render(form, holes).as_str().to_owned();
    let agent = Some("public".into());
    let holes = Holes { agent, ..Holes::visible(&visible) };
    match kind {
        Kind::Fixed => vec![(String::new(), statement.with_agent("public").as_str().to_owned())],
        Kind::OfOwn | Kind::OfThreads | Kind::OfMany => vec![(String::new(), render(holes))],
        Kind::States => {
            let direction = |ascending| Order { key: "", r#type: "", ascending };
            [("", false), ("; oldest first", true)]
                .map(|(case, ascending)| {
                    let order = Some(direction(ascending));
                    (case.to_owned(), render(Holes { order, ..holes.clone() }))
                })
                .into()
        }
        Kind::Search | Kind::SearchRecent => {
            let all_orders = orders();
            let mut found = Vec::new();
            for (criteria_name, criteria) in criteria() {
                // An order changes the same in every search.
                let is_every = kind == Kind::Search && criteria_name.is_empty();
                let orders = if is_every { all_orders.len() } else { 1 };
                for (order_name, order) in all_orders.iter().take(orders) {
                    let criteria = Condition::criteria(&criteria, form == Form::Single, &[]).text;
                    let holes =
                        Holes { criteria: Some(criteria), order: Some(*order), ..holes.clone() };
                    found.push((format!("{criteria_name}{order_name}"), render(holes)));
                }
            }
            found
        }
    }
}

/// The orders of a search.
fn orders() -> Vec<(String, Order)> {
    let keys = [
        SortKey::UpdatedAt,
        SortKey::CreatedAt,
        SortKey::StateUpdatedAt,
        SortKey::Status,
        SortKey::ThreadId,
    ];
    let mut orders = Vec::new();
    for sort_by in keys {
        for ascending in [false, true] {
            let behind = None::<Behind>;
            let page = Page { behind, limit: 10, offset: 0, sort_by, ascending };
            let direction = if ascending { "ascending" } else { "descending" };
            let name = match orders.len() {
                0 => String::new(),
                _ => format!("; by {sort_by:?}, {direction}"),
            };
            orders.push((name, page.order()));
        }
    }
    orders
}

/// Conditions of a search: none, each by itself, all.
fn criteria() -> Vec<(&'static str, Criteria)> {
    let object = |text: &str| serde_json::from_str::<Object>(text).unwrap();
    let metadata = object(r#"{"topic": "a"}"#);
    let values = object(r#"{"n": 1, "messages": [{"content": "hello"}]}"#);
    let (ids, status) = (vec![uuid::Uuid::nil()], Some(Status::Idle));
    let none = Criteria::default;
    vec![
        ("", none()),
        ("; by metadata", Criteria { metadata: metadata.clone(), ..none() }),
        ("; by values", Criteria { values: Some(values.clone()), ..none() }),
        ("; by status", Criteria { status, ..none() }),
        ("; by ids", Criteria { ids: ids.clone(), ..none() }),
        ("; by all of these", Criteria { metadata, values: Some(values), status, ids }),
    ]
}
