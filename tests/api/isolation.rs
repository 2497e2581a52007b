//! What belongs to somebody else cannot be told from what is not there.

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::steps::new_id;
use crate::support::{Answer, TestServer, User};

/// All of an answer but what differs between any two, with the id taken out.
fn seen(answer: &Answer, id: &str) -> (u16, BTreeMap<String, String>, String) {
    let headers = answer
        .headers
        .iter()
        .filter(|(name, _)| !["date", "x-request-id"].contains(&name.as_str()));
    let headers =
        headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
    (answer.status.as_u16(), headers.collect(), answer.text.replace(id, "{id}"))
}

async fn everything(user: &User, id: &str) -> Vec<String> {
    let mut all = Vec::new();
    for path in ["?include=ttl", "/state", "/history?limit=1000", "/storage"] {
        all.push(user.get(&format!("/threads/{id}{path}")).await.text);
    }
    all
}

#[tokio::test]
async fn foreign_and_missing_threads_get_the_same_bytes_on_every_endpoint() {
    let server = TestServer::start().await;
    let (owner, stranger) = (server.user().await, server.user().await);
    let metadata = json!({ "graph_id": "g", "secret": "s" });
    let foreign = owner.thread(json!({ "metadata": metadata, "ttl": { "ttl": 99 } })).await;
    let checkpoint = owner.write(&foreign, json!({ "k": 1, "messages": ["x"] })).await;
    let before = everything(&owner, &foreign).await;
    let missing = new_id();
    for (method, path, body) in [
        ("GET", "/threads/{id}", json!(null)),
        ("HEAD", "/threads/{id}", json!(null)),
        ("GET", "/threads/{id}?include=ttl", json!(null)),
        ("PATCH", "/threads/{id}", json!({ "metadata": { "k": 2, "owner": stranger.id } })),
        ("PATCH", "/threads/{id}", json!({ "ttl": { "ttl": 1e-7 } })),
        ("DELETE", "/threads/{id}", json!(null)),
        ("POST", "/threads/{id}/copy", json!(null)),
        ("GET", "/threads/{id}/state", json!(null)),
        ("GET", "/threads/{id}/state?select=next", json!(null)),
        ("POST", "/threads/{id}/state", json!({ "values": { "k": 2 } })),
        ("POST", "/threads/{id}/state", json!({ "values": {}, "checkpoint_id": checkpoint })),
        ("POST", "/threads/{id}/state", json!({ "values": {}, "checkpoint_id": "zzz" })),
        (
            "POST",
            "/threads/{id}/state",
            json!({ "values": { "messages": [{ "type": "remove", "id": "x" }] } }),
        ),
        ("GET", &format!("/threads/{{id}}/state/{checkpoint}"), json!(null)),
        ("GET", "/threads/{id}/state/checkpoint", json!(null)),
        (
            "POST",
            "/threads/{id}/state/checkpoint",
            json!({ "checkpoint": { "checkpoint_id": checkpoint } }),
        ),
        ("GET", "/threads/{id}/history", json!(null)),
        ("POST", "/threads/{id}/history", json!({ "metadata": { "source": "update" } })),
        ("GET", "/threads/{id}/storage", json!(null)),
        ("GET", "/threads/{id}/stream?stream_mode=state_update", json!(null)),
        ("POST", "/threads/prune", json!({ "thread_ids": ["{id}"] })),
        ("POST", "/threads/prune", json!({ "thread_ids": ["{id}"], "strategy": "keep_latest" })),
        ("POST", "/threads/search", json!({ "ids": ["{id}"] })),
        ("POST", "/threads/search", json!({ "metadata": { "secret": "s", "owner": owner.id } })),
        (
            "POST",
            "/threads/search",
            json!({ "values": { "k": 1 }, "extract": { "a": "values.k" } }),
        ),
        ("POST", "/threads/count", json!({ "metadata": { "secret": "s", "owner": owner.id } })),
        ("POST", "/threads/count", json!({ "values": { "k": 1 } })),
        // Bad requests are bad whoever asks.
        ("PATCH", "/threads/{id}", json!({ "metadata": 5 })),
        ("POST", "/threads/{id}/state", json!({ "values": 5 })),
        ("GET", "/threads/{id}/history?limit=0", json!(null)),
    ] {
        let mut answers = Vec::new();
        for id in [&foreign, &missing] {
            let request = stranger.request(method.parse().unwrap(), &path.replace("{id}", id));
            let request = request.header("origin", "http://app.example");
            let body = body.to_string().replace("{id}", id);
            let request = if body == "null" { request } else { request.body(body) };
            answers.push(seen(&Answer::of(request).await, id));
        }
        assert_eq!(answers[0], answers[1], "{method} {path} {body}");
        let secrets = [&owner.id, "secret"];
        assert!(secrets.iter().all(|secret| !answers[0].2.contains(*secret)), "{method} {path}");
    }
    assert_eq!(everything(&owner, &foreign).await, before);
}

#[tokio::test]
async fn without_a_token_nothing_can_be_learnt() {
    let server = TestServer::start().await;
    let (owner, nobody) = (server.user().await, server.nobody());
    let id = owner.thread(json!({})).await;
    let mut answers = Vec::new();
    for (method, path) in [
        ("GET", format!("/threads/{id}")),
        ("GET", format!("/threads/{}", new_id())),
        ("DELETE", format!("/threads/{id}")),
        ("GET", "/threads/zzz".to_owned()),
        ("PUT", "/threads".to_owned()),
        ("POST", "/threads".to_owned()),
        ("POST", "/threads/search".to_owned()),
        ("GET", format!("/threads/{id}/stream")),
        ("GET", "/no/such/path".to_owned()),
        ("POST", "/runs".to_owned()),
        ("GET", "/docs/".to_owned()),
    ] {
        let request = nobody.request(method.parse::<Method>().unwrap(), &path).body("{");
        let answer = Answer::of(request).await;
        answer.detail();
        answers.push((path, seen(&answer, "-")));
    }
    for (path, answer) in &answers {
        assert_eq!(answer.0, 403, "{path}");
        assert_eq!(*answer, answers[0].1, "{path}");
    }
    owner.get(&format!("/threads/{id}")).await.expect(200);
}

#[tokio::test]
async fn the_owner_is_the_server_s_to_write() {
    let server = TestServer::start().await;
    let (one, two) = (server.user().await, server.user().await);
    let id = one.thread(json!({ "metadata": { "owner": two.id } })).await;
    for owner in
        [json!(two.id), Value::Null, json!({ "$contains": one.id }), json!([one.id, two.id])]
    {
        let body = json!({ "metadata": { "owner": owner } });
        let thread = one.patch(&format!("/threads/{id}"), body.clone()).await.expect(200);
        assert_eq!(thread["metadata"]["owner"], json!(one.id));
        assert_eq!(two.found(body.clone()).await, [""; 0]);
        assert_eq!((one.count(body.clone()).await, two.count(body).await), (1, 0));
    }
}

/// A random wait would hide nothing that averages do not show, and cost everybody.
#[tokio::test]
async fn a_404_is_answered_without_a_wait() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let (own, missing) = (user.thread(json!({})).await, new_id());
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..60 {
        for (times, (id, status)) in times.iter_mut().zip([(&own, 200), (&missing, 404)]) {
            let began = std::time::Instant::now();
            let answer = user.get(&format!("/threads/{id}")).await;
            times.push(began.elapsed());
            assert_eq!(answer.status, status);
        }
    }
    let [found, absent] = times.map(|mut times| {
        times.sort();
        times[30]
    });
    assert!(absent < 3 * found, "{absent:?} beside {found:?}");
}
