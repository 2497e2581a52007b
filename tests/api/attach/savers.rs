//! The real savers: graphs of different shapes are run with them, and what this server says of their
//! threads is compared with what the library says.

use std::process::{Command, Output};

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::agent::{attach, until};
use crate::support::postgres::{test_cluster, url_of};
use crate::support::{TestServer, User};

const PYTHON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/agents/python/graphs.py");
const JAVASCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/agents/javascript/graphs.mjs");

/// A Python with what `tests/clients/requirements.txt` lists. CI has one.
fn python() -> Option<String> {
    std::env::var("THREAD_STORE_TEST_PYTHON").ok()
}

/// A folder with what `tests/clients/package.json` lists. CI has one.
fn node_modules() -> Option<String> {
    std::env::var("THREAD_STORE_TEST_NODE_MODULES").ok()
}

fn printed(output: &Output) -> Vec<Value> {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The state as both have it.
fn state(shown: &Value) -> Value {
    let mut values = shown["values"].as_object().cloned().unwrap_or_default();
    // The library shows what a reducer begins with, which is stored nowhere.
    values.retain(|_, value| !value.is_null() && *value != json!([]));
    let values = brief(&Value::Object(values));
    json!({
        "values": values,
        "next": sorted(&shown["next"]),
        "checkpoint_id": shown["checkpoint_id"],
        "parent_checkpoint_id": shown["parent_checkpoint_id"],
    })
}

/// Messages by what both libraries print of them.
fn brief(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(brief).collect(),
        Value::Object(fields) if fields.contains_key("content") => {
            let fields = ["type", "content", "id"]
                .map(|name| (name.to_owned(), fields.get(name).cloned().unwrap_or_default()));
            Value::Object(fields.into_iter().collect())
        }
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| (name.clone(), brief(value)));
            Value::Object(fields.collect())
        }
        other => other.clone(),
    }
}

fn sorted(names: &Value) -> Vec<String> {
    let mut names: Vec<String> = serde_json::from_value(names.clone()).unwrap();
    names.sort();
    names
}

/// The tasks, in the order of their names and of what they ask.
fn tasks(shown: &Value, fields: &[&str]) -> Vec<Value> {
    let tasks = shown["tasks"].as_array().unwrap().iter().map(|task| {
        let fields = fields.iter().map(|field| ((*field).to_owned(), task[*field].clone()));
        let mut fields: Map<_, _> = fields.map(|(name, value)| (name, brief(&value))).collect();
        if let Some(interrupts) = fields.get_mut("interrupts").and_then(Value::as_array_mut) {
            for interrupt in interrupts {
                *interrupt = json!({ "id": interrupt["id"], "value": interrupt["value"] });
            }
        }
        Value::Object(fields)
    });
    let mut tasks: Vec<_> = tasks.collect();
    tasks.sort_by_key(Value::to_string);
    tasks
}

/// What the values of the library hold more than ours, because a reducer is not known, is left out.
fn without_unknown(mut ours: Value, mut theirs: Value) -> (Value, Value) {
    let unknown = ours["metadata"]["unreadable"].as_object().cloned().unwrap_or_default();
    for name in unknown.keys() {
        for side in [&mut ours, &mut theirs] {
            side["values"].as_object_mut().unwrap().remove(name);
        }
    }
    (ours, theirs)
}

async fn compare(user: &User, threads: &[Value], of_task: &[&str]) {
    for thread in threads {
        let (name, id) = (&thread["name"], thread["thread_id"].as_str().unwrap());
        let now = user.get(&format!("/threads/{id}/state")).await.expect(200);
        let (ours, theirs) = without_unknown(now.clone(), thread["now"].clone());
        assert_eq!(state(&ours), state(&theirs), "{name}, now");
        assert_eq!(tasks(&now, of_task), tasks(&thread["now"], of_task), "{name}, now");
        let history = user.post(&format!("/threads/{id}/history"), json!({ "limit": 1000 })).await;
        let history = history.expect(200);
        let (ours, theirs) = (history.as_array().unwrap(), thread["history"].as_array().unwrap());
        assert_eq!(ours.len(), theirs.len(), "{name}");
        for (place, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
            assert_eq!(ours["metadata"].get("unreadable"), None, "{name}, {place}");
            assert_eq!(state(ours), state(theirs), "{name}, {place}");
            assert_eq!(tasks(ours, of_task), tasks(theirs, of_task), "{name}, {place}");
            if theirs["created_at"].is_string() {
                assert_eq!(ours["created_at"], theirs["created_at"], "{name}, {place}");
            }
        }
        let thread = user.get(&format!("/threads/{id}")).await.expect(200);
        assert_eq!(thread["values"], history[0]["values"], "{name}");
        let is_waiting = !now["interrupts"].as_array().unwrap().is_empty();
        assert_eq!(thread["status"] == "interrupted", is_waiting, "{name}: {}", thread["status"]);
        let is_idle = now["next"].as_array().unwrap().is_empty();
        assert_eq!(thread["status"] == "idle", is_idle, "{name}: {}", thread["status"]);
    }
}

/// Old releases say otherwise of these: a question that was asked again was none to them, and of two
/// tasks of one name they know the id.
const OLD: [&str; 2] = ["asks_twice_in_one_node", "forks"];

async fn python_agrees(python: &str, but_for: &[&str]) {
    // Attached before the graphs run, and after.
    for is_before in [true, false] {
        let database = test_cluster().await.database().await;
        let server = TestServer::start_at(database.clone(), |_| ()).await;
        let user = server.user().await;
        let url = url_of(&database);
        let run = |words: &[&str]| Command::new(python).arg(PYTHON).args(words).output().unwrap();
        if is_before {
            let made = run(&[&url, "setup"]);
            assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
            attach(&database, "public", None).await.unwrap();
        }
        let threads = printed(&run(&[&url, &user.id]));
        assert!(threads.len() >= 20, "{}", threads.len());
        if !is_before {
            let taken_in = attach(&database, "public", None).await.unwrap().0;
            assert_eq!(taken_in.taken_in, u64::try_from(threads.len()).unwrap());
        }
        let is_compared = |thread: &Value| !but_for.iter().any(|name| thread["name"] == *name);
        let compared: Vec<_> =
            threads.iter().filter(|thread| is_compared(thread)).cloned().collect();
        compare(&user, &compared, &["name", "error", "interrupts", "result"]).await;
        let count = user.post("/threads/count", json!({})).await.expect(200);
        assert_eq!(count, threads.len());
    }
}

#[tokio::test]
async fn states_are_those_of_the_python_library() {
    let Some(python) = python() else { return };
    python_agrees(&python, &[]).await;
}

#[tokio::test]
async fn states_are_those_of_an_old_python_library() {
    let Ok(python) = std::env::var("THREAD_STORE_TEST_OLD_PYTHON") else { return };
    python_agrees(&python, &OLD).await;
}

#[tokio::test]
async fn states_are_those_of_the_javascript_library() {
    let Some(modules) = node_modules() else { return };
    javascript_agrees(&modules, &["id", "name", "interrupts"]).await;
}

#[tokio::test]
async fn states_are_those_of_an_old_javascript_library() {
    let Ok(modules) = std::env::var("THREAD_STORE_TEST_OLD_NODE_MODULES") else { return };
    // It makes the ids of tasks otherwise.
    javascript_agrees(&modules, &["name", "interrupts"]).await;
}

async fn javascript_agrees(modules: &str, of_task: &[&str]) {
    let database = test_cluster().await.database().await;
    let server = TestServer::start_at(database.clone(), |_| ()).await;
    let user = server.user().await;
    // Node looks for packages beside the script.
    let directory = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(modules, directory.path().join("node_modules")).unwrap();
    let script = directory.path().join("graphs.mjs");
    std::fs::copy(JAVASCRIPT, &script).unwrap();
    let run = |words: &[String]| Command::new("node").arg(&script).args(words).output().unwrap();
    let count = run(&[]);
    let count: usize = String::from_utf8(count.stdout).unwrap().trim().parse().unwrap();
    let mut ids = Vec::new();
    for _ in 0..count {
        ids.push(user.thread(json!({ "metadata": { "title": "T" } })).await);
    }
    let words: Vec<_> = std::iter::once(url_of(&database)).chain(ids.clone()).collect();
    let threads = printed(&run(&words));
    let taken_in = attach(&database, "public", None).await.unwrap().0;
    assert_eq!(taken_in.taken_in, u64::try_from(count).unwrap());
    compare(&user, &threads, of_task).await;
    // Threads of a saver that names no owner and that nobody made here are nobody's.
    let nobodys: Vec<_> = (0..count).map(|_| Uuid::new_v4().to_string()).collect();
    let words: Vec<_> = std::iter::once(url_of(&database)).chain(nobodys.clone()).collect();
    printed(&run(&words));
    for id in &nobodys {
        assert_eq!(user.get(&format!("/threads/{id}")).await.status, 404);
        assert_eq!(user.post("/threads", json!({ "thread_id": id })).await.status, 409);
    }
    until("nothing is left to work off", async || {
        let left = sqlx::query_scalar::<_, i64>("select count(*) from thread_store.agent_change");
        left.fetch_one(&server.pool).await.unwrap() == 0
    })
    .await;
    assert_eq!(user.post("/threads/count", json!({})).await.expect(200), count);
}
