//! The agents of `examples/attached`, as docs/agents.md says to start them.

use std::path::Path;
use std::process::Stdio;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use super::agent::{attach, until};
use crate::support::deadline::PATIENCE;
use crate::support::postgres::{test_cluster, url_of};
use crate::support::{Answer, TestServer, User};

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/attached");

/// Starts an agent, and answers with where it listens.
async fn start(mut command: Command, server: &TestServer) -> (Child, String) {
    command
        .env("DATABASE_URL", url_of(&server.database))
        .envs([("SUPABASE_URL", &server.url), ("THREAD_STORE_URL", &server.url)])
        .envs([("SUPABASE_ANON_KEY", "local"), ("PORT", "0"), ("NO_PROXY", "127.0.0.1")])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = tokio::time::timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap();
    (child, line.unwrap())
}

async fn say(user: &User, agent: &str, body: Value) -> Answer {
    let to_agent = User { url: agent.to_owned(), ..user.clone() };
    Answer::of(to_agent.request(Method::POST, "/").json(&body)).await
}

/// What is said in the threads that a user sees.
async fn seen(user: &User) -> Vec<Vec<String>> {
    let found = user.post("/threads/search", json!({})).await.expect(200);
    let content = |message: &Value| message["content"].as_str().unwrap().to_owned();
    let contents = |thread: &Value| {
        let messages = thread["values"]["messages"].as_array().cloned().unwrap_or_default();
        messages.iter().map(content).collect()
    };
    found.as_array().unwrap().iter().map(contents).collect()
}

async fn database() -> (TestServer, User, User) {
    let server = TestServer::start_at(test_cluster().await.database().await, |_| ()).await;
    let (ada, bob) = (server.user().await, server.user().await);
    (server, ada, bob)
}

#[tokio::test]
async fn the_example_in_python_has_private_threads() {
    let Ok(python) = std::env::var("THREAD_STORE_TEST_PYTHON") else { return };
    let (server, ada, bob) = database().await;
    let mut command = Command::new(python);
    command.arg(Path::new(EXAMPLES).join("agent.py")).stderr(Stdio::null());
    let (_agent, url) = start(command, &server).await;
    attach(&server.database, "public", None).await.unwrap();
    // Both have a chat of this name.
    for (user, text) in [(&ada, "Hello"), (&bob, "Secret")] {
        let answer = say(user, &url, json!({ "chat": "first", "text": text })).await;
        assert_eq!(answer.text, format!("You said: {text}\n"));
        until("it is served", async || !seen(user).await.is_empty()).await;
        assert_eq!(seen(user).await, [[text.to_owned(), format!("You said: {text}")]]);
    }
    let stranger = ada.with_token("bad");
    let refused = say(&stranger, &url, json!({ "chat": "first", "text": "x" })).await;
    assert!(refused.status.is_client_error(), "{}", refused.status);
}

#[tokio::test]
async fn the_example_in_javascript_has_private_threads() {
    let Ok(modules) = std::env::var("THREAD_STORE_TEST_NODE_MODULES") else { return };
    let (server, ada, bob) = database().await;
    let directory = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(&modules, directory.path().join("node_modules")).unwrap();
    let script = directory.path().join("agent.mjs");
    std::fs::copy(Path::new(EXAMPLES).join("agent.mjs"), &script).unwrap();
    let mut command = Command::new("node");
    command.arg(script);
    let (_agent, url) = start(command, &server).await;
    attach(&server.database, "public", None).await.unwrap();
    let begun = say(&ada, &url, json!({ "text": "Hello" })).await.expect(200);
    let again = json!({ "thread_id": begun["thread_id"], "text": "Again" });
    assert_eq!(say(&ada, &url, again.clone()).await.expect(200)["content"], "You said: Again");
    let said = ["Hello", "You said: Hello", "Again", "You said: Again"].map(str::to_owned);
    assert_eq!(seen(&ada).await, [said]);
    assert_eq!(say(&bob, &url, again).await.status, 404);
    assert!(seen(&bob).await.is_empty());
    let stranger = ada.with_token("bad");
    let refused = say(&stranger, &url, json!({ "text": "x" })).await;
    assert!(refused.status.is_client_error(), "{}", refused.status);
}
