//! `supersteps` on `POST /threads`: the thread with all of its state, or no thread.

use serde_json::{Value, json};

use crate::support::TestServer;
use crate::support::steps::{human, messages, new_id, remove};

fn step(updates: &Value) -> Value {
    json!({ "updates": updates })
}

#[tokio::test]
async fn each_superstep_is_one_checkpoint() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let steps = json!([
        step(&json!([
            { "values": { "a": 1, "messages": [human("1", "one")] }, "as_node": "x" },
            { "values": { "a": 2, "messages": ["two"] }, "as_node": "y" },
        ])),
        step(&json!([{ "values": null, "as_node": "z" }])),
        step(&json!([{ "values": [{ "b": 1 }, { "b": 2 }], "as_node": "z", "command": null }])),
        step(&json!([])),
        step(&json!([{ "values": { "messages": [remove("1")] }, "as_node": "w" }])),
    ]);
    let body = json!({ "supersteps": steps, "metadata": { "graph_id": "g" } });
    let thread = user.post("/threads", body).await.expect(200);
    let id = thread["thread_id"].as_str().unwrap();
    let history = user.history(id).await;
    assert_eq!(history.len(), 5);
    let nodes: Vec<_> = history.iter().map(|state| state["metadata"]["as_node"].clone()).collect();
    assert_eq!(nodes, [json!("w"), Value::Null, json!("z"), json!("z"), json!("y")]);
    for (number, state) in history.iter().enumerate() {
        assert_eq!(state["metadata"]["step"], json!(4 - number));
        let parent = history.get(number + 1).map_or(&Value::Null, |state| &state["checkpoint_id"]);
        assert_eq!(&state["parent_checkpoint_id"], parent);
    }
    assert_eq!(history[4]["values"]["a"], json!(2));
    assert_eq!(history[1]["values"]["messages"].as_array().unwrap().len(), 2);
    assert_eq!(history[0]["values"]["b"], json!(2));
    assert_eq!(history[0]["values"]["messages"].as_array().unwrap().len(), 1);
    assert_eq!(thread["values"], history[0]["values"]);
    assert_eq!(user.get(&format!("/threads/{id}")).await.expect(200), thread);
    // And it goes on from there.
    user.write(id, json!({ "messages": [human("3", "three")] })).await;
    assert_eq!(user.state(id).await["metadata"]["step"], json!(5));
    assert!(messages(&user.values(id).await).contains(&"3=three".to_owned()));
}

#[tokio::test]
async fn a_superstep_that_cannot_be_applied_leaves_no_thread() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let good = json!({ "values": { "k": 1 }, "as_node": "x" });
    for (bad, named) in [
        (json!({ "values": { "messages": [remove("nope")] }, "as_node": "x" }), "nope"),
        (
            json!({ "values": { "messages": 5 }, "as_node": "x" }),
            "supersteps[1].updates[1].values.messages",
        ),
        (json!({ "values": 5, "as_node": "x" }), "supersteps[1].updates[1].values"),
        (json!({ "command": { "goto": "x" }, "as_node": "x" }), "supersteps[1].updates[1].command"),
        (json!({ "values": {} }), "as_node"),
        (json!({ "values": {}, "as_node": null }), "supersteps[1]"),
        (json!({ "values": {}, "as_node": 5 }), "supersteps[1]"),
        (json!([{}, null, "x"]), "supersteps[1]"),
    ] {
        let id = new_id();
        let steps = json!([step(&json!([good])), step(&json!([good, bad]))]);
        let refused = user.post("/threads", json!({ "thread_id": id, "supersteps": steps })).await;
        assert_eq!(refused.status, 422, "{bad}");
        assert!(refused.detail().contains(named), "{bad}: {}", refused.text);
        assert_eq!(user.get(&format!("/threads/{id}")).await.status, 404, "{bad}");
    }
    assert_eq!(user.count(json!({})).await, 0);
}

#[tokio::test]
async fn supersteps_never_write_onto_a_thread_that_is_there() {
    let server = TestServer::start().await;
    let (one, two) = (server.user().await, server.user().await);
    let id = one.thread(json!({})).await;
    one.write(&id, json!({ "k": 1 })).await;
    let steps = json!([step(&json!([{ "values": { "k": 2 }, "as_node": "x" }]))]);
    for (user, if_exists, status) in [
        (&one, "raise", 409),
        (&one, "do_nothing", 200),
        (&two, "raise", 409),
        (&two, "do_nothing", 409),
    ] {
        let body = json!({ "thread_id": id, "if_exists": if_exists, "supersteps": steps });
        let answer = user.post("/threads", body).await;
        assert_eq!(answer.status, status, "{if_exists}");
    }
    assert_eq!(one.values(&id).await, json!({ "k": 1 }));
    assert_eq!(one.history(&id).await.len(), 1);
}

#[tokio::test]
async fn a_thread_that_ends_at_once_is_still_created_with_its_state() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let steps = json!([step(&json!([{ "values": { "k": 1 }, "as_node": "x" }]))]);
    for strategy in ["delete", "keep_latest"] {
        let body = json!({ "supersteps": steps, "ttl": { "ttl": 1e-9, "strategy": strategy } });
        let thread = user.post("/threads", body).await.expect(200);
        assert_eq!(thread["values"], json!({ "k": 1 }), "{strategy}");
    }
}
