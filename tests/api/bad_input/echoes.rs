//! What a client sent is repeated in errors and answers only in part: 200 characters at most.

use serde_json::{Value, json};

use super::{Bystander, WITH_BODY};
use crate::support::{Answer, TestServer};

/// Longest repetition in characters, and what else a detail or an answer says.
const MAX_ECHO: usize = 200;
const OWN_WORDS: usize = 400;

/// Bodies with a long name in every place whose content is repeated somewhere.
fn bodies(long: &str) -> Vec<(usize, Value)> {
    let message = |message: Value| (5, json!({ "values": { "messages": [message] } }));
    let call = |call: Value| message(json!({ "role": "ai", "content": "", "tool_calls": [call] }));
    let mut bodies = vec![
        (0, json!({ "thread_id": long })),
        (0, json!({ "if_exists": long })),
        (0, json!({ "metadata": { long: "\u{0}" } })),
        (0, json!({ long: "\u{0}" })),
        (0, json!({ "ttl": { "ttl": 5, "strategy": long } })),
        (0, json!({ "ttl": { "ttl": long } })),
        (0, json!({ "supersteps": [{ "updates": [{ "as_node": long }] }] })),
        (0, json!({ "supersteps": [{ "updates": [{ "as_node": "n", "command": long }] }] })),
        (0, json!({ "supersteps": [{ "updates": long }] })),
        (0, json!({ "supersteps": long })),
        (1, json!({ "ids": [long] })),
        (1, json!({ "status": long })),
        (1, json!({ "sort_by": long })),
        (1, json!({ "sort_order": long })),
        (1, json!({ "select": [long] })),
        (1, json!({ "extract": { "a": long } })),
        (1, json!({ "extract": { long: "values.a" } })),
        (1, json!({ "extract": { long: long } })),
        (1, json!({ "limit": long })),
        (1, json!({ "offset": long })),
        (1, json!({ "cursor": long })),
        (2, json!({ "status": long })),
        (3, json!({ "thread_ids": [long] })),
        (3, json!({ "thread_ids": [], "strategy": long })),
        (4, json!({ "metadata": long })),
        (4, json!({ "ttl": { "strategy": long } })),
        (5, json!({ "values": long })),
        (5, json!({ "values": { long: 1 } })),
        (5, json!({ "as_node": long })),
        (5, json!({ "values": {}, "checkpoint_id": long })),
        (5, json!({ "values": {}, "checkpoint": { "checkpoint_id": long } })),
        (5, json!({ "values": {}, "checkpoint": { "checkpoint_ns": long } })),
        (5, json!({ "values": {}, "checkpoint": { "checkpoint_map": long } })),
        (6, json!({ "checkpoint": { "checkpoint_id": long } })),
        (6, json!({ "checkpoint": { "checkpoint_id": long, "checkpoint_ns": long } })),
        (6, json!({ "checkpoint": {}, "select": [long] })),
        (6, json!({ "checkpoint": {}, "subgraphs": long })),
        (7, json!({ "before": long })),
        (7, json!({ "before": { "checkpoint_id": long } })),
        (7, json!({ "before": { "configurable": long } })),
        (7, json!({ "before": { "configurable": { "checkpoint_id": long } } })),
        (7, json!({ "checkpoint": { "checkpoint_id": long } })),
        (7, json!({ "select": [long] })),
        (7, json!({ "limit": long })),
        (8, json!({ "channels": [long] })),
        message(json!({ "role": long, "content": "" })),
        message(json!({ "type": long, "content": "" })),
        message(json!({ "type": "ai", "content": "", "id": long })),
        message(json!({ "type": "remove", "id": long })),
        message(json!({ "type": "remove", "id": long.chars().take(300).collect::<String>() })),
        message(json!([long, "x"])),
        message(json!({ "type": "tool", "content": "", "tool_call_id": [long] })),
        message(json!({ "role": "tool", "content": "", "tool_call_id": "t", "status": long })),
        call(json!(long)),
        call(json!({ "function": { "name": [long] } })),
        call(json!({ "function": { "name": "f", "arguments": [long] } })),
        call(json!({ "function": { "name": "f", "arguments": format!("{{\"{long}\":1e-999}}") } })),
    ];
    bodies.extend((0..WITH_BODY.len()).map(|endpoint| (endpoint, json!({ long: "\u{0}" }))));
    bodies
}

#[tokio::test]
async fn names_of_a_megabyte_are_not_repeated() {
    let server = TestServer::start().await;
    let bystander = Bystander::new(&server).await;
    // Quotation marks and controls are longer where they are printed.
    for part in ["x", "\u{1}\"", "\u{1F600}"] {
        let long = part.repeat(1_000_000 / part.len());
        for (endpoint, body) in bodies(&long) {
            let (method, path) = WITH_BODY[endpoint];
            let answer = bystander.send(method, path, body.to_string().into_bytes()).await;
            let shown: String = body.to_string().chars().take(90).collect();
            assert!(answer.status.as_u16() < 500, "{path} {shown}: {:.300}", answer.text);
            is_short(&answer, &format!("{path} {shown}"));
        }
    }
}

#[tokio::test]
async fn paths_and_queries_are_not_repeated() {
    let server = TestServer::start().await;
    let bystander = Bystander::new(&server).await;
    let long = "x".repeat(60_000);
    for path in [
        format!("/{long}"),
        format!("/threads/{long}"),
        format!("/threads/{}/{long}", bystander.id),
        format!("/threads/{}/state/{long}", bystander.id),
        format!("/threads/{}/state?select={long}", bystander.id),
        format!("/threads/{}/history?limit={long}", bystander.id),
        format!("/threads/{}/history?before={long}", bystander.id),
        format!("/threads/{}/history?select={long}", bystander.id),
        format!("/threads/{}/stream?stream_modes={long}", bystander.id),
        format!("/threads/{}?include={long}", bystander.id),
        format!("/docs/{long}"),
    ] {
        is_short(&bystander.user.get(&path).await, &path[..60]);
    }
    let request = bystander.user.request(reqwest::Method::POST, "/threads");
    let request = request.header("content-encoding", &long).body("{}");
    is_short(&Answer::of(request).await, "content-encoding");
}

/// A repetition may be there more than once, as an id is in a state.
#[track_caller]
fn is_short(answer: &Answer, what: &str) {
    fn longest(value: &Value) -> usize {
        match value {
            Value::String(text) => text.chars().count(),
            Value::Array(list) => list.iter().map(longest).max().unwrap_or(0),
            Value::Object(fields) => fields
                .iter()
                .map(|(key, value)| key.chars().count().max(longest(value)))
                .max()
                .unwrap_or(0),
            _ => 0,
        }
    }
    let longest = longest(&answer.json());
    let most = if answer.status.is_success() { MAX_ECHO } else { MAX_ECHO + OWN_WORDS };
    assert!(longest <= most, "{what}: {} repeats {longest} characters", answer.status);
}
