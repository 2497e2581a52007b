//! What handlers answer, and what comes of it: every filter shows exactly the threads that its
//! documented meaning names, and every refusal is one.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::{BoxFuture, ready};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use reqwest::StatusCode;
use serde_json::{Map, Value, json};
use thread_store::auth::{Action, Auth, Authenticate, Decision, Event, Everything, Filter};
use thread_store::auth::{Denied, Error, SlotTaken, User as Identity};
use thread_store::json::Raw;

use crate::matrix::{Hidden, Subject, table};
use crate::support::{TestServer, User};

/// A key that has to be quoted everywhere.
const ODD: &str = "it's \"odd\" \\ ü🦀 $1 -> {}";

/// Keys of the metadata, the last two of which no thread has.
const KEYS: [&str; 6] = ["k", ODD, "list", "", "absent", "nul\0"];

/// Values that are hard to tell apart.
const VALUES: [&str; 36] = [
    "null",
    "true",
    "false",
    "0",
    "1",
    "1.0",
    "1.5",
    "-1",
    "12345678901234567890",
    "\"1\"",
    "\"\"",
    "\"null\"",
    "\"a\"",
    "\"A\"",
    "\"it's \\\"odd\\\" \\\\ ü🦀\"",
    "{}",
    "{\"x\":1}",
    "{\"x\":1,\"y\":2}",
    "{\"y\":2,\"x\":1}",
    "{\"x\":{\"y\":[1]}}",
    "{\"$eq\":1}",
    "[]",
    "[1]",
    "[1,2]",
    "[2,1]",
    "[1,1]",
    "[\"1\"]",
    "[\"a\",\"b\"]",
    "[null]",
    "[[]]",
    "[[1]]",
    "[[1,2]]",
    "[{}]",
    "[{\"x\":1}]",
    "[{\"x\":1,\"y\":2}]",
    "[{\"x\":1,\"y\":2},{\"x\":1},[1,2],3]",
];

fn raw(text: &str) -> Raw {
    Raw::from_text(text).unwrap()
}

// The documented meaning, in memory.

/// Whether two values are the same JSON value: numbers by what they are worth, objects
/// whatever the order of their keys.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => {
            one == other || one.as_f64() == other.as_f64()
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            let has = |(key, value)| other.get(key).is_some_and(|other| same(value, other));
            one.len() == other.len() && one.iter().all(has)
        }
        _ => one == other,
    }
}

fn holds(filter: &Filter, metadata: &Map<String, Value>) -> bool {
    let is = |key: &str, wanted: &Raw| {
        metadata.get(key).is_some_and(|value| same(value, &wanted.parse().unwrap()))
    };
    match filter {
        Filter::Equal { key, value } => is(key, value),
        Filter::In { key, values } => values.iter().any(|value| is(key, value)),
        Filter::Exists { key } => metadata.contains_key(key),
        Filter::Contains { key, value } => {
            let items = metadata.get(key).and_then(Value::as_array);
            let wanted = value.parse().unwrap();
            items.is_some_and(|items| items.iter().any(|item| same(item, &wanted)))
        }
        Filter::All(filters) => !filters.is_empty() && filters.iter().all(|f| holds(f, metadata)),
        Filter::Any(filters) => filters.iter().any(|f| holds(f, metadata)),
        Filter::Not(filter) => !holds(filter, metadata),
    }
}

/// A server whose handlers answer what the test says, and threads with all that metadata.
struct Bench {
    decision: Arc<Mutex<Filter>>,
    user: User,
    rows: Vec<(String, Map<String, Value>)>,
    _server: TestServer,
}

/// All metadata: each value under each of two keys, and some with two or none.
fn crafted() -> Vec<String> {
    let odd = Value::from(ODD);
    let mut all: Vec<_> = VALUES.iter().map(|value| format!("{{\"k\":{value}}}")).collect();
    all.extend(VALUES.iter().map(|value| format!("{{{odd}:{value}}}")));
    let backwards = VALUES.iter().rev().zip(VALUES);
    all.extend(backwards.map(|(one, two)| format!("{{\"k\":{one},\"list\":{two},\"\":0}}")));
    all.push("{}".to_owned());
    all
}

impl Bench {
    async fn start() -> Bench {
        let decision = Arc::new(Mutex::new(Filter::Any(Vec::new())));
        let current = Arc::clone(&decision);
        let policy = move |authenticate: Box<dyn Authenticate>| {
            Auth::new(authenticate)
                .on(Action::Create, |_: &mut Event<'_>| Decision::Allow)?
                .on(Everything, move |_: &mut Event<'_>| {
                    Decision::Filter(current.lock().unwrap().clone())
                })
        };
        let server = TestServer::start_policy(Duration::from_mins(1), policy).await;
        let user = server.user().await;
        let mut rows = Vec::new();
        for metadata in crafted() {
            let body = format!("{{\"metadata\":{metadata}}}");
            let thread = user.post_text("/threads", body).await.expect(200);
            let id = thread["thread_id"].as_str().unwrap().to_owned();
            rows.push((id, serde_json::from_str(&metadata).unwrap()));
        }
        Bench { decision, user, rows, _server: server }
    }

    fn answer(&self, filter: &Filter) {
        *self.decision.lock().unwrap() = filter.clone();
    }

    /// The threads that a search finds under this filter.
    async fn found(&self, filter: &Filter) -> BTreeSet<String> {
        self.answer(filter);
        let body = json!({ "limit": 1000, "select": ["thread_id"] });
        let threads = self.user.post("/threads/search", body).await.expect(200);
        let ids = threads.as_array().unwrap().iter().map(|thread| thread["thread_id"].clone());
        ids.map(|id| id.as_str().unwrap().to_owned()).collect()
    }

    fn expected(&self, filter: &Filter) -> BTreeSet<String> {
        let rows = self.rows.iter().filter(|(_, metadata)| holds(filter, metadata));
        rows.map(|(id, _)| id.clone()).collect()
    }

    /// Compares search, count and single reads with the evaluation in memory.
    async fn check(&self, filter: &Filter) {
        let expected = self.expected(filter);
        assert_eq!(self.found(filter).await, expected, "{filter:?}");
        let count = self.user.post("/threads/count", json!({})).await.expect(200);
        assert_eq!(count, expected.len(), "{filter:?}");
        let inside = expected.first().cloned();
        let outside = self.rows.iter().map(|(id, _)| id).find(|id| !expected.contains(*id));
        for (id, status) in inside.iter().map(|id| (id, 200)).chain(outside.map(|id| (id, 404))) {
            let answer = self.user.get(&format!("/threads/{id}")).await;
            assert_eq!(answer.status, status, "{filter:?}: {}", answer.text);
        }
    }

    /// The metadata that a search finds, as text.
    async fn shown(&self, filter: &Filter) -> BTreeSet<String> {
        let found = self.found(filter).await;
        let rows = self.rows.iter().filter(|(id, _)| found.contains(id));
        rows.map(|(_, metadata)| Value::Object(metadata.clone()).to_string()).collect()
    }
}

fn equal(key: &str, text: &str) -> Filter {
    Filter::Equal { key: key.to_owned(), value: raw(text) }
}

fn contains(key: &str, text: &str) -> Filter {
    Filter::Contains { key: key.to_owned(), value: raw(text) }
}

fn exists(key: &str) -> Filter {
    Filter::Exists { key: key.to_owned() }
}

/// Only threads with nothing but this key, so that the expectations are short.
fn alone(filter: Filter) -> Filter {
    let others = KEYS.map(|key| Filter::Not(Box::new(exists(key))));
    let [_, odd, list, empty, ..] = others;
    Filter::All(vec![filter, odd, list, empty])
}

/// Expectations by hand, which check the evaluation in memory too.
#[tokio::test]
async fn each_condition_means_what_its_documentation_says() {
    let bench = Bench::start().await;
    let within = |values: &[&str]| Filter::In {
        key: "k".to_owned(),
        values: values.iter().map(|value| raw(value)).collect(),
    };
    let rows: [(Filter, &[&str]); 14] = [
        (equal("k", "1"), &["1", "1.0"]),
        (equal("k", "\"1\""), &["\"1\""]),
        (equal("k", "null"), &["null"]),
        (equal("k", "{\"y\":2,\"x\":1}"), &["{\"x\":1,\"y\":2}", "{\"y\":2,\"x\":1}"]),
        (equal("k", "{\"x\":1}"), &["{\"x\":1}"]),
        (equal("k", "[1,2]"), &["[1,2]"]),
        (contains("k", "1"), &["[1]", "[1,2]", "[2,1]", "[1,1]"]),
        (contains("k", "\"a\""), &["[\"a\",\"b\"]"]),
        (contains("k", "null"), &["[null]"]),
        (contains("k", "{\"x\":1}"), &["[{\"x\":1}]", "[{\"x\":1,\"y\":2},{\"x\":1},[1,2],3]"]),
        (contains("k", "[1]"), &["[[1]]"]),
        (contains("k", "[]"), &["[[]]"]),
        (within(&["null", "\"a\"", "[2,1]"]), &["null", "\"a\"", "[2,1]"]),
        (equal("absent", "null"), &[]),
    ];
    for (filter, values) in rows {
        let filter = alone(filter);
        let expected = values.iter().map(|value| format!("{{\"k\":{value}}}")).collect();
        assert_eq!(bench.shown(&filter).await, expected, "{filter:?}");
        bench.check(&filter).await;
    }
}

#[tokio::test]
async fn an_empty_list_of_conditions_never_holds() {
    let bench = Bench::start().await;
    let none = Filter::In { key: "k".to_owned(), values: Vec::new() };
    for empty in [Filter::All(Vec::new()), Filter::Any(Vec::new()), none] {
        assert!(bench.found(&empty).await.is_empty(), "{empty:?}");
        bench.check(&empty).await;
        // Nor does it make anything around it hold.
        assert!(bench.found(&exists("k").and(empty.clone())).await.is_empty(), "{empty:?}");
        let with_k = bench.found(&exists("k")).await;
        assert_eq!(bench.found(&exists("k").or(empty)).await, with_k);
        assert!(!with_k.is_empty());
    }
}

#[tokio::test]
async fn a_key_is_never_read_as_anything_but_a_key() {
    let bench = Bench::start().await;
    let rest = "' = 'x' or true --";
    for key in [rest, "k' is not null or 'a", "\\' or true --", "k\0", "$1", "k\u{1}", "\u{2028}"] {
        for filter in [exists(key), equal(key, "1"), contains(key, "1")] {
            assert!(bench.found(&filter).await.is_empty(), "{filter:?}");
            let all = bench.found(&Filter::Not(Box::new(filter))).await;
            assert_eq!(all.len(), bench.rows.len());
        }
    }
    assert_eq!(bench.shown(&equal(ODD, "\"A\"")).await.len(), 1);
}

fn any_filter() -> impl Strategy<Value = Filter> {
    let key = || prop::sample::select(&KEYS[..]).prop_map(str::to_owned);
    let value = || prop::sample::select(&VALUES[..]).prop_map(raw);
    let leaf = prop_oneof![
        4 => (key(), value()).prop_map(|(key, value)| Filter::Equal { key, value }),
        4 => (key(), value()).prop_map(|(key, value)| Filter::Contains { key, value }),
        2 => (key(), prop::collection::vec(value(), 0..4))
            .prop_map(|(key, values)| Filter::In { key, values }),
        2 => key().prop_map(|key| Filter::Exists { key }),
    ];
    leaf.prop_recursive(4, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Filter::All),
            prop::collection::vec(inner.clone(), 0..4).prop_map(Filter::Any),
            inner.prop_map(|filter| Filter::Not(Box::new(filter))),
        ]
    })
}

#[test]
fn any_filter_shows_exactly_what_it_means() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let bench = runtime.block_on(Bench::start());
    let mut config = Config { failure_persistence: None, ..Config::default() };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = 150;
    }
    let checked = TestRunner::new(config).run(&any_filter(), |filter| {
        runtime.block_on(bench.check(&filter));
        Ok(())
    });
    checked.unwrap();
}

// Refusals.

fn always(decision: fn() -> Decision) -> impl FnOnce(Box<dyn Authenticate>) -> Outcome {
    move |authenticate| Auth::new(authenticate).on(Everything, move |_: &mut Event<'_>| decision())
}

type Outcome = Result<Auth, SlotTaken>;

async fn started(policy: impl FnOnce(Box<dyn Authenticate>) -> Outcome) -> (TestServer, User) {
    let server = TestServer::start_policy(Duration::from_mins(1), policy).await;
    let user = server.user().await;
    (server, user)
}

#[tokio::test]
async fn an_allowed_user_sees_every_thread_on_every_endpoint() {
    let (server, user) = started(always(|| Decision::Allow)).await;
    let other = server.user().await;
    for row in table() {
        let subject = Subject::of(&user, json!({})).await;
        assert_eq!(row.send(&other, &subject).await.status, row.success, "{row:?}");
    }
}

#[tokio::test]
async fn a_denial_is_answered_with_its_status_and_detail_on_every_endpoint() {
    let deny = || Decision::Deny { status: StatusCode::IM_A_TEAPOT, detail: "I \"am\"".into() };
    let (_server, user) = started(always(deny)).await;
    for row in table() {
        let answer = row.send(&user, &Subject::missing()).await;
        assert_eq!(answer.status, 418, "{row:?}");
        assert!(row.method == "HEAD" || answer.detail() == "I \"am\"", "{row:?}");
    }
}

#[tokio::test]
async fn a_denial_that_is_no_4xx_is_a_fault_that_shows_nothing() {
    for deny in [200, 204, 302, 500, 503].map(|status| {
        move |_: &mut Event<'_>| Decision::Deny {
            status: StatusCode::from_u16(status).unwrap(),
            detail: "secret".into(),
        }
    }) {
        let (_server, user) = started(|a| Auth::new(a).on(Everything, deny)).await;
        let answer = user.post("/threads/search", json!({})).await;
        assert_eq!(answer.expect(500), json!({ "detail": "Internal Server Error" }));
    }
}

#[tokio::test]
async fn without_a_handler_every_endpoint_is_forbidden() {
    let (_server, user) = started(|authenticate| Ok(Auth::new(authenticate))).await;
    for row in table() {
        let answer = row.send(&user, &Subject::missing()).await;
        assert_eq!(answer.status, 403, "{row:?}");
        assert!(row.method == "HEAD" || answer.detail() == "Forbidden", "{row:?}");
    }
}

#[tokio::test]
async fn an_action_without_a_handler_is_forbidden_where_the_others_are_allowed() {
    let actions = [Action::Create, Action::Read, Action::Update, Action::Delete, Action::Search];
    for left_out in actions {
        let (_server, user) = started(|authenticate| {
            let handled = actions.into_iter().filter(|action| *action != left_out);
            handled.into_iter().try_fold(Auth::new(authenticate), |auth, action| {
                auth.on(action, |_: &mut Event<'_>| Decision::Allow)
            })
        })
        .await;
        let mut allowed = 0;
        for row in table() {
            let status = row.send(&user, &Subject::missing()).await.status;
            let reads_too = row.path == "/export" && left_out == Action::Read;
            if row.action == left_out || reads_too {
                assert_eq!(status, 403, "{row:?}");
            }
            allowed += usize::from(status != 403);
        }
        assert!(allowed > 5, "{left_out:?} is not all there is");
    }
}

#[tokio::test]
async fn a_filter_that_nothing_passes_hides_every_thread_on_every_endpoint() {
    let (server, user) = started(always(|| Decision::Filter(Filter::All(Vec::new())))).await;
    let id = uuid::Uuid::new_v4().to_string();
    user.thread(json!({ "thread_id": id, "metadata": { "mark": id } })).await;
    let subject = Subject { thread_id: id, ..Subject::missing() };
    for row in table() {
        let answer = row.send(&user, &subject).await;
        match row.hidden {
            Hidden::NotFound => assert_eq!(answer.status, 404, "{row:?}"),
            Hidden::LeftOut(body) => assert_eq!(answer.text, body, "{row:?}"),
            Hidden::Unnamed => assert!(!answer.text.contains("thread_id"), "{row:?}"),
            Hidden::InUse => assert_eq!(answer.status, 409, "{row:?}"),
            Hidden::Unrelated => assert_eq!(answer.status, 200, "{row:?}"),
        }
    }
    // The thread that each round made, and the first.
    assert_eq!(server.threads_in_all().await, 2);
}

#[tokio::test]
async fn a_copy_that_its_maker_could_not_read_is_not_made() {
    let policy = |authenticate| {
        let read = |event: &mut Event<'_>| Decision::Filter(event.stamp("shown", raw("true")));
        let create = |event: &mut Event<'_>| {
            if event.path.ends_with("/copy") {
                event.stamp("shown", raw("false"));
            }
            Decision::Allow
        };
        Auth::new(authenticate).on(Everything, read)?.on(Action::Create, create)
    };
    let (server, user) = started(policy).await;
    let id = user.thread(json!({ "metadata": { "shown": true } })).await;
    let copy = user.post(&format!("/threads/{id}/copy"), json!({})).await;
    assert_eq!(copy.status, 404, "{}", copy.text);
    assert_eq!(server.threads_in_all().await, 1);
}

/// Refuses with a status that is none.
struct Confused(StatusCode);

impl Authenticate for Confused {
    fn authenticate<'a>(
        &'a self,
        _: &'a axum::http::request::Parts,
    ) -> BoxFuture<'a, Result<Arc<Identity>, Error>> {
        Box::pin(ready(Err(Error::Denied(Denied { status: self.0, detail: "secret".into() }))))
    }
}

#[tokio::test]
async fn an_authenticate_handler_cannot_refuse_with_a_success() {
    for (status, expected) in [(200, 500), (302, 500), (503, 500), (402, 402)] {
        let confused = Confused(StatusCode::from_u16(status).unwrap());
        let (_server, user) =
            started(|_| Auth::new(confused).on(Everything, |_: &mut Event<'_>| Decision::Allow))
                .await;
        let answer = user.get("/threads/search").await;
        assert_eq!(answer.status, expected);
        assert_eq!(answer.text.contains("secret"), expected == 402);
    }
}
