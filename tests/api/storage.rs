//! `GET /threads/{thread_id}/storage`

use serde_json::{Value, json};

use crate::support::steps::human;
use crate::support::{TestServer, User};

async fn report(user: &User, id: &str) -> Value {
    let report = user.get(&format!("/threads/{id}/storage")).await.expect(200);
    let bytes = |part: &str| report[part]["bytes"].as_u64().unwrap();
    assert_eq!(report["thread_id"], json!(id));
    assert_eq!(report["pending_writes"], json!({ "count": 0, "bytes": 0 }));
    assert_eq!(report["total_bytes"], json!(bytes("checkpoints") + bytes("channel_values")));
    for field in ["count", "bytes"] {
        let channels = report["channel_values"]["by_channel"].as_object().unwrap().values();
        let sum: u64 = channels.map(|channel| channel[field].as_u64().unwrap()).sum();
        assert_eq!(report["channel_values"][field], json!(sum));
    }
    report
}

#[tokio::test]
async fn every_channel_and_message_that_is_stored_counts() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let id = user.thread(json!({})).await;
    let none = json!({ "count": 0, "bytes": 0 });
    let empty = report(&user, &id).await;
    assert_eq!((&empty["checkpoints"], &empty["total_bytes"]), (&none, &json!(0)));
    assert_eq!(empty["channel_values"]["by_channel"], json!({}));

    user.write(&id, json!({ "a": 1, "b": "x".repeat(500), "messages": [human("1", "x")] })).await;
    user.write(&id, json!({ "a": 2, "messages": [human("2", "y"), human("1", "z")] })).await;
    let full = report(&user, &id).await;
    assert_eq!(full["checkpoints"]["count"], json!(2));
    let channels = &full["channel_values"]["by_channel"];
    let counts = ["a", "b", "messages"].map(|channel| channels[channel]["count"].as_u64().unwrap());
    assert_eq!(counts, [2, 1, 3]);
    assert!(channels["b"]["bytes"].as_u64().unwrap() > 500);
}

#[tokio::test]
async fn sending_the_conversation_again_does_not_store_it_again() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let id = user.thread(json!({})).await;
    let mut list: Vec<_> = (0..50).map(|n| human(&n.to_string(), &"x".repeat(1000))).collect();
    let first = user.write(&id, json!({ "messages": list })).await;
    let before = report(&user, &id).await["channel_values"].take();
    for _ in 0..5 {
        user.write(&id, json!({ "messages": list })).await;
    }
    // Nor onto an older checkpoint, nor as it was read.
    user.fork(&id, &first, json!({ "messages": list })).await;
    let read = user.values(&id).await["messages"].take();
    user.write(&id, json!({ "messages": read })).await;
    assert_eq!(report(&user, &id).await["channel_values"], before);
    assert_eq!(report(&user, &id).await["checkpoints"]["count"], json!(8));
    // One that is new and one that changed are two more.
    list[7] = human("7", "edited");
    list.push(human("50", "new"));
    user.write(&id, json!({ "messages": list })).await;
    let after = report(&user, &id).await;
    assert_eq!(after["channel_values"]["by_channel"]["messages"]["count"], json!(52));
    assert_eq!(user.values(&id).await["messages"], json!(list));
}

#[tokio::test]
async fn one_more_message_costs_one_message() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let id = user.thread(json!({})).await;
    let list: Vec<_> = (0..300).map(|n| human(&n.to_string(), &"x".repeat(1000))).collect();
    user.write(&id, json!({ "messages": list, "other": 1 })).await;
    let before = report(&user, &id).await["total_bytes"].as_u64().unwrap();
    user.write(&id, json!({ "messages": [human("new", "y")] })).await;
    let after = report(&user, &id).await["total_bytes"].as_u64().unwrap();
    assert!((1..1000).contains(&(after - before)), "{before} {after}");
}
