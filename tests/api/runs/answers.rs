//! What becomes of the agent's answers, and of an agent that does not answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Notify;

use super::agent::{Agent, Heard, Step, chunk, events_head, head, json as answer, last, ordinary};
use super::{missing, run, server, settings};
use crate::raw::Raw;
use crate::support::steps::new_id;
use crate::support::{Answer, TestServer, User};

const SECOND: Duration = Duration::from_secs(1);

/// Opens a run's stream on a connection of the test's own.
async fn open(server: &TestServer, user: &User, thread: &str) -> Raw {
    let mut client = Raw::to(server).await;
    client
        .send(&format!(
            "POST /threads/{thread}/runs/stream HTTP/1.1\r\nHost: localhost\r\n\
             Authorization: Bearer {}\r\nContent-Length: 2\r\n\r\n{{}}",
            user.token
        ))
        .await;
    client
}

async fn status(user: &User, thread: &str) -> Value {
    user.get(&format!("/threads/{thread}")).await.expect(200)["status"].clone()
}

#[tokio::test]
async fn events_pass_as_they_come_and_byte_for_byte() {
    let next = Arc::new(Notify::new());
    let large = format!("event: values\r\ndata: \"{}é\"\r\n\r\n", "x".repeat(1_000_000));
    let parts = [
        "event: metadata\r\ndata: {\"run_id\":\"x\"}\r\n\r\n".to_owned(),
        ": heartbeat\r\n\r\n".to_owned(),
        "event: messages|ns:1\ndata: [{\"content\": \"wo\"}]\nid: 1-0\n\n".to_owned(),
        large,
        "data: \u{0}\u{1f600}\r\r".to_owned(),
        "event: end\n\n".to_owned(),
    ];
    let (gate, sent) = (Arc::clone(&next), parts.clone());
    let agent = Agent::start(move |heard: &Heard| {
        let mut steps = vec![events_head(heard, &new_id())];
        for part in &sent {
            steps.extend([Step::Until(Arc::clone(&gate)), chunk(part)]);
        }
        steps.push(last());
        steps
    })
    .await;
    let server = server(&agent).await;
    let ada = server.user().await;
    let thread = ada.thread(json!({})).await;
    let path = format!("/threads/{thread}/runs/stream");
    let mut response = ada.request(Method::POST, &path).body("{}").send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream; charset=utf-8");
    assert_eq!(response.headers()["x-accel-buffering"], "no");
    assert_eq!(response.headers()["cache-control"], "no-store");
    for part in &parts {
        // Nothing of it is there before, and all of it afterwards.
        next.notify_one();
        let mut came = Vec::new();
        while came.len() < part.len() {
            came.extend_from_slice(&response.chunk().await.unwrap().unwrap());
        }
        assert!(came == part.as_bytes(), "{} bytes", came.len());
    }
    assert_eq!(response.chunk().await.unwrap(), None);
}

/// An answer of which half comes, and what the client has got of it by then.
fn cut(way: &str, heard: &Heard) -> Vec<Step> {
    let half = "event: values\r\ndata: {\"a\":";
    let plain = ["Content-Type: text/event-stream"];
    let sized = ["Content-Type: text/event-stream", "Content-Length: 1000"];
    match way {
        "no last chunk" => vec![events_head(heard, &new_id()), chunk(half), Step::Close],
        "within a chunk" => {
            let step = Step::Send(format!("100\r\n{half}").into());
            vec![events_head(heard, &new_id()), step, Step::Close]
        }
        "reset" => {
            let wait = Step::Silence(SECOND / 10);
            vec![events_head(heard, &new_id()), chunk(half), wait, Step::Reset]
        }
        "too short" => vec![head("200 OK", &sized), Step::Send(half.into()), Step::Close],
        "HTTP/1.0" => {
            let Step::Send(bytes) = head("200 OK", &plain) else { unreachable!() };
            let older = String::from_utf8(bytes).unwrap().replace("HTTP/1.1", "HTTP/1.0");
            vec![Step::Send(older.into()), Step::Send(half.into()), Step::Close]
        }
        _ => unreachable!(),
    }
}

#[tokio::test]
async fn half_an_answer_never_looks_whole() {
    for way in ["no last chunk", "within a chunk", "reset", "too short", "HTTP/1.0"] {
        let agent = Agent::start(move |heard: &Heard| cut(way, heard)).await;
        let server = server(&agent).await;
        let ada = server.user().await;
        let thread = ada.thread(json!({})).await;
        let text = open(&server, &ada, &thread).await.rest().await;
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 "), "{way} {text}");
        assert!(body.contains("data: {\"a\":"), "{way} {text}");
        assert!(!body.ends_with("0\r\n\r\n"), "{way} {text}");
        assert!(!body.contains("error") && !body.contains("detail"), "{way} {text}");
        let client = thread_store::http_client::builder().http2_prior_knowledge().build().unwrap();
        let url = format!("{}/threads/{thread}/runs/stream", server.url);
        let over_http2 = client.post(url).bearer_auth(&ada.token).body("{}").send().await.unwrap();
        assert_eq!(over_http2.status(), 200, "{way}");
        assert!(over_http2.bytes().await.is_err(), "{way}");
        assert_eq!(status(&ada, &thread).await, "idle", "{way}");
        assert_eq!(agent.heard().len(), 2, "{way}");
        let none = async || in_use(&server, "streams").await == 0.0;
        assert!(crate::support::policies::within(SECOND, none).await, "{way}");
    }
}

async fn in_use(server: &TestServer, kind: &str) -> f64 {
    let text = server.nobody().get("/metrics").await.text;
    let name = format!("thread_store_in_use{{kind=\"{kind}\"}} ");
    text.lines().find_map(|line| line.strip_prefix(&name)).map_or(-1.0, |n| n.parse().unwrap())
}

#[tokio::test]
async fn an_agent_that_is_lost_before_its_head_is_502_and_one_that_is_away_is_503() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let agent = Agent::on(listener, |_: &Heard| vec![Step::Close]);
    let server = server(&agent).await;
    let ada = server.user().await;
    let thread = ada.thread(json!({})).await;
    let lost = run(&ada, &thread, json!({})).await;
    lost.expect(502);
    assert_eq!(lost.detail(), "The agent closed the connection without an answer");
    // It may have begun, so it is not asked twice.
    assert_eq!(agent.heard().len(), 1);
    drop(agent);
    let away = run(&ada, &thread, json!({})).await;
    away.expect(503);
    assert_eq!(away.detail(), "The agent is not available, try again shortly");
    assert_eq!(away.header("retry-after"), "1");
    assert!(!away.text.contains("127.0.0.1"), "{}", away.text);
    server.nobody().get("/readyz").await.expect(200);
    assert_eq!(status(&ada, &thread).await, "idle");
    let again = loop {
        if let Ok(listener) = TcpListener::bind(address).await {
            break Agent::on(listener, ordinary);
        }
    };
    run(&ada, &thread, json!({})).await.expect(200);
    drop(again);
}

#[tokio::test]
async fn an_agent_may_take_longer_than_the_database() {
    let agent =
        Agent::start(|heard: &Heard| [vec![Step::Silence(2 * SECOND)], ordinary(heard)].concat())
            .await;
    let server = TestServer::start_with(|config| {
        config.agent = Some(settings(&agent.url));
        config.database_timeout = SECOND;
        config.limits.requests_per_user = Some(1);
    })
    .await;
    let ada = server.user().await;
    let thread = ada.thread(json!({})).await;
    let running = tokio::spawn({
        let (ada, thread) = (ada.clone(), thread.clone());
        async move { run(&ada, &thread, json!({})).await }
    });
    agent.request(0).await;
    // And takes no place among the requests until then.
    ada.get(&format!("/threads/{thread}")).await.expect(200);
    assert!(!running.is_finished());
    running.await.unwrap().expect(200);
}

#[tokio::test]
async fn an_agent_that_refuses_the_server_does_not_sign_its_users_out() {
    for (status, name) in [("401 Unauthorized", "WWW"), ("407 Proxy Authentication", "Proxy")] {
        let line = format!("{name}-Authenticate: Basic realm=x");
        let agent =
            Agent::start(move |_| answer(status, &[&line], r#"{"detail":"bad key"}"#)).await;
        let server = server(&agent).await;
        let ada = server.user().await;
        let thread = ada.thread(json!({})).await;
        let refused = run(&ada, &thread, json!({})).await;
        refused.expect(502);
        assert_eq!(refused.detail(), "The agent refused this server's key");
        assert!(!refused.headers.contains_key("www-authenticate"));
        assert!(!refused.headers.contains_key("proxy-authenticate"));
    }
    let agent = Agent::start(|_| answer("403 Forbidden", &[], r#"{"detail":"not you"}"#)).await;
    let server = server(&agent).await;
    let ada = server.user().await;
    let thread = ada.thread(json!({})).await;
    let refused = run(&ada, &thread, json!({})).await;
    refused.expect(403);
    assert_eq!(refused.detail(), "not you");
}

#[tokio::test]
async fn what_is_no_answer_of_an_agent_becomes_an_error_that_clients_read() {
    let page = "<html>Application error at inner:8123</html>";
    let typed = |status: &str, kind: &str, body: &str| {
        let length = format!("Content-Length: {}", body.len());
        vec![head(status, &[&format!("Content-Type: {kind}"), &length]), Step::Send(body.into())]
    };
    let detail = r#"{"detail":"boom"}"#;
    for (name, steps, status, text) in [
        ("a page", typed("200 OK", "text/html", page), 502, "The agent's answer cannot be used"),
        (
            "a broken page",
            typed("500 X", "text/html", page),
            502,
            "The agent's answer cannot be used",
        ),
        (
            "text",
            typed("400 Bad Request", "text/plain", "no"),
            400,
            "The agent answered 400 Bad Request",
        ),
        (
            "no type",
            vec![head("404 Not Found", &["Content-Length: 0"])],
            404,
            "The agent answered 404 Not Found",
        ),
        ("an error", typed("500 X", "application/json", detail), 500, "boom"),
        ("busy", typed("503 X", "application/json; charset=utf-8", detail), 503, "boom"),
        (
            "a redirect",
            vec![head("307 X", &["Location: http://inner:8123/threads", "Content-Length: 0"])],
            502,
            "The agent's answer cannot be used",
        ),
        ("not modified", vec![head("304 X", &[])], 502, "The agent's answer cannot be used"),
        (
            "nonsense",
            vec![Step::Send(b"SSH-2.0-x\r\n\r\n".to_vec())],
            502,
            "The agent closed the connection without an answer",
        ),
    ] {
        let agent = Agent::start(move |_: &Heard| steps.clone()).await;
        let server = server(&agent).await;
        let ada = server.user().await;
        let thread = ada.thread(json!({})).await;
        let answer = run(&ada, &thread, json!({})).await;
        assert_eq!((answer.status.as_u16(), answer.detail().as_str()), (status, text), "{name}");
        assert!(!answer.text.contains("inner") && answer.header("location").is_empty(), "{name}");
        assert_eq!(agent.heard().len(), 1, "{name}");
    }
}

#[tokio::test]
async fn headers_of_an_answer_are_those_that_clients_read() {
    let run_id = new_id();
    let place = run_id.clone();
    let agent = Agent::start(move |heard: &Heard| {
        assert!(!heard.head.contains("gzip"), "{}", heard.head);
        let of_run = format!("http://inner:8123/api{}", heard.path().replace("/wait", ""));
        answer(
            "200 OK",
            &[
                "Access-Control-Allow-Origin: *",
                "Access-Control-Expose-Headers: x-foo",
                "Set-Cookie: s=1",
                &format!("Content-Location: {of_run}/{place}"),
                &format!("Location: {of_run}/{place}/join"),
                "Connection: keep-alive, x-foo, X-Pagination-Total",
                "Keep-Alive: timeout=5",
                "X-Foo: 1",
                "X-Pagination-Total: 7",
                "X-Pagination-Next: 8",
                "X-Accel-Redirect: /secret",
                "Cache-Control: public, max-age=60",
                "Server: uvicorn",
                "Date: Thu, 01 Jan 1970 00:00:00 GMT",
                "X-Request-Id: theirs",
                "Clear-Site-Data: \"*\"",
            ],
            r#"{"ok":true}"#,
        )
    })
    .await;
    let server = TestServer::start_with(|config| config.agent = Some(settings(&agent.url))).await;
    let ada = server.user().await;
    let thread = ada.thread(json!({})).await;
    let of_run = format!("/threads/{thread}/runs/{run_id}");
    for client in [
        thread_store::http_client::builder().build().unwrap(),
        thread_store::http_client::builder().http2_prior_knowledge().build().unwrap(),
    ] {
        let request = client
            .post(format!("{}/threads/{thread}/runs/wait", server.url))
            .bearer_auth(&ada.token)
            .header("accept-encoding", "gzip")
            .header("origin", "https://app.example")
            .body("{}");
        let answer = Answer::of(request).await;
        assert_eq!(answer.expect(200), json!({ "ok": true }));
        let headers = &answer.headers;
        assert_eq!(headers.get_all("access-control-allow-origin").iter().count(), 1);
        assert!(answer.header("access-control-expose-headers").contains("content-location"));
        assert_eq!(answer.header("content-location"), of_run);
        assert_eq!(answer.header("location"), format!("{of_run}/join"));
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_eq!(answer.header("x-pagination-next"), "8");
        assert_ne!(answer.header("x-request-id"), "theirs");
        for gone in [
            "set-cookie",
            "x-foo",
            "keep-alive",
            "connection",
            "x-pagination-total",
            "server",
            "x-accel-redirect",
            "clear-site-data",
            "content-encoding",
        ] {
            assert!(!headers.contains_key(gone), "{gone}");
        }
        assert!(!answer.header("date").contains("1970"));
    }
}

#[tokio::test]
async fn a_client_that_leaves_is_gone_for_the_agent_at_once() {
    let agent = Agent::start(|heard: &Heard| {
        let mut steps = vec![];
        if heard.head.to_lowercase().contains("x-begin: 1") {
            steps = vec![events_head(heard, &new_id()), chunk("data: 1\n\n")];
        }
        steps.push(Step::Silence(60 * SECOND));
        steps
    })
    .await;
    let server = server(&agent).await;
    let ada = server.user().await;
    let thread = ada.thread(json!({})).await;
    let url = format!("{}/threads/{thread}/runs/stream", server.url);
    let mut number = 0;
    for begin in ["0", "1"] {
        for client in [
            thread_store::http_client::builder().build().unwrap(),
            thread_store::http_client::builder().http2_prior_knowledge().build().unwrap(),
        ] {
            let request = client.post(&url).bearer_auth(&ada.token).header("x-begin", begin);
            let running = tokio::spawn(async move {
                let mut response = request.body("{}").send().await.unwrap();
                while response.chunk().await.unwrap().is_some() {}
            });
            let heard = agent.request(number).await;
            number += 1;
            tokio::time::sleep(SECOND / 5).await;
            assert!(!heard.has_left());
            running.abort();
            let begun = Instant::now();
            heard.left().await;
            assert!(begun.elapsed() < SECOND, "{:?}", begun.elapsed());
        }
        // Also one that only says that nothing more will come.
        let mut half = Raw::to(&server).await;
        half.send(&format!(
            "POST /threads/{thread}/runs/stream HTTP/1.1\r\nHost: localhost\r\nX-Begin: {begin}\r\n\
             Authorization: Bearer {}\r\nContent-Length: 2\r\n\r\n{{}}",
            ada.token
        ))
        .await;
        let heard = agent.request(number).await;
        number += 1;
        half.half_close().await;
        heard.left().await;
    }
    let none = async || in_use(&server, "streams").await == 0.0;
    assert!(crate::support::policies::within(SECOND, none).await);
}

#[tokio::test]
async fn deleting_a_thread_ends_its_runs_streams_on_every_instance() {
    let agent = Agent::start(|heard: &Heard| {
        let mut steps = vec![];
        if heard.path().ends_with("/stream") || heard.path().ends_with("/events") {
            steps = vec![events_head(heard, &new_id()), chunk("data: 1\n\n")];
        }
        steps.push(Step::Silence(60 * SECOND));
        steps
    })
    .await;
    let server = server(&agent).await;
    let beside = server.start_beside_with(|config| config.agent = Some(settings(&agent.url))).await;
    let ada = server.user().await;
    let thread = ada.thread(json!({})).await;
    let post = |user: User, end: &str, body: Value| {
        let path = format!("/threads/{thread}/{end}");
        tokio::spawn(async move {
            let mut response = user.request(Method::POST, &path).json(&body).send().await.unwrap();
            let status = response.status().as_u16();
            loop {
                match response.chunk().await {
                    Ok(Some(_)) => {}
                    Ok(None) => return (status, true),
                    Err(_) => return (status, false),
                }
            }
        })
    };
    let running = [
        post(ada.clone(), "runs/stream", json!({})),
        post(ada.at(&beside), "runs/stream", json!({})),
        post(ada.at(&beside), "stream/events", json!({ "channels": ["values"] })),
        post(ada.clone(), "runs/wait", json!({})),
    ];
    for number in 0..4 {
        agent.request(number).await;
    }
    tokio::time::sleep(SECOND / 5).await;
    // Other news of the thread end nothing.
    ada.write(&thread, json!({ "messages": ["x"] })).await;
    tokio::time::sleep(SECOND / 2).await;
    assert!(agent.heard().iter().all(|heard| !heard.has_left()));
    ada.delete(&format!("/threads/{thread}")).await.expect(204);
    let begun = Instant::now();
    for heard in agent.heard() {
        heard.left().await;
    }
    assert!(begun.elapsed() < 3 * SECOND, "{:?}", begun.elapsed());
    for (number, running) in running.into_iter().enumerate() {
        // A clean end would say that the run has ended. Before its head it is as missing as any.
        let expected = if number == 3 { (404, true) } else { (200, false) };
        assert_eq!(running.await.unwrap(), expected, "{number}");
    }
}

#[tokio::test]
async fn a_stream_ends_when_its_thread_is_somebody_elses() {
    let agent = Agent::start(|heard: &Heard| {
        vec![events_head(heard, &new_id()), chunk("data: 1\n\n"), Step::Silence(60 * SECOND)]
    })
    .await;
    let server = server(&agent).await;
    let ada = server.user().await;
    let thread = ada.thread(json!({})).await;
    let mut client = open(&server, &ada, &thread).await;
    let heard = agent.request(0).await;
    let moved = sqlx::query("update thread_store.thread set metadata = '{\"owner\": \"bob\"}'");
    moved.execute(&server.pool).await.unwrap();
    heard.left().await;
    assert!(!client.rest().await.ends_with("0\r\n\r\n"));
}

#[tokio::test]
async fn a_stream_of_events_ends_with_its_token_and_a_run_with_its_work() {
    let next = Arc::new(Notify::new());
    let gate = Arc::clone(&next);
    let agent = Agent::start(move |heard: &Heard| {
        vec![events_head(heard, &new_id()), chunk("data: 1\n\n"), Step::Until(gate.clone()), last()]
    })
    .await;
    let server = TestServer::start_with(|config| {
        config.agent = Some(settings(&agent.url));
        config.auth_cache_ttl = Duration::ZERO;
    })
    .await;
    let ada = server.user().await;
    let thread = ada.thread(json!({})).await;
    let path = format!("/threads/{thread}/runs/stream");
    let mut run = ada.request(Method::POST, &path).body("{}").send().await.unwrap();
    run.chunk().await.unwrap().unwrap();
    let path = format!("/threads/{thread}/stream/events");
    let body = json!({ "channels": ["values"] });
    let mut events = ada.request(Method::POST, &path).json(&body).send().await.unwrap();
    events.chunk().await.unwrap().unwrap();
    ada.sign_out().await;
    let begun = Instant::now();
    assert!(events.chunk().await.is_err());
    assert!(begun.elapsed() < 15 * SECOND, "{:?}", begun.elapsed());
    agent.request(1).await.left().await;
    assert!(!agent.request(0).await.has_left());
    next.notify_one();
    assert_eq!(run.chunk().await.unwrap(), None);
}

#[tokio::test]
async fn each_run_has_its_own_connection_and_is_sent_once() {
    // Keeps connections open, but closes one when a second request comes on it; and answers 200
    // times, as if it closed idle ones at a bad moment.
    let agent = Agent::start(|heard: &Heard| {
        let mut steps = ordinary(heard);
        steps.push(Step::Silence(Duration::from_millis(30)));
        steps.push(Step::Close);
        steps
    })
    .await;
    let server = server(&agent).await;
    let ada = server.user().await;
    let thread = ada.thread(json!({})).await;
    for number in 0..200_u64 {
        run(&ada, &thread, json!({})).await.expect(200);
        // Around the moment at which the agent closes.
        tokio::time::sleep(Duration::from_micros(number % 10 * 300 + 28_500)).await;
    }
    assert_eq!(agent.heard().len(), 200);
}

#[tokio::test]
async fn a_users_share_of_streams_holds_for_runs() {
    let next = Arc::new(Notify::new());
    let gate = Arc::clone(&next);
    let agent = Agent::start(move |heard: &Heard| {
        vec![events_head(heard, &new_id()), chunk("data: 1\n\n"), Step::Until(gate.clone()), last()]
    })
    .await;
    let server = TestServer::start_with(|config| {
        config.agent = Some(settings(&agent.url));
        config.limits.streams_per_user = Some(1);
    })
    .await;
    let (ada, bob) = (server.user().await, server.user().await);
    let thread = ada.thread(json!({})).await;
    let path = format!("/threads/{thread}/runs/stream");
    let mut first = ada.request(Method::POST, &path).body("{}").send().await.unwrap();
    first.chunk().await.unwrap().unwrap();
    run(&ada, &thread, json!({})).await.expect(429);
    let other = bob.thread(json!({})).await;
    let path = format!("/threads/{other}/runs/stream");
    let second = bob.request(Method::POST, &path).body("{}").send().await.unwrap();
    assert_eq!(second.status(), 200);
    assert_eq!(agent.heard().len(), 2);
    drop(second);
    next.notify_one();
    while first.chunk().await.unwrap().is_some() {}
    drop(first);
    next.notify_one();
    run(&ada, &thread, json!({})).await.expect(200);
    let text = server.nobody().get("/metrics").await.text;
    for line in [
        "thread_store_agent_seconds_count{outcome=\"answered\"}",
        "thread_store_agent_answers_total{outcome=\"ended\"}",
        "http_request_duration_seconds_count{method=\"POST\",route=\"/threads/{thread_id}/runs/stream\",status=\"200\"}",
    ] {
        assert!(text.contains(line), "{line}");
    }
}

#[tokio::test]
async fn a_server_that_stops_lets_runs_end_and_breaks_what_never_ends() {
    let next = Arc::new(Notify::new());
    let gate = Arc::clone(&next);
    let agent = Agent::start(move |heard: &Heard| {
        vec![events_head(heard, &new_id()), chunk("data: 1\n\n"), Step::Until(gate.clone()), last()]
    })
    .await;
    let server = server(&agent).await;
    let ada = server.user().await;
    let thread = ada.thread(json!({})).await;
    let path = format!("/threads/{thread}/runs/stream");
    let mut run = ada.request(Method::POST, &path).body("{}").send().await.unwrap();
    run.chunk().await.unwrap().unwrap();
    let path = format!("/threads/{thread}/stream/events");
    let body = json!({ "channels": ["values"] });
    let mut events = ada.request(Method::POST, &path).json(&body).send().await.unwrap();
    events.chunk().await.unwrap().unwrap();
    server.stop();
    assert!(events.chunk().await.is_err());
    agent.request(1).await.left().await;
    assert!(!agent.request(0).await.has_left());
    next.notify_one();
    assert_eq!(run.chunk().await.unwrap(), None);
    drop((run, events, ada));
    server.stopped().await;
    assert_eq!(missing("x"), "Thread with ID x not found");
}
