//! Search and count against a filter over a list.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Map, Value, json};

use crate::check;
use crate::support::steps::{new_id, texts};
use crate::support::{TestServer, User};

const SORT_KEYS: [&str; 5] =
    ["thread_id", "status", "created_at", "updated_at", "state_updated_at"];
const STATUSES: [&str; 4] = ["idle", "busy", "interrupted", "error"];

/// Small values that often meet.
fn value() -> impl Strategy<Value = Value> {
    let scalars = [
        json!(null),
        json!(true),
        json!(false),
        json!(0),
        json!(1),
        json!(1.0),
        json!("1"),
        json!("x"),
        json!(""),
        json!([]),
        json!({}),
    ];
    select(scalars.to_vec()).prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::Array),
            entries(inner).prop_map(Value::Object),
        ]
    })
}

fn entries(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Map<String, Value>> {
    vec((select(vec!["a", "b", "k"]), value), 0..3).prop_map(|entries| {
        entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    })
}

#[derive(Debug, Clone)]
struct Thread {
    is_mine: bool,
    metadata: Map<String, Value>,
    values: Option<Map<String, Value>>,
    status: &'static str,
    /// Seconds of the three timestamps: many are equal.
    clocks: [i32; 3],
}

fn thread() -> impl Strategy<Value = Thread> {
    let parts = (
        prop::bool::weighted(0.8),
        entries(value()),
        option::of(entries(value())),
        select(&STATUSES[..]),
        [0..3, 0..3, 0..3],
    );
    parts.prop_map(|(is_mine, metadata, values, status, clocks)| Thread {
        is_mine,
        metadata,
        values,
        status,
        clocks,
    })
}

#[derive(Debug, Clone)]
struct Query {
    metadata: Option<Map<String, Value>>,
    values: Option<Map<String, Value>>,
    status: Option<&'static str>,
    /// Any threads, also foreign ones.
    ids: Option<Vec<Index>>,
    sort_by: Option<&'static str>,
    sort_order: Option<&'static str>,
    limit: usize,
}

fn query() -> impl Strategy<Value = Query> {
    let parts = (
        option::weighted(0.4, entries(value())),
        option::weighted(0.3, entries(value())),
        option::weighted(0.3, select(&STATUSES[..])),
        option::weighted(0.3, vec(any::<Index>(), 0..8)),
        option::weighted(0.8, select(&SORT_KEYS[..])),
        option::of(select(vec!["asc", "desc"])),
        1..8_usize,
    );
    parts.prop_map(|(metadata, values, status, ids, sort_by, sort_order, limit)| Query {
        metadata,
        values,
        status,
        ids,
        sort_by,
        sort_order,
        limit,
    })
}

/// Postgres' `@>`.
fn contains(whole: &Value, part: &Value) -> bool {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => contains_all(whole, part),
        (Value::Array(whole), Value::Array(part)) => {
            part.iter().all(|part| whole.iter().any(|whole| contains(whole, part)))
        }
        (Value::Number(whole), Value::Number(part)) => whole.as_f64() == part.as_f64(),
        _ => !part.is_object() && !part.is_array() && whole == part,
    }
}

fn contains_all(whole: &Map<String, Value>, part: &Map<String, Value>) -> bool {
    part.iter().all(|(key, part)| whole.get(key).is_some_and(|whole| contains(whole, part)))
}

/// A thread that was made.
struct Made {
    id: String,
    thread: Thread,
}

impl Made {
    fn matches(&self, query: &Query) -> bool {
        let thread = &self.thread;
        let metadata = query.metadata.as_ref();
        // An empty filter is none.
        let values = query.values.as_ref().filter(|values| !values.is_empty());
        thread.is_mine
            && metadata.is_none_or(|part| contains_all(&thread.metadata, part))
            && values.is_none_or(|part| {
                thread.values.as_ref().is_some_and(|values| contains_all(values, part))
            })
            && query.status.is_none_or(|status| status == thread.status)
    }

    fn key(&self, sort_by: &str) -> (String, &str) {
        let clock = |number: usize| self.thread.clocks[number].to_string();
        let first = match sort_by {
            "status" => self.thread.status.to_owned(),
            "created_at" => clock(0),
            "updated_at" => clock(1),
            "state_updated_at" => clock(2),
            _ => String::new(),
        };
        (first, &self.id)
    }
}

async fn make(server: &TestServer, user: &User, thread: Thread) -> Made {
    let id = user.thread(json!({ "metadata": thread.metadata })).await;
    if let Some(values) = &thread.values {
        user.write(&id, json!(values)).await;
    }
    let [created, updated, state_updated] = thread.clocks.map(f64::from);
    sqlx::query(
        "update thread_store.thread set status = $2, created_at = to_timestamp($3), \
         updated_at = to_timestamp($4), state_updated_at = to_timestamp($5) \
         where thread_id = $1::uuid",
    )
    .bind(&id)
    .bind(thread.status)
    .bind(created)
    .bind(updated)
    .bind(state_updated)
    .execute(&server.pool)
    .await
    .unwrap();
    Made { id, thread }
}

/// Reads all pages, by their offsets or each behind the one before.
async fn pages(user: &User, body: &Value, limit: usize, by_cursor: bool) -> Vec<String> {
    let mut found = Vec::new();
    let mut cursor = None;
    loop {
        let mut body = body.clone();
        match cursor {
            Some(cursor) if by_cursor => body["cursor"] = json!(cursor),
            _ => body["offset"] = json!(found.len()),
        }
        let page = user.post("/threads/search", body).await;
        let ids = texts(&page.expect(200), "thread_id");
        assert!(ids.len() <= limit);
        let is_full = ids.len() == limit;
        found.extend(ids);
        let next = page.header("x-pagination-next");
        if next.is_empty() {
            assert_eq!(page.header("x-pagination-total"), found.len().to_string());
            return found;
        }
        assert!(is_full, "only the last page is short");
        cursor = Some(page.header("x-pagination-cursor").to_owned());
        assert_eq!(next, found.len().to_string());
        assert_eq!(page.header("x-pagination-total"), (found.len() + 1).to_string());
    }
}

#[test]
fn paging_through_a_search_finds_each_match_once_in_order() {
    let case = (vec(thread(), 1..24), vec(query(), 1..12));
    check(25, &case, &async |server: &TestServer, (threads, queries)| {
        let (me, other) = (server.user().await, server.user().await);
        let mut made = Vec::new();
        for thread in threads {
            let user = if thread.is_mine { &me } else { &other };
            made.push(make(server, user, thread).await);
        }
        for query in &queries {
            let mut body = json!({ "limit": query.limit });
            let mut count = json!({});
            let mut filter = |field: &str, value: Option<Value>| {
                if let Some(value) = value {
                    count[field] = value.clone();
                    body[field] = value;
                }
            };
            filter("metadata", query.metadata.as_ref().map(|part| json!(part)));
            filter("values", query.values.as_ref().map(|part| json!(part)));
            filter("status", query.status.map(|status| json!(status)));
            let mut ids = None;
            if let Some(indexes) = &query.ids {
                let named: Vec<_> = indexes.iter().map(|at| at.get(&made).id.clone()).collect();
                let unknown = new_id();
                body["ids"] = named.iter().chain([&unknown]).map(|id| json!(id)).collect();
                ids = Some(named);
            }
            for (field, value) in [("sort_by", query.sort_by), ("sort_order", query.sort_order)] {
                if let Some(value) = value {
                    body[field] = json!(value);
                }
            }
            let mut matching: Vec<_> = made.iter().filter(|made| made.matches(query)).collect();
            assert_eq!(me.count(count).await, matching.len() as u64, "{query:?}");
            matching.retain(|made| ids.as_ref().is_none_or(|ids| ids.contains(&made.id)));
            matching.sort_by_key(|made| made.key(query.sort_by.unwrap_or("updated_at")));
            if query.sort_by.is_none() || query.sort_order != Some("asc") {
                matching.reverse();
            }
            let expected: Vec<_> = matching.iter().map(|made| made.id.clone()).collect();
            for by_cursor in [false, true] {
                let found = pages(&me, &body, query.limit, by_cursor).await;
                assert_eq!(found, expected, "{query:?}");
            }
        }
    });
}
