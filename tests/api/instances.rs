//! Several instances on one database.

use std::collections::{HashMap, HashSet};

use serde_json::{Value, json};
use sqlx::PgPool;

use crate::sse::{Event, Events, PATIENCE};
use crate::support::{TestServer, User};

const CLIENTS: usize = 8;
const WRITES: usize = 25;

/// One client's writes through both instances in turn; the ids of its checkpoints.
async fn hammer(instances: [User; 2], thread: String, client: usize) -> Vec<String> {
    let mut acknowledged = Vec::new();
    for n in 0..WRITES {
        let id = format!("{client}-{n}");
        let message = json!({ "type": "human", "content": "hello", "id": id });
        let values = json!({ "messages": [message], "counter": { "client": client, "n": n } });
        acknowledged.push(instances[(client + n) % 2].write(&thread, values).await);
    }
    acknowledged
}

fn ids_of_messages(state: &Value) -> Vec<&str> {
    let messages = state["values"]["messages"].as_array().unwrap().iter();
    messages.map(|message| message["id"].as_str().unwrap()).collect()
}

fn checkpoint_id(state: &Value) -> &str {
    state["checkpoint_id"].as_str().unwrap()
}

fn states(events: &[Event]) -> Vec<Value> {
    events.iter().map(|event| event.data["state"].clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_clients_on_two_instances_lose_nothing_and_streams_see_all_in_order() {
    let one = TestServer::start().await;
    let two = one.start_beside().await;
    let user = one.user().await;
    let instances = [user.clone(), user.at(&two)];
    let thread = user.thread(json!({})).await;
    let mut streams = Vec::new();
    for instance in instances.iter().cycle().take(4) {
        streams.push(Events::of(instance, &thread).await);
    }

    let mut clients = Vec::new();
    for client in 0..CLIENTS {
        clients.push(tokio::spawn(hammer(instances.clone(), thread.clone(), client)));
    }
    let mut acknowledged = Vec::new();
    for client in clients {
        acknowledged.push(client.await.unwrap());
    }

    // Oldest first.
    let history = instances[1].get(&format!("/threads/{thread}/history?limit=1000")).await;
    let mut history: Vec<_> = history.expect(200).as_array().unwrap().clone();
    history.reverse();
    let all: Vec<_> = history.iter().map(checkpoint_id).collect();
    assert_eq!(all.len(), CLIENTS * WRITES);
    assert_eq!(
        all.iter().copied().collect::<HashSet<_>>(),
        acknowledged.iter().flatten().map(String::as_str).collect(),
        "what is in the history is what was acknowledged"
    );
    // Each client's writes are in the order it made them.
    let place: HashMap<_, _> = all.iter().enumerate().map(|(n, id)| (*id, n)).collect();
    for mine in &acknowledged {
        assert!(mine.is_sorted_by_key(|id| place[id.as_str()]));
    }
    // One chain: each has the one before it as its parent, and adds one message to it.
    let mut before: Option<&Value> = None;
    for (step, state) in history.iter().enumerate() {
        let parent = before.map_or(&Value::Null, |before| &before["checkpoint_id"]);
        assert_eq!(&state["parent_checkpoint_id"], parent);
        assert_eq!(state["metadata"]["step"], json!(step));
        let (messages, counter) = (ids_of_messages(state), &state["values"]["counter"]);
        let written = format!("{}-{}", counter["client"], counter["n"]);
        let expected = before.map(ids_of_messages).unwrap_or_default();
        assert_eq!(messages, [&expected[..], &[&written]].concat());
        before = Some(state);
    }

    for events in &mut streams {
        let seen = events.take(CLIENTS * WRITES).await;
        assert_eq!(states(&seen), history);
    }
    // And nothing after that but what is new.
    let last = user.write(&thread, json!({ "counter": null })).await;
    for events in &mut streams {
        assert_eq!(events.next().await.unwrap().checkpoint_id(), last);
    }
}

/// The connections on which instances hear of changes.
async fn listening(pool: &PgPool) -> Vec<i32> {
    let listening = "select pid from pg_stat_activity \
                     where datname = current_database() and query ilike 'listen %'";
    sqlx::query_scalar(listening).fetch_all(pool).await.unwrap()
}

async fn all_listen(pool: &PgPool, instances: usize) {
    let wait = async {
        while listening(pool).await.len() < instances {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap();
}

#[tokio::test]
async fn a_write_on_one_instance_wakes_the_streams_of_the_other() {
    let one = TestServer::start().await;
    let two = one.start_beside().await;
    let user = one.user().await;
    let thread = user.thread(json!({})).await;
    all_listen(&one.pool, 2).await;
    let mut events = Events::of(&user.at(&two), &thread).await;
    let follow = async {
        for n in 0..25 {
            let written = user.write(&thread, json!({ "n": n })).await;
            assert_eq!(events.next().await.unwrap().checkpoint_id(), written);
        }
    };
    // Every watched thread is looked at every five seconds: at that pace this takes two minutes.
    tokio::time::timeout(PATIENCE, follow).await.expect("no wake-ups, only the recheck");
}

#[tokio::test]
async fn streams_catch_up_when_the_listening_connections_are_killed() {
    let one = TestServer::start().await;
    let two = one.start_beside().await;
    let user = one.user().await;
    let thread = user.thread(json!({})).await;
    let mut streams = [Events::of(&user, &thread).await, Events::of(&user.at(&two), &thread).await];
    let mut written = Vec::new();
    for round in 0..3 {
        all_listen(&one.pool, 2).await;
        for pid in listening(&one.pool).await {
            let kill = sqlx::query_scalar("select pg_terminate_backend($1)").bind(pid);
            let killed: bool = kill.fetch_one(&one.pool).await.unwrap();
            assert!(killed);
        }
        for n in 0..10 {
            written.push(user.write(&thread, json!({ "round": round, "n": n })).await);
        }
        for events in &mut streams {
            let seen = events.take(10).await;
            let seen: Vec<_> = seen.iter().map(Event::checkpoint_id).collect();
            assert_eq!(seen, written[written.len() - 10..]);
        }
    }
    // They listen again, and a wake-up is enough.
    all_listen(&one.pool, 2).await;
    let last = user.at(&two).write(&thread, json!({ "n": "last" })).await;
    for events in &mut streams {
        assert_eq!(events.next().await.unwrap().checkpoint_id(), last);
    }
}

#[tokio::test]
async fn a_deletion_on_one_instance_ends_the_streams_of_the_other() {
    let one = TestServer::start().await;
    let two = one.start_beside().await;
    let user = one.user().await;
    all_listen(&one.pool, 2).await;
    let delete = async {
        for n in 0..25 {
            let thread = user.thread(json!({})).await;
            let query = if n % 2 == 0 { "" } else { "?stream_modes=state_update" };
            let mut events = Events::open(&user.at(&two), &thread, query, None).await;
            if n < 20 {
                user.delete(&format!("/threads/{thread}")).await.expect(204);
            } else {
                let prune = json!({ "thread_ids": [thread] });
                user.post("/threads/prune", prune).await.expect(200);
            }
            assert_eq!(events.rest().await, []);
        }
    };
    // As above: the recheck alone would take two minutes.
    tokio::time::timeout(PATIENCE, delete).await.expect("no wake-ups, only the recheck");
}

#[tokio::test(flavor = "multi_thread")]
async fn threads_that_somebody_holds_locked_hold_up_no_others() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let mut threads = Vec::new();
    for _ in 0..24 {
        threads.push(user.thread(json!({})).await);
    }
    let (locked, free) = threads.split_at(4);
    let mut transaction = server.pool.begin().await.unwrap();
    sqlx::query(
        "select from thread_store.thread where thread_id = any($1::text[]::uuid[]) for update",
    )
    .bind(locked)
    .execute(&mut *transaction)
    .await
    .unwrap();
    let change = |thread: String| {
        let user = user.clone();
        tokio::spawn(async move {
            let path = format!("/threads/{thread}");
            user.patch(&path, json!({ "metadata": { "n": 1 } })).await.expect(200);
            user.write(&thread, json!({ "messages": ["hello"] })).await;
        })
    };
    let held: Vec<_> = locked.iter().cloned().map(change).collect();
    let others: Vec<_> = free.iter().cloned().map(change).collect();
    for other in others {
        tokio::time::timeout(std::time::Duration::from_secs(3), other).await.unwrap().unwrap();
    }
    assert!(held.iter().all(|held| !held.is_finished()));
    transaction.commit().await.unwrap();
    for held in held {
        held.await.unwrap();
    }
}
