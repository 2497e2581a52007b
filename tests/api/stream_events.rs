//! `POST /threads/{thread_id}/stream/events`: silent, and as long as its thread.

use std::time::Duration;

use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use crate::sse::PATIENCE;
use crate::support::{Answer, TestServer, User};

/// Opens the stream as the hooks of `@langchain/react` do.
async fn open(user: &User, thread: &str) -> Response {
    let body =
        json!({ "channels": ["lifecycle", "input", "custom:x"], "namespaces": [[]], "depth": 1 });
    let path = format!("/threads/{thread}/stream/events");
    let response = user.request(Method::POST, &path).json(&body).send().await.unwrap();
    assert_eq!(response.status(), 200);
    response
}

/// What comes until the end of the stream.
async fn rest(mut response: Response) -> String {
    let mut text = String::new();
    while let Some(chunk) = timeout(PATIENCE, response.chunk()).await.unwrap().unwrap() {
        text.push_str(std::str::from_utf8(&chunk).unwrap());
    }
    text
}

#[tokio::test]
async fn an_own_thread_has_a_silent_stream_that_ends_when_the_thread_is_deleted() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let thread = user.thread(json!({})).await;
    let mut response = open(&user, &thread).await;
    for (name, value) in [
        ("content-type", "text/event-stream"),
        ("cache-control", "no-store"),
        ("x-accel-buffering", "no"),
    ] {
        assert_eq!(response.headers()[name], value, "{name}");
    }
    // A state is no event of a run.
    user.write(&thread, json!({ "messages": ["x"] })).await;
    // Clients measure the time between comments, which the reference server sends every 5 s.
    let opened = Instant::now();
    let first = timeout(PATIENCE, response.chunk()).await.unwrap().unwrap().unwrap();
    assert!(first.starts_with(b":") && first.ends_with(b"\n\n"), "{first:?}");
    assert!((4..10).contains(&opened.elapsed().as_secs()), "{:?}", opened.elapsed());
    user.delete(&format!("/threads/{thread}")).await.expect(204);
    let text = rest(response).await;
    assert!(text.lines().all(|line| line.is_empty() || line.starts_with(':')), "{text}");
}

#[tokio::test]
async fn a_foreign_thread_is_as_missing_as_one_that_never_was() {
    let server = TestServer::start().await;
    let (mine, theirs) = (server.user().await, server.user().await);
    let (thread, never) = (mine.thread(json!({})).await, uuid::Uuid::now_v7().to_string());
    let ask = async |user: &User, thread: &str| {
        let path = format!("/threads/{thread}/stream/events");
        user.post(&path, json!({ "channels": ["values"] })).await
    };
    let (foreign, missing) = (ask(&theirs, &thread).await, ask(&theirs, &never).await);
    foreign.expect(404);
    assert_eq!(foreign.detail(), format!("Thread with ID {thread} not found"));
    assert_eq!(foreign.text.replace(&thread, ""), missing.text.replace(&never, ""));
    assert_eq!(ask(&server.nobody(), &thread).await.status, 403);
    let path = format!("/threads/{thread}/stream/events");
    for method in [Method::GET, Method::PUT, Method::PATCH, Method::DELETE] {
        let answer = Answer::of(mine.request(method.clone(), &path)).await;
        assert_eq!(
            (answer.status, answer.header("allow")),
            (StatusCode::METHOD_NOT_ALLOWED, "POST")
        );
    }
}

#[tokio::test]
async fn it_counts_as_a_stream_and_not_as_a_request() {
    let server = TestServer::start_with(|config| {
        config.limits.streams = 2;
        config.limits.streams_per_user = Some(2);
        config.limits.requests = 1;
    })
    .await;
    let user = server.user().await;
    let thread = user.thread(json!({})).await;
    let path = format!("/threads/{thread}/stream/events");
    let streams = [open(&user, &thread).await, open(&user, &thread).await];
    let refused = user.post(&path, json!({ "channels": ["values"] })).await;
    refused.expect(429);
    assert!(!refused.header("retry-after").is_empty());
    assert_eq!(user.get(&format!("/threads/{thread}/stream")).await.status, 429);
    drop(streams);
    // Its place is free once the server has noticed.
    let opened = async {
        while user
            .request(Method::POST, &path)
            .json(&json!({ "channels": ["values"] }))
            .send()
            .await
            .unwrap()
            .status()
            != 200
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, opened).await.unwrap();
}

#[tokio::test]
async fn it_ends_when_the_server_stops() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let thread = user.thread(json!({})).await;
    let response = open(&user, &thread).await;
    server.stop();
    let text = rest(response).await;
    assert!(text.contains(": the server is stopping\n"), "{text}");
    server.stopped().await;
}

#[tokio::test]
async fn channels_that_do_not_exist_are_refused_by_name() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let thread = user.thread(json!({})).await;
    let path = format!("/threads/{thread}/stream/events");
    for (body, named) in [
        (json!({}), "channels"),
        (json!({ "channels": [] }), "channels: must not be empty"),
        (
            json!({ "channels": ["values", "nope"] }),
            "channels[1]: \"nope\" must be one of values, ",
        ),
        (json!({ "channels": "values" }), "channels: "),
    ] as [(Value, &str); 4]
    {
        let answer = user.post(&path, body).await;
        answer.expect(422);
        assert!(answer.detail().contains(named), "{}", answer.text);
    }
}
