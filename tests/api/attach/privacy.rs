//! Nobody but the owner sees anything of an agent's thread, and nobody is answered otherwise because
//! others have some.

use serde_json::{Value, json};
use uuid::Uuid;

use super::agent::{Agent, Put, Write, attach, until};
use crate::matrix::{Cast, Hidden, Subject, table};
use crate::support::{Answer, User};

/// A thread with two checkpoints that an agent wrote.
async fn subject(agent: &mut Agent, owner: &User) -> Subject {
    let thread_id = Uuid::new_v4().to_string();
    let checkpoint_id = agent.begin(&thread_id, owner, json!({ "secret": "first" })).await;
    let messages = json!([{ "type": "human", "content": "hi" }]);
    let values = json!({ "secret": "first", "messages": messages, "branch:to:ask": null });
    let metadata = json!({ "user_id": owner.id, "source": "loop", "step": 0 });
    let parent = Some(checkpoint_id.as_str());
    let newest = agent.put(Put { thread: &thread_id, values, metadata, parent, id: None }).await;
    let question = json!([{ "value": "secret?", "id": "q" }]);
    let write = Write { node: "ask", idx: -3, channel: "__interrupt__", value: question };
    agent.write(&thread_id, &newest, write).await;
    let mark = json!({ "metadata": { "mark": thread_id } });
    owner.patch(&format!("/threads/{thread_id}"), mark).await.expect(200);
    Subject { thread_id, checkpoint_id }
}

#[tokio::test]
async fn nobody_but_the_owner_gets_anywhere_with_an_agents_thread_on_any_endpoint() {
    let cast = Cast::assemble().await;
    let mut agent = Agent::at(cast.server.database.clone(), "public").await;
    attach(&agent.database, "public", None).await.unwrap();
    // Words are looked for in digests, which threads of agents do not have.
    for row in table().into_iter().filter(|row| row.variant != "by words") {
        let subject = subject(&mut agent, &cast.owner).await;
        let rows = agent.rows(&subject.thread_id).await;
        let before = cast.all_of(&subject).await;
        cast.strangers_are_refused(&row, &subject).await;
        let foreign = cast.others_see_nothing(&row, &subject).await;
        assert_eq!(cast.all_of(&subject).await, before, "changed by others: {row:?}");
        assert_eq!(agent.rows(&subject.thread_id).await, rows, "{row:?}");
        if row.path == "/threads/{thread_id}/state" && row.method == "POST" {
            // Which is the agent's to write.
            let refused = row.send(&cast.owner, &subject).await;
            assert_eq!(refused.status, 409, "{row:?}: {}", refused.text);
        } else {
            cast.owner_succeeds(&row, &subject).await;
        }
        if matches!(row.hidden, Hidden::NotFound | Hidden::LeftOut(_)) {
            cast.missing_looks_like_foreign(&row, &subject, &foreign).await;
        }
    }
}

/// All that a user is answered, about the own threads and those of others.
async fn answers(user: &User, own: &[String], foreign: &[String]) -> Vec<String> {
    let mut answers = Vec::new();
    let mut add = |answer: Answer| {
        let (status, _, text) = answer.visible();
        answers.push(format!("{status} {text}"));
    };
    for search in [
        json!({ "limit": 100 }),
        json!({ "values": { "n": 1 } }),
        json!({ "status": "idle" }),
        json!({ "status": "interrupted" }),
        json!({ "metadata": { "agent_thread_id": "user:1" } }),
        json!({ "ids": foreign }),
        json!({ "sort_by": "status", "limit": 100 }),
    ] {
        add(user.post("/threads/search", search.clone()).await);
        let mut count = search;
        for field in ["limit", "ids", "sort_by"] {
            count.as_object_mut().unwrap().remove(field);
        }
        add(user.post("/threads/count", count).await);
    }
    for id in own.iter().chain(foreign) {
        for path in ["", "/state", "/history", "/storage"] {
            add(user.get(&format!("/threads/{id}{path}")).await);
        }
    }
    for id in foreign {
        add(user.post(&format!("/threads/{id}/state"), json!({ "values": {} })).await);
        add(user.delete(&format!("/threads/{id}")).await);
        add(user.post(&format!("/threads/{id}/copy"), json!({})).await);
        add(user.patch(&format!("/threads/{id}"), json!({ "metadata": { "x": 1 } })).await);
        let prune = json!({ "thread_ids": [own[0], id], "strategy": "keep_latest" });
        add(user.post("/threads/prune", prune).await);
    }
    answers
}

#[tokio::test]
async fn each_user_is_answered_as_if_no_other_had_an_agent() {
    let mut agent = Agent::start().await;
    let server = agent.server().await;
    let (ada, bob) = (server.user().await, server.user().await);
    agent.attach().await;
    let mut own = Vec::new();
    for number in 0..4 {
        let id = Uuid::new_v4().to_string();
        agent.begin(&id, &ada, json!({ "n": number, "messages": [] })).await;
        own.push(id);
    }
    own.push(subject(&mut agent, &ada).await.thread_id);
    let mine = ada.thread(json!({ "metadata": { "mine": true } })).await;
    ada.write(&mine, json!({ "n": 1 })).await;
    let foreign: Vec<_> = (0..3).map(|_| Uuid::new_v4().to_string()).collect();
    until("all is settled", async || {
        let search = json!({ "status": "interrupted" });
        ada.post("/threads/count", search).await.expect(200) == 1
    })
    .await;
    let alone = answers(&ada, &own, &foreign).await;
    for id in &foreign {
        agent.begin(id, &bob, json!({ "n": 1, "messages": ["secret"] })).await;
    }
    agent.begin("user:1", &bob, json!({ "n": 1 })).await;
    subject(&mut agent, &bob).await;
    let nobodys = Put {
        thread: "nobodys",
        values: json!({ "n": 1 }),
        metadata: json!({ "source": "input" }),
        parent: None,
        id: None,
    };
    agent.put(nobodys).await;
    until("Bob's are there", async || bob.post("/threads/count", json!({})).await.expect(200) == 5)
        .await;
    let together = answers(&ada, &own, &foreign).await;
    for (alone, together) in alone.iter().zip(&together) {
        assert_eq!(alone, together);
    }
    let count: Value = bob.post("/threads/count", json!({})).await.expect(200);
    assert_eq!(count, 5);
}
