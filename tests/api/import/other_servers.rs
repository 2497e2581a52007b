//! Servers that are not like this one.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use wiremock::matchers::{body_partial_json, method, path, path_regex};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use super::{eventful, import_with, kept, same, servers};
use crate::support::TestServer;
use crate::support::steps::{human, new_id};

/// A source that is no server of ours: `histories` by thread id, each newest first.
async fn stub(histories: &[(String, Value)]) -> MockServer {
    let server = MockServer::start().await;
    let listed: Vec<_> = histories.iter().map(|(id, _)| json!({ "thread_id": id })).collect();
    let first = json!({ "offset": 0 });
    for (offset, page) in [(first, json!(listed)), (json!({}), json!(listed[listed.len() - 1..]))] {
        Mock::given(method("POST"))
            .and(path("/threads/search"))
            .and(body_partial_json(offset))
            .respond_with(ResponseTemplate::new(200).set_body_json(page))
            .mount(&server)
            .await;
    }
    for (id, history) in histories {
        let row = json!({ "thread_id": id, "metadata": { "from": "elsewhere" }, "values": { "newest": 1 } });
        Mock::given(method("GET"))
            .and(path(format!("/threads/{id}")))
            .respond_with(ResponseTemplate::new(200).set_body_json(row))
            .mount(&server)
            .await;
        let answer = match history {
            Value::Null => ResponseTemplate::new(404)
                .set_body_json(json!({ "detail": "Graph 'gone' not found" })),
            Value::String(text) => ResponseTemplate::new(500).set_body_string(text),
            history => ResponseTemplate::new(200).set_body_json(history),
        };
        Mock::given(method("POST"))
            .and(path(format!("/threads/{id}/history")))
            .respond_with(answer)
            .mount(&server)
            .await;
    }
    server
}

fn state(id: &str, parent: Option<&str>, values: &Value) -> Value {
    let parent = parent.map(|parent| json!({ "checkpoint_id": parent }));
    json!({ "checkpoint": { "checkpoint_id": id }, "parent_checkpoint": parent, "values": values, "metadata": {} })
}

#[tokio::test]
async fn what_another_server_tells_is_made_to_fit_and_said() {
    let destination = TestServer::start().await;
    let to = destination.user().await;
    let ids: Vec<_> = (0..7).map(|_| new_id()).collect();
    let histories = vec![
        // No history for this one.
        (ids[0].clone(), Value::Null),
        // Values that are no object.
        (ids[1].clone(), json!([state("a", None, &json!([1, 2]))])),
        // A key that is gone later, messages without ids, and a parent that was pruned.
        (
            ids[2].clone(),
            json!([
                state("c", Some("pruned"), &json!({ "k": 3, "messages": ["hi", "ho"] })),
                state("b", Some("a"), &json!({ "k": 2, "messages": ["hi"] })),
                state("a", Some("pruned before"), &json!({ "gone": 1, "messages": [] })),
            ]),
        ),
        // No values at all.
        (ids[3].clone(), json!([state("a", None, &Value::Null)])),
        // Order of messages that no appending makes.
        (
            ids[4].clone(),
            json!([
                state("b", Some("a"), &json!({ "messages": [human("3", "c"), human("1", "a")] })),
                state("a", None, &json!({ "messages": [human("1", "a"), human("2", "b")] })),
            ]),
        ),
        // A history that cannot be read today. Its newest values alone would be in its way.
        (ids[6].clone(), json!("Internal\nServer \u{1b}[31mError")),
        // Messages that are none.
        (ids[5].clone(), json!([state("a", None, &json!({ "messages": [1] }))])),
    ];
    let source = stub(&histories).await;
    let said = import_with((&source.uri(), "hunter2"), (&to.url, &to.token), &[]).await;
    assert_eq!((said.code, said.number("threads imported")), (Some(1), 4), "{}", said.report);
    for part in [
        format!("{}  state a cannot be written: its values are not an object", ids[1]),
        format!("{}  state a cannot be written: values.messages[0]", ids[5]),
        format!("{}  Internal Server  [31mError (500", ids[6]),
        "1  threads without a history in the source".to_owned(),
        "1  states whose parent is missing in the source".to_owned(),
        "3  messages without an id".to_owned(),
        "2  keys that a later state no longer has".to_owned(),
    ] {
        assert!(said.report.contains(&part), "{part}: {}", said.report);
    }
    assert_eq!(to.count(json!({})).await, 4);
    assert_eq!(to.values(&ids[0]).await, json!({ "newest": 1 }));
    let history = to.history(&ids[2]).await;
    let contents: Vec<Vec<_>> = history
        .iter()
        .map(|state| state["values"]["messages"].as_array().unwrap())
        .map(|list| list.iter().map(|message| message["content"].as_str().unwrap()).collect())
        .collect();
    assert_eq!(contents, [vec!["hi", "ho"], vec!["hi"], vec![]]);
    assert_eq!(history[0]["values"]["gone"], json!(1));
    assert_eq!(history[0]["parent_checkpoint_id"], history[1]["checkpoint_id"]);
    assert_eq!(to.values(&ids[3]).await, json!({}));
    assert_eq!(to.values(&ids[4]).await["messages"], json!([human("3", "c"), human("1", "a")]));
    // All the same, a second run recognises them.
    let again = import_with((&source.uri(), "hunter2"), (&to.url, &to.token), &[]).await;
    assert_eq!((again.written(), again.number("threads already in the destination")), (0, 4));
}

#[tokio::test]
async fn threads_deleted_while_the_source_is_listed_hide_no_others() {
    let destination = TestServer::start().await;
    let to = destination.user().await;
    let mut ids: Vec<_> = (0..4).map(|_| new_id()).collect();
    ids.sort();
    let source = stub(&ids.iter().map(|id| (id.clone(), json!([]))).collect::<Vec<_>>()).await;
    let rows =
        |ids: &[String]| json!(ids.iter().map(|id| json!({ "thread_id": id })).collect::<Vec<_>>());
    // The first two are listed and deleted, so that the third is where the first was.
    for (offset, page, times) in
        [(0, rows(&ids[..2]), 1), (0, rows(&ids[2..]), 9), (1, rows(&ids[3..]), 9)]
    {
        Mock::given(path("/threads/search"))
            .and(body_partial_json(json!({ "offset": offset, "limit": 500 })))
            .respond_with(ResponseTemplate::new(200).set_body_json(page))
            .up_to_n_times(times)
            .with_priority(1)
            .mount(&source)
            .await;
    }
    import_with((&source.uri(), "hunter2"), (&to.url, &to.token), &[]).await.succeeded();
    let mut found = to.found(json!({})).await;
    found.sort();
    assert_eq!(found, ids);
}

#[tokio::test]
async fn a_busy_source_is_asked_again_and_a_thread_that_vanished_is_no_failure() {
    let destination = TestServer::start().await;
    let to = destination.user().await;
    let (stays, goes) = (new_id(), new_id());
    let history = json!([state("a", None, &json!({ "k": 1 }))]);
    let source = stub(&[(stays.clone(), history.clone()), (goes.clone(), history)]).await;
    let busy = |status: u16| ResponseTemplate::new(status).insert_header("retry-after", "1");
    for (status, route) in
        [(429, format!("/threads/{stays}")), (503, format!("/threads/{stays}/history"))]
    {
        let mock = Mock::given(path(route)).respond_with(busy(status));
        mock.up_to_n_times(2).with_priority(1).expect(2).mount(&source).await;
    }
    Mock::given(path(format!("/threads/{goes}")))
        .respond_with(ResponseTemplate::new(404).set_body_json(json!({ "detail": "not found" })))
        .with_priority(1)
        .mount(&source)
        .await;
    let said = import_with((&source.uri(), "hunter2"), (&to.url, &to.token), &[]).await;
    assert_eq!(said.succeeded().number("threads imported"), 1);
    assert_eq!(said.number("threads deleted in the source during the import"), 1);
    assert_eq!(to.found(json!({})).await, [stays]);
}

#[tokio::test]
async fn a_write_without_an_answer_is_not_written_twice() {
    let (_source, destination, from, to) = servers().await;
    let id = eventful(&from, 1).await;
    // Every third write is carried out, and its answer lost.
    let between = MockServer::start().await;
    let (url, client) =
        (destination.url.clone(), thread_store::http_client::builder().build().unwrap());
    let writes = std::sync::atomic::AtomicUsize::new(0);
    let handle = tokio::runtime::Handle::current();
    let pass_on = move |request: &Request| {
        let mut target = url::Url::parse(&url).unwrap();
        target.set_path(request.url.path());
        target.set_query(request.url.query());
        let passed = client
            .request(request.method.clone(), target)
            .header("authorization", request.headers["authorization"].clone())
            .body(request.body.clone());
        let handle = handle.clone();
        let answer = std::thread::spawn(move || {
            handle.block_on(async {
                let answer = passed.send().await.unwrap();
                (answer.status().as_u16(), answer.bytes().await.unwrap())
            })
        });
        let (status, body) = answer.join().unwrap();
        let is_write = request.method.as_str() == "POST" && request.url.path().ends_with("/state");
        let number = writes.fetch_add(usize::from(is_write), std::sync::atomic::Ordering::SeqCst);
        if is_write && number % 3 == 2 {
            return ResponseTemplate::new(504).set_body_string("gateway timeout");
        }
        ResponseTemplate::new(status).set_body_bytes(body)
    };
    Mock::given(path_regex(".*")).respond_with(pass_on).mount(&between).await;
    let said = import_with((&from.url, &from.token), (&between.uri(), &to.token), &[]).await;
    assert_eq!(said.succeeded().number("threads imported"), 1);
    same(&kept(&from, &id).await, &kept(&to, &id).await);
}

/// A server may answer with fewer states than it was asked for where they are large.
#[tokio::test]
async fn a_short_page_of_large_states_is_not_taken_for_the_last() {
    let destination = TestServer::start().await;
    let to = destination.user().await;
    let id = new_id();
    let source = stub(&[(id.clone(), json!([]))]).await;
    let large = |n: usize| json!({ "k": "x".repeat(600_000), "n": n });
    let states = ["a", "b", "c", "d", "e"].map(|name| state(name, None, &large(name.len())));
    let states: Vec<_> = states.into_iter().rev().collect();
    let history = move |request: &Request| {
        let body: Value = request.body_json().unwrap();
        let before = body["before"]["configurable"]["checkpoint_id"].as_str();
        let at = |state: &Value| state["checkpoint"]["checkpoint_id"].as_str() == before;
        let begin = states.iter().position(at).map_or(0, |position| position + 1);
        let end = states.len().min(begin + 2);
        ResponseTemplate::new(200).set_body_json(&states[begin..end])
    };
    Mock::given(path(format!("/threads/{id}/history")))
        .respond_with(history)
        .with_priority(1)
        .mount(&source)
        .await;
    let said = import_with((&source.uri(), "hunter2"), (&to.url, &to.token), &[]).await;
    assert_eq!(said.succeeded().written(), 5, "{}", said.report);
}

#[tokio::test]
async fn values_that_differ_far_down_are_not_taken_for_equal() {
    let destination = TestServer::start().await;
    let to = destination.user().await;
    for depth in [3, 127, 128, 129, 200, 500] {
        let id = new_id();
        let source = stub(&[(id.clone(), json!([]))]).await;
        let inner = Arc::new(Mutex::new("1.50"));
        let told = Arc::clone(&inner);
        let history = move |_: &Request| {
            let inner = *told.lock().unwrap();
            let nested = format!("{}{inner}{}", "[".repeat(depth), "]".repeat(depth));
            let values = format!(r#"{{"k":{nested},"messages":[]}}"#);
            let body = format!(r#"[{{"checkpoint_id":"a","values":{values},"metadata":{{}}}}]"#);
            ResponseTemplate::new(200).set_body_raw(body, "application/json")
        };
        Mock::given(path(format!("/threads/{id}/history")))
            .respond_with(history)
            .with_priority(1)
            .mount(&source)
            .await;
        let run = async |told: &'static str| {
            *inner.lock().unwrap() = told;
            import_with((&source.uri(), "hunter2"), (&to.url, &to.token), &[]).await
        };
        assert_eq!(run("1.50").await.succeeded().written(), 1, "{depth}");
        let same = run("15e-1").await;
        assert_eq!(same.succeeded().number("threads already in the destination"), 1, "{depth}");
        let other = run("2").await;
        assert_eq!(other.code, Some(1), "{depth}: {}", other.report);
        assert!(other.report.contains("other states, from state 1 on"), "{}", other.report);
    }
}
