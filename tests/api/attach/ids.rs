//! Whose a thread of an agent is, and under which id.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use sqlx::Executor as _;
use thread_store::store::detach;
use uuid::Uuid;

use super::agent::{Agent, Put, attach, until};
use crate::support::User;

/// The ids in the agent's tables of the threads that a user sees.
async fn seen(user: &User) -> BTreeSet<String> {
    let found = user.post("/threads/search", json!({ "limit": 100 })).await.expect(200);
    let id = |thread: &Value| {
        let agents = &thread["metadata"]["agent_thread_id"];
        let id = if agents.is_null() { &thread["thread_id"] } else { agents };
        id.as_str().unwrap().to_owned()
    };
    found.as_array().unwrap().iter().map(id).collect()
}

#[tokio::test]
async fn only_the_very_text_of_a_uuid_is_that_thread() {
    let ids = [
        "abcdef00-0000-4000-8000-00000000000a",
        "ABCDEF00-0000-4000-8000-00000000000A",
        "abcdef0000004000800000000000000a",
        "{abcdef00-0000-4000-8000-00000000000a}",
        "",
        " x ",
    ];
    // Written before the tables are attached, and after.
    for is_before in [true, false] {
        let mut agent = Agent::start().await;
        let server = agent.server().await;
        if !is_before {
            agent.attach().await;
        }
        let mut users = Vec::new();
        for (number, id) in ids.iter().enumerate() {
            let user = server.user().await;
            agent.begin(id, &user, json!({ "n": number })).await;
            users.push(user);
        }
        if is_before {
            assert_eq!(agent.attach().await.taken_in, 6);
        }
        for (number, (id, user)) in ids.iter().zip(&users).enumerate() {
            until("the thread is there", async || !seen(user).await.is_empty()).await;
            assert_eq!(seen(user).await, BTreeSet::from([(*id).to_owned()]));
            let found = user.post("/threads/search", json!({})).await.expect(200);
            assert_eq!(found[0]["values"], json!({ "n": number }));
        }
    }
}

#[tokio::test]
async fn a_text_that_is_the_id_made_for_somebody_elses_thread_is_not_let_in() {
    let mut agent = Agent::start().await;
    let server = agent.server().await;
    let (ada, bob) = (server.user().await, server.user().await);
    agent.begin("user:7:chat", &ada, json!({ "whose": "ada" })).await;
    agent.attach().await;
    let found = ada.post("/threads/search", json!({})).await.expect(200);
    let id = found[0]["thread_id"].as_str().unwrap().to_owned();
    agent.begin(&id, &bob, json!({ "whose": "bob" })).await;
    agent
        .put(Put {
            thread: &id,
            values: json!({ "whose": "bob" }),
            metadata: json!({ "user_id": bob.id, "source": "loop" }),
            parent: Some("x"),
            id: None,
        })
        .await;
    let again = agent.attach().await;
    assert_eq!((again.refused_count, again.refused), (1, vec![id.clone()]));
    assert_eq!(bob.get(&format!("/threads/{id}")).await.status, 404);
    let thread = ada.get(&format!("/threads/{id}")).await.expect(200);
    assert_eq!(thread["values"], json!({ "whose": "ada" }));
    assert!(seen(&bob).await.is_empty());
}

#[tokio::test]
async fn an_id_of_an_agents_thread_cannot_be_taken_by_any_route() {
    let mut agent = Agent::start().await;
    let server = agent.server().await;
    let (ada, mallory) = (server.user().await, server.user().await);
    agent.attach().await;
    let (owned, ownerless) = (Uuid::new_v4().to_string(), Uuid::new_v4().to_string());
    agent.begin(&owned, &ada, json!({ "n": 1 })).await;
    let metadata = json!({ "source": "input", "step": -1 });
    agent
        .put(Put {
            thread: &ownerless,
            values: json!({ "n": 2 }),
            metadata,
            parent: None,
            id: None,
        })
        .await;
    let own = mallory.thread(json!({})).await;
    for id in [&owned, &ownerless] {
        for if_exists in ["raise", "do_nothing"] {
            let body = json!({ "thread_id": id, "if_exists": if_exists, "metadata": { "x": 1 } });
            assert_eq!(mallory.post("/threads", body).await.status, 409, "{id}");
            let body = json!({
                "thread_id": id, "if_exists": if_exists,
                "supersteps": [{ "updates": [{ "values": { "n": 3 }, "as_node": "a" }] }],
            });
            assert_eq!(mallory.post("/threads", body).await.status, 409, "{id}");
        }
        let body = json!({ "values": { "n": 9 } });
        assert_eq!(mallory.post(&format!("/threads/{id}/state"), body).await.status, 404);
        assert_eq!(
            mallory.patch(&format!("/threads/{id}"), json!({ "metadata": {} })).await.status,
            404
        );
        assert_eq!(mallory.post(&format!("/threads/{id}/copy"), json!({})).await.status, 404);
        assert_eq!(mallory.delete(&format!("/threads/{id}")).await.status, 404);
        let prune = json!({ "thread_ids": [id, own] });
        assert_eq!(mallory.post("/threads/prune", prune).await.status, 404);
        for path in ["", "/state", "/history", "/storage", "/stream"] {
            assert_eq!(mallory.get(&format!("/threads/{id}{path}")).await.status, 404, "{path}");
        }
    }
    // The owner's is hers, and of the other nobody sees a thing.
    assert_eq!(
        ada.get(&format!("/threads/{owned}")).await.expect(200)["values"],
        json!({ "n": 1 })
    );
    assert_eq!(ada.get(&format!("/threads/{ownerless}")).await.status, 404);
    assert_eq!((agent.rows(&owned).await, agent.rows(&ownerless).await), (1, 1));
    assert_eq!(seen(&mallory).await, BTreeSet::from([own]));
}

#[tokio::test]
async fn a_thread_made_here_first_keeps_its_owner_and_shows_what_the_agent_writes() {
    let mut agent = Agent::start().await;
    let server = agent.server().await;
    let ada = server.user().await;
    agent.attach().await;
    let id = ada.thread(json!({ "metadata": { "title": "mine" } })).await;
    // A saver that names no owner.
    let metadata = json!({ "source": "input", "step": -1 });
    agent
        .put(Put { thread: &id, values: json!({ "n": 1 }), metadata, parent: None, id: None })
        .await;
    let thread = ada.get(&format!("/threads/{id}")).await.expect(200);
    assert_eq!(thread["values"], json!({ "n": 1 }));
    assert_eq!(thread["metadata"], json!({ "title": "mine", "owner": ada.id }));
    // And one that names the same.
    let other = ada.thread(json!({})).await;
    agent.begin(&other, &ada, json!({ "n": 2 })).await;
    assert_eq!(
        ada.get(&format!("/threads/{other}")).await.expect(200)["values"],
        json!({ "n": 2 })
    );
}

#[tokio::test]
async fn whoever_makes_the_id_of_anothers_thread_first_sees_nothing_of_it() {
    // Before the tables are attached, and after.
    for is_before in [true, false] {
        let mut agent = Agent::start().await;
        let server = agent.server().await;
        let (ada, mallory) = (server.user().await, server.user().await);
        if !is_before {
            agent.attach().await;
        }
        let id = mallory.thread(json!({ "metadata": { "mine": true } })).await;
        let first = agent.begin(&id, &ada, json!({ "secret": 1 })).await;
        if is_before {
            assert_eq!(agent.attach().await.refused, [id.as_str()]);
        }
        let next = async |agent: &mut Agent| {
            let metadata = json!({ "user_id": ada.id, "source": "loop" });
            let parent = Some(first.as_str());
            let values = json!({ "secret": 2 });
            agent.put(Put { thread: &id, values, metadata, parent, id: None }).await;
        };
        next(&mut agent).await;
        tokio::time::sleep(std::time::Duration::from_millis(700)).await;
        let thread = mallory.get(&format!("/threads/{id}")).await.expect(200);
        assert_eq!(thread["values"], Value::Null);
        let state = mallory.get(&format!("/threads/{id}/state")).await.expect(200);
        assert_eq!(state["values"], json!({}));
        let history = mallory.post(&format!("/threads/{id}/history"), json!({})).await.expect(200);
        assert_eq!(history, json!([]));
        let by_value = json!({ "values": { "secret": 2 } });
        assert_eq!(mallory.post("/threads/search", by_value).await.expect(200), json!([]));
        let copy = mallory.post(&format!("/threads/{id}/copy"), json!({})).await.expect(200);
        assert_eq!(copy["values"], Value::Null);
        // Deleting it takes nothing of Ada's, and then the thread is hers.
        assert_eq!(mallory.delete(&format!("/threads/{id}")).await.status, 204);
        assert_eq!(agent.rows(&id).await, 2);
        next(&mut agent).await;
        let hers = format!("/threads/{id}");
        until("it is Ada's", async || ada.get(&hers).await.status == 200).await;
        assert_eq!(ada.get(&hers).await.expect(200)["values"], json!({ "secret": 2 }));
        assert_eq!(mallory.get(&hers).await.status, 404);
    }
}

#[tokio::test]
async fn an_agent_is_never_refused_while_its_thread_is_locked_here() {
    let mut agent = Agent::start().await;
    let server = agent.server().await;
    let ada = server.user().await;
    agent.attach().await;
    let id = Uuid::new_v4().to_string();
    let first = agent.begin(&id, &ada, json!({ "n": 1 })).await;
    let mut holder = agent.clone_connection().await;
    holder.execute("begin; select from thread_store.thread for update").await.unwrap();
    let begun = std::time::Instant::now();
    let metadata = json!({ "user_id": ada.id, "source": "loop" });
    let parent = Some(first.as_str());
    agent.put(Put { thread: &id, values: json!({ "n": 2 }), metadata, parent, id: None }).await;
    // A thread that nobody knows yet, whose id somebody is making.
    let other = Uuid::new_v4();
    let insert = format!("insert into thread_store.thread_directory values ('{other}', 1)");
    holder.execute(sqlx::AssertSqlSafe(insert)).await.unwrap();
    agent.begin(&other.to_string(), &ada, json!({ "n": 3 })).await;
    assert!(begun.elapsed() < std::time::Duration::from_secs(1), "{:?}", begun.elapsed());
    let before = ada.get(&format!("/threads/{id}")).await.expect(200)["updated_at"].clone();
    holder.execute("rollback").await.unwrap();
    until("the row has moved", async || {
        ada.get(&format!("/threads/{id}")).await.expect(200)["updated_at"] != before
    })
    .await;
    let path = format!("/threads/{other}");
    until("the other is there", async || ada.get(&path).await.status == 200).await;
}

#[tokio::test]
async fn an_agent_that_writes_at_full_speed_is_taken_in_whole_while_tables_are_attached() {
    let mut agent = Agent::start().await;
    let server = agent.server().await;
    let ada = server.user().await;
    for number in 0..50 {
        agent.begin(&format!("old:{number}"), &ada, json!({})).await;
    }
    let mut writer = Agent {
        database: agent.database.clone(),
        connection: agent.clone_connection().await,
        schema: "public".to_owned(),
    };
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let user = ada.clone();
    let writing = tokio::spawn(async move {
        let mut number = 0;
        while stopped.try_recv().is_err() {
            let thread = format!("new:{number}");
            let first = writer.begin(&thread, &user, json!({ "n": 0 })).await;
            let metadata = json!({ "user_id": user.id, "source": "loop" });
            let (values, parent) = (json!({ "n": 1 }), Some(first.as_str()));
            writer.put(Put { thread: &thread, values, metadata, parent, id: None }).await;
            number += 1;
        }
        number
    });
    for _ in 0..3 {
        attach(&agent.database, "public", None).await.unwrap();
        thread_store::store::detach(&agent.database).await.unwrap();
    }
    attach(&agent.database, "public", None).await.unwrap();
    stop.send(()).unwrap();
    let written: i64 = writing.await.unwrap();
    assert!(written > 0);
    until("all are there", async || {
        ada.post("/threads/count", json!({})).await.expect(200) == 50 + written
    })
    .await;
}

/// What the thread held before belongs to it no more, however large it is.
#[tokio::test]
async fn a_thread_with_state_of_its_own_shows_what_the_agent_writes_instead() {
    let mut agent = Agent::start().await;
    let server = agent.server().await;
    let user = server.user().await;
    agent.attach().await;
    let mut ids = Vec::new();
    for length in [10, 300 * 1024] {
        let id = user.thread(json!({})).await;
        user.write(&id, json!({ "own": "x".repeat(length) })).await;
        agent.begin(&id, &user, json!({ "whose": "agent" })).await;
        ids.push(id);
    }
    let expected = json!({ "whose": "agent" });
    for id in &ids {
        until("the agent's state is there", async || user.values(id).await == expected).await;
        let one = user.history_of(id, json!({ "limit": 1 })).await;
        let all = user.history_of(id, json!({})).await;
        assert_eq!((one.len(), all.len()), (1, 1));
        assert_eq!((&one[0]["values"], &all[0]["values"]), (&expected, &expected));
    }
    detach(&agent.database).await.unwrap();
    for id in &ids {
        until("it is without state", async || user.history(id).await.is_empty()).await;
    }
}
