//! `GET /threads/{thread_id}`

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::TestServer;
use crate::support::steps::new_id;

#[tokio::test]
async fn values_are_those_of_the_newest_checkpoint_also_after_a_fork() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let id = user.thread(json!({})).await;
    let path = format!("/threads/{id}");
    assert_eq!(user.get(&path).await.expect(200)["values"], Value::Null);
    let first = user.write(&id, json!({ "n": 1, "kept": true })).await;
    user.write(&id, json!({ "n": 2, "later": true })).await;
    assert_eq!(
        user.get(&path).await.expect(200)["values"],
        json!({ "n": 2, "kept": true, "later": true })
    );
    user.fork(&id, &first, json!({ "n": 3 })).await;
    assert_eq!(user.get(&path).await.expect(200)["values"], json!({ "n": 3, "kept": true }));
}

#[tokio::test]
async fn values_of_other_namespaces_do_not_show() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let id = user.thread(json!({})).await;
    let body = json!({ "values": { "n": 1 }, "checkpoint": { "checkpoint_ns": "sub" } });
    user.checkpoint(&id, body).await;
    assert_eq!(user.get(&format!("/threads/{id}")).await.expect(200)["values"], Value::Null);
}

#[tokio::test]
async fn a_state_write_moves_both_clocks_and_a_patch_only_one() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let id = user.thread(json!({})).await;
    let path = format!("/threads/{id}");
    let clocks = async || {
        let thread = user.get(&path).await.expect(200);
        ["created_at", "updated_at", "state_updated_at"]
            .map(|field| thread[field].as_str().unwrap().to_owned())
    };
    let [created, updated, state] = clocks().await;
    user.write(&id, json!({})).await;
    let [created_2, updated_2, state_2] = clocks().await;
    assert!(created_2 == created && updated_2 > updated && state_2 > state);
    user.patch(&path, json!({})).await.expect(200);
    let [created_3, updated_3, state_3] = clocks().await;
    assert!(created_3 == created && updated_3 > updated_2 && state_3 == state_2);
}

#[tokio::test]
async fn include_takes_anything_and_knows_ttl() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let id = user.thread(json!({ "ttl": { "ttl": 5 } })).await;
    for (query, shows) in [
        ("", false),
        ("?include=", false),
        ("?include=x", false),
        ("?includes=ttl", false),
        ("?include=ttl", true),
        ("?include=ttl%2Cx", true),
        ("?include=x&include=ttl", true),
        ("?include=%FF&include=ttl&%00", true),
    ] {
        let thread = user.get(&format!("/threads/{id}{query}")).await.expect(200);
        assert_eq!(thread.get("ttl").is_some(), shows, "{query}");
    }
}

#[tokio::test]
async fn head_answers_like_get_without_a_body() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let id = user.thread(json!({})).await;
    for (path, status) in [(format!("/threads/{id}"), 200), (format!("/threads/{}", new_id()), 404)]
    {
        let get = user.get(&path).await;
        let head = user.request(Method::HEAD, &path).send().await.unwrap();
        assert_eq!((head.status().as_u16(), get.status.as_u16()), (status, status));
        assert_eq!(head.headers()["content-length"].to_str().unwrap(), get.text.len().to_string());
        assert_eq!(head.headers()["content-type"], get.headers["content-type"]);
        assert!(head.bytes().await.unwrap().is_empty());
    }
}
