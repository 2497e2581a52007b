//! What slow, greedy and broken clients cannot do to the others.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use sqlx::{ConnectOptions as _, Executor as _, PgConnection};

use crate::raw::{Raw, RawAnswer, until};
use crate::sse::Events;
use crate::support::{TestServer, User};

const SHORT: Duration = Duration::from_millis(200);
const LONG: Duration = Duration::from_hours(1);

/// The head of a request to make a thread, whose body is to have this length.
fn create(user: &User, length: usize) -> String {
    let token = &user.token;
    format!(
        "POST /threads HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\
         Content-Length: {length}\r\n\r\n"
    )
}

fn detail(answer: &RawAnswer) -> String {
    let body: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    body["detail"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_connection_that_brings_no_request_in_time_is_closed() {
    let server = TestServer::start_with(|config| config.limits.header_timeout = SHORT).await;
    // Nothing, a part of a head, and a part of what says that HTTP/2 is spoken.
    for beginning in ["", "GET /ok HTTP/1.1\r\nHost: localhost\r\nX-Slow: ", "PRI * HTTP/2.0\r\n"] {
        let mut slow = Raw::to(&server).await;
        slow.send(beginning).await;
        assert_eq!(slow.rest().await, "", "{beginning:?}");
    }
}

#[tokio::test]
async fn a_connection_that_brought_a_request_may_rest_before_the_next() {
    let server = TestServer::start_with(|config| config.limits.header_timeout = SHORT).await;
    let mut client = Raw::to(&server).await;
    for _ in 0..2 {
        client.send("GET /ok HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        assert_eq!(client.answer().await.unwrap().body, "{\"ok\":true}");
        tokio::time::sleep(SHORT * 3).await;
    }
}

#[tokio::test]
async fn a_body_that_does_not_arrive_in_time_is_408_and_the_end_of_the_connection() {
    let server = TestServer::start_with(|config| config.limits.body_timeout = SHORT).await;
    let user = server.user().await;
    let mut slow = Raw::to(&server).await;
    slow.send(&create(&user, 100)).await;
    slow.send("{\"metadata\":").await;
    let answer = slow.answer().await.unwrap();
    assert_eq!(answer.status, 408, "{answer:?}");
    assert!(answer.head.contains("connection: close"), "{answer:?}");
    assert_eq!(detail(&answer), "Request body did not arrive within 0.2 seconds");
    assert_eq!(slow.rest().await, "");
}

/// Sends the text in pieces, over a time that is far longer than what it may take.
async fn trickle(client: &mut Raw, text: &str) {
    for piece in text.as_bytes().chunks(text.len().div_ceil(40)) {
        client.send(std::str::from_utf8(piece).unwrap()).await;
        tokio::time::sleep(SHORT / 10).await;
    }
}

#[tokio::test]
async fn a_head_or_a_body_that_trickles_in_takes_too_long_all_the_same() {
    let server = TestServer::start_with(|config| {
        config.limits.header_timeout = SHORT;
        config.limits.body_timeout = SHORT;
    })
    .await;
    let user = server.user().await;
    let mut slow = Raw::to(&server).await;
    trickle(
        &mut slow,
        "GET /ok HTTP/1.1\r\nHost: localhost\r\nX-Slow: xxxxxxxxxxxxxxxxxxxxxx\r\n\r\n",
    )
    .await;
    assert_eq!(slow.rest().await, "");

    let body = format!("{{\"metadata\":{{\"a\":\"{}\"}}}}", "x".repeat(80));
    let chunked: Vec<_> = body.chars().map(|piece| format!("1\r\n{piece}\r\n")).collect();
    let chunked = format!("{}0\r\n\r\n", chunked.concat());
    let length = format!("Content-Length: {}", body.len());
    let chunked_head = create(&user, body.len()).replace(&length, "Transfer-Encoding: chunked");
    for (head, body) in [(create(&user, body.len()), body), (chunked_head, chunked)] {
        let mut slow = Raw::to(&server).await;
        slow.send(&head).await;
        trickle(&mut slow, &body).await;
        assert_eq!(slow.answer().await.unwrap().status, 408, "{head}");
        assert_eq!(slow.rest().await, "", "{head}");
        // Nothing is wrong with it but the time it takes.
        let mut fast = Raw::to(&server).await;
        fast.send(&(head + &body)).await;
        assert_eq!(fast.answer().await.unwrap().status, 200);
    }
    assert_eq!(user.count(json!({})).await, 2);
}

/// A thread whose changes wait until the lock is dropped.
pub(crate) async fn locked(server: &TestServer, thread_id: &str) -> PgConnection {
    let mut lock = server.database.connect().await.unwrap();
    lock.execute("begin").await.unwrap();
    sqlx::query("select from thread_store.thread where thread_id = $1::uuid for update")
        .bind(thread_id)
        .execute(&mut lock)
        .await
        .unwrap();
    lock
}

#[tokio::test]
async fn over_the_limit_requests_are_sent_away_and_health_and_metrics_are_not() {
    let server = TestServer::start_with(|config| config.limits.requests = 1).await;
    let (user, other) = (server.user().await, server.user().await);
    let id = user.thread(json!({})).await;
    let path = format!("/threads/{id}");
    let lock = locked(&server, &id).await;
    let slow = user.patch(&path, json!({}));
    let refused = async {
        // The change takes the only place when it is seen.
        let refused = until(async || {
            let answer = user.get("/threads/x").await;
            (answer.status == 429).then_some(answer)
        })
        .await;
        assert_eq!(refused.header("retry-after"), "1");
        assert!(refused.detail().starts_with("You have too many requests"), "{}", refused.text);
        let refused = other.get("/threads/x").await;
        assert_eq!((refused.status.as_u16(), refused.header("retry-after")), (503, "1"));
        assert_eq!(refused.detail(), "The server is busy, try again shortly");
        assert!(!refused.header("x-request-id").is_empty());
        for path in ["/ok", "/ok?check_db=1", "/readyz", "/metrics", "/info"] {
            assert_eq!(user.get(path).await.status, 200, "{path}");
        }
        let metrics = user.get("/metrics").await.text;
        for limit in ["user", "all"] {
            let name = format!("thread_store_refused_total{{kind=\"requests\",limit=\"{limit}\"}}");
            assert!(metrics.contains(&name), "{metrics}");
        }
        assert!(metrics.contains("thread_store_in_use{kind=\"requests\"} 1"), "{metrics}");
        drop(lock);
    };
    let (slow, ()) = tokio::join!(slow, refused);
    assert_eq!(slow.status, 200);
    user.thread(json!({})).await;
}

#[tokio::test]
async fn a_request_whose_body_has_not_arrived_takes_nobodys_place() {
    let server = TestServer::start_with(|config| {
        config.limits.requests = 8;
        config.limits.body_timeout = LONG;
    })
    .await;
    let user = server.user().await;
    let mut waiting = Vec::new();
    // One user's share of the bodies, and one more.
    for expected in [None, Some(429)] {
        let mut client = Raw::to(&server).await;
        client.send(&create(&user, 100)).await;
        client.send("{").await;
        match expected {
            None => waiting.push(client),
            Some(status) => assert_eq!(client.answer().await.unwrap().status, status),
        }
    }
    user.get("/threads/x").await.expect(422);
    server.user().await.thread(json!({})).await;
    for is_half_closed in [true, false] {
        let mut gone = waiting.pop().unwrap();
        // Held until the end of the test, or dropped here.
        let _held = if is_half_closed {
            gone.half_close().await;
            Some(gone)
        } else {
            drop(gone);
            None
        };
        let mut next = until(async || {
            let mut next = Raw::to(&server).await;
            next.send(&create(&user, 100)).await;
            next.send("{").await;
            let is_refused = tokio::time::timeout(SHORT, next.answer()).await.is_ok();
            (!is_refused).then_some(next)
        })
        .await;
        next.send("").await;
        waiting.push(next);
    }
}

#[tokio::test]
async fn an_open_stream_takes_a_place_of_its_own_kind() {
    let server = TestServer::start_with(|config| {
        config.limits.requests = 1;
        config.limits.streams = 1;
    })
    .await;
    let user = server.user().await;
    let id = user.thread(json!({})).await;
    let mut events = Events::of(&user, &id).await;
    // Not one of the requests: there is room for these.
    let written = user.write(&id, json!({ "n": 1 })).await;
    assert_eq!(events.next().await.unwrap().checkpoint_id(), written);
    let path = format!("/threads/{id}/stream");
    let refused = user.get(&path).await;
    assert_eq!(refused.status, 429);
    assert!(refused.detail().starts_with("You have too many open streams"), "{}", refused.text);
    assert_eq!(refused.header("retry-after"), "1");
    drop(events);
    until(async || {
        let again = user.request(Method::GET, &path).send().await.unwrap();
        (again.status() == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_body_over_the_limit_is_413_and_one_at_the_limit_is_read() {
    let server = TestServer::start_with(|config| config.limits.body_bytes = 2048).await;
    let user = server.user().await;
    let of_length = |length: usize| format!("{{\"x\":\"{}\"}}", "y".repeat(length - 8));
    assert_eq!(user.post_text("/threads", of_length(2048)).await.status, 200);
    let refused = user.post_text("/threads", of_length(2049)).await;
    assert_eq!(refused.status, 413);
    assert_eq!(refused.detail(), "Request body is larger than 2048 bytes");
}

#[tokio::test]
async fn heads_without_measure_are_refused() {
    let server = TestServer::start().await;
    let value = |length: usize| "x".repeat(length);
    let many = "a: b\r\n".repeat(200);
    for (head, status) in [
        (format!("GET /ok HTTP/1.1\r\nHost: localhost\r\nX-Long: {}\r\n\r\n", value(10_000)), 200),
        (format!("GET /ok HTTP/1.1\r\nHost: localhost\r\nX-Long: {}\r\n\r\n", value(200_000)), 431),
        (format!("GET /ok HTTP/1.1\r\nHost: localhost\r\n{many}\r\n"), 431),
        (format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n", value(70_000)), 414),
        (format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n", value(200_000)), 431),
        ("GET /ok\r\n\r\n".to_owned(), 400),
    ] {
        let mut client = Raw::to(&server).await;
        client.send(&head).await;
        assert_eq!(client.answer().await.unwrap().status, status, "{} bytes", head.len());
    }
    let client = thread_store::http_client::builder().http2_prior_knowledge().build().unwrap();
    let over_http2 = async |length: usize| {
        let request = client.get(format!("{}/ok", server.url)).header("x-long", value(length));
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!((over_http2(10_000).await, over_http2(100_000).await), (200, 431));
    // And the connection is as good as before.
    assert_eq!(over_http2(10).await, 200);
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_their_order() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let mut client = Raw::to(&server).await;
    let all = [get("/ok"), create(&user, 2) + "{}", get("/info"), get("/nope")].concat();
    client.send(&all).await;
    let mut answers = Vec::new();
    for _ in 0..4 {
        answers.push(client.answer().await.unwrap());
    }
    let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [200, 200, 200, 403]);
    assert!(answers[1].body.contains("thread_id") && answers[2].body.contains("version"));
}

/// It may have gone altogether, and nothing is worked on for somebody who is gone.
#[tokio::test]
async fn a_client_that_closes_its_half_before_the_answer_gets_all_of_it_or_nothing() {
    let server = TestServer::start_with(|config| config.limits.requests = 1).await;
    let user = server.user().await;
    let get = "GET /ok HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned();
    let create = create(&user, 2) + "{}";
    let (mut sent, mut acknowledged) = (0, 0);
    for requests in [vec![&get], vec![&create], vec![&create, &get, &create], vec![&get, &create]] {
        let mut client = Raw::to(&server).await;
        client.send(&requests.iter().map(|request| request.as_str()).collect::<String>()).await;
        client.half_close().await;
        sent += requests.iter().filter(|request| ***request == create).count();
        for request in requests {
            let Some(answer) = client.answer().await else { break };
            assert_eq!(answer.status, 200, "{request}");
            acknowledged += usize::from(answer.body.contains("thread_id"));
        }
        assert_eq!(client.rest().await, "");
        // The only place is free again.
        until(async || (user.get("/threads/x").await.status == 422).then_some(())).await;
    }
    let made = usize::try_from(user.count(json!({})).await).unwrap();
    assert!((acknowledged..=sent).contains(&made), "{acknowledged} of {sent}, {made} are there");
}

#[tokio::test]
async fn a_body_that_nobody_reads_is_not_taken_for_a_request() {
    let server = TestServer::start().await;
    let inner = "GET /info HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut client = Raw::to(&server).await;
    let length = inner.len();
    let outer = format!(
        "POST /threads HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{inner}"
    );
    client.send(&outer).await;
    assert_eq!(client.answer().await.unwrap().status, 403);
    client.half_close().await;
    assert_eq!(client.rest().await, "");
}

#[tokio::test]
async fn no_answer_is_to_be_guessed_at() {
    let server = TestServer::start().await;
    let user = server.user().await;
    for path in ["/ok", "/docs", "/threads/x", "/metrics", "/openapi.json"] {
        for who in [&user, &server.nobody()] {
            let answer = who.get(path).await;
            assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        }
    }
}

/// If the server closed while a body is still arriving, most clients would fail to send it, and never read
/// the answer.
#[tokio::test]
async fn an_answer_reaches_a_client_that_still_sends_its_body() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let body = "x".repeat(3 * 1024 * 1024);
    let token = format!("Authorization: Bearer {}\r\n", user.token);
    let encoded = format!("{token}Content-Encoding: gzip\r\n");
    for (request, headers, status) in [
        ("POST /threads", "", 403),
        ("POST /threads", "Authorization: Bearer junk\r\n", 401),
        ("POST /nothing", token.as_str(), 404),
        ("POST /threads", encoded.as_str(), 415),
    ] {
        for close in ["", "Connection: close\r\n"] {
            let mut client = Raw::to(&server).await;
            let head = format!(
                "{request} HTTP/1.1\r\nHost: localhost\r\n{headers}{close}Content-Length: {}\r\n\r\n",
                body.len()
            );
            client.send(&head).await;
            // By now it is answered.
            tokio::time::sleep(SHORT).await;
            client.send_whole(&body).await;
            let answer = client.answer().await.map(|answer| answer.status);
            assert_eq!(answer, Some(status), "{head}");
        }
    }
}

#[tokio::test]
async fn requests_that_wait_for_a_connection_are_over_in_the_time_of_one() {
    let server = TestServer::start().await;
    let impatient = server.start_beside_with(|config| {
        config.database_timeout = Duration::from_secs(2);
        config.database_max_connections = 2;
    });
    let impatient = impatient.await;
    let user = server.user().await.at(&impatient);
    let id = user.thread(json!({})).await;
    let mut lock = server.database.connect().await.unwrap();
    lock.execute("begin; lock table thread_store.thread").await.unwrap();
    let path = format!("/threads/{id}/copy");
    let began = std::time::Instant::now();
    let copies = futures::future::join_all((0..5).map(|_| user.post(&path, json!({})))).await;
    for copy in copies {
        assert_eq!(copy.status, 503, "{}", copy.text);
    }
    // One after the other they would take ten seconds.
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
    lock.execute("rollback").await.unwrap();
}
