//! What becomes of messages, and how many a request may have. `tests/clients` compares each form
//! with LangGraph's own reducer.

use serde_json::{Value, json};

use crate::support::steps::{human, remove};
use crate::support::{TestServer, User};

async fn stored(user: &User, thread: &str) -> Vec<Value> {
    let state = user.state(thread).await;
    state["values"]["messages"].as_array().unwrap().clone()
}

#[tokio::test]
async fn an_answer_of_openais_api_becomes_a_message_of_langchains() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let thread = user.thread(json!({})).await;
    let call = |id: &str, arguments: &str| {
        let function = json!({ "name": "search", "arguments": arguments });
        json!({ "id": id, "type": "function", "function": function })
    };
    let answer = json!({
        "role": "assistant", "content": null, "refusal": null, "id": "chatcmpl-1",
        "tool_calls": [call("a", "{\"q\": \"x\"}"), call("b", "{\"q\": ")],
    });
    let result = json!({ "role": "tool", "tool_call_id": 7, "content": "42", "id": "r" });
    let sent = json!({ "messages": [answer, result] });
    user.write(&thread, sent.clone()).await;
    let expected = json!([
        {
            "type": "ai", "content": "", "id": "chatcmpl-1",
            "tool_calls": [{ "name": "search", "args": { "q": "x" }, "id": "a", "type": "tool_call" }],
            "invalid_tool_calls": [{
                "name": "search", "args": "{\"q\": ", "id": "b", "error": null,
                "type": "invalid_tool_call",
            }],
            "additional_kwargs": { "refusal": null },
        },
        { "type": "tool", "tool_call_id": "7", "content": "42", "id": "r" },
    ]);
    assert_eq!(json!(stored(&user, &thread).await), expected);
    // Sent again, as clients do that send the whole conversation each time, it adds nothing.
    let before = user.get(&format!("/threads/{thread}/storage")).await.expect(200);
    user.write(&thread, sent).await;
    user.write(&thread, json!({ "messages": stored(&user, &thread).await })).await;
    assert_eq!(json!(stored(&user, &thread).await), expected);
    let after = user.get(&format!("/threads/{thread}/storage")).await.expect(200);
    let bytes = |storage: &Value| storage["channel_values"]["bytes"].as_u64().unwrap();
    assert_eq!(bytes(&after), bytes(&before));
    // The same in a superstep.
    let steps = json!([{ "updates": [{ "as_node": "n", "values": { "messages": [
        { "role": "user", "type": "ai", "content": null, "id": "1" },
    ] } }] }]);
    let thread = user.thread(json!({ "supersteps": steps })).await;
    let typed = json!([{
        "type": "human", "content": "", "id": "1", "additional_kwargs": { "type": "ai" },
    }]);
    assert_eq!(json!(stored(&user, &thread).await), typed);
}

#[tokio::test]
async fn what_the_reducer_refuses_is_422_and_changes_nothing() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let thread = user.thread(json!({})).await;
    user.write(&thread, json!({ "messages": [human("1", "a")] })).await;
    let path = format!("/threads/{thread}/state");
    for (message, named) in [
        (json!({ "role": "user" }), "values.messages[1]: a message needs a `content`"),
        (json!({ "type": "ai", "id": "1" }), "values.messages[1]: a message needs a `content`"),
        (json!({ "type": "my-own", "content": "x" }), "values.messages[1].type: \"my-own\""),
        (
            json!({ "role": "bob", "type": "ai", "content": "x" }),
            "values.messages[1].role: \"bob\"",
        ),
        (json!({ "role": "tool", "content": "x" }), "values.messages[1]: a tool's message needs"),
        (json!({ "role": "user", "content": 5 }), "values.messages[1].content: must be"),
    ] {
        let body = json!({ "values": { "messages": [human("2", "b"), message] } });
        let answer = user.post(&path, body).await;
        answer.expect(422);
        assert!(answer.detail().starts_with(named), "{}", answer.text);
    }
    assert_eq!(stored(&user, &thread).await, [human("1", "a")]);
}

/// An update of so many messages.
fn many(count: usize) -> Value {
    json!({ "messages": (0..count).map(|n| n.to_string()).collect::<Vec<_>>() })
}

#[tokio::test]
async fn a_request_has_at_most_50_000_messages_in_all() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let thread = user.thread(json!({})).await;
    let path = format!("/threads/{thread}/state");
    let refused = user.post(&path, json!({ "values": many(50_001) })).await;
    refused.expect(422);
    assert_eq!(refused.detail(), "values.messages: more than 50000 messages in one request");
    let halves = json!({ "values": [many(25_000), many(25_001)] });
    user.post(&path, halves).await.expect(422);
    assert_eq!(user.history(&thread).await, [Value::Null; 0]);
    let update = |count| json!({ "as_node": "n", "values": many(count) });
    let steps = json!([
        { "updates": [update(20_000), update(20_000)] },
        { "updates": [update(9_999), update(2)] },
    ]);
    let refused = user.post("/threads", json!({ "supersteps": steps })).await;
    refused.expect(422);
    let expected = "supersteps[1].updates[1].values.messages: more than 50000 messages";
    assert!(refused.detail().starts_with(expected), "{}", refused.text);
    assert_eq!(user.count(json!({})).await, 1);
}

#[tokio::test]
async fn a_request_has_at_most_1_000_supersteps() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let steps = |count: usize| json!({ "supersteps": vec![json!({ "updates": [] }); count] });
    let refused = user.post("/threads", steps(1001)).await;
    refused.expect(422);
    assert_eq!(refused.detail(), "supersteps: more than 1000 supersteps in one request");
    let thread = user.thread(steps(1000)).await;
    assert_eq!(user.history_of(&thread, json!({ "limit": 1000 })).await.len(), 1000);
}

/// More than one statement takes.
#[tokio::test]
async fn a_long_update_is_there_as_a_whole_and_in_its_order() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let thread = user.thread(json!({})).await;
    user.write(&thread, json!({ "messages": [human("0", "first"), human("x", "old")] })).await;
    let long = "x".repeat(1000);
    let content = |n: usize| {
        format!("{n} {}", if n.is_multiple_of(700) { "y".repeat(2 << 20) } else { long.clone() })
    };
    let mut update: Vec<_> = (1..3000).map(|n| human(&n.to_string(), &content(n))).collect();
    update.push(human("0", "changed"));
    update.push(remove("x"));
    user.write(&thread, json!({ "messages": update, "k": 1 })).await;
    let expected = std::iter::once(human("0", "changed"));
    let expected: Vec<_> =
        expected.chain((1..3000).map(|n| human(&n.to_string(), &content(n)))).collect();
    assert!(stored(&user, &thread).await == expected);
    assert_eq!(user.history_of(&thread, json!({ "select": ["checkpoint_id"] })).await.len(), 2);

    // One that is refused at its end leaves nothing of itself.
    let mut update: Vec<_> = (1..3000).map(|n| human(&n.to_string(), &long)).collect();
    update.push(remove("nope"));
    let path = format!("/threads/{thread}/state");
    user.post(&path, json!({ "values": { "messages": update } })).await.expect(422);
    assert!(stored(&user, &thread).await == expected);

    // The same in a superstep.
    let values =
        json!({ "messages": (0..3000).map(|n| human(&n.to_string(), &long)).collect::<Vec<_>>() });
    let steps = json!([{ "updates": [{ "as_node": "n", "values": values }] }]);
    let thread = user.thread(json!({ "supersteps": steps })).await;
    assert_eq!(stored(&user, &thread).await.len(), 3000);
}

#[tokio::test]
async fn long_updates_to_one_thread_at_the_same_time_are_all_there() {
    let server = TestServer::start().await;
    let (user, other) = (server.user().await, server.start_beside().await);
    let thread = user.thread(json!({})).await;
    let updates = (0..6).map(|writer| {
        let user = if writer % 2 == 0 { user.clone() } else { user.at(&other) };
        let thread = thread.clone();
        async move {
            let long = "x".repeat(1000);
            let update = (0..2000).map(|n| human(&format!("{writer}-{n}"), &long));
            user.write(&thread, json!({ "messages": update.collect::<Vec<_>>() })).await
        }
    });
    futures::future::join_all(updates).await;
    let ids: Vec<_> =
        stored(&user, &thread).await.iter().map(|message| message["id"].clone()).collect();
    assert_eq!(ids.len(), 12_000);
    for update in ids.chunks(2000) {
        let writer = update[0].as_str().unwrap().split_once('-').unwrap().0;
        let expected: Vec<_> = (0..2000).map(|n| json!(format!("{writer}-{n}"))).collect();
        assert_eq!(update, expected);
    }
}
