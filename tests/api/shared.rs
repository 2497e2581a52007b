//! What those notice of each other whose requests share a statement: nothing.

use futures::future::join_all;
use serde_json::{Value, json};
use sqlx::Executor as _;

use crate::support::TestServer;

/// Changes with the key `slow` wait for a lock.
const SLOW: &str = "
    create function slow() returns trigger language plpgsql as $$
    begin
        perform pg_advisory_xact_lock_shared(1);
        return new;
    end $$;
    create trigger slow before update on thread_store.thread
        for each row when (new.metadata ? 'slow') execute function slow();
";

/// Statements that wait for that lock: process, beginning, and whether several share it.
const WAITING: &str = "
    select pid, query_start::text, query like '%unnest%'
    from pg_stat_activity
    where datname = current_database() and wait_event = 'advisory'
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
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_later_does_not_wait_for_a_slow_statement_to_end() {
    let server = TestServer::start().await;
    server.pool.execute(SLOW).await.unwrap();
    let user = server.user().await;
    let threads = [user.thread(json!({})).await, user.thread(json!({})).await];
    let other = user.thread(json!({})).await;
    let patch = async |id: &str, metadata: Value| {
        user.patch(&format!("/threads/{id}"), json!({ "metadata": metadata })).await
    };
    let waiting = async || {
        let rows = sqlx::query_as::<_, (i32, String, bool)>(WAITING).fetch_all(&server.pool).await;
        rows.unwrap()
    };
    let mut lock = server.pool.acquire().await.unwrap();
    for attempt in 0.. {
        assert!(attempt < 200, "no two requests ever shared a statement");
        lock.execute("select pg_advisory_lock(1)").await.unwrap();
        let slow = join_all(threads.iter().map(|id| patch(id, json!({ "slow": attempt }))));
        let watched = async {
            let mut slow = waiting().await;
            // Until both are there, in one statement or in two.
            while !slow.iter().any(|(.., is_shared)| *is_shared) && slow.len() < 2 {
                slow = waiting().await;
            }
            let is_shared = slow.len() == 1;
            if is_shared {
                patch(&other, json!({})).await.expect(200);
                assert_eq!(waiting().await, slow, "it waited for the statement of the others");
            }
            lock.execute("select pg_advisory_unlock(1)").await.unwrap();
            is_shared
        };
        let (answers, is_shared) = tokio::join!(slow, watched);
        assert!(answers.iter().all(|answer| answer.status == 200));
        if is_shared {
            return;
        }
    }
}
