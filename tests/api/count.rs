//! `POST /threads/count`

use serde_json::json;

use crate::support::TestServer;

#[tokio::test]
async fn a_count_filters_like_a_search_and_ignores_its_pages() {
    let server = TestServer::start().await;
    let (user, other) = (server.user().await, server.user().await);
    other.thread(json!({ "metadata": { "a": [1, 2, { "x": 1 }] } })).await;
    let mut ids = Vec::new();
    for n in 0..12 {
        let metadata = json!({ "n": n % 3, "a": [n % 2, { "x": n % 3 }] });
        ids.push(user.thread(json!({ "metadata": metadata })).await);
    }
    for (n, id) in ids.iter().enumerate().take(5) {
        user.write(id, json!({ "v": n % 2, "messages": ["x"] })).await;
    }
    for (body, expected) in [
        (json!({}), 12),
        (json!({ "metadata": {} }), 12),
        (json!({ "metadata": { "n": 1 } }), 4),
        (json!({ "metadata": { "a": [{ "x": 1 }] } }), 4),
        (json!({ "metadata": { "a": [{ "x": 1 }, 0] } }), 2),
        (json!({ "metadata": { "a": 0 } }), 0),
        (json!({ "values": { "v": 1 } }), 2),
        (json!({ "values": { "v": 0 }, "metadata": { "n": 0 } }), 1),
        (json!({ "values": { "messages": [{ "content": "x" }] } }), 5),
        (json!({ "values": { "v": null } }), 0),
        (json!({ "values": {} }), 12),
        (json!({ "status": "idle" }), 12),
        (json!({ "status": "error" }), 0),
        (json!({ "ids": [ids[0]], "limit": 1, "offset": 5, "select": ["nope"], "sort_by": 5 }), 12),
    ] {
        assert_eq!(user.count(body.clone()).await, expected, "{body}");
    }
    let answer = user.post("/threads/count", json!({})).await;
    assert_eq!((answer.text.as_str(), answer.header("content-type")), ("12", "application/json"));
}
