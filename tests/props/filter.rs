//! Filters of a search against a plain evaluation over a list.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};

use crate::check;
use crate::support::steps::texts;
use crate::support::{TestServer, User};

const KEYS: [&str; 4] = ["a", "b", "", "$x"];

/// Small values that often meet.
fn value() -> impl Strategy<Value = Value> {
    let scalars = [
        json!(null),
        json!(true),
        json!(0),
        json!(1),
        json!(1.0),
        json!(1.5),
        json!(9_007_199_254_740_992_i64),
        json!(9_007_199_254_740_993_i64),
        json!("1"),
        json!("x"),
        json!("xy%_\\"),
        json!("é"),
        json!(""),
        json!([]),
        json!({}),
    ];
    select(scalars.to_vec()).prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Value::Array),
            entries(inner).prop_map(Value::Object),
        ]
    })
}

fn entries(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Map<String, Value>> {
    vec((select(&KEYS[..]), value), 0..3).prop_map(|entries| {
        entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    })
}

/// A filter as it is sent.
fn filter() -> impl Strategy<Value = Value> {
    let path = vec(select(&KEYS[..]), 1..3).prop_map(|keys| keys.join("."));
    let field = (select(vec!["metadata", "metadata", "metadata", "values"]), path)
        .prop_map(|(root, path)| format!("{root}.{path}"))
        .boxed();
    let comparable =
        value().prop_filter("comparable", |value| value.is_number() || value.is_string());
    let string = value().prop_filter("string", Value::is_string).boxed();
    let test = prop_oneof![
        value().prop_map(|value| json!({ "$eq": value })),
        value().prop_map(|value| json!({ "$ne": value })),
        (select(vec!["$gt", "$gte", "$lt", "$lte"]), comparable)
            .prop_map(|(operator, value)| json!({ operator: value })),
        (select(vec!["$in", "$nin"]), vec(value(), 0..3))
            .prop_map(|(operator, values)| json!({ operator: values })),
        (select(vec!["$in", "$nin"]), vec(string.clone(), 1..3))
            .prop_map(|(operator, values)| json!({ operator: values })),
        any::<bool>().prop_map(|exists| json!({ "$exists": exists })),
        string.clone().prop_map(|value| json!({ "$prefix": value })),
        value().prop_map(|value| json!({ "$contains": value })),
    ];
    let tests =
        test.prop_recursive(1, 2, 1, |inner| inner.prop_map(|test| json!({ "$not": test })));
    let one_of_or_absent = (field.clone(), vec(string, 1..3)).prop_map(|(field, values)| {
        json!({ "$or": [{ &field: { "$in": values } }, { &field: { "$exists": false } }] })
    });
    let condition = (field, tests).prop_map(|(field, test)| json!({ field: test }));
    let condition = prop_oneof![4 => condition, 1 => one_of_or_absent];
    condition.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(|list| json!({ "$and": list })),
            vec(inner.clone(), 0..3).prop_map(|list| json!({ "$or": list })),
            inner.prop_map(|one| json!({ "$not": one })),
        ]
    })
}

/// Whether two values are equal: numbers as numbers.
fn equal(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(_), Value::Number(_)) => {
            order(one, other) == Some(std::cmp::Ordering::Equal)
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| equal(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .all(|(key, one)| other.get(key).is_some_and(|other| equal(one, other)))
        }
        _ => one == other,
    }
}

fn order(one: &Value, other: &Value) -> Option<std::cmp::Ordering> {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => match (one.as_i64(), other.as_i64()) {
            (Some(one), Some(other)) => Some(one.cmp(&other)),
            // None of them is large and has a fraction.
            _ => one.as_f64()?.partial_cmp(&other.as_f64()?),
        },
        (Value::String(one), Value::String(other)) => Some(one.cmp(other)),
        _ => None,
    }
}

fn holds(test: &Value, held: Option<&Value>) -> bool {
    test.as_object().unwrap().iter().all(|(operator, operand)| {
        let is_equal = |value: &Value| held.is_some_and(|held| equal(held, value));
        let ordered = || held.and_then(|held| order(held, operand));
        let is_in = || operand.as_array().unwrap().iter().any(is_equal);
        match operator.as_str() {
            "$eq" => is_equal(operand),
            "$ne" => !is_equal(operand),
            "$in" => is_in(),
            "$nin" => !is_in(),
            "$gt" => ordered().is_some_and(std::cmp::Ordering::is_gt),
            "$gte" => ordered().is_some_and(std::cmp::Ordering::is_ge),
            "$lt" => ordered().is_some_and(std::cmp::Ordering::is_lt),
            "$lte" => ordered().is_some_and(std::cmp::Ordering::is_le),
            "$exists" => held.is_some() == operand.as_bool().unwrap(),
            "$not" => !holds(operand, held),
            "$prefix" => held
                .and_then(Value::as_str)
                .is_some_and(|held| held.starts_with(operand.as_str().unwrap())),
            _ => match held {
                Some(Value::Array(items)) => {
                    let is_item = |value: &Value| items.iter().any(|item| equal(item, value));
                    operand
                        .as_array()
                        .map_or_else(|| is_item(operand), |all| all.iter().all(is_item))
                }
                Some(Value::String(held)) => {
                    operand.as_str().is_some_and(|operand| held.contains(operand))
                }
                _ => false,
            },
        }
    })
}

#[derive(Debug, Clone)]
struct Thread {
    metadata: Map<String, Value>,
    values: Option<Map<String, Value>>,
}

impl Thread {
    fn matches(&self, filter: &Value) -> bool {
        filter.as_object().unwrap().iter().all(|(name, operand)| {
            let list = || operand.as_array().unwrap().iter();
            match name.as_str() {
                "$and" => list().all(|filter| self.matches(filter)),
                "$or" => list().any(|filter| self.matches(filter)),
                "$not" => !self.matches(operand),
                field => {
                    let (root, path) = field.split_once('.').unwrap();
                    let root =
                        if root == "values" { self.values.as_ref() } else { Some(&self.metadata) };
                    let mut keys = path.split('.');
                    let first = root.and_then(|root| root.get(keys.next().unwrap()));
                    let held = keys.fold(first, |held, key| held?.as_object()?.get(key));
                    holds(operand, held)
                }
            }
        })
    }
}

fn thread() -> impl Strategy<Value = Thread> {
    (entries(value()), prop::option::of(entries(value())))
        .prop_map(|(metadata, values)| Thread { metadata, values })
}

/// All pages of a search, each behind the one before.
pub(crate) async fn pages(user: &User, mut body: Value) -> Vec<String> {
    let mut found = Vec::new();
    loop {
        let page = user.post("/threads/search", body.clone()).await;
        found.extend(texts(&page.expect(200), "thread_id"));
        let cursor = page.header("x-pagination-cursor");
        if cursor.is_empty() {
            return found;
        }
        body["cursor"] = json!(cursor);
    }
}

#[test]
fn a_filter_finds_what_a_plain_evaluation_finds() {
    let case = (vec(thread(), 1..16), vec(filter(), 1..16));
    check(25, &case, &async |server: &TestServer, (threads, filters)| {
        let (user, other) = (server.user().await, server.user().await);
        let mut made = Vec::new();
        for thread in threads {
            other.thread(json!({ "metadata": thread.metadata })).await;
            let id = user.thread(json!({ "metadata": thread.metadata })).await;
            if let Some(values) = &thread.values {
                user.write(&id, json!(values)).await;
            }
            made.push((id, thread));
        }
        for filter in &filters {
            let matching = made.iter().filter(|(_, thread)| thread.matches(filter));
            let mut expected: Vec<_> = matching.map(|(id, _)| id.clone()).collect();
            expected.sort_unstable();
            let count = user.count(json!({ "filter": filter })).await;
            assert_eq!(count, expected.len() as u64, "{filter} {made:?}");
            for body in [
                json!({ "filter": filter, "limit": 3 }),
                json!({ "filter": filter, "limit": 3, "sort_by": "created_at" }),
            ] {
                let mut found = pages(&user, body).await;
                found.sort_unstable();
                assert_eq!(found, expected, "{filter} {made:?}");
            }
        }
    });
}
