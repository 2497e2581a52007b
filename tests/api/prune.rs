//! `POST /threads/prune`

use futures::future::join_all;
use serde_json::{Value, json};

use crate::support::TestServer;
use crate::support::steps::{human, messages, new_id, remove};

#[tokio::test]
async fn keep_latest_keeps_what_the_newest_checkpoint_shows_and_drops_the_rest() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let id = user.thread(json!({})).await;
    let first = user
        .write(&id, json!({ "old": 1, "k": 1, "messages": [human("a", "A"), human("b", "B"), human("c", "C")] }))
        .await;
    let main = user.write(&id, json!({ "messages": [remove("b"), human("d", "D")], "k": 2 })).await;
    let fork = user.fork(&id, &first, json!({ "messages": [remove("a"), human("c", "C2")] })).await;
    let newest = user.write(&id, json!({ "messages": [human("e", "E")] })).await;
    let before = user.values(&id).await;
    assert_eq!(messages(&before), ["b=B", "c=C2", "e=E"]);
    user.keep_latest(&id).await;

    let history = user.history(&id).await;
    assert_eq!(history.len(), 1);
    assert_eq!(history[0]["checkpoint_id"], json!(newest));
    assert_eq!(history[0]["parent_checkpoint_id"], Value::Null);
    assert_eq!(history[0]["values"], before);
    assert_eq!(user.get(&format!("/threads/{id}")).await.expect(200)["values"], before);
    for gone in [&first, &main, &fork] {
        assert_eq!(user.values_at(&id, gone).await, json!({}));
    }
    // No row is left but those of the checkpoint: two channels, three messages.
    let storage = user.get(&format!("/threads/{id}/storage")).await.expect(200);
    assert_eq!(storage["checkpoints"]["count"], json!(1));
    let counts = storage["channel_values"]["by_channel"].as_object().unwrap();
    let counts: Vec<_> = counts.iter().map(|(name, of)| (name.as_str(), &of["count"])).collect();
    assert_eq!(counts, [("k", &json!(1)), ("old", &json!(1)), ("messages", &json!(3))]);
}

#[tokio::test]
async fn a_pruned_thread_goes_on() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let id = user.thread(json!({})).await;
    user.write(&id, json!({ "messages": [human("a", "A"), human("b", "B")], "k": 1 })).await;
    let newest = user.write(&id, json!({ "messages": [remove("a")] })).await;
    for _ in 0..2 {
        user.keep_latest(&id).await;
    }
    let gone = user
        .post(&format!("/threads/{id}/state"), json!({ "values": { "messages": [remove("a")] } }))
        .await;
    assert_eq!(gone.status, 422);
    let next =
        user.write(&id, json!({ "messages": [human("b", "B2"), human("a", "again")] })).await;
    let fork = user.fork(&id, &newest, json!({ "messages": [human("c", "C")], "k": 2 })).await;
    user.fork(&id, &next, json!({ "messages": [remove("b")] })).await;
    let history = user.history(&id).await;
    let lists: Vec<_> = history.iter().map(|state| messages(&state["values"]).join(" ")).collect();
    assert_eq!(lists, ["a=again", "b=B c=C", "b=B2 a=again", "b=B"]);
    let steps: Vec<_> = history.iter().map(|state| state["metadata"]["step"].clone()).collect();
    assert_eq!(steps, [3, 2, 2, 1]);
    assert_eq!(user.values_at(&id, &fork).await["k"], json!(2));
    user.keep_latest(&id).await;
    assert_eq!(messages(&user.values(&id).await), ["a=again"]);
}

#[tokio::test]
async fn every_namespace_keeps_its_latest() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let id = user.thread(json!({})).await;
    for n in 0..3 {
        for ns in ["", "x", "y|z"] {
            let values = json!({ "n": n, "messages": [human("same", &format!("{ns}{n}"))] });
            let body = json!({ "values": values, "checkpoint": { "checkpoint_ns": ns } });
            user.checkpoint(&id, body).await;
        }
    }
    user.keep_latest(&id).await;
    for ns in ["", "x", "y|z"] {
        let body = json!({ "checkpoint": { "checkpoint_ns": ns } });
        let history = user.history_of(&id, body).await;
        assert_eq!(history.len(), 1);
        assert_eq!(messages(&history[0]["values"]), [format!("same={ns}2")]);
    }
}

#[tokio::test]
async fn one_thread_that_is_not_there_saves_all() {
    let server = TestServer::start().await;
    let (one, two) = (server.user().await, server.user().await);
    let mine = one.thread(json!({})).await;
    let theirs = two.thread(json!({})).await;
    for n in 0..2 {
        one.write(&mine, json!({ "n": n })).await;
        two.write(&theirs, json!({ "n": n })).await;
    }
    for strategy in ["delete", "keep_latest"] {
        for other in [theirs.clone(), new_id()] {
            let body = json!({ "thread_ids": [mine, other], "strategy": strategy });
            let refused = one.post("/threads/prune", body).await;
            assert_eq!(refused.status, 404);
            assert_eq!(refused.detail(), "At least one thread not found or not authorized");
        }
        let body = json!({ "thread_ids": [mine, "zzz"], "strategy": strategy });
        assert_eq!(one.post("/threads/prune", body).await.status, 422);
    }
    assert_eq!((one.history(&mine).await.len(), two.history(&theirs).await.len()), (2, 2));
    let spellings = [mine.to_uppercase(), mine.replace('-', ""), mine.clone()];
    let body = json!({ "thread_ids": spellings });
    assert_eq!(one.post("/threads/prune", body).await.expect(200), json!({ "pruned_count": 1 }));
    assert_eq!(one.get(&format!("/threads/{mine}")).await.status, 404);
}

#[tokio::test]
async fn pruning_while_others_write_loses_nothing_that_is_newest() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let ids = [user.thread(json!({})).await, user.thread(json!({})).await];
    let (user, ids) = (&user, &ids);
    let work = (0..40).map(async |n: usize| {
        if n % 4 == 3 {
            let mut thread_ids = ids.to_vec();
            // In either order: two prunes must not wait for each other.
            if n % 8 == 3 {
                thread_ids.reverse();
            }
            let body = json!({ "thread_ids": thread_ids, "strategy": "keep_latest" });
            user.post("/threads/prune", body).await.expect(200);
        } else {
            let values = json!({ format!("k{n}"): n, "messages": [human(&n.to_string(), "x")] });
            user.write(&ids[n % 2], values).await;
        }
    });
    join_all(work).await;
    let mut seen = 0;
    for id in ids {
        let values = user.values(id).await;
        seen += values.as_object().unwrap().len() - 1;
        assert_eq!(
            values["messages"].as_array().unwrap().len(),
            values.as_object().unwrap().len() - 1
        );
        let history = user.history(id).await;
        for pair in history.windows(2) {
            assert_eq!(pair[0]["parent_checkpoint_id"], pair[1]["checkpoint_id"]);
        }
    }
    assert_eq!(seen, 30);
}
