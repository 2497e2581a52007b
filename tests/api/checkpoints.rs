//! Checkpoints: namespaces, forks, messages and racing writers.

use std::collections::{HashMap, HashSet};

use futures::future::join_all;
use serde_json::{Value, json};

use crate::support::TestServer;
use crate::support::steps::{human, messages, remove};

#[tokio::test]
async fn namespaces_have_chains_of_their_own() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let id = user.thread(json!({})).await;
    let in_ns = |ns: &str, values: Value| json!({ "values": values, "checkpoint": { "checkpoint_ns": ns } });
    let root = user.write(&id, json!({ "k": "root", "messages": [human("1", "root")] })).await;
    let values = json!({ "k": "sub", "messages": [human("1", "sub")] });
    let sub = user.checkpoint(&id, in_ns("a|b:1", values.clone())).await;
    user.checkpoint(&id, in_ns("other", json!({ "k": "other" }))).await;
    user.checkpoint(&id, in_ns("a|b:1", json!({ "messages": [human("2", "more")] }))).await;

    assert_eq!(messages(&user.values(&id).await), ["1=root"]);
    let read = |checkpoint: Value| {
        let path = format!("/threads/{id}/state/checkpoint");
        let user = &user;
        async move { user.post(&path, json!({ "checkpoint": checkpoint })).await.expect(200) }
    };
    let newest = read(json!({ "checkpoint_ns": "a|b:1" })).await;
    assert_eq!(messages(&newest["values"]), ["1=sub", "2=more"]);
    assert_eq!(newest["checkpoint"]["checkpoint_ns"], json!("a|b:1"));
    assert_eq!(newest["parent_checkpoint"]["checkpoint_id"], json!(sub));
    assert_eq!(newest["metadata"]["step"], json!(1));
    let first = read(json!({ "checkpoint_ns": "a|b:1", "checkpoint_id": sub })).await;
    assert_eq!(first["values"], values);
    // A checkpoint is in its namespace alone.
    let misplaced = read(json!({ "checkpoint_ns": "a|b:1", "checkpoint_id": root })).await;
    assert_eq!(misplaced["values"], json!({}));
    assert_eq!(user.values_at(&id, &sub).await, json!({}));
    let wrong =
        json!({ "values": {}, "checkpoint": { "checkpoint_ns": "other", "checkpoint_id": root } });
    let refused = user.post(&format!("/threads/{id}/state"), wrong).await;
    assert_eq!(refused.status, 404);
    assert_eq!(refused.detail(), format!("Checkpoint with ID {root} not found"));
    assert_eq!(user.history(&id).await.len(), 1);
    let sub_history = json!({ "checkpoint": { "checkpoint_ns": "a|b:1" } });
    assert_eq!(user.history_of(&id, sub_history).await.len(), 2);
}

#[tokio::test]
async fn forks_of_forks_edit_and_remove_messages_without_touching_each_other() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let id = user.thread(json!({})).await;
    let put = |list: &[Value]| json!({ "messages": list });
    let mut expected = HashMap::new();
    let base = user
        .write(
            &id,
            json!({ "k": 0, "messages": [human("a", "A"), human("b", "B"), human("c", "C")] }),
        )
        .await;
    expected.insert(base.clone(), "a=A b=B c=C");
    let main = user.write(&id, put(&[human("b", "B2"), human("d", "D")])).await;
    expected.insert(main.clone(), "a=A b=B2 c=C d=D");
    let fork =
        user.fork(&id, &base, put(&[remove("a"), human("d", "other"), human("b", "B3")])).await;
    expected.insert(fork.clone(), "b=B3 c=C d=other");
    let after = user.write(&id, put(&[human("a", "back"), remove("c")])).await;
    expected.insert(after.clone(), "b=B3 d=other a=back");
    let twig = user.fork(&id, &fork, put(&[remove("d"), human("e", "E")])).await;
    expected.insert(twig.clone(), "b=B3 c=C e=E");
    let cleared = user.fork(&id, &main, put(&[remove("__remove_all__"), human("a", "new")])).await;
    expected.insert(cleared.clone(), "a=new");
    let second = user.fork(&id, &base, put(&[human("c", "C2")])).await;
    expected.insert(second.clone(), "a=A b=B c=C2");
    let silent = user.fork(&id, &twig, json!({ "k": 1 })).await;
    expected.insert(silent.clone(), "b=B3 c=C e=E");
    let on = user.fork(&id, &cleared, put(&[human("b", "again")])).await;
    expected.insert(on.clone(), "a=new b=again");
    for (checkpoint, list) in &expected {
        assert_eq!(
            messages(&user.values_at(&id, checkpoint).await).join(" "),
            *list,
            "{checkpoint}"
        );
    }
    for state in user.history(&id).await {
        let checkpoint = state["checkpoint_id"].as_str().unwrap();
        assert_eq!(messages(&state["values"]).join(" "), expected[checkpoint], "{checkpoint}");
    }
    // What a branch removed or never had cannot be removed there, though another branch has it.
    for (from, gone) in [(&fork, "a"), (&base, "d"), (&cleared, "c"), (&twig, "d")] {
        let values = put(&[remove(gone)]);
        let body = json!({ "values": values, "checkpoint_id": from });
        let refused = user.post(&format!("/threads/{id}/state"), body).await;
        assert_eq!(refused.status, 422, "{gone}");
        assert!(refused.detail().contains(&format!("{gone:?}")), "{}", refused.text);
    }
    assert_eq!(user.history(&id).await.len(), expected.len());
}

#[tokio::test]
async fn messages_keep_their_place_and_everything_in_them() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let id = user.thread(json!({})).await;
    let odd = json!({
        "id": "1", "type": "ai", "content": [{ "type": "text", "text": "ü" }],
        "tool_calls": [{ "name": "f", "args": { "x": [1, null, 1.5] }, "id": "c" }],
        "usage_metadata": { "input_tokens": 3 }, "my own": { "deep": [[]] },
    });
    user.write(&id, json!({ "messages": [odd, human("2", "two")] })).await;
    assert_eq!(user.values(&id).await["messages"][0], odd);
    user.write(&id, json!({ "messages": human("1", "single, not a list") })).await;
    assert_eq!(messages(&user.values(&id).await), ["1=single, not a list", "2=two"]);
    user.write(&id, json!({ "messages": [] })).await;
    user.write(&id, json!([{ "messages": ["one"] }, { "messages": [["ai", "two"]] }])).await;
    let list = user.values(&id).await["messages"].as_array().unwrap().clone();
    let kinds: Vec<_> = list.iter().map(|message| message["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["human", "human", "human", "ai"]);
    let ids: HashSet<_> = list.iter().map(|message| message["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 4);
    user.write(&id, json!({ "messages": remove("__remove_all__") })).await;
    assert_eq!(user.values(&id).await, json!({ "messages": [] }));
}

#[tokio::test]
async fn a_thousand_messages_in_one_update_keep_their_order() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let id = user.thread(json!({})).await;
    let list: Vec<_> = (0..1000).map(|n| human(&n.to_string(), &"x".repeat(n))).collect();
    user.write(&id, json!({ "messages": list })).await;
    let removed: Vec<_> = (0..1000).step_by(2).map(|n| remove(&n.to_string())).collect();
    user.write(&id, json!({ "messages": removed })).await;
    let odd: Vec<_> = list.into_iter().skip(1).step_by(2).collect();
    assert_eq!(user.values(&id).await["messages"], json!(odd));
}

#[tokio::test]
async fn every_racing_write_is_one_link_of_one_chain() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let beside = server.start_beside().await;
    let other = user.at(&beside);
    let id = user.thread(json!({})).await;
    let writers = (0..40).map(|n| {
        let writer = if n % 2 == 0 { &user } else { &other };
        let values = json!({ format!("k{n}"): n, "messages": [human(&n.to_string(), "x")] });
        writer.write(&id, values)
    });
    let acknowledged: HashSet<_> = join_all(writers).await.into_iter().collect();
    let history = user.history(&id).await;
    let ids: Vec<_> =
        history.iter().map(|state| state["checkpoint_id"].as_str().unwrap()).collect();
    assert_eq!(ids.iter().map(|id| (*id).to_owned()).collect::<HashSet<_>>(), acknowledged);
    for (number, pair) in history.windows(2).enumerate() {
        assert_eq!(pair[0]["parent_checkpoint_id"], pair[1]["checkpoint_id"]);
        assert_eq!(pair[0]["metadata"]["step"], json!(39 - number));
        assert!(pair[0]["created_at"].as_str() > pair[1]["created_at"].as_str());
        let lengths = [0, 1].map(|at| pair[at]["values"]["messages"].as_array().unwrap().len());
        assert_eq!(lengths, [40 - number, 39 - number]);
    }
    assert_eq!(history[39]["parent_checkpoint_id"], Value::Null);
    assert_eq!(history[0]["values"].as_object().unwrap().len(), 41);
}
