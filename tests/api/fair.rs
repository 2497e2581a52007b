//! One user takes all that one user can take. Another is served as if nothing were.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{ConnectOptions as _, Executor as _};

use crate::protection::locked;
use crate::raw::{Raw, until};
use crate::sse::Events;
use crate::support::{Answer, TestServer, User};

const MIB: u64 = 1024 * 1024;

/// A thread whose state takes so many MiB.
async fn large_thread(user: &User, mib: usize) -> String {
    let id = user.thread(json!({})).await;
    user.write(&id, json!({ "text": "x".repeat(mib * 1024 * 1024) })).await;
    id
}

/// A request for the state of a thread, as it is written to a connection.
fn get_state(thread: &str, user: &User) -> String {
    let token = &user.token;
    format!(
        "GET /threads/{thread}/state HTTP/1.1\r\nHost: localhost\r\n\
         Authorization: Bearer {token}\r\n\r\n"
    )
}

pub(crate) async fn in_use(server: &TestServer, kind: &str) -> u64 {
    let metrics = server.nobody().get("/metrics").await.text;
    let name = format!("thread_store_in_use{{kind=\"{kind}\"}} ");
    let line = metrics.lines().find_map(|line| line.strip_prefix(name.as_str()));
    line.unwrap().split('.').next().unwrap().parse().unwrap()
}

/// A server that has room for two users' large answers, and two users of it.
async fn with_little_room_for_answers(stall_timeout: Duration) -> (TestServer, User, User) {
    let server = TestServer::start_with(|config| {
        config.limits.answer_memory = 16 * MIB;
        config.limits.answer_memory_per_user = Some(8 * MIB);
        config.limits.stall_timeout = stall_timeout;
    })
    .await;
    let (ada, bob) = (server.user().await, server.user().await);
    (server, ada, bob)
}

/// What is asked of the server while another user does their worst.
async fn is_served(bob: &User, thread: &str) {
    for _ in 0..5 {
        assert_eq!(bob.values(thread).await["text"].as_str().unwrap().len(), 4 * 1024 * 1024);
        bob.thread(json!({})).await;
        bob.found(json!({ "select": ["thread_id"] })).await;
    }
}

#[tokio::test]
async fn answers_that_nobody_reads_take_no_room_of_others_and_are_cut() {
    let (server, ada, bob) = with_little_room_for_answers(Duration::from_secs(5)).await;
    let (own, other) = (large_thread(&ada, 4).await, large_thread(&bob, 4).await);
    let mut silent = Vec::new();
    for _ in 0..12 {
        let mut client = Raw::with_little_room(&server).await;
        client.send(&get_state(&own, &ada)).await;
        silent.push(client);
    }
    until(async || (in_use(&server, "answer_bytes").await > 3_000_000).then_some(())).await;
    is_served(&bob, &other).await;
    assert!(in_use(&server, "answer_bytes").await < 10_000_000);
    // Without a word from those clients all is given back: who holds the room is cut, and who waited
    // for it has been given up.
    let given_back = async {
        while in_use(&server, "answer_bytes").await > 0 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(2), given_back).await.unwrap();
    drop(silent);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn bytes_that_wait_in_the_system_s_buffer_are_still_charged() {
    let server = TestServer::start().await;
    let ada = server.user().await;
    let thread = large_thread(&ada, 8).await;
    let mut silent = Raw::with_little_room(&server).await;
    silent.send(&get_state(&thread, &ada)).await;
    until(async || (in_use(&server, "answer_bytes").await > 0).then_some(())).await;
    // Once nothing is written any more.
    let mut charged = 0;
    until(async || {
        let before = std::mem::replace(&mut charged, in_use(&server, "answer_bytes").await);
        tokio::time::sleep(Duration::from_millis(200)).await;
        (charged == before).then_some(())
    })
    .await;
    assert!(charged > 8 * MIB - 256 * 1024, "{charged}");
    drop(silent);
}

#[tokio::test]
async fn streams_of_http_2_whose_window_stays_shut_take_no_room_of_others_and_are_cut() {
    let (server, ada, bob) = with_little_room_for_answers(Duration::from_secs(5)).await;
    let (own, other) = (large_thread(&ada, 4).await, large_thread(&bob, 4).await);
    let address = server.url.strip_prefix("http://").unwrap();
    let socket = tokio::net::TcpStream::connect(address).await.unwrap();
    let (client, connection) = h2::client::Builder::new()
        .initial_window_size(0)
        .handshake::<_, bytes::Bytes>(socket)
        .await
        .unwrap();
    let ended = tokio::spawn(connection);
    let mut client = client.ready().await.unwrap();
    let mut answers = Vec::new();
    for _ in 0..12 {
        let request = http::Request::get(format!("http://localhost/threads/{own}/state"))
            .header("authorization", format!("Bearer {}", ada.token))
            .body(())
            .unwrap();
        answers.push(client.send_request(request, true).unwrap().0);
    }
    until(async || (in_use(&server, "answer_bytes").await > 3_000_000).then_some(())).await;
    is_served(&bob, &other).await;
    assert!(in_use(&server, "answer_bytes").await < 10_000_000);
    let cut = tokio::time::timeout(Duration::from_mins(2), ended).await;
    assert!(cut.is_ok(), "the connection is still there");
    until(async || (in_use(&server, "answer_bytes").await == 0).then_some(())).await;
}

#[tokio::test]
async fn replayed_events_that_nobody_reads_take_no_room_of_others_and_are_cut() {
    let (server, ada, bob) = with_little_room_for_answers(Duration::from_secs(1)).await;
    let (own, other) = (large_thread(&ada, 3).await, large_thread(&bob, 4).await);
    for _ in 0..3 {
        ada.write(&own, json!({ "text": "y".repeat(3 * 1024 * 1024) })).await;
    }
    let request = format!(
        "GET /threads/{own}/stream?stream_modes=state_update HTTP/1.1\r\nHost: localhost\r\n\
         Last-Event-ID: -\r\nAuthorization: Bearer {}\r\n\r\n",
        ada.token
    );
    let mut silent = Vec::new();
    for _ in 0..6 {
        let mut client = Raw::with_little_room(&server).await;
        client.send(&request).await;
        silent.push(client);
    }
    until(async || (in_use(&server, "answer_bytes").await > 2_000_000).then_some(())).await;
    is_served(&bob, &other).await;
    assert!(in_use(&server, "answer_bytes").await < 10_000_000);
    let given_back = async {
        while in_use(&server, "answer_bytes").await + in_use(&server, "streams").await > 0 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(2), given_back).await.unwrap();
    drop(silent);
}

/// A server with room for eight bodies of one user, which may come for as long as they like.
async fn with_little_room_for_bodies() -> TestServer {
    TestServer::start_with(|config| {
        config.limits.requests = 64;
        config.limits.body_memory = 64 * MIB;
        config.limits.body_memory_per_user = Some(32 * MIB);
        config.limits.body_timeout = Duration::from_hours(1);
    })
    .await
}

/// Another user is served while one user's bodies do not come.
async fn is_served_beside_bodies(server: &TestServer, other: &User) {
    until(async || (in_use(server, "bodies").await >= 8).then_some(())).await;
    for _ in 0..5 {
        let thread = large_thread(other, 4).await;
        other.delete(&format!("/threads/{thread}")).await;
    }
    // The place of a request is free a moment after its answer.
    until(async || (in_use(server, "requests").await == 0).then_some(())).await;
}

#[tokio::test]
async fn bodies_that_never_come_take_no_room_of_others() {
    let server = with_little_room_for_bodies().await;
    let (ada, bob) = (server.user().await, server.user().await);
    let mut silent = Vec::new();
    for length in [100, 20 * MIB].into_iter().cycle().take(40) {
        let mut client = Raw::to(&server).await;
        let token = &ada.token;
        client
            .send(&format!(
                "POST /threads HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\
                 Content-Length: {length}\r\n\r\n{{"
            ))
            .await;
        silent.push(client);
    }
    is_served_beside_bodies(&server, &bob).await;
    assert_eq!(in_use(&server, "bodies").await, 8, "more than one user's share");
    drop(silent);
}

#[tokio::test]
async fn streams_of_http_2_whose_bodies_never_come_take_no_room_of_others() {
    let server = with_little_room_for_bodies().await;
    let (ada, bob) = (server.user().await, server.user().await);
    let address = server.url.strip_prefix("http://").unwrap();
    let mut silent = Vec::new();
    for _ in 0..2 {
        let socket = tokio::net::TcpStream::connect(address).await.unwrap();
        let (client, connection) = h2::client::handshake(socket).await.unwrap();
        tokio::spawn(connection);
        for _ in 0..100 {
            let request = http::Request::post("http://localhost/threads")
                .header("authorization", format!("Bearer {}", ada.token))
                .header("content-length", "100")
                .body(())
                .unwrap();
            let mut client = client.clone().ready().await.unwrap();
            silent.push(client.send_request(request, false).unwrap());
        }
    }
    is_served_beside_bodies(&server, &bob).await;
    // A ping that is not answered in time ends a connection with its bodies.
    assert!(in_use(&server, "bodies").await <= 8, "more than one user's share");
    drop(silent);
}

#[tokio::test]
async fn open_streams_of_one_user_leave_room_for_others() {
    let server = TestServer::start_with(|config| {
        config.limits.streams = 4;
        config.limits.streams_per_user = Some(3);
    })
    .await;
    let (ada, bob) = (server.user().await, server.user().await);
    let (own, other) = (ada.thread(json!({})).await, bob.thread(json!({})).await);
    let mut open = Vec::new();
    for _ in 0..3 {
        open.push(Events::of(&ada, &own).await);
    }
    let refused = ada.get(&format!("/threads/{own}/stream")).await;
    assert_eq!((refused.status.as_u16(), refused.header("retry-after")), (429, "1"));
    let mut events = Events::of(&bob, &other).await;
    let written = bob.write(&other, json!({ "n": 1 })).await;
    assert_eq!(events.next().await.unwrap().checkpoint_id(), written);
    // Now all are taken.
    let carol = server.user().await;
    let third = carol.thread(json!({})).await;
    let refused = carol.get(&format!("/threads/{third}/stream")).await;
    assert_eq!((refused.status.as_u16(), refused.header("retry-after")), (503, "1"));
}

/// Somebody else's thread is answered while its owner's write waits, and does not wait with it.
#[tokio::test]
async fn a_foreign_id_waits_for_no_write_of_its_owner() {
    let server = TestServer::start().await;
    let (ada, bob) = (server.user().await, server.user().await);
    let id = ada.thread(json!({})).await;
    let path = format!("/threads/{id}");
    let mut lock = server.database.connect().await.unwrap();
    lock.execute("begin").await.unwrap();
    sqlx::query("select from thread_store.thread where thread_id = $1::uuid for update")
        .bind(&id)
        .execute(&mut lock)
        .await
        .unwrap();
    let state = format!("{path}/state");
    let write = json!({ "values": { "n": 1 } });
    let (patched, written) = (ada.patch(&path, json!({})), ada.post(&state, write.clone()));
    let foreign = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let many = (0..20).map(async |_| {
            let prune = json!({ "thread_ids": [id], "strategy": "keep_latest" });
            let requests: [(Method, String, Value); 7] = [
                (Method::PATCH, path.clone(), json!({ "metadata": { "a": 1 } })),
                (Method::POST, state.clone(), write.clone()),
                (Method::POST, format!("{path}/copy"), json!({})),
                (Method::POST, "/threads/prune".to_owned(), prune),
                (Method::DELETE, path.clone(), json!(null)),
                (Method::GET, path.clone(), json!(null)),
                (Method::GET, state.clone(), json!(null)),
            ];
            for (method, path, body) in requests {
                let answer = Answer::of(bob.request(method.clone(), &path).json(&body)).await;
                assert_eq!(answer.status, 404, "{method} {path}: {}", answer.text);
            }
        });
        futures::future::join_all(many).await;
        lock.execute("rollback").await.unwrap();
    };
    let (patched, written, ()) = tokio::join!(patched, written, foreign);
    assert_eq!((patched.status.as_u16(), written.status.as_u16()), (200, 200));
}

#[tokio::test]
async fn large_bodies_are_worked_on_beside_what_others_ask() {
    let server = TestServer::start().await;
    let (ada, bob) = (server.user().await, server.user().await);
    let (long, short) = (ada.thread(json!({})).await, bob.thread(json!({})).await);
    let message = json!({ "type": "human", "content": "x" });
    let body = json!({ "values": { "messages": vec![message; 49_000] } });
    let path = format!("/threads/{long}/state");
    let mut write = std::pin::pin!(async {
        let writes = (0..3)
            .map(async |_| Answer::of(ada.request(Method::POST, &path).json(&body)).await.status);
        futures::future::join_all(writes).await
    });
    let others = async {
        until(async || (in_use(&server, "large_bodies").await == 1).then_some(())).await;
        for _ in 0..5 {
            bob.get(&format!("/threads/{short}")).await;
        }
        // The share of one user, and still at work.
        assert_eq!(in_use(&server, "large_bodies").await, 1);
    };
    tokio::select! {
        statuses = &mut write => panic!("all was done first: {statuses:?}"),
        () = others => (),
    }
    assert_eq!(write.await, [200, 200, 200]);
    assert_eq!(in_use(&server, "large_bodies").await, 0);
}

#[tokio::test]
async fn a_large_body_whose_client_leaves_is_not_worked_on() {
    let server = TestServer::start().await;
    let ada = server.user().await;
    let thread = ada.thread(json!({})).await;
    let mut locking = server.database.connect().await.unwrap();
    let mut locked = sqlx::Connection::begin(&mut locking).await.unwrap();
    locked.execute("lock table thread_store.thread").await.unwrap();
    let path = format!("/threads/{thread}/state");
    let body = json!({ "values": { "k": "x".repeat(1_000_000) } });
    let write = Answer::of(ada.request(Method::POST, &path).json(&body));
    let started = until(async || (in_use(&server, "large_bodies").await == 1).then_some(()));
    tokio::select! {
        answer = write => panic!("{}", answer.text),
        () = started => (),
    }
    until(async || (in_use(&server, "large_bodies").await == 0).then_some(())).await;
    locked.rollback().await.unwrap();
    assert_eq!(ada.values(&thread).await, json!({}));
}

#[tokio::test]
async fn statements_of_one_user_that_wait_leave_connections_for_others() {
    // Half of them are for batches, and half of the rest for one user.
    let server = TestServer::start_with(|config| {
        config.database_max_connections = 8;
        config.database_connections_per_user = 2;
    })
    .await;
    let (ada, bob) = (server.user().await, server.user().await);
    let (busy, other) = (ada.thread(json!({})).await, bob.thread(json!({})).await);
    let mut lock = locked(&server, &busy).await;
    // A copy has a connection of its own, and waits with it for the lock.
    let path = format!("/threads/{busy}/copy");
    let copies = futures::future::join_all((0..12).map(|_| ada.post(&path, json!({}))));
    let others = async {
        until(async || {
            let waiting = "select count(*) from pg_stat_activity
                where datname = current_database() and wait_event_type = 'Lock'";
            let waiting: i64 = sqlx::query_scalar(waiting).fetch_one(&server.pool).await.unwrap();
            (waiting >= 2).then_some(())
        })
        .await;
        // They wait for four seconds at most: one that waited for them would be after those.
        let began = std::time::Instant::now();
        for _ in 0..5 {
            let copy = bob.copy(&other).await;
            bob.get(&format!("/threads/{copy}")).await.expect(200);
        }
        assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
        lock.execute("rollback").await.unwrap();
    };
    let (copies, ()) = tokio::join!(copies, others);
    for copy in copies {
        copy.expect(200);
    }
}
