//! `POST /threads`

use std::collections::HashSet;

use futures::future::join_all;
use serde_json::{Value, json};

use crate::support::TestServer;
use crate::support::steps::new_id;

#[tokio::test]
async fn a_created_thread_reads_back_byte_for_byte() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let body =
        json!({ "metadata": { "title": "ü€😀", "nested": { "a": [1, null, { "b": "" }] } } });
    let created = user.post("/threads", body).await;
    let thread = created.expect(200);
    let read = user.get(&format!("/threads/{}", thread["thread_id"].as_str().unwrap())).await;
    assert_eq!(read.text, created.text);
    assert_eq!(created.header("content-type"), "application/json");
    let fields: Vec<_> = thread.as_object().unwrap().keys().collect();
    let expected = [
        "thread_id",
        "created_at",
        "updated_at",
        "state_updated_at",
        "metadata",
        "status",
        "config",
        "values",
        "error",
        "interrupts",
    ];
    assert_eq!(fields, expected, "D13: one shape always");
    assert_eq!(
        (&thread["values"], &thread["error"], &thread["interrupts"], &thread["config"]),
        (&Value::Null, &Value::Null, &json!({}), &json!({}))
    );
    assert_eq!(thread["created_at"], thread["updated_at"]);
    assert_eq!(thread["created_at"], thread["state_updated_at"]);
}

#[tokio::test]
async fn every_spelling_of_an_id_is_the_same_thread() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let id = user.thread(json!({})).await;
    let simple = id.replace('-', "");
    for spelling in
        [id.to_uppercase(), simple.clone(), format!("{{{id}}}"), format!("urn:uuid:{id}")]
    {
        let refused = user.post("/threads", json!({ "thread_id": spelling })).await;
        assert_eq!(refused.status, 409, "{spelling}");
        assert_eq!(refused.detail(), format!("Thread with ID {id} already exists"));
        let path = format!("/threads/{}", spelling.replace('{', "%7B").replace('}', "%7D"));
        assert_eq!(user.get(&path).await.expect(200)["thread_id"], json!(id), "{spelling}");
    }
}

#[tokio::test]
async fn metadata_numbers_come_back_with_every_digit() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let long = "9".repeat(131_072);
    let fraction = format!("0.{}", "1".repeat(16_383));
    for number in [
        "18446744073709551615",
        "-9223372036854775808",
        "123456789012345678901234567890",
        "0.1234567890123456789",
        "1.50",
        &long,
        &fraction,
    ] {
        let created =
            user.post_text("/threads", format!("{{\"metadata\":{{\"n\":{number}}}}}")).await;
        assert_eq!(created.status, 200, "{:.60}", created.text);
        assert!(created.text.contains(&format!("\"n\":{number},\"owner\"")), "{number:.60}");
    }
}

#[tokio::test]
async fn numbers_that_are_barely_too_large_or_fine_are_refused_never_an_error() {
    let server = TestServer::start().await;
    let user = server.user().await;
    for number in ["0e99999", "0e131071", "0e131072", "0e-16383", "0e-16384", "1e308", "1e-307"] {
        let body = format!("{{\"metadata\":{{\"n\":{number}}},\"values\":{{\"n\":{number}}}}}");
        let created = user.post_text("/threads", body.clone()).await;
        assert!([200, 422].contains(&created.status.as_u16()), "{number}: {}", created.text);
        let id = user.thread(json!({})).await;
        let written = user.post_text(&format!("/threads/{id}/state"), body).await;
        assert_eq!(written.status, created.status, "{number}: state takes what metadata takes");
        user.count(json!({ "values": { "n": 0 } })).await;
    }
}

#[tokio::test]
async fn of_equal_keys_the_last_counts() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let body = r#"{"metadata":5,"metadata":{"k":1,"k":2,"n":{"x":1,"x":3}},"ttl":null,"ttl":{"ttl":null,"ttl":5}}"#;
    let created = user.post_text("/threads", body).await.expect(200);
    assert_eq!(created["metadata"], json!({ "k": 2, "n": { "x": 3 }, "owner": user.id }));
}

#[tokio::test]
async fn do_nothing_gives_back_the_thread_with_its_state_and_changes_nothing() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let id = user.thread(json!({ "metadata": { "k": 1 } })).await;
    user.write(&id, json!({ "n": 1 })).await;
    let path = format!("/threads/{id}?include=ttl");
    let before = user.get(&path).await.text;
    let again = json!({
        "thread_id": id,
        "if_exists": "do_nothing",
        "metadata": { "k": 2 },
        "ttl": { "ttl": 5 },
        "supersteps": [{ "updates": [{ "values": { "n": 2 }, "as_node": "x" }] }],
    });
    let answer = user.post("/threads", again).await;
    assert_eq!((answer.status.as_u16(), answer.text), (200, before.clone()));
    assert_eq!(user.get(&path).await.text, before);
    assert_eq!(user.history(&id).await.len(), 1);
}

#[tokio::test]
async fn generated_ids_sort_by_time() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let mut ids = Vec::new();
    for thread_id in [json!({}), json!({ "thread_id": "" }), json!({ "metadata": {} })] {
        ids.push(user.thread(thread_id).await);
    }
    assert!(ids.is_sorted(), "{ids:?}");
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 3);
}

#[tokio::test]
async fn racing_creates_and_deletes_of_one_id_never_fail() {
    let server = TestServer::start().await;
    let (one, two) = (server.user().await, server.user().await);
    let id = new_id();
    let (id, one, two) = (&id, &one, &two);
    let mut answers = Vec::new();
    for _ in 0..4 {
        let round = (0..16).map(async |n: usize| {
            let user = if n.is_multiple_of(2) { one } else { two };
            match n % 4 {
                0 | 1 => {
                    let supersteps =
                        json!([{ "updates": [{ "values": { "n": n }, "as_node": "x" }] }]);
                    let supersteps = if n < 8 { json!([]) } else { supersteps };
                    let body = json!({ "thread_id": id, "supersteps": supersteps });
                    user.post("/threads", body).await
                }
                2 => user.delete(&format!("/threads/{id}")).await,
                _ => {
                    user.post("/threads", json!({ "thread_id": id, "if_exists": "do_nothing" }))
                        .await
                }
            }
        });
        answers.extend(join_all(round).await);
    }
    for answer in &answers {
        let status = answer.status.as_u16();
        assert!([200, 204, 404, 409].contains(&status), "{status} {}", answer.text);
    }
    assert!(answers.iter().any(|answer| answer.status == 200));
    let path = format!("/threads/{id}");
    let seen = [one.get(&path).await.status.as_u16(), two.get(&path).await.status.as_u16()];
    assert!(seen.contains(&404), "{seen:?}: a thread has one owner");
}
