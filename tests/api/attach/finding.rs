//! Agents' threads by their words, titles, counts and values.

use serde_json::{Value, json};
use thread_store::store::detach;
use uuid::Uuid;

use super::agent::{Agent, Put, until};
use crate::support::steps::texts;
use crate::support::{TestServer, User};

fn said(text: &str) -> Value {
    json!({ "messages": [{ "type": "human", "id": "m", "content": text }] })
}

/// The threads that a query finds, after checking that a count agrees.
async fn found(user: &User, body: Value) -> Vec<String> {
    let mut found = user.found(body.clone()).await;
    assert_eq!(user.count(body.clone()).await, found.len() as u64, "{body}");
    found.sort_unstable();
    found
}

fn sorted(ids: &[&String]) -> Vec<String> {
    let mut ids: Vec<_> = ids.iter().map(|id| (*id).clone()).collect();
    ids.sort_unstable();
    ids
}

/// Waits until each thread of an agent has a digest of it.
async fn caught_up(server: &TestServer) {
    until("agents' threads have digests", async || {
        let behind = "select count(*) from thread_store.thread left join thread_store.digest \
                      using (tenant, thread_id) \
                      where last_seq > 0 and seq is distinct from last_seq";
        sqlx::query_scalar::<_, i64>(behind).fetch_one(&server.pool).await.unwrap() == 0
    })
    .await;
}

#[tokio::test]
async fn agents_threads_are_found_by_what_was_said_in_them() {
    let mut agent = Agent::start().await;
    let server = agent.server().await;
    let (ada, bob) = (server.user().await, server.user().await);
    let before = Uuid::new_v4().to_string();
    agent.begin(&before, &ada, said("needle from before")).await;
    agent.attach().await;
    let after = Uuid::new_v4().to_string();
    let checkpoint = agent.begin(&after, &ada, said("Needle from after, in Köln")).await;
    let of_bob = Uuid::new_v4().to_string();
    agent.begin(&of_bob, &bob, said("needle of bob")).await;
    let own = ada.thread(json!({ "metadata": { "title": "needle, too" } })).await;
    for is_caught_up in [false, true] {
        if is_caught_up {
            caught_up(&server).await;
        }
        for (query, expected) in [
            ("needle", sorted(&[&before, &after, &own])),
            ("koln needle", sorted(&[&after])),
            ("needle -koln", sorted(&[&before, &own])),
            ("bob", vec![]),
        ] {
            assert_eq!(found(&ada, json!({ "query": query })).await, expected, "{query}");
        }
        let select = ["thread_id", "title", "preview", "message_count", "matches"];
        let shown = ada.post("/threads/search", json!({ "query": "KÖLN", "select": select })).await;
        let snippet = "Needle from after, in Köln";
        assert_eq!(
            shown.expect(200),
            json!([{
                "thread_id": after, "title": snippet, "preview": snippet, "message_count": 1,
                "matches": [{ "message_id": "m", "role": "human", "snippet": snippet, "places": [[22, 26]] }],
            }])
        );
        for (filter, expected) in [
            (json!({ "title": { "$prefix": "needle from" } }), sorted(&[&before])),
            (json!({ "message_count": { "$gte": 1 } }), sorted(&[&before, &after])),
            (json!({ "last_message_at": { "$exists": true } }), sorted(&[&before, &after])),
        ] {
            assert_eq!(found(&ada, json!({ "filter": filter })).await, expected, "{filter}");
        }
    }
    // What was said is replaced, and the title is another one, at once and later.
    let metadata = json!({ "user_id": ada.id, "source": "loop", "step": 1 });
    let parent = Some(checkpoint.as_str());
    let again = Put { thread: &after, values: said("hay"), metadata, parent, id: None };
    agent.put(again).await;
    let title = json!({ "metadata": { "title": "Renamed" } });
    ada.patch(&format!("/threads/{before}"), title).await.expect(200);
    for is_caught_up in [false, true] {
        if is_caught_up {
            caught_up(&server).await;
        }
        assert_eq!(found(&ada, json!({ "query": "koln" })).await, [""; 0]);
        assert_eq!(found(&ada, json!({ "query": "hay" })).await, std::slice::from_ref(&after));
        assert_eq!(
            found(&ada, json!({ "query": "renamed needle" })).await,
            std::slice::from_ref(&before)
        );
    }
    ada.delete(&format!("/threads/{before}")).await.expect(204);
    assert_eq!(found(&ada, json!({ "query": "renamed" })).await, [""; 0]);
}

#[tokio::test]
async fn conditions_on_values_hold_for_agents_threads_as_for_others() {
    let mut agent = Agent::start().await;
    let server = agent.server().await;
    let ada = server.user().await;
    agent.attach().await;
    let mut ids = Vec::new();
    for n in 1..4 {
        let id = Uuid::new_v4().to_string();
        agent.begin(&id, &ada, json!({ "n": n, "deep": { "a": format!("x{n}") } })).await;
        ids.push(id);
    }
    let own = ada.thread(json!({})).await;
    ada.write(&own, json!({ "n": 1 })).await;
    let empty = ada.thread(json!({})).await;
    let odd = Uuid::new_v4().to_string();
    agent.begin(&odd, &ada, json!({ "n": { "$gte": [null] } })).await;
    for (filter, expected) in [
        (json!({ "values.n": 1 }), sorted(&[&ids[0], &own])),
        (json!({ "values.n": { "$gte": 2 } }), sorted(&[&ids[1], &ids[2]])),
        (json!({ "values.n": { "$ne": 1 } }), sorted(&[&ids[1], &ids[2], &empty, &odd])),
        (json!({ "values.n": { "$exists": false } }), sorted(&[&empty])),
        (json!({ "values.deep.a": { "$prefix": "x" } }), sorted(&[&ids[0], &ids[1], &ids[2]])),
        (
            json!({ "$or": [{ "values.deep.a": "x3" }, { "values.n": { "$lt": 2 } }] }),
            sorted(&[&ids[0], &ids[2], &own]),
        ),
        (
            json!({ "values.n": { "$in": [1, 2] }, "message_count": 0 }),
            sorted(&[&ids[0], &ids[1], &own]),
        ),
    ] {
        assert_eq!(found(&ada, json!({ "filter": filter })).await, expected, "{filter}");
    }
    // Together with what is contained, and with words.
    let both = json!({ "values": { "n": 2 }, "filter": { "values.deep.a": { "$contains": "2" } } });
    assert_eq!(found(&ada, both).await, [ids[1].clone()]);
    agent.begin(&Uuid::new_v4().to_string(), &ada, said("needle")).await;
    let none = json!({ "values": { "n": 2 }, "query": "needle" });
    assert_eq!(found(&ada, none).await, [""; 0]);
}

#[tokio::test]
async fn a_nul_in_an_agents_message_stops_nothing() {
    let mut agent = Agent::start().await;
    let server = agent.server().await;
    let ada = server.user().await;
    agent.attach().await;
    let id = Uuid::new_v4().to_string();
    // The saver stores U+0000 in a blob: {"type": "human", "content": "what's the \0 weather"}.
    let text = "what's the \0 weather";
    let mut blob = vec![0x91, 0x82, 0xa4];
    blob.extend(b"type\xa5human\xa7content");
    blob.push(0xa0 | u8::try_from(text.len()).unwrap());
    blob.extend(text.as_bytes());
    let sql = "insert into checkpoint_blobs values ($1, '', 'messages', \
               '00000000000000000000000000000002.0.1', 'msgpack', $2)";
    sqlx::query(sql).bind(&id).bind(blob).execute(&mut agent.connection).await.unwrap();
    let checkpoint = agent.begin(&id, &ada, json!({ "messages": null })).await;
    sqlx::query("update checkpoints set checkpoint = checkpoint #- '{channel_values,messages}' where checkpoint_id = $1")
        .bind(checkpoint)
        .execute(&mut agent.connection)
        .await
        .unwrap();
    let needle = ada.thread(json!({})).await;
    ada.write(&needle, said("needle")).await;
    for is_caught_up in [false, true] {
        if is_caught_up {
            caught_up(&server).await;
        }
        assert_eq!(found(&ada, json!({ "query": "needle" })).await, std::slice::from_ref(&needle));
        assert_eq!(
            found(&ada, json!({ "query": "what's weather" })).await,
            std::slice::from_ref(&id)
        );
        assert_eq!(
            found(&ada, json!({ "query": "\"the \u{fffd}\"" })).await,
            std::slice::from_ref(&id)
        );
        let page = json!({ "sort_by": "title", "select": ["title"] });
        let titles = ada.post("/threads/search", page).await.expect(200);
        assert_eq!(texts(&titles, "title"), ["what's the \u{fffd} weather", "needle"]);
    }
}

#[tokio::test]
async fn what_was_said_to_an_agent_is_forgotten_when_it_is_detached() {
    let mut agent = Agent::start().await;
    let server = agent.server().await;
    let ada = server.user().await;
    agent.attach().await;
    let id = Uuid::new_v4().to_string();
    agent.begin(&id, &ada, said("needle")).await;
    caught_up(&server).await;
    detach(&agent.database).await.unwrap();
    assert_eq!(found(&ada, json!({ "query": "needle" })).await, [""; 0]);
    let kept = "select count(*) from thread_store.digest_text where text <> ''";
    let kept: i64 = sqlx::query_scalar(kept).fetch_one(&server.pool).await.unwrap();
    assert_eq!(kept, 0);
    agent.attach().await;
    assert_eq!(found(&ada, json!({ "query": "needle" })).await, [id]);
    caught_up(&server).await;
}

#[tokio::test]
async fn nothing_is_missing_or_twice_over_pages_while_an_agent_writes() {
    let mut agent = Agent::start().await;
    let server = agent.server().await;
    let ada = server.user().await;
    agent.attach().await;
    let mut ids: Vec<_> = (0..7).map(|_| Uuid::new_v4().to_string()).collect();
    for id in &ids {
        agent.begin(id, &ada, said("needle 0")).await;
    }
    let writer = {
        let (ids, user) = (ids.clone(), ada.clone());
        tokio::spawn(async move {
            for n in 0..u64::MAX {
                let id = &ids[usize::try_from(n % 7).unwrap()];
                agent.begin(id, &user, said(&format!("needle {n}"))).await;
            }
        })
    };
    for _ in 0..3 {
        ids.push(ada.thread(json!({ "metadata": { "title": "needle" } })).await);
    }
    ids.sort_unstable();
    for _ in 0..8 {
        let body = json!({ "query": "needle", "limit": 3, "sort_by": "created_at" });
        assert_eq!(ada.found_on_all_pages(body).await, ids);
        assert_eq!(ada.count(json!({ "query": "needle" })).await, 10);
    }
    writer.abort();
}
