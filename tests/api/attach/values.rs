//! Values, tasks and status of agents' threads, where programs that read these tables were wrong.

use serde_json::{Value, json};
use thread_store::checkpoints::AesKey;
use uuid::Uuid;

use super::agent::{Agent, Put, Write};
use crate::sse::Events;
use crate::support::{TestServer, User};

#[tokio::test]
async fn a_checkpoint_without_a_map_of_values_has_those_in_its_rows() {
    let mut agent = Agent::start().await;
    let server = agent.server().await;
    let ada = server.user().await;
    let rows = "insert into SCHEMA.checkpoint_blobs values
        ('a', '', 'messages', '02.0.5', 'msgpack', '\\x91a568656c6c6f'), ('a', '', 'n', '02.0.5', 'msgpack', '\\x05'),
        ('b', '', 'messages', '02.0.5', 'msgpack', '\\x91a568656c6c6f'), ('b', '', 'n', '02.0.5', 'msgpack', '\\x05')";
    agent.run(rows).await;
    for (thread, rest) in [("a", json!({})), ("b", json!({ "channel_values": null }))] {
        let mut checkpoint = json!({
            "v": 1, "id": "1eff9dcd-8713-6d6f-8030-2231a95b30c9",
            "ts": "2025-03-05T16:13:59.119488+00:00", "pending_sends": [],
            "versions_seen": { "__input__": {} },
            "channel_versions": { "messages": "02.0.5", "n": "02.0.5" },
        });
        checkpoint.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        let metadata =
            json!({ "user_id": ada.id, "source": "loop", "step": 1, "writes": { "x": 1 } });
        sqlx::query(
            "insert into checkpoints (thread_id, checkpoint_id, checkpoint, metadata) \
             values ($1, '1eff9dcd-8713-6d6f-8030-2231a95b30c9', $2, $3)",
        )
        .bind(thread)
        .bind(checkpoint)
        .bind(metadata)
        .execute(&mut agent.connection)
        .await
        .unwrap();
    }
    agent.attach().await;
    let found = ada.post("/threads/search", json!({})).await.expect(200);
    let found = found.as_array().unwrap();
    assert_eq!(found.len(), 2);
    for thread in found {
        assert_eq!(thread["values"], json!({ "messages": ["hello"], "n": 5 }));
        let id = thread["thread_id"].as_str().unwrap();
        let history = ada.post(&format!("/threads/{id}/history"), json!({})).await.expect(200);
        assert_eq!(history[0]["values"], thread["values"]);
        assert_eq!(history[0]["metadata"]["writes"], json!({ "x": 1 }));
    }
}

/// A thread whose step has two nodes, of which one has finished and one failed.
async fn half_done(agent: &mut Agent, id: &str, user: &User) -> String {
    let metadata = json!({ "user_id": user.id, "source": "loop", "step": 0 });
    let values = json!({
        "messages": [], "n": 1, "branch:to:ok": null, "branch:to:bad": null,
    });
    let checkpoint = agent.put(Put { thread: id, values, metadata, parent: None, id: None }).await;
    let writes = [
        ("ok", 0, "messages", json!(["ok"])),
        ("ok", 1, "n", json!(5)),
        ("bad", -1, "__error__", json!("ValueError('bad')")),
    ];
    for (node, idx, channel, value) in writes {
        agent.write(id, &checkpoint, Write { node, idx, channel, value }).await;
    }
    checkpoint
}

#[tokio::test]
async fn the_newest_state_counts_what_finished_tasks_wrote_and_the_history_does_not() {
    let mut agent = Agent::start().await;
    let server = agent.server().await;
    let ada = server.user().await;
    agent.attach().await;
    let id = Uuid::new_v4().to_string();
    let checkpoint = half_done(&mut agent, &id, &ada).await;
    let now = ada.get(&format!("/threads/{id}/state")).await.expect(200);
    assert_eq!(now["next"], json!(["bad"]));
    assert_eq!(now["values"]["messages"], json!(["ok"]));
    // The reducer of `n` is the agent's: what the checkpoint has stays, and is named.
    assert_eq!(now["values"]["n"], 1);
    assert!(now["metadata"]["unreadable"]["n"].as_str().unwrap().contains("reducer"));
    let history = ada.post(&format!("/threads/{id}/history"), json!({})).await.expect(200);
    let at = ada.get(&format!("/threads/{id}/state/{checkpoint}")).await.expect(200);
    for state in [&history[0], &at] {
        assert_eq!(state["values"], json!({ "messages": [], "n": 1 }));
        assert_eq!(state["next"], json!(["bad", "ok"]));
        let task = state["tasks"].as_array().unwrap().iter().find(|task| task["name"] == "ok");
        assert_eq!(task.unwrap()["result"], json!({ "messages": ["ok"], "n": 5 }));
    }
    let thread = ada.get(&format!("/threads/{id}")).await.expect(200);
    assert_eq!((&thread["status"], &thread["values"]), (&json!("error"), &at["values"]));
    let found = ada.post("/threads/search", json!({ "status": "error" })).await.expect(200);
    assert_eq!(found, json!([thread]));
}

#[tokio::test]
async fn a_question_that_was_asked_again_is_open_and_an_answered_one_is_not() {
    let mut agent = Agent::start().await;
    let server = agent.server().await;
    let ada = server.user().await;
    agent.attach().await;
    let id = Uuid::new_v4().to_string();
    let metadata = json!({ "user_id": ada.id, "source": "loop", "step": 0 });
    let values = json!({ "messages": [], "branch:to:a": null, "branch:to:b": null });
    let checkpoint = agent.put(Put { thread: &id, values, metadata, parent: None, id: None }).await;
    let question = |text: &str| json!([{ "value": text, "id": text }]);
    for (node, idx, channel, value) in [
        ("a", -4, "__resume__", json!(["A1"])),
        ("a", -3, "__interrupt__", question("second")),
        ("b", -3, "__interrupt__", question("qb")),
    ] {
        agent.write(&id, &checkpoint, Write { node, idx, channel, value }).await;
    }
    let path = format!("/threads/{id}");
    let texts = |value: &Value| -> Vec<String> {
        let questions = value.as_array().unwrap().iter();
        questions.map(|question| question["value"].as_str().unwrap().to_owned()).collect()
    };
    let now = ada.get(&format!("{path}/state")).await.expect(200);
    assert_eq!(texts(&now["interrupts"]), ["second", "qb"]);
    let done = Write { node: "a", idx: 0, channel: "messages", value: json!(["a:yes"]) };
    agent.write(&id, &checkpoint, done).await;
    let now = ada.get(&format!("{path}/state")).await.expect(200);
    assert_eq!((&now["next"], texts(&now["interrupts"])), (&json!(["b"]), vec!["qb".to_owned()]));
    assert_eq!(now["values"]["messages"], json!(["a:yes"]));
    let at = ada.get(&format!("{path}/state/{checkpoint}")).await.expect(200);
    assert_eq!(texts(&at["interrupts"]), ["second", "qb"]);
    let thread = ada.get(&path).await.expect(200);
    assert_eq!(thread["status"], "interrupted");
    assert_eq!(thread["interrupts"], json!({ "task-b": question("qb") }));
    // Once all have finished the thread is idle, also in a search.
    let metadata = json!({ "user_id": ada.id, "source": "loop", "step": 1 });
    let values = json!({ "messages": ["a:yes", "b:no"] });
    agent.put(Put { thread: &id, values, metadata, parent: Some(&checkpoint), id: None }).await;
    let found = ada.post("/threads/search", json!({ "status": "idle" })).await.expect(200);
    assert_eq!(found[0]["values"], json!({ "messages": ["a:yes", "b:no"] }));
    assert_eq!(found[0]["interrupts"], json!({}));
}

#[tokio::test]
async fn threads_are_found_and_counted_by_their_values() {
    let mut agent = Agent::start().await;
    let server = agent.server().await;
    let (ada, bob) = (server.user().await, server.user().await);
    agent.attach().await;
    for number in 0..3 {
        let id = Uuid::new_v4().to_string();
        agent.begin(&id, &ada, json!({ "n": number % 2, "deep": { "list": [1, number] } })).await;
        agent.begin(&Uuid::new_v4().to_string(), &bob, json!({ "n": 0 })).await;
    }
    let own = ada.thread(json!({})).await;
    ada.write(&own, json!({ "n": 0 })).await;
    let count = async |values: Value| {
        let body = json!({ "values": values });
        let found = ada.post("/threads/search", body.clone()).await.expect(200);
        let count = ada.post("/threads/count", body).await.expect(200);
        assert_eq!(
            found.as_array().unwrap().len(),
            usize::try_from(count.as_i64().unwrap()).unwrap()
        );
        count
    };
    assert_eq!(count(json!({ "n": 0 })).await, 3);
    assert_eq!(count(json!({ "n": 0, "deep": { "list": [2] } })).await, 1);
    assert_eq!(count(json!({ "deep": { "list": [1] } })).await, 3);
    assert_eq!(count(json!({ "gone": null })).await, 0);
}

#[tokio::test]
async fn what_cannot_be_read_is_named_and_never_an_error() {
    let mut agent = Agent::start().await;
    let server = TestServer::start_at(agent.database.clone(), |config| {
        config.aes_key = AesKey::new(b"0123456789abcdef");
    })
    .await;
    let ada = server.user().await;
    agent.attach().await;
    let id = Uuid::new_v4().to_string();
    let deep = format!("{}c0", "91".repeat(2000));
    let blobs = [
        ("good", "msgpack", "05".to_owned()),
        ("secret", "msgpack+aes", "815a82ce8b878f8f94cc9f730131dac4eeecf850583bdf739e719f3c75e80447c20fa6b9afdca7793d".to_owned()),
        ("forged", "msgpack+aes", "00".repeat(40)),
        ("model", "pickle", "80049524000000000000008c05706f736978948c0673797374656d9493948c09746f756368202f6f6f9485945294".to_owned()),
        ("deep", "msgpack", deep),
        ("huge", "msgpack", "dfffffffff".to_owned()),
        ("class", "msgpack", "c7150093a85f5f6d61696e5f5fa6436f6c6f7572a3726564".to_owned()),
    ];
    for (channel, form, hex) in &blobs {
        let version = "00000000000000000000000000000002.0.1";
        agent
            .run(&format!(
                "insert into SCHEMA.checkpoint_blobs \
                 values ('{id}', '', '{channel}', '{version}', '{form}', '\\x{hex}')"
            ))
            .await;
    }
    let values = blobs.iter().map(|(channel, ..)| ((*channel).to_owned(), json!(true))).collect();
    agent.begin(&id, &ada, Value::Object(values)).await;
    let state = ada.get(&format!("/threads/{id}/state")).await.expect(200);
    assert_eq!(state["values"], json!({ "good": 5, "secret": ["secret", 1], "class": "red" }));
    let named = state["metadata"]["unreadable"].as_object().unwrap();
    assert_eq!(named.keys().collect::<Vec<_>>(), ["deep", "forged", "huge", "model"]);
    assert!(named["model"].as_str().unwrap().contains("pickle"));
    let found = ada.post("/threads/search", json!({})).await.expect(200);
    assert_eq!(found[0]["values"], state["values"]);
    let picked = ada.get(&format!("/threads/{id}/state?select=values.good")).await.expect(200);
    assert_eq!(picked, json!({ "values": { "good": 5 } }));
    let storage = ada.get(&format!("/threads/{id}/storage")).await.expect(200);
    assert_eq!(storage["checkpoints"]["count"], 1);
    assert_eq!(storage["channel_values"]["by_channel"]["good"]["count"], 1);
}

#[tokio::test]
async fn a_state_that_is_no_checkpoint_hides_no_other_thread() {
    let mut agent = Agent::start().await;
    let server = agent.server().await;
    let ada = server.user().await;
    agent.attach().await;
    let (good, bad) = (Uuid::new_v4().to_string(), Uuid::new_v4().to_string());
    agent.begin(&good, &ada, json!({ "n": 1 })).await;
    agent.begin(&bad, &ada, json!({ "n": 2 })).await;
    for checkpoint in
        ["[]", "null", "{\"channel_versions\": 5}", "{\"channel_versions\": {\"n\": {}}}"]
    {
        agent
            .run(&format!("update SCHEMA.checkpoints set checkpoint = '{checkpoint}' where thread_id = '{bad}'"))
            .await;
        let found = ada.post("/threads/search", json!({})).await.expect(200);
        assert_eq!(found.as_array().unwrap().len(), 2, "{checkpoint}");
        for path in ["", "/state", "/storage"] {
            ada.get(&format!("/threads/{bad}{path}")).await.expect(200);
        }
        ada.post(&format!("/threads/{bad}/history"), json!({})).await.expect(200);
    }
    assert_eq!(ada.get(&format!("/threads/{good}")).await.expect(200)["values"], json!({ "n": 1 }));
}

#[tokio::test]
async fn a_stream_sends_what_the_agent_writes_and_resumes_where_it_was() {
    let mut agent = Agent::start().await;
    let server = agent.server().await;
    let ada = server.user().await;
    agent.attach().await;
    let id = Uuid::new_v4().to_string();
    let first = agent.begin(&id, &ada, json!({ "n": 0 })).await;
    let mut events = Events::of(&ada, &id).await;
    let mut parent = first;
    let mut seen = Vec::new();
    for number in 1..4 {
        let metadata = json!({ "user_id": ada.id, "source": "loop", "step": number });
        let values = json!({ "n": number });
        parent =
            agent.put(Put { thread: &id, values, metadata, parent: Some(&parent), id: None }).await;
        let event = events.next().await.unwrap();
        assert_eq!(event.data["state"]["values"], json!({ "n": number }));
        assert_eq!(event.checkpoint_id(), parent);
        seen.push(event.id);
    }
    drop(events);
    let mut again = Events::since(&ada, &id, &seen[0]).await;
    for number in 2..4 {
        let event = again.next().await.unwrap();
        assert_eq!(event.data["state"]["values"], json!({ "n": number }));
    }
    // It ends with its thread.
    assert_eq!(ada.delete(&format!("/threads/{id}")).await.status, 204);
    assert_eq!(again.rest().await, []);
}
