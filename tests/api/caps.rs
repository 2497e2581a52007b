//! `MAX_THREADS_PER_USER` and `MAX_STATE_BYTES`.

use futures::future::join_all;
use serde_json::{Value, json};

use crate::support::steps::{human, new_id, noise};
use crate::support::{Answer, TestServer, User};

/// A server where a user may have so many threads.
async fn at_most(threads: u32) -> TestServer {
    TestServer::start_with(|config| config.limits.threads_per_user = Some(threads)).await
}

/// A server where the state of a thread may take so many bytes.
async fn at_most_bytes(bytes: i64) -> TestServer {
    TestServer::start_with(|config| config.limits.state_bytes = Some(bytes)).await
}

fn steps(values: &[Value]) -> Value {
    let steps =
        values.iter().map(|values| json!({ "updates": [{ "values": values, "as_node": "n" }] }));
    steps.collect()
}

#[track_caller]
fn refused(answer: &Answer, number: &str) {
    assert_eq!(answer.status, 403, "{}", answer.text);
    assert!(answer.detail().contains(&format!("at most {number} ")), "{}", answer.text);
    // Nothing that a client would take for a reason to ask again.
    assert_eq!(answer.header("retry-after"), "");
}

async fn total_bytes(user: &User, id: &str) -> i64 {
    let report = user.get(&format!("/threads/{id}/storage")).await.expect(200);
    report["total_bytes"].as_i64().unwrap()
}

/// Bytes of JSON that count for the quota.
async fn stored_bytes(server: &TestServer, id: &str) -> i64 {
    let bytes = "select stored_bytes from thread_store.thread where thread_id = $1::uuid";
    sqlx::query_scalar(bytes).bind(id).fetch_one(&server.pool).await.unwrap()
}

/// All that a client sees of a thread.
async fn all_of(user: &User, id: &str) -> (Value, Vec<Value>, i64) {
    let thread = user.get(&format!("/threads/{id}")).await.expect(200);
    (thread, user.history(id).await, total_bytes(user, id).await)
}

#[tokio::test]
async fn a_user_with_as_many_threads_as_allowed_makes_no_other_until_one_is_gone() {
    let server = at_most(4).await;
    let (user, other) = (server.user().await, server.user().await);
    let first = user.thread(json!({})).await;
    user.thread(json!({ "if_exists": "do_nothing" })).await;
    user.thread(json!({ "supersteps": steps(&[json!({ "n": 1 })]) })).await;
    // A copy is a thread too.
    let copy = user.copy(&first).await;
    let asks = async || {
        [
            user.post("/threads", json!({})).await,
            user.post("/threads", json!({ "if_exists": "do_nothing" })).await,
            user.post("/threads", json!({ "thread_id": new_id() })).await,
            user.post("/threads", json!({ "supersteps": steps(&[json!({ "n": 1 })]) })).await,
            user.post(&format!("/threads/{first}/copy"), json!({})).await,
        ]
    };
    for answer in asks().await {
        refused(&answer, "4");
    }
    assert_eq!(user.count(json!({})).await, 4);
    // Nobody else is affected, and all but making threads goes on.
    other.thread(json!({})).await;
    user.write(&first, json!({ "n": 1 })).await;
    user.patch(&format!("/threads/{first}"), json!({ "metadata": { "k": 1 } })).await.expect(200);

    user.delete(&format!("/threads/{copy}")).await;
    let again = user.copy(&first).await;
    for answer in asks().await {
        refused(&answer, "4");
    }
    let prune = json!({ "thread_ids": [first, again], "strategy": "delete" });
    user.post("/threads/prune", prune).await.expect(200);
    user.thread(json!({})).await;
    user.thread(json!({ "supersteps": steps(&[json!({ "n": 1 })]) })).await;
    refused(&user.post("/threads", json!({})).await, "4");
}

#[tokio::test]
async fn a_create_that_finds_its_thread_works_at_the_cap() {
    let server = at_most(1).await;
    let (user, other) = (server.user().await, server.user().await);
    let (own, foreign) = (user.thread(json!({})).await, other.thread(json!({})).await);
    let create = async |id: &str, if_exists: &str, supersteps: Value| {
        let body = json!({ "thread_id": id, "if_exists": if_exists, "supersteps": supersteps });
        user.post("/threads", body).await
    };
    for supersteps in [steps(&[]), steps(&[json!({ "n": 1 })])] {
        let found = create(&own, "do_nothing", supersteps.clone()).await.expect(200);
        assert_eq!((&found["thread_id"], &found["values"]), (&json!(own), &Value::Null));
        assert_eq!(create(&own, "raise", supersteps.clone()).await.status, 409);
        // What is somebody else's is like what is not there.
        for if_exists in ["do_nothing", "raise"] {
            refused(&create(&foreign, if_exists, supersteps.clone()).await, "1");
            refused(&create(&new_id(), if_exists, supersteps.clone()).await, "1");
        }
    }
    for missing in [&foreign, &new_id()] {
        let answer = user.post(&format!("/threads/{missing}/copy"), json!({})).await;
        assert_eq!((answer.status.as_u16(), answer.detail().contains(missing)), (404, true));
    }
}

#[tokio::test]
async fn threads_whose_time_is_over_do_not_count() {
    let server = at_most(2).await;
    let user = server.user().await;
    let (one, two) = (user.thread(json!({})).await, user.thread(json!({})).await);
    // Goes on with its latest state.
    user.expire(&one, "keep_latest").await;
    refused(&user.post("/threads", json!({})).await, "2");
    user.expire(&two, "delete").await;
    user.thread(json!({ "thread_id": two })).await;
    refused(&user.post("/threads", json!({})).await, "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_race_for_the_last_threads_get_no_more_than_there_are() {
    const MOST: u32 = 12;
    let one = at_most(MOST).await;
    let two = one.start_beside_with(|config| config.limits.threads_per_user = Some(MOST)).await;
    let users = [one.user().await, one.user().await];
    let mut racing = Vec::new();
    for user in &users {
        let source = user.thread(json!({})).await;
        for number in 0..60 {
            let user = if number % 2 == 0 { user.clone() } else { user.at(&two) };
            let (path, body) = match number % 3 {
                0 => ("/threads".to_owned(), json!({})),
                1 => (format!("/threads/{source}/copy"), json!({})),
                _ => ("/threads".to_owned(), json!({ "supersteps": steps(&[json!({ "n": 1 })]) })),
            };
            racing.push(async move { user.post(&path, body).await });
        }
    }
    let answers = join_all(racing).await;
    let made = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(made, 2 * (MOST as usize - 1));
    for answer in answers.iter().filter(|answer| answer.status != 200) {
        refused(answer, "12");
    }
    for user in users {
        assert_eq!(user.count(json!({})).await, u64::from(MOST));
    }
}

#[tokio::test]
async fn an_update_beyond_the_bytes_of_a_thread_changes_nothing_and_pruning_makes_room() {
    let server = at_most_bytes(20_000).await;
    let user = server.user().await;
    let id = user.thread(json!({})).await;
    let path = format!("/threads/{id}/state");
    refused(&user.post(&path, json!({ "values": { "k": noise(20_000) } })).await, "20000");
    assert_eq!(user.history(&id).await, [] as [Value; 0]);
    user.write(&id, json!({ "k": noise(9_000) })).await;
    let newest = user.write(&id, json!({ "k": noise(9_000), "messages": [human("1", "a")] })).await;
    let before = all_of(&user, &id).await;
    let long = noise(3_000);
    for body in [
        json!({ "values": { "k": long } }),
        json!({ "values": { "messages": [human("1", &long)] } }),
        json!({ "values": [{ "other": 1 }, { "messages": [long] }] }),
        json!({ "values": { "k": long }, "checkpoint_id": newest }),
        json!({ "values": { "k": long }, "checkpoint": { "checkpoint_ns": "sub" } }),
    ] {
        refused(&user.post(&path, body).await, "20000");
    }
    assert_eq!(all_of(&user, &id).await, before);
    // What there is room for is still taken, and other threads have their own.
    user.write(&id, json!({ "n": 1 })).await;
    let other = user.thread(json!({})).await;
    user.write(&other, json!({ "k": noise(15_000) })).await;
    user.keep_latest(&id).await;
    user.write(&id, json!({ "k": long })).await;
    assert_eq!(user.values(&id).await["k"], json!(long));
}

#[tokio::test]
async fn a_thread_with_more_state_than_allowed_is_not_made() {
    let server = at_most_bytes(20_000).await;
    let user = server.user().await;
    let (id, long) = (new_id(), noise(7_000));
    let many = steps(&[json!({ "k": long }), json!({ "messages": [long] }), json!({ "k": long })]);
    let body = json!({ "thread_id": id, "supersteps": many });
    refused(&user.post("/threads", body).await, "20000");
    assert_eq!(user.get(&format!("/threads/{id}")).await.status, 404);
    let fits = steps(&[json!({ "k": long }), json!({ "messages": [long] })]);
    let id = user.thread(json!({ "thread_id": id, "supersteps": fits })).await;
    // As large as allowed: a copy is as large.
    let copy = user.copy(&id).await;
    assert_eq!(total_bytes(&user, &copy).await, total_bytes(&user, &id).await);

    let less = server.start_beside_with(|config| config.limits.state_bytes = Some(10_000)).await;
    let there = user.at(&less);
    refused(&there.post(&format!("/threads/{id}/copy"), json!({})).await, "10000");
    let missing = there.post(&format!("/threads/{}/copy", new_id()), json!({})).await;
    assert_eq!(missing.status, 404);
    assert_eq!(user.count(json!({})).await, 2);
    // It can be read, and made smaller.
    assert_eq!(there.values(&id).await["k"], json!(long));
    assert_eq!(there.history(&id).await.len(), 2);
    refused(&there.post(&format!("/threads/{id}/state"), json!({ "values": {} })).await, "10000");
    assert_eq!(there.delete(&format!("/threads/{id}")).await.status, 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_who_race_fill_a_thread_and_never_more_than_that() {
    const MOST: i64 = 300_000;
    let one = at_most_bytes(MOST).await;
    let two = one.start_beside_with(|config| config.limits.state_bytes = Some(MOST)).await;
    let user = one.user().await;
    let threads = join_all((0..4).map(|_| user.thread(json!({})))).await;
    let mut writers = Vec::new();
    for (thread, number) in threads.iter().flat_map(|id| (0..6).map(move |n| (id.clone(), n))) {
        let user = if number % 2 == 0 { user.clone() } else { user.at(&two) };
        writers.push(tokio::spawn(async move {
            let path = format!("/threads/{thread}/state");
            loop {
                let values = match number % 3 {
                    0 => json!({ "messages": [noise(700), human("same", &noise(90))] }),
                    1 => json!({ "a": noise(40), "b": noise(5_000), "é\u{1F600}": [1, 2.5] }),
                    // Longer than what Postgres keeps in a row.
                    _ => json!({ "long": noise(12_000), "messages": [] }),
                };
                let node = noise(300);
                let answer = user.post(&path, json!({ "values": values, "as_node": node })).await;
                if answer.status != 200 {
                    return answer;
                }
            }
        }));
    }
    for writer in writers {
        refused(&writer.await.unwrap(), "300000");
    }
    for thread in &threads {
        let bytes = stored_bytes(&one, thread).await;
        assert!((MOST * 9 / 10..=MOST).contains(&bytes), "{bytes}");
        let history = user.history(thread).await;
        assert_eq!(history.last().unwrap()["parent_checkpoint_id"], Value::Null);
    }
}

#[tokio::test]
async fn without_the_settings_there_is_no_cap() {
    let capped = TestServer::start_with(|config| {
        config.limits.threads_per_user = Some(1);
        config.limits.state_bytes = Some(1024);
    })
    .await;
    let default = capped.start_beside().await;
    let user = capped.user().await;
    let id = user.thread(json!({})).await;
    let path = format!("/threads/{id}/state");
    let long = json!({ "values": { "k": noise(2_000) } });
    refused(&user.post(&path, long.clone()).await, "1024");
    refused(&user.post("/threads", json!({})).await, "1");
    let there = user.at(&default);
    there.post(&path, long.clone()).await.expect(200);
    there.thread(json!({})).await;
    there.copy(&id).await;
    assert_eq!(there.count(json!({})).await, 3);
}
