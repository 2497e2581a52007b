//! `GET` and `POST /threads/{thread_id}/history`

use serde_json::{Value, json};

use crate::support::steps::texts;
use crate::support::{TestServer, User};

/// A thread with this many checkpoints, oldest first.
async fn thread_with(user: &User, checkpoints: usize) -> (String, Vec<String>) {
    let id = user.thread(json!({ "metadata": { "graph_id": "g" } })).await;
    let mut ids = Vec::new();
    for n in 0..checkpoints {
        let node = if n % 2 == 0 { "even" } else { "odd" };
        ids.push(user.checkpoint(&id, json!({ "values": { "n": n }, "as_node": node })).await);
    }
    (id, ids)
}

async fn numbers(user: &User, id: &str, body: Value) -> Vec<u64> {
    let states = user.history_of(id, body).await;
    states.iter().map(|state| state["values"]["n"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn pages_by_before_cover_the_history_once() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let (id, mut ids) = thread_with(&user, 7).await;
    let fork = user.fork(&id, &ids[1], json!({ "n": 7 })).await;
    ids.push(fork);
    ids.reverse();
    let path = format!("/threads/{id}/history?limit=3");
    let mut seen = texts(&user.get(&path).await.expect(200), "checkpoint_id");
    loop {
        let before = seen.last().unwrap().clone();
        let get = user.get(&format!("{path}&before={before}")).await.expect(200);
        for before in [
            json!(before),
            json!({ "checkpoint_id": before, "checkpoint_ns": "", "thread_id": "x" }),
            json!({ "configurable": { "checkpoint_id": before, "thread_id": id } }),
        ] {
            let post = user.history_of(&id, json!({ "limit": 3, "before": before })).await;
            assert_eq!(get, json!(post));
        }
        if get == json!([]) {
            break;
        }
        seen.extend(texts(&get, "checkpoint_id"));
    }
    assert_eq!(seen, ids);
}

/// One state has a statement of its own.
#[tokio::test]
async fn a_page_of_one_is_the_first_of_a_longer_page() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let id = user.thread(json!({})).await;
    let said = |id: &str| json!({ "role": "user", "content": format!("said {id}"), "id": id });
    let mut ids = Vec::new();
    for values in [
        json!({ "messages": [said("a"), said("b")], "n": 1 }),
        json!({ "messages": [said("c")], "other \"key\"": [1, null] }),
        json!({ "messages": [{ "type": "remove", "id": "b", "content": "" }] }),
        json!({ "messages": [said("a")], "n": {} }),
    ] {
        ids.push(user.write(&id, values).await);
    }
    ids.push(user.fork(&id, &ids[1], json!({ "messages": [said("d")] })).await);
    ids.push(user.fork(&id, &ids[4], json!({ "n": null })).await);
    let mut bodies = vec![json!({}), json!({ "metadata": { "step": 1 } })];
    bodies.extend(ids.iter().map(|id| json!({ "before": id })));
    bodies.push(json!({ "metadata": { "thread_id": id }, "before": ids[2] }));
    for mut body in bodies {
        body["limit"] = json!(1);
        let one = user.history_of(&id, body.clone()).await;
        body["limit"] = json!(5);
        let mut several = user.history_of(&id, body.clone()).await;
        several.truncate(1);
        assert_eq!(one, several, "{body}");
    }
    let history = user.history_of(&id, json!({ "limit": 10 })).await;
    assert_eq!(history.len(), ids.len());
    for state in history {
        let checkpoint = state["checkpoint"]["checkpoint_id"].as_str().unwrap();
        let path = format!("/threads/{id}/state/{checkpoint}");
        assert_eq!(user.get(&path).await.expect(200)["values"], state["values"]);
    }
}

#[tokio::test]
async fn metadata_filters_by_containment() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let (id, _) = thread_with(&user, 4).await;
    for (metadata, expected) in [
        (json!({}), vec![3, 2, 1, 0]),
        (json!({ "source": "update" }), vec![3, 2, 1, 0]),
        (json!({ "step": 2 }), vec![2]),
        (json!({ "step": 2.0 }), vec![2]),
        (json!({ "step": "2" }), vec![]),
        (json!({ "as_node": "odd" }), vec![3, 1]),
        (json!({ "as_node": "odd", "step": 1 }), vec![1]),
        (json!({ "as_node": null }), vec![]),
        (json!({ "thread_id": id, "graph_id": "g", "user_id": user.id }), vec![3, 2, 1, 0]),
        (json!({ "thread_id": "x" }), vec![]),
        (json!({ "parents": {} }), vec![3, 2, 1, 0]),
        (json!({ "parents": { "a": 1 } }), vec![]),
    ] {
        let body = json!({ "metadata": metadata });
        assert_eq!(numbers(&user, &id, body).await, expected, "{metadata}");
    }
    let body = json!({ "metadata": { "as_node": "even" }, "limit": 1 });
    assert_eq!(numbers(&user, &id, body).await, [2], "the limit counts what matches");
}

#[tokio::test]
async fn a_checkpoint_selects_just_that_one() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let (id, ids) = thread_with(&user, 3).await;
    for (checkpoint, expected) in [
        (json!({ "checkpoint_id": ids[1] }), vec![1]),
        (json!({ "checkpoint_id": "" }), vec![2, 1, 0]),
        (json!({ "checkpoint_id": "zzz" }), vec![]),
        (json!({ "checkpoint_ns": "" }), vec![2, 1, 0]),
        (json!({ "checkpoint_ns": "x", "checkpoint_id": ids[1] }), vec![]),
        (json!({ "checkpoint_map": {} }), vec![2, 1, 0]),
    ] {
        let body = json!({ "checkpoint": checkpoint });
        assert_eq!(numbers(&user, &id, body).await, expected, "{checkpoint}");
    }
    let both = json!({ "checkpoint": { "checkpoint_id": ids[1] }, "before": ids[1] });
    assert_eq!(numbers(&user, &id, both).await, [0; 0]);
    let both = json!({ "checkpoint": { "checkpoint_id": ids[1] }, "before": ids[2] });
    assert_eq!(numbers(&user, &id, both).await, [1]);
}

#[tokio::test]
async fn without_a_limit_there_are_ten_and_with_one_as_many() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let (id, _) = thread_with(&user, 12).await;
    let path = format!("/threads/{id}/history");
    let length = |answer: Value| answer.as_array().unwrap().len();
    assert_eq!(length(user.get(&path).await.expect(200)), 10);
    assert_eq!(length(user.post(&path, json!({})).await.expect(200)), 10);
    for (limit, expected) in [(1, 1), (11, 11), (1000, 12)] {
        let get = user.get(&format!("{path}?limit=7&limit={limit}")).await.expect(200);
        assert_eq!(length(get), expected, "the last limit counts");
        for limit in [json!(limit), json!(f64::from(limit))] {
            let post = user.post(&path, json!({ "limit": limit })).await.expect(200);
            assert_eq!(length(post), expected);
        }
    }
}

#[tokio::test]
async fn both_spellings_of_select_leave_out_the_rest() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let (id, ids) = thread_with(&user, 2).await;
    let expected = json!([
        { "values": { "n": 1 }, "checkpoint_id": ids[1] },
        { "values": { "n": 0 }, "checkpoint_id": ids[0] },
    ]);
    let path = format!("/threads/{id}/history");
    for query in ["?select=checkpoint_id&select=values", "?select=values,checkpoint_id"] {
        assert_eq!(user.get(&format!("{path}{query}")).await.expect(200), expected);
    }
    let body = json!({ "select": ["checkpoint_id", "values", "values"] });
    assert_eq!(user.post(&path, body).await.expect(200), expected);
    let all = user.post(&path, json!({ "select": [] })).await.expect(200);
    assert_eq!(all[0].as_object().unwrap().len(), 10);
}

#[tokio::test]
async fn every_entry_equals_the_state_at_its_checkpoint() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let (id, ids) = thread_with(&user, 3).await;
    user.fork(&id, &ids[0], json!({ "messages": ["x"], "n": 9 })).await;
    let history = user.history(&id).await;
    assert_eq!(history.len(), 4);
    for entry in &history {
        let at = entry["checkpoint_id"].as_str().unwrap();
        assert_eq!(*entry, user.get(&format!("/threads/{id}/state/{at}")).await.expect(200));
    }
    assert_eq!(history[0], user.state(&id).await);
    assert_eq!(history[0]["parent_checkpoint_id"], json!(ids[0]));
}

#[tokio::test]
async fn a_before_or_a_checkpoint_that_names_none_is_as_if_it_were_not_there() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let (id, ids) = thread_with(&user, 3).await;
    for body in [
        json!({ "before": {} }),
        json!({ "before": { "configurable": {} } }),
        json!({ "before": { "configurable": { "checkpoint_id": null } } }),
        json!({ "before": { "configurable": { "checkpoint_id": "" } } }),
        json!({ "before": { "configurable": { "thread_id": id, "checkpoint_ns": "" } } }),
        json!({ "before": { "checkpoint_id": "" } }),
        json!({ "before": { "thread_id": id, "checkpoint_ns": "" } }),
        json!({ "before": { "tags": null } }),
        json!({ "checkpoint": {} }),
        json!({ "checkpoint": { "checkpoint_id": "" } }),
        json!({ "checkpoint": { "thread_id": id } }),
        json!({ "select": null }),
    ] {
        assert_eq!(numbers(&user, &id, body.clone()).await, [2, 1, 0], "{body}");
    }
    // One that names two is a config with a checkpoint's fields beside.
    let both =
        json!({ "before": { "checkpoint_id": "", "configurable": { "checkpoint_id": ids[1] } } });
    assert_eq!(numbers(&user, &id, both).await, [0]);
    let state = user.post(&format!("/threads/{id}/state"), json!({ "checkpoint_id": null })).await;
    state.expect(200);
    let at = json!({ "checkpoint": {}, "select": null });
    let at = user.post(&format!("/threads/{id}/state/checkpoint"), at).await.expect(200);
    assert_eq!(at, user.state(&id).await);
}
