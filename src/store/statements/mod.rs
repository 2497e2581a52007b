//! All statements, in every form and for every shape of filter: their texts in one file for
//! readers, and the rules for each of them.

mod document;
#[cfg(feature = "embedded")]
mod postgres;
mod references;
mod rules;

use super::agent::statements::*;
use super::criteria::{AgentsValues, Criteria};
use super::digest::statements::*;
use super::sql::condition::Condition;
use super::sql::{Form, Holes, Order, Statement};
use super::state::statements::*;
use super::thread::ERASE_THREAD;
use super::threads::statements::*;
use super::threads::{Behind, Page, SortKey};
use super::{changes, runs, schema, thread_lock};
use crate::authz::Filter;
use crate::json::{Object, Raw};
use crate::store::{Comparison, Field, Filter as SearchFilter, Status, Test, Time};
use crate::text::Query;

/// A statement, and the contents of its holes.
pub(super) type Listed = (&'static Statement, Kind);

/// The subject of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A statement without holes, with one row of parameters.
    Fixed,
    /// New threads of one tenant each.
    OfOwn,
    /// Threads by their ids.
    OfThreads,
    /// All threads of a caller.
    OfMany,
    /// The threads that meet conditions.
    Search,
    /// The newest threads that meet conditions.
    SearchRecent,
    /// The threads that meet conditions, joined with their digests.
    Find,
    /// Checkpoints of threads, in one of two directions.
    States,
}

/// A whole text.
pub(super) struct Text {
    /// The statement's name.
    pub(super) name: &'static str,
    /// The case of the text.
    pub(super) case: String,
    /// Whether the document contains it, in addition to the tests.
    pub(super) is_shown: bool,
    pub(super) form: Form,
    pub(super) sql: String,
}

/// Every statement of the store, in an order for readers.
pub(super) fn statements() -> Vec<Listed> {
    use Kind::{Find, Fixed, OfMany, OfOwn, OfThreads, Search, SearchRecent, States};
    let fixed = |statements: &'static [Statement]| statements.iter().map(|one| (one, Fixed));
    let mut all = vec![
        (&CREATE, OfOwn),
        (&CREATE_NEW, OfOwn),
        (&GET, OfThreads),
        (&PATCH, OfThreads),
        (&SEARCH, Search),
        (&LIST, Search),
        (&SEARCH_RECENT, SearchRecent),
        (&SEARCH_OWN, SearchRecent),
        (&COUNT, Search),
        (&FIND, Find),
        (&COUNT_FOUND, Find),
        (&STALE, OfMany),
        (&OF_PAGE, OfThreads),
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
        (&INSERT_MESSAGES, OfThreads),
        (&READ, States),
        (&READ_ONE, OfThreads),
        (&PROGRESS, OfThreads),
        (&STORAGE, OfThreads),
        (&runs::BEGIN, OfThreads),
        (&runs::RECORD, OfThreads),
        (&runs::KNOWN, OfThreads),
        (&runs::FORGET, OfThreads),
        (&READ_SOURCES, Fixed),
        (&WRITE, Fixed),
        (&NEXT, Fixed),
        (&FORGET_SOURCES, Fixed),
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

/// The texts of all statements, those of the default policy first.
pub(super) fn texts() -> Vec<Text> {
    let mut texts: Vec<Text> = Vec::new();
    for (filter_name, filter) in filters() {
        for form in [Form::Batch, Form::OneTenant, Form::Single, Form::AllTenants] {
            for (statement, kind) in statements() {
                for (case, sql) in cases(statement, kind, form, filter.as_ref()) {
                    // Filters do not change statements without a hole for them.
                    if texts.iter().any(|text| text.name == statement.name && text.sql == sql) {
                        continue;
                    }
                    let form_name = match form {
                        Form::Batch => "requests of any tenants",
                        Form::OneTenant => "requests of one tenant",
                        Form::Single => "one request",
                        Form::AllTenants => "requests without a tenant",
                    };
                    // The conditions of a search are the same under every filter.
                    let is_first = filter_name == filters()[0].0;
                    let is_shared = form == Form::Batch;
                    // Most searches also look the same if they are planned for their values.
                    let is_alone = match kind {
                        Kind::Search => case == "; by metadata",
                        Kind::Find => ["; by words", "; by the title", "; by Title, descending"]
                            .contains(&case.as_str()),
                        _ => false,
                    };
                    let is_shown = case.is_empty() || is_first && (is_shared || is_alone);
                    let case = format!("{filter_name}; {form_name}{case}");
                    texts.push(Text { name: statement.name, case, is_shown, form, sql });
                }
            }
        }
    }
    texts
}

/// The texts of a statement in a form, each with its case. Empty: it has none.
fn cases(
    statement: &Statement,
    kind: Kind,
    form: Form,
    filter: Option<&Filter>,
) -> Vec<(String, String)> {
    let visible = Condition::of_filter(filter).text;
    let is_searched = matches!(kind, Kind::Search | Kind::Find | Kind::SearchRecent | Kind::OfMany);
    let has_form = match (kind, form) {
        (Kind::Fixed, _) => form == Form::Batch,
        // A search among the newest is never planned for its values, and one with digests always is.
        (Kind::SearchRecent, Form::Single | Form::AllTenants)
        | (Kind::Find, Form::Batch | Form::OneTenant) => false,
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
        Kind::Search | Kind::SearchRecent | Kind::Find => {
            let all_orders = orders(kind);
            let mut found = Vec::new();
            let about_digests = |criteria: &Criteria| criteria.is_about_digests();
            let asked = criteria()
                .into_iter()
                .filter(|(_, criteria)| kind == Kind::Find || !about_digests(criteria));
            for (criteria_name, criteria) in asked {
                // An order changes every search in the same way.
                let is_every = kind != Kind::SearchRecent && criteria_name.is_empty();
                let orders = if is_every { all_orders.len() } else { 1 };
                for (order_name, order) in all_orders.iter().take(orders) {
                    let no_agents = AgentsValues::default();
                    let criteria = match kind {
                        Kind::Find => Condition::criteria_with_digests(&criteria, &no_agents, "{}"),
                        _ => Condition::criteria(&criteria, form == Form::Single, &no_agents),
                    };
                    let criteria = criteria.text;
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
fn orders(kind: Kind) -> Vec<(String, Order)> {
    let keys = [
        SortKey::UpdatedAt,
        SortKey::CreatedAt,
        SortKey::StateUpdatedAt,
        SortKey::Status,
        SortKey::ThreadId,
        SortKey::Title,
        SortKey::LastMessageAt,
    ];
    let mut orders = Vec::new();
    for sort_by in keys.into_iter().filter(|key| kind == Kind::Find || !key.is_of_digest()) {
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
    let of = |field: Field, test: Test| SearchFilter::Field(field, test);
    let path = |keys: &[&str]| keys.iter().map(|key| (*key).to_owned()).collect();
    let filter = SearchFilter::Any(vec![
        of(Field::Metadata(path(&["a", "b"])), Test::In(vec![Raw::from("x")])),
        SearchFilter::Any(vec![
            of(Field::Metadata(path(&["repo"])), Test::In(vec![Raw::from("a"), Raw::from("b")])),
            of(Field::Metadata(path(&["repo"])), Test::Absent),
        ]),
        SearchFilter::Not(Box::new(of(Field::Values(path(&["n"])), Test::Equal(Raw::from("x"))))),
        of(
            Field::Time(Time::UpdatedAt),
            Test::Compare(Comparison::Less, Raw::from("2026-11-01T00:00:00Z")),
        ),
    ]);
    let words = Query::read("hello \"two words\" -not").unwrap();
    let titled = of(Field::Title, Test::Equal(Raw::from("x")));
    vec![
        ("", none()),
        ("; by metadata", Criteria { metadata: metadata.clone(), ..none() }),
        ("; by values", Criteria { values: Some(values.clone()), ..none() }),
        ("; by status", Criteria { status, ..none() }),
        ("; by ids", Criteria { ids: ids.clone(), ..none() }),
        ("; by all of these", Criteria { metadata, values: Some(values), status, ids, ..none() }),
        ("; by a filter", Criteria { filter: Some(filter), ..none() }),
        ("; by words", Criteria { query: Some(words), ..none() }),
        ("; by the title", Criteria { filter: Some(titled), ..none() }),
    ]
}
