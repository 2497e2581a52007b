//! Forks, appends, copies, prunes and sweeps of one thread at the same time, on two servers: every
//! acknowledged checkpoint is whole, or properly gone.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::join_all;
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};
use sqlx::postgres::PgConnectOptions;
use thread_store::store::{PutOff, Store};
use tokio::sync::OnceCell;

use crate::check;
use crate::support::{TestServer, User};

/// What is done to the thread, while all the others are.
#[derive(Debug, Clone, Copy)]
enum Step {
    Append,
    /// Onto one of the checkpoints from before.
    Fork(usize),
    Copy,
    Prune,
    /// Lets its time be over, so that the sweeper keeps its latest checkpoint.
    Expire,
}

/// A step, and how it comes among the others.
#[derive(Debug, Clone, Copy)]
struct Planned {
    step: Step,
    on_second_server: bool,
    microseconds: u64,
}

fn plan() -> impl Strategy<Value = Vec<Planned>> {
    let step = prop_oneof![
        3 => Just(Step::Append),
        4 => (0..3_usize).prop_map(Step::Fork),
        1 => Just(Step::Copy),
        2 => Just(Step::Prune),
        1 => Just(Step::Expire),
    ];
    let planned =
        (step, any::<bool>(), 0..3_000_u64).prop_map(|(step, on_second_server, microseconds)| {
            Planned { step, on_second_server, microseconds }
        });
    vec(planned, 2..8)
}

/// The values that a write with this name adds: a key and a message, so that half of it shows.
fn own(name: &str) -> Value {
    json!({ name: name, "messages": [{ "type": "human", "id": name, "content": name }] })
}

/// The names of the writes that values are made of, in whole.
fn names(values: &Value) -> BTreeSet<String> {
    let messages = values["messages"].as_array().cloned().unwrap_or_default();
    let ids: Vec<_> = messages.iter().map(|it| it["id"].as_str().unwrap().to_owned()).collect();
    let by_messages: BTreeSet<_> = ids.iter().cloned().collect();
    assert_eq!(ids.len(), by_messages.len(), "a message twice: {values}");
    let keys = values.as_object().unwrap().iter().filter(|(key, _)| *key != "messages");
    let by_keys: BTreeSet<_> = keys
        .map(|(key, value)| {
            assert_eq!(value, key, "{values}");
            key.clone()
        })
        .collect();
    assert_eq!(by_keys, by_messages, "half of a write: {values}");
    by_keys
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

/// What became of a step.
enum Done {
    /// It wrote this checkpoint, onto one from before if it is a fork.
    Wrote {
        name: String,
        checkpoint: String,
        onto: Option<usize>,
    },
    Copied(String),
    Other,
}

async fn carry_out(user: &User, thread: &str, before: &[String], n: usize, step: Step) -> Done {
    let name = format!("w{n}");
    let state = format!("/threads/{thread}/state");
    let (body, onto) = match step {
        Step::Append => (json!({ "values": own(&name) }), None),
        Step::Fork(onto) => {
            let checkpoint = &before[onto];
            (json!({ "values": own(&name), "checkpoint_id": checkpoint }), Some(onto))
        }
        Step::Copy => {
            let answer = user.post(&format!("/threads/{thread}/copy"), json!({})).await;
            let copy = answer.expect(200);
            return Done::Copied(copy["thread_id"].as_str().unwrap().to_owned());
        }
        Step::Prune => {
            let body = json!({ "thread_ids": [thread], "strategy": "keep_latest" });
            user.post("/threads/prune", body).await.expect(200);
            return Done::Other;
        }
        Step::Expire => {
            user.expire(thread, "keep_latest").await;
            return Done::Other;
        }
    };
    let answer = user.post(&state, body).await;
    if onto.is_some() && [404, 409].contains(&answer.status.as_u16()) {
        // The checkpoint to write onto was pruned.
        return Done::Other;
    }
    let written = answer.expect(200);
    let checkpoint = written["checkpoint_id"].as_str().unwrap().to_owned();
    Done::Wrote { name, checkpoint, onto }
}

/// On a thread of its own, until the process ends.
fn sweep_for_ever(options: PgConnectOptions) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = Store::open(options, 2).await.unwrap();
        let mut put_off = PutOff::default();
        loop {
            store.sweep(&mut put_off).await.unwrap();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
}

async fn property(server: &TestServer, plan: Vec<Planned>) {
    static SECOND: OnceCell<TestServer> = OnceCell::const_new();
    static USER: OnceCell<User> = OnceCell::const_new();
    let second = SECOND
        .get_or_init(async || {
            let options = server.database.clone();
            std::thread::spawn(move || sweep_for_ever(options));
            server.start_beside().await
        })
        .await;
    let user = USER.get_or_init(|| server.user()).await;

    let thread = user.thread(json!({})).await;
    let mut before = Vec::new();
    for name in ["b0", "b1", "b2"] {
        before.push(user.checkpoint(&thread, json!({ "values": own(name) })).await);
    }
    let bases = [set(&["b0"]), set(&["b0", "b1"]), set(&["b0", "b1", "b2"])];
    let on_second = user.at(second);
    let steps = plan.iter().enumerate().map(async |(n, planned)| {
        tokio::time::sleep(Duration::from_micros(planned.microseconds)).await;
        let user = if planned.on_second_server { &on_second } else { user };
        carry_out(user, &thread, &before, n, planned.step).await
    });
    let done = join_all(steps).await;

    let is_pruned = plan.iter().any(|it| matches!(it.step, Step::Prune | Step::Expire));
    let mut written = 0;
    for done in &done {
        match done {
            Done::Wrote { name, checkpoint, onto } => {
                written += 1;
                let state =
                    user.get(&format!("/threads/{thread}/state/{checkpoint}")).await.expect(200);
                if state["created_at"].is_null() {
                    assert!(is_pruned, "an acknowledged checkpoint is gone: {name}");
                    assert_eq!(state["values"], json!({}), "gone in part");
                    continue;
                }
                let mut names = names(&state["values"]);
                assert!(names.remove(name), "{name} is not in its own checkpoint");
                match onto {
                    Some(onto) => assert_eq!(names, bases[*onto], "{name} onto {onto}"),
                    None => assert!(names.contains("b0"), "{name}: {names:?}"),
                }
            }
            Done::Copied(copy) => {
                let history = user.history(copy).await;
                assert!(!history.is_empty());
                for state in history {
                    assert!(names(&state["values"]).contains("b0"), "a torn copy");
                }
                user.delete(&format!("/threads/{copy}")).await;
            }
            Done::Other => {}
        }
    }
    let history = user.history(&thread).await;
    assert!(!history.is_empty() && (is_pruned || history.len() == 3 + written), "{history:?}");
    for state in &history {
        assert!(names(&state["values"]).contains("b0"));
    }
    assert_eq!(user.values(&thread).await, history[0]["values"]);
    user.delete(&format!("/threads/{thread}")).await;
}

#[test]
fn what_is_done_to_a_thread_at_once_leaves_whole_checkpoints_or_none() {
    check(150, &plan(), &property);
}
