//! `POST /threads/{thread_id}/copy`

use futures::future::join;
use serde_json::{Value, json};

use crate::support::TestServer;
use crate::support::steps::{human, messages, remove};

/// A history without what differs between a thread and its copy.
fn without_thread(history: &[Value], thread_id: &str) -> String {
    json!(history).to_string().replace(thread_id, "")
}

#[tokio::test]
async fn a_copy_has_all_branches_with_their_ids_and_goes_its_own_way() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let id = user.thread(json!({ "metadata": { "graph_id": "g", "k": [1] } })).await;
    let first =
        user.write(&id, json!({ "k": 1, "messages": [human("a", "A"), human("b", "B")] })).await;
    user.write(&id, json!({ "messages": [remove("a")] })).await;
    let fork = user.fork(&id, &first, json!({ "messages": [human("b", "B2")], "k": 2 })).await;
    let in_ns = json!({ "values": { "n": 1 }, "checkpoint": { "checkpoint_ns": "sub" } });
    user.checkpoint(&id, in_ns).await;
    let original = user.get(&format!("/threads/{id}")).await.expect(200);

    let copy = user.post(&format!("/threads/{id}/copy"), json!({ "thread_id": "ignored" })).await;
    let copy = copy.expect(200);
    let copy_id = copy["thread_id"].as_str().unwrap().to_owned();
    assert_eq!(copy, user.get(&format!("/threads/{copy_id}")).await.expect(200));
    for field in ["metadata", "values", "status", "config", "error", "interrupts"] {
        assert_eq!(copy[field], original[field], "{field}");
    }
    assert!(copy["created_at"].as_str() > original["updated_at"].as_str());
    assert_eq!(copy["created_at"], copy["state_updated_at"]);
    let history = user.history(&id).await;
    let copied = user.history(&copy_id).await;
    assert_eq!(without_thread(&copied, &copy_id), without_thread(&history, &id));
    let sub = json!({ "checkpoint": { "checkpoint_ns": "sub" } });
    assert_eq!(user.history_of(&copy_id, sub.clone()).await.len(), 1);
    let storage = |id: &str| {
        let (user, path) = (&user, format!("/threads/{id}/storage"));
        async move { user.get(&path).await.expect(200)["total_bytes"].as_u64().unwrap() }
    };
    assert_eq!(storage(&copy_id).await, storage(&id).await);

    // Both go on, from the newest and from an old checkpoint, and neither sees the other.
    user.write(&id, json!({ "k": "original" })).await;
    user.fork(&copy_id, &first, json!({ "messages": [human("c", "copy")] })).await;
    user.fork(&copy_id, &fork, json!({ "messages": [remove("b")] })).await;
    assert_eq!(user.values(&id).await["k"], json!("original"));
    assert_eq!(messages(&user.values(&id).await), ["a=A", "b=B2"]);
    assert_eq!(messages(&user.values(&copy_id).await), ["a=A"]);
    assert_eq!(messages(&user.history(&copy_id).await[1]["values"]), ["a=A", "b=B", "c=copy"]);
    assert_eq!((user.history(&id).await.len(), user.history(&copy_id).await.len()), (4, 5));

    // A copy of the copy outlives both.
    let twice = user.copy(&copy_id).await;
    let before = user.history(&copy_id).await;
    for id in [&id, &copy_id] {
        assert_eq!(user.delete(&format!("/threads/{id}")).await.status, 204);
    }
    let after = user.history(&twice).await;
    assert_eq!(without_thread(&after, &twice), without_thread(&before, &copy_id));
}

#[tokio::test]
async fn a_copy_made_during_writes_is_the_thread_at_one_moment() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let id = user.thread(json!({})).await;
    let (user, id) = (&user, &id);
    let writes = async {
        for n in 0..40 {
            let values = json!({ "n": n, "messages": [human(&n.to_string(), "x")] });
            user.write(id, values).await;
        }
    };
    let copies = async {
        let mut copies = Vec::new();
        for _ in 0..12 {
            copies.push(user.copy(id).await);
        }
        copies
    };
    let ((), copies) = join(writes, copies).await;
    let original = user.history(id).await;
    assert_eq!(original.len(), 40);
    let mut longest = 0;
    for copy in copies {
        let history = user.history(&copy).await;
        assert!(history.len() >= longest, "later copies hold more");
        longest = history.len();
        let expected = without_thread(&original[40 - longest..], id);
        assert_eq!(without_thread(&history, &copy), expected);
        let values = user.get(&format!("/threads/{copy}")).await.expect(200)["values"].take();
        assert_eq!(history.first().map_or(&Value::Null, |newest| &newest["values"]), &values);
        user.write(&copy, json!({ "messages": [human("0", "edited")] })).await;
        assert_eq!(user.history(&copy).await.len(), longest + 1);
    }
}

#[tokio::test]
async fn a_thread_without_state_is_copied_without_state() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let id = user.thread(json!({ "metadata": { "k": 1 } })).await;
    let copy = user.post_text(&format!("/threads/{id}/copy"), "{ not even JSON").await.expect(200);
    assert_eq!(copy["values"], Value::Null);
    assert_eq!(copy["metadata"], json!({ "k": 1, "owner": user.id }));
    let copy = copy["thread_id"].as_str().unwrap();
    user.write(copy, json!({ "k": 1 })).await;
    assert_eq!(user.state(copy).await["metadata"]["step"], json!(0));
}
