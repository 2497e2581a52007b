//! Deleting, pruning, copying and expiring agents' threads, from both sides.

use serde_json::{Value, json};
use uuid::Uuid;

use super::agent::{Agent, Put, Write, until};
use crate::support::User;

async fn ids(user: &User) -> Vec<Value> {
    let found = user.post("/threads/search", json!({})).await.expect(200);
    found.as_array().unwrap().iter().map(|thread| thread["thread_id"].clone()).collect()
}

/// A thread with some state, and the id of its newest checkpoint.
async fn thread(agent: &mut Agent, id: &str, user: &User) -> String {
    let first = agent.begin(id, user, json!({ "n": 1 })).await;
    let metadata = json!({ "user_id": user.id, "source": "loop", "step": 0 });
    let put =
        Put { thread: id, values: json!({ "n": 2 }), metadata, parent: Some(&first), id: None };
    let newest = agent.put(put).await;
    let write = Write { node: "a", idx: 0, channel: "messages", value: json!([]) };
    agent.write(id, &newest, write).await;
    newest
}

#[tokio::test]
async fn what_was_deleted_here_stays_deleted_whatever_a_run_still_writes() {
    let mut agent = Agent::start().await;
    let server = agent.server().await;
    let ada = server.user().await;
    agent.attach().await;
    let id = Uuid::new_v4().to_string();
    let newest = thread(&mut agent, &id, &ada).await;
    assert_eq!(ada.delete(&format!("/threads/{id}")).await.status, 204);
    assert_eq!(agent.rows(&id).await, 0);
    // The run goes on: writes of the deleted checkpoint, and the next one.
    let write = Write { node: "b", idx: 0, channel: "messages", value: json!(["late"]) };
    agent.write(&id, &newest, write).await;
    let write = Write { node: "b", idx: -3, channel: "__interrupt__", value: json!([]) };
    agent.write(&id, &newest, write).await;
    let metadata = json!({ "user_id": ada.id, "source": "loop", "step": 1 });
    let put =
        Put { thread: &id, values: json!({ "n": 3 }), metadata, parent: Some(&newest), id: None };
    agent.put(put).await;
    assert_eq!(ada.get(&format!("/threads/{id}")).await.status, 404);
    assert_eq!(ids(&ada).await, [""; 0]);
    assert_eq!(ada.post("/threads/count", json!({})).await.expect(200), 0);
    until("what was left is swept", async || agent.rows(&id).await == 0).await;
    assert_eq!(ada.get(&format!("/threads/{id}")).await.status, 404);

    // Who begins anew has a new thread, without the metadata of the old one.
    agent.begin(&id, &ada, json!({ "n": 7 })).await;
    let path = format!("/threads/{id}");
    until("it is there again", async || ada.get(&path).await.status == 200).await;
    let again = ada.get(&path).await.expect(200);
    assert_eq!(
        (&again["values"], &again["metadata"]),
        (&json!({ "n": 7 }), &json!({ "owner": ada.id }))
    );
    let history = ada.post(&format!("{path}/history"), json!({})).await.expect(200);
    assert_eq!(history.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn what_the_agent_deletes_is_gone_here() {
    let mut agent = Agent::start().await;
    let server = agent.server().await;
    let ada = server.user().await;
    agent.attach().await;
    let (deleted, kept) = (Uuid::new_v4().to_string(), Uuid::new_v4().to_string());
    for id in [&deleted, &kept] {
        thread(&mut agent, id, &ada).await;
    }
    let first = ada.thread(json!({ "metadata": { "title": "T" } })).await;
    thread(&mut agent, &first, &ada).await;
    // As the saver's `delete_thread`, and as a cleanup of old rows.
    for table in ["checkpoints", "checkpoint_blobs", "checkpoint_writes"] {
        agent.run(&format!("delete from SCHEMA.{table} where thread_id = '{deleted}'")).await;
    }
    agent.run(&format!("delete from SCHEMA.checkpoints where thread_id = '{first}'")).await;
    let gone = format!("/threads/{deleted}");
    until("it is gone", async || ada.get(&gone).await.status == 404).await;
    let empty = format!("/threads/{first}");
    until("it is empty", async || ada.get(&empty).await.expect(200)["values"].is_null()).await;
    assert_eq!(ada.get(&empty).await.expect(200)["metadata"]["title"], "T");
    assert_eq!(ids(&ada).await.len(), 2);
    agent.run("truncate SCHEMA.checkpoints").await;
    let path = format!("/threads/{kept}");
    until("all are gone", async || ada.get(&path).await.status == 404).await;
    assert_eq!(ids(&ada).await, [json!(first)]);
    // Its id is free, and the thread made here takes state again.
    ada.write(&first, json!({ "k": 1 })).await;
    ada.post("/threads", json!({ "thread_id": kept })).await.expect(200);
}

#[tokio::test]
async fn the_state_of_an_agents_thread_is_written_by_the_agent_alone() {
    let mut agent = Agent::start().await;
    let server = agent.server().await;
    let ada = server.user().await;
    agent.attach().await;
    let id = Uuid::new_v4().to_string();
    thread(&mut agent, &id, &ada).await;
    let path = format!("/threads/{id}/state");
    let refused = ada.post(&path, json!({ "values": { "n": 9 } })).await;
    assert_eq!(refused.status, 409);
    assert!(refused.detail().contains("graph.update_state"), "{}", refused.text);
    assert_eq!(ada.get(&path).await.expect(200)["values"], json!({ "n": 2, "messages": [] }));
}

#[tokio::test]
async fn the_newest_checkpoint_keeps_all_of_its_writes_when_a_thread_is_pruned() {
    let mut agent = Agent::start().await;
    let server = agent.server().await;
    let ada = server.user().await;
    agent.attach().await;
    let id = Uuid::new_v4().to_string();
    let newest = thread(&mut agent, &id, &ada).await;
    let writes = [("a", -4, "__resume__"), ("a", -3, "__interrupt__"), ("b", -3, "__interrupt__")];
    for (node, idx, channel) in writes {
        let value = json!([{ "value": node, "id": node }]);
        agent.write(&id, &newest, Write { node, idx, channel, value }).await;
    }
    agent
        .run(&format!(
            "insert into SCHEMA.checkpoint_blobs values ('{id}', '', 'old', '1', 'json', '1'),
                 ('{id}', '', 'n', '00000000000000000000000000000002.0.1', 'json', '2')"
        ))
        .await;
    let before = ada.get(&format!("/threads/{id}")).await.expect(200);
    let prune = json!({ "thread_ids": [id], "strategy": "keep_latest" });
    ada.post("/threads/prune", prune.clone()).await.expect(200);
    let history = ada.post(&format!("/threads/{id}/history"), json!({})).await.expect(200);
    assert_eq!(history.as_array().unwrap().len(), 1);
    assert_eq!(history[0]["parent_checkpoint"], Value::Null);
    // One checkpoint, four writes, one value.
    assert_eq!(agent.rows(&id).await, 1 + 4 + 1);
    let after = ada.get(&format!("/threads/{id}")).await.expect(200);
    assert_eq!(
        (&after["values"], &after["updated_at"]),
        (&before["values"], &before["updated_at"])
    );
    // What cannot do without its older checkpoints is refused, and nothing is touched.
    agent
        .run(
            "update SCHEMA.checkpoints \
             set metadata = metadata || '{\"counters_since_delta_snapshot\":{\"messages\":[1,1]}}'",
        )
        .await;
    let refused = ada.post("/threads/prune", prune).await;
    assert_eq!(refused.status, 409);
    assert!(refused.detail().contains("delta channels"), "{}", refused.text);
    let prune = json!({ "thread_ids": [id], "strategy": "delete" });
    ada.post("/threads/prune", prune).await.expect(200);
    assert_eq!(agent.rows(&id).await, 0);
}

#[tokio::test]
async fn a_copy_is_a_thread_of_the_agent_with_all_of_its_rows() {
    let mut agent = Agent::start().await;
    let server = agent.server().await;
    let ada = server.user().await;
    agent.attach().await;
    thread(&mut agent, "user:7:chat", &ada).await;
    until("it is there", async || ids(&ada).await.len() == 1).await;
    let id = ids(&ada).await.remove(0);
    let id = id.as_str().unwrap();
    let copy = ada.post(&format!("/threads/{id}/copy"), json!({})).await.expect(200);
    let copy_id = copy["thread_id"].as_str().unwrap();
    assert_eq!(
        (&copy["values"], &copy["metadata"]),
        (&json!({ "n": 2 }), &json!({ "owner": ada.id }))
    );
    assert_eq!(agent.rows(copy_id).await, agent.rows("user:7:chat").await);
    let of = async |id: &str| {
        let history = ada.post(&format!("/threads/{id}/history"), json!({})).await.expect(200);
        let states = history.as_array().unwrap().iter().map(|state| {
            (state["checkpoint_id"].clone(), state["values"].clone(), state["tasks"].clone())
        });
        states.collect::<Vec<_>>()
    };
    assert_eq!(of(copy_id).await, of(id).await);
    // The agent goes on with the copy, and deleting it leaves the original.
    let newest = copy["values"].clone();
    assert_eq!(newest, json!({ "n": 2 }));
    ada.delete(&format!("/threads/{copy_id}")).await;
    assert_eq!(agent.rows(copy_id).await, 0);
    assert_eq!(agent.rows("user:7:chat").await, 3);
}

#[tokio::test]
async fn a_thread_whose_time_is_over_goes_with_the_agents_rows() {
    let mut agent = Agent::start().await;
    let server = agent.server().await;
    let ada = server.user().await;
    agent.attach().await;
    let (deleted, pruned) = (Uuid::new_v4().to_string(), Uuid::new_v4().to_string());
    for (id, strategy) in [(&deleted, "delete"), (&pruned, "keep_latest")] {
        thread(&mut agent, id, &ada).await;
        let ttl = json!({ "ttl": { "ttl": 1, "strategy": strategy } });
        ada.patch(&format!("/threads/{id}"), ttl).await.expect(200);
    }
    agent.run("update thread_store.thread set expires_at = now() - interval '1 second'").await;
    assert_eq!(ada.get(&format!("/threads/{deleted}")).await.status, 404);
    let store = thread_store::store::Store::open(agent.database.clone(), 2).await.unwrap();
    store.sweep(&mut thread_store::store::PutOff::default()).await.unwrap();
    until("both are done", async || {
        agent.rows(&deleted).await == 0 && agent.rows(&pruned).await == 2
    })
    .await;
    let thread = ada.get(&format!("/threads/{pruned}")).await.expect(200);
    assert_eq!(thread["values"], json!({ "n": 2 }));
}

#[tokio::test]
async fn an_agent_never_fails_while_its_threads_are_listed_deleted_and_pruned() {
    let agent = Agent::start().await;
    let server = agent.server().await;
    let ada = server.user().await;
    agent.attach().await;
    let threads: Vec<_> = (0..4).map(|_| Uuid::new_v4().to_string()).collect();
    let end = std::time::Instant::now() + std::time::Duration::from_secs(4);
    let mut writers = Vec::new();
    for id in threads.clone() {
        let mut writer = Agent {
            database: agent.database.clone(),
            connection: agent.clone_connection().await,
            schema: "public".to_owned(),
        };
        let user = ada.clone();
        writers.push(tokio::spawn(async move {
            let mut puts = 0;
            while std::time::Instant::now() < end {
                // Several threads in one transaction, as an application that brings its own may.
                writer.run("begin").await;
                thread(&mut writer, &id, &user).await;
                writer.run("commit").await;
                puts += 2;
            }
            puts
        }));
    }
    let mut deleted = 0;
    while std::time::Instant::now() < end {
        for id in &threads {
            let path = format!("/threads/{id}");
            let listed = ada.post("/threads/search", json!({ "status": "idle" })).await;
            assert_eq!(listed.status, 200, "{}", listed.text);
            let prune = json!({ "thread_ids": [id], "strategy": "keep_latest" });
            let pruned = ada.post("/threads/prune", prune).await;
            assert!([200, 404, 503].contains(&pruned.status.as_u16()), "{}", pruned.text);
            let history = ada.post(&format!("{path}/history"), json!({})).await;
            assert!([200, 404].contains(&history.status.as_u16()), "{}", history.text);
            let gone = ada.delete(&path).await;
            assert!([204, 404, 503].contains(&gone.status.as_u16()), "{}", gone.text);
            deleted += u32::from(gone.status == 204);
        }
    }
    let mut puts = 0;
    for writer in writers {
        puts += writer.await.unwrap();
    }
    assert!(puts > 20 && deleted > 5, "{puts} puts, {deleted} deletions");
}
