//! Threads keep their order by the time of their last update.

use serde_json::json;

use super::{eventful, import, import_with, servers};
use crate::support::User;
use crate::support::steps::{human, new_id};

/// The ids of all threads, the one that was updated last before all others.
async fn newest_first(user: &User) -> Vec<String> {
    user.found(json!({ "limit": 1000, "sort_by": "updated_at" })).await
}

/// Threads of all sizes, made in another order than they were updated in.
async fn conversations(user: &User, count: usize) -> Vec<String> {
    let mut ids: Vec<_> = (0..count).map(|_| new_id()).collect();
    for id in &ids {
        user.thread(json!({ "thread_id": id })).await;
    }
    // Neither the order of ids nor that in which they were made.
    ids.sort_by_key(|id| id.chars().rev().collect::<String>());
    for (number, id) in ids.iter().enumerate() {
        for n in 0..number % 4 {
            user.write(id, json!({ "messages": [human(&n.to_string(), "x")] })).await;
        }
        // The last update is a change of metadata, or there is none at all.
        let metadata = json!({ "metadata": { "number": number } });
        user.patch(&format!("/threads/{id}"), metadata).await.expect(200);
    }
    ids
}

#[tokio::test]
async fn threads_are_in_the_order_of_the_source_whatever_the_concurrency() {
    for concurrency in ["1", "4", "16"] {
        let (_source, _destination, from, to) = servers().await;
        conversations(&from, 40).await;
        let touched = eventful(&from, 1).await;
        conversations(&from, 5).await;
        from.write(&touched, json!({ "k": 1 })).await;
        let (source, destination) = ((&*from.url, &*from.token), (&*to.url, &*to.token));
        let more = ["--concurrency", concurrency];
        import_with(source, destination, &more).await.succeeded();
        let order = newest_first(&from).await;
        assert_eq!(order[0], touched);
        assert_eq!(newest_first(&to).await, order);
        // A second run moves none.
        import_with(source, destination, &more).await.succeeded();
        assert_eq!(newest_first(&to).await, order);
    }
}

#[tokio::test]
async fn what_grew_since_the_last_run_moves_to_its_place() {
    let (_source, _destination, from, to) = servers().await;
    let ids = conversations(&from, 12).await;
    import(&from, &to).await.succeeded();
    for id in [&ids[7], &ids[2], &ids[9]] {
        from.write(id, json!({ "messages": [human("later", "x")] })).await;
    }
    from.thread(json!({})).await;
    from.write(&ids[2], json!({ "messages": [human("last", "x")] })).await;
    import(&from, &to).await.succeeded();
    assert_eq!(newest_first(&to).await, newest_first(&from).await);
}

#[tokio::test]
async fn a_run_that_was_ended_early_is_completed_in_order() {
    let (_source, _destination, from, to) = servers().await;
    conversations(&from, 60).await;
    let directory = tempfile::tempdir().unwrap();
    let (source, destination) = ((&*from.url, &*from.token), (&*to.url, &*to.token));
    let mut command =
        super::command(directory.path(), source, destination, &["--concurrency", "8"]);
    let mut child = command.spawn().unwrap();
    while child.try_wait().unwrap().is_none() && to.count(json!({})).await < 20 {}
    child.start_kill().unwrap();
    child.wait().await.unwrap();
    let there = to.count(json!({})).await;
    assert!((20..60).contains(&there), "{there} threads were copied before it was killed");
    import(&from, &to).await.succeeded();
    assert_eq!(newest_first(&to).await, newest_first(&from).await);
}
