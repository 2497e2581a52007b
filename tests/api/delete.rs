//! `DELETE /threads/{thread_id}`

use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::steps::human;
use crate::support::{Answer, TestServer};

/// Rows of a thread in all tables.
pub(crate) async fn rows(server: &TestServer, thread_id: &str) -> i64 {
    sqlx::query_scalar(
        "select (select count(*) from thread_store.thread where thread_id = $1) \
             + (select count(*) from thread_store.checkpoint where thread_id = $1) \
             + (select count(*) from thread_store.thread_directory where thread_id = $1) \
             + (select count(*) from thread_store.channel_value where thread_id = $1) \
             + (select count(*) from thread_store.message where thread_id = $1)",
    )
    .bind(thread_id.parse::<uuid::Uuid>().unwrap())
    .fetch_one(&server.pool)
    .await
    .unwrap()
}

#[tokio::test]
async fn a_deleted_thread_leaves_nothing_behind() {
    let server = TestServer::start().await;
    let (one, two) = (server.user().await, server.user().await);
    let id = one.thread(json!({ "metadata": { "k": 1 } })).await;
    let first = one.write(&id, json!({ "messages": [human("a", "A")], "k": 1 })).await;
    one.write(&id, json!({ "messages": [human("b", "B")] })).await;
    one.fork(&id, &first, json!({ "messages": [human("c", "C")] })).await;
    assert!(rows(&server, &id).await > 6);
    let answer = one.delete(&format!("/threads/{id}")).await;
    assert_eq!((answer.status.as_u16(), answer.text.as_str()), (204, ""));
    assert_eq!(answer.header("content-type"), "");
    assert_eq!(rows(&server, &id).await, 0);

    // Somebody else takes the id and finds a fresh thread.
    let thread = two.post("/threads", json!({ "thread_id": id })).await.expect(200);
    assert_eq!(thread["metadata"], json!({ "owner": two.id }));
    assert_eq!((&thread["values"], two.history(&id).await), (&Value::Null, vec![]));
    assert_eq!(two.values_at(&id, &first).await, json!({}));
    assert_eq!(one.get(&format!("/threads/{id}")).await.status, 404);
}

#[tokio::test]
async fn a_body_is_ignored() {
    let server = TestServer::start().await;
    let user = server.user().await;
    for body in ["", "{", "{\"a\":1}", "\u{0}"] {
        let id = user.thread(json!({})).await;
        let request = user.request(Method::DELETE, &format!("/threads/{id}")).body(body);
        assert_eq!(Answer::of(request).await.status, 204, "{body}");
    }
}

#[tokio::test]
async fn of_racing_deletes_one_succeeds() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let path = format!("/threads/{}", user.thread(json!({})).await);
    let answers = join_all((0..8).map(|_| user.delete(&path))).await;
    let mut codes: Vec<_> = answers.iter().map(|answer| answer.status.as_u16()).collect();
    codes.sort_unstable();
    assert_eq!(codes, [204, 404, 404, 404, 404, 404, 404, 404]);
}

#[tokio::test]
async fn racing_writes_and_a_delete_end_in_nothing_and_never_fail() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let user = &user;
    for round in 0..4 {
        let id = user.thread(json!({})).await;
        user.write(&id, json!({ "messages": ["x"] })).await;
        let id = &id;
        let work = (0..12).map(async |n| {
            let path = format!("/threads/{id}");
            match n {
                6 => user.delete(&path).await,
                0 | 7 => user.patch(&path, json!({ "metadata": { "n": n } })).await,
                1 | 8 => user.post(&format!("{path}/copy"), json!({})).await,
                2 | 9 => user.get(&format!("{path}/history")).await,
                3 => {
                    let body = json!({ "thread_ids": [id], "strategy": "keep_latest" });
                    user.post("/threads/prune", body).await
                }
                _ => {
                    let values = json!({ "n": n, "messages": [human("a", "x")] });
                    user.post(&format!("{path}/state"), json!({ "values": values })).await
                }
            }
        });
        for answer in join_all(work).await {
            let status = answer.status.as_u16();
            assert!([200, 204, 404].contains(&status), "round {round}: {status} {}", answer.text);
        }
        assert_eq!(rows(&server, id).await, 0, "round {round}");
    }
}
