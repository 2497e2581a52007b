//! Runs that are forwarded to an agent, which writes down every byte that it hears.

mod access;
pub(crate) mod agent;
mod answers;
mod first_event;
mod identity;
mod ways;

use reqwest::Method;
use serde_json::{Value, json};
use thread_store::agent::Options;

use crate::support::{Answer, TestServer, User};
use agent::Agent;

/// The settings for an agent.
pub(crate) fn settings(url: &str) -> Options {
    Options {
        url: url.parse().unwrap(),
        api_key: Some("agent-key".to_owned().into()),
        forward_token: false,
        forward: Vec::new(),
        owner_key: "user_id".to_owned(),
    }
}

/// A server in front of an agent.
pub(crate) async fn server(agent: &Agent) -> TestServer {
    TestServer::start_with(|config| config.agent = Some(settings(&agent.url))).await
}

/// Starts a run as the SDKs do, and reads all of its events.
pub(crate) async fn run(user: &User, thread: &str, more: Value) -> Answer {
    let mut body = json!({ "assistant_id": "agent", "input": { "messages": [] } });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    user.post(&format!("/threads/{thread}/runs/stream"), body).await
}

/// The run that an answer is about.
pub(crate) fn run_id(answer: &Answer) -> String {
    answer.header("content-location").rsplit('/').next().unwrap().to_owned()
}

/// What is asked for and not there.
pub(crate) fn missing(thread: &str) -> String {
    format!("Thread with ID {thread} not found")
}

/// Sends a request without a body.
pub(crate) async fn ask(user: &User, method: Method, path: &str) -> Answer {
    Answer::of(user.request(method, path)).await
}
