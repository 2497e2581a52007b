//! `thread-store import` between two servers, as its user runs it.

mod copies;
mod order;
mod other_servers;
mod refusals;

use std::collections::HashMap;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::process::Command;

use crate::support::steps::{human, remove, texts};
use crate::support::{TestServer, User};

/// What a run of the program said.
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) report: String,
    errors: String,
}

/// The number in a line of the report.
impl Said {
    #[track_caller]
    fn number(&self, what: &str) -> usize {
        let line = self.report.lines().find(|line| line.trim().ends_with(what));
        line.map_or(0, |line| line.split_whitespace().next().unwrap().parse().unwrap())
    }

    #[track_caller]
    fn succeeded(&self) -> &Said {
        assert_eq!(self.code, Some(0), "{}{}", self.report, self.errors);
        self
    }

    /// The one line that says what ended it, apart from the log.
    #[track_caller]
    fn error(&self) -> &str {
        let mut errors = self.errors.lines().filter(|line| line.starts_with("thread-store: the "));
        let error = errors.next().unwrap();
        assert_eq!(errors.next(), None);
        error
    }

    fn written(&self) -> usize {
        let first = self.report.lines().next().unwrap();
        let (_, rest) = first.split_once("source, ").unwrap();
        rest.split(' ').next().unwrap().parse().unwrap()
    }
}

/// The program with these tokens and arguments, where there is no `.env`.
fn command(directory: &Path, from: (&str, &str), to: (&str, &str), more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_thread-store"));
    command
        .env_clear()
        .envs([("SOURCE_TOKEN", from.1), ("DESTINATION_TOKEN", to.1), ("RUST_LOG", "trace")])
        .args(["import", "--from", from.0, "--from-token-env", "SOURCE_TOKEN"])
        .args(["--to", to.0, "--to-token-env", "DESTINATION_TOKEN"])
        .args(more)
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

async fn import_with(from: (&str, &str), to: (&str, &str), more: &[&str]) -> Said {
    let directory = tempfile::tempdir().unwrap();
    let output = command(directory.path(), from, to, more).output().await.unwrap();
    let said = Said {
        code: output.status.code(),
        report: String::from_utf8(output.stdout).unwrap(),
        errors: String::from_utf8(output.stderr).unwrap(),
    };
    for token in [from.1, to.1] {
        assert!(!said.report.contains(token) && !said.errors.contains(token), "it shows a token");
    }
    said
}

pub(crate) async fn import(from: &User, to: &User) -> Said {
    import_with((&from.url, &from.token), (&to.url, &to.token), &[]).await
}

/// Two servers with a user each.
async fn servers() -> (TestServer, TestServer, User, User) {
    let (source, destination) = (TestServer::start().await, TestServer::start().await);
    let (from, to) = (source.user().await, destination.user().await);
    (source, destination, from, to)
}

/// A thread with all that states can do.
pub(crate) async fn eventful(user: &User, number: usize) -> String {
    let metadata =
        json!({ "number": number, "big": 12_345_678_901_234_567_890_u64, "n": { "x": [1, null] } });
    let id = user.thread(json!({ "metadata": metadata })).await;
    let first =
        json!({ "messages": [human("1", "a"), human("2", "b")], "n": 1.5, "k": { "a": [1] } });
    let body = json!({ "values": first, "as_node": "begin" });
    let root = user.checkpoint(&id, body).await;
    user.write(&id, json!({ "messages": [human("3", "ü \u{1F600}")], "k": null })).await;
    user.checkpoint(&id, json!({ "values": null })).await;
    user.write(&id, json!({ "messages": [human("2", "B"), remove("1")] })).await;
    let fork = user.fork(&id, &root, json!({ "messages": [human("4", "fork")], "n": 2 })).await;
    user.write(&id, json!({ "messages": [remove("__remove_all__"), human("1", "anew")] })).await;
    user.fork(&id, &fork, json!({ "other": [true], "messages": [remove("2"), human("5", "e")] }))
        .await;
    user.write(&id, json!({ "messages": [human("1", "A"), human("6", "f")] })).await;
    id
}

/// What an import has to keep of a history, newest first: values, parents by place, nodes.
async fn kept(user: &User, thread_id: &str) -> Vec<Value> {
    let history = user.history(thread_id).await;
    let places: HashMap<_, _> = history
        .iter()
        .enumerate()
        .map(|(place, state)| (state["checkpoint_id"].clone(), place))
        .collect();
    let states = history.iter().map(|state| {
        json!([
            state["values"],
            places.get(&state["parent_checkpoint_id"]),
            state["metadata"]["as_node"],
            state["metadata"]["step"],
        ])
    });
    states.collect()
}

/// All rows by id, without what an import cannot keep.
async fn rows(user: &User) -> Vec<Value> {
    let body = json!({ "limit": 1000, "sort_by": "thread_id", "sort_order": "asc" });
    let mut threads = user.post("/threads/search", body).await.expect(200);
    for thread in threads.as_array_mut().unwrap() {
        let fields = thread.as_object_mut().unwrap();
        for field in ["created_at", "updated_at", "state_updated_at"] {
            fields.remove(field).unwrap();
        }
        fields["metadata"].as_object_mut().unwrap().remove("owner").unwrap();
    }
    threads.as_array().unwrap().clone()
}

#[track_caller]
fn same<T: PartialEq + std::fmt::Debug>(one: &T, other: &T) {
    assert_eq!(one, other);
}

async fn is_faithful(from: &User, to: &User) {
    let (source, destination) = (rows(from).await, rows(to).await);
    same(&source, &destination);
    for id in texts(&json!(source), "thread_id") {
        same(&kept(from, &id).await, &kept(to, &id).await);
    }
}
