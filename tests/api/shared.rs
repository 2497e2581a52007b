//! What those notice of each other whose requests share a statement: nothing.

use futures::future::join_all;
use futures::stream::{FuturesUnordered, StreamExt};
use serde_json::{Value, json};
use sqlx::Executor as _;

use crate::support::TestServer;

/// Changes with the key `slow` take a while each, also within one statement.
const SLOW: &str = "
    create function slow() returns trigger language plpgsql as $$
    begin
        perform pg_sleep(0.3);
        return new;
    end $$;
    create trigger slow before update on thread_store.thread
        for each row when (new.metadata ? 'slow') execute function slow();
";

#[tokio::test(flavor = "multi_thread")]
async fn lists_that_are_asked_for_at_once_are_each_users_own() {
    let server = TestServer::start().await;
    let mut users = Vec::new();
    for number in 0..6 {
        let user = server.user().await;
        let mut threads = Vec::new();
        for _ in 0..=number {
            threads.insert(0, user.thread(json!({ "metadata": { "number": number } })).await);
        }
        users.push((user, threads));
    }
    for limit in [2, 10] {
        // Several of each user, so that equal ones share an answer.
        let lists = users.iter().cycle().take(60).map(async |(user, threads)| {
            let page = user.post("/threads/search", json!({ "limit": limit })).await.expect(200);
            let page: Vec<Value> = serde_json::from_value(page).unwrap();
            let ids: Vec<_> = page.iter().map(|thread| thread["thread_id"].as_str()).collect();
            let newest = threads.iter().take(limit).map(|id| Some(id.as_str()));
            assert_eq!(ids, newest.collect::<Vec<_>>());
            assert!(page.iter().all(|thread| thread["metadata"]["owner"] == user.id.as_str()));
        });
        join_all(lists).await;
    }
    let metrics = server.nobody().get("/metrics").await.text;
    let shared = "thread_store_database_shared_requests_total{kind=\"list\"} 0";
    assert!(!metrics.contains(shared), "none shared a statement");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_later_does_not_wait_for_a_slow_statement_to_end() {
    let server = TestServer::start().await;
    server.pool.execute(SLOW).await.unwrap();
    let user = server.user().await;
    let mut threads = Vec::new();
    // An odd number: no two statements take equally long.
    for _ in 0..10 {
        threads.push(user.thread(json!({})).await);
    }
    let patch = async |id: &String, metadata: Value| {
        user.patch(&format!("/threads/{id}"), json!({ "metadata": metadata })).await.expect(200);
    };
    let (last, others) = threads.split_last().unwrap();
    let mut slow: FuturesUnordered<_> =
        others.iter().map(|id| patch(id, json!({ "slow": true }))).collect();
    let later = async {
        tokio::time::sleep(std::time::Duration::from_millis(150)).await;
        patch(last, json!({})).await;
    };
    let mut later = std::pin::pin!(later);
    let mut is_answered = false;
    while !slow.is_empty() && !is_answered {
        tokio::select! {
            biased;
            () = &mut later => is_answered = true,
            done = slow.next() => assert!(done.is_some()),
        }
    }
    assert!(is_answered && !slow.is_empty(), "it waited for all of them");
    while slow.next().await.is_some() {}
}
