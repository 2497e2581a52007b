//! `PATCH /threads/{thread_id}`

use std::collections::HashSet;

use futures::future::join_all;
use reqwest::Method;
use serde_json::json;

use crate::support::{Answer, TestServer, User};

#[tokio::test]
async fn metadata_is_merged_at_the_top_level_only() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let id = user.thread(json!({ "metadata": { "a": { "x": 1 }, "b": [1, 2], "c": 1 } })).await;
    let path = format!("/threads/{id}");
    let body = json!({ "metadata": {
        "a": { "y": 2 }, "b": [3], "c": null, "owner": "somebody", "thread_id": "x", "run_id": 1,
        "assistant_id": 1, "cron_id": 1, "counters_since_delta_snapshot": 1, "d": { "thread_id": 1 },
    } });
    let thread = user.patch(&path, body).await.expect(200);
    let expected = json!({
        "a": { "y": 2 }, "b": [3], "c": null, "d": { "thread_id": 1 }, "owner": user.id,
    });
    assert_eq!(thread["metadata"], expected);
    assert_eq!(user.get(&path).await.expect(200), thread);
}

#[tokio::test]
async fn a_patch_answers_with_the_newest_values() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let id = user.thread(json!({})).await;
    user.write(&id, json!({ "n": 1 })).await;
    let thread = user.patch(&format!("/threads/{id}"), json!({})).await.expect(200);
    assert_eq!(thread["values"], json!({ "n": 1 }));
}

#[tokio::test]
async fn only_the_exact_preference_is_answered_with_nothing() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let id = user.thread(json!({})).await;
    let path = format!("/threads/{id}");
    for (number, prefer) in
        ["return=minimal", "return=representation", "Return=Minimal", "return=minimal, x"]
            .into_iter()
            .enumerate()
    {
        let body = json!({ "metadata": { "n": number } });
        let request = user.request(Method::PATCH, &path).header("prefer", prefer).json(&body);
        let answer = Answer::of(request).await;
        if number == 0 {
            assert_eq!((answer.status.as_u16(), answer.text.as_str()), (204, ""));
            assert_eq!(answer.header("content-type"), "");
        } else {
            assert_eq!(answer.expect(200)["thread_id"], json!(id), "{prefer}");
        }
        let metadata = &user.get(&path).await.expect(200)["metadata"];
        assert_eq!(metadata["n"], json!(number), "{prefer}");
    }
}

#[tokio::test]
async fn racing_patches_all_land_and_time_never_goes_back() {
    let server = TestServer::start().await;
    let user = server.user().await;
    // The values of the second are read after its change, beside other changes.
    let (empty, written) = (user.thread(json!({})).await, user.thread(json!({})).await);
    user.write(&written, json!({ "messages": ["x"] })).await;
    for id in [empty, written] {
        racing_patches_land(&user, &id).await;
    }
}

async fn racing_patches_land(user: &User, id: &str) {
    let path = &format!("/threads/{id}");
    let patches = (0..24).map(async |n| {
        let body = json!({ "metadata": { format!("k{n}"): n } });
        user.patch(path, body).await.expect(200)
    });
    let answers = join_all(patches).await;
    let thread = user.get(path).await.expect(200);
    for n in 0..24 {
        assert_eq!(thread["metadata"][format!("k{n}")], json!(n));
    }
    // Every patch has a moment of its own, and later ones hold more keys.
    let mut seen: Vec<_> = answers
        .iter()
        .map(|answer| {
            let keys = answer["metadata"].as_object().unwrap().len();
            (answer["updated_at"].as_str().unwrap().to_owned(), keys)
        })
        .collect();
    seen.sort();
    assert!(seen.is_sorted_by_key(|(_, keys)| *keys), "{seen:?}");
    assert_eq!(seen.iter().map(|(at, _)| at).collect::<HashSet<_>>().len(), 24);
    assert_eq!(thread["updated_at"].as_str(), seen.last().map(|(at, _)| at.as_str()));
}

#[tokio::test]
async fn patches_and_state_writes_do_not_lose_each_other() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let id = user.thread(json!({})).await;
    let path = format!("/threads/{id}");
    let (user, id, path) = (&user, &id, &path);
    let work = (0..20).map(async |n| {
        if n % 2 == 0 {
            user.patch(path, json!({ "metadata": { format!("k{n}"): n } })).await.expect(200);
        } else {
            user.write(id, json!({ format!("v{n}"): n })).await;
        }
    });
    join_all(work).await;
    let thread = user.get(path).await.expect(200);
    assert_eq!(thread["metadata"].as_object().unwrap().len(), 11);
    assert_eq!(thread["values"].as_object().unwrap().len(), 10);
}

#[tokio::test]
async fn a_change_that_ends_a_thread_at_once_is_answered_with_the_thread() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let id = user.thread(json!({})).await;
    user.write(&id, json!({ "messages": ["x"] })).await;
    let body = json!({ "metadata": { "a": 1 }, "ttl": { "ttl": 1e-7 } });
    let changed = user.patch(&format!("/threads/{id}"), body).await.expect(200);
    assert_eq!(changed["thread_id"], id.as_str());
    assert_eq!(changed["metadata"]["a"], 1);
    // They are gone with the thread.
    assert_eq!(changed["values"], json!(null));
    user.get(&format!("/threads/{id}")).await.expect(404);
}
