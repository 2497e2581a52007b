//! What those notice of each other whose requests share a statement: nothing.

use futures::future::join_all;
use serde_json::{Value, json};

use crate::support::TestServer;

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
}
