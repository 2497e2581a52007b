//! Whether a server lives, and whether it can serve: at its start, at its end and in between.

use std::fs::File;
use std::process::Stdio;
use std::time::Duration;

use serde_json::json;
use sqlx::Executor as _;
use tokio::net::{TcpListener, TcpStream, UnixStream};

use crate::program::{command, directory, output_of};
use crate::raw::{Raw, until};
use crate::sse::PATIENCE;
use crate::support::postgres::test_cluster;
use crate::support::program::Program as OwnProcess;
use crate::support::supabase::{Supabase, honest, token};
use crate::support::{TestServer, User};

fn nobody(url: &str) -> User {
    User {
        id: String::new(),
        token: String::new(),
        email: String::new(),
        url: url.to_owned(),
        client: thread_store::http_client::builder().build().unwrap(),
    }
}

#[tokio::test]
async fn a_server_that_waits_for_its_database_lives_and_asks_to_come_back() {
    let database = test_cluster().await.database().await;
    let socket = database.get_socket().unwrap().join(format!(".s.PGSQL.{}", database.get_port()));
    let slow = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!(
        "postgres://{}@127.0.0.1:{}/{}",
        database.get_username(),
        slow.local_addr().unwrap().port(),
        database.get_database().unwrap()
    );
    let directory = directory();
    let log = directory.path().join("log");
    let settings = [("PORT", "0"), ("DATABASE_URL", &url), ("RUST_LOG", "thread_store=debug")];
    let mut program = command(directory.path(), &settings)
        .stderr(File::create(&log).unwrap())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    // Held back: the database has not answered yet.
    let (first, _) = slow.accept().await.unwrap();
    // Lines are written by a thread of their own, soon.
    let address = async {
        loop {
            let text = std::fs::read_to_string(&log).unwrap();
            let rest = text.split("listening on ").nth(1);
            if let Some((address, _)) = rest.and_then(|rest| rest.split_once(',')) {
                return address.to_owned();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let address = tokio::time::timeout(Duration::from_secs(10), address).await.unwrap();
    let client = nobody(&format!("http://{address}"));
    for path in ["/", "/ok"] {
        assert_eq!(client.get(path).await.expect(200), json!({ "ok": true }));
    }
    assert!(client.get("/metrics").await.text.contains("\nthread_store_ready 0\n"));
    for path in ["/readyz", "/ok?check_db=1", "/threads", "/nope", "/auth/v1/health"] {
        let answer = client.get(path).await;
        assert_eq!(answer.status, 503, "{path}");
        assert_eq!(answer.detail(), "The server is starting, try again shortly");
        assert_eq!(answer.header("retry-after"), "1");
        assert!(!answer.header("x-request-id").is_empty());
    }

    let through = async |mut client: TcpStream| {
        let mut server = UnixStream::connect(&socket).await.unwrap();
        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
    };
    let others = async {
        let mut open = futures::stream::FuturesUnordered::new();
        loop {
            use futures::StreamExt as _;
            tokio::select! {
                accepted = slow.accept() => open.push(through(accepted.unwrap().0)),
                Some(()) = open.next() => {}
            }
        }
    };
    let ready = until(async || (client.get("/readyz").await.status == 200).then_some(()));
    let both = async { tokio::join!(through(first), others) };
    tokio::select! {
        () = ready => {}
        _ = both => {}
    }
    assert_eq!(client.get("/threads").await.status, 403);
    assert!(client.get("/metrics").await.text.contains("\nthread_store_ready 1\n"));
    program.kill().await.unwrap();
}

#[tokio::test]
async fn a_database_that_cannot_be_opened_is_the_end_of_the_program() {
    // Nobody listens on port 1.
    let directory = directory();
    let settings = [("PORT", "0"), ("DATABASE_URL", "postgres://u@127.0.0.1:1/d")];
    let output = output_of(command(directory.path(), &settings)).await;
    assert_eq!(output.status.code(), Some(1));
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(log.starts_with("thread-store: cannot connect to the database"), "{log}");
    assert_eq!(log.lines().count(), 1, "{log}");
    assert!(output.stdout.is_empty());
}

#[tokio::test]
async fn a_server_without_its_schema_is_not_ready() {
    let server = TestServer::start().await;
    let client = server.nobody();
    let ready = json!({ "ready": true, "database": "up", "auth": "unknown" });
    assert_eq!(client.get("/readyz").await.expect(200), ready);
    server.pool.execute("alter schema thread_store rename to gone").await.unwrap();
    for path in ["/readyz", "/ok?check_db=1"] {
        let answer = client.get(path).await;
        assert_eq!(answer.status, 503, "{path}");
        assert_eq!(answer.detail(), "The database is not available, try again shortly");
        assert_eq!(answer.header("retry-after"), "1");
    }
    assert_eq!(client.get("/ok").await.expect(200), json!({ "ok": true }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_supabase_is_seen_and_fails_no_check() {
    let supabase = Supabase::start().await;
    let database = test_cluster().await.database_url().await;
    let settings = [
        ("DATABASE_URL", database),
        ("SUPABASE_URL", supabase.url.clone()),
        ("SUPABASE_SERVICE_KEY", "sb_publishable_x".to_owned()),
    ];
    let start = move || {
        OwnProcess::start(&settings.each_ref().map(|(name, value)| (*name, value.as_str())))
    };
    let program = tokio::task::spawn_blocking(start).await.unwrap();
    let client = nobody(&program.url);
    let auth = async || client.get("/readyz").await.expect(200)["auth"].clone();
    let gauge = async || {
        let metrics = client.get("/metrics").await.text;
        let mut lines = metrics.lines();
        lines.find_map(|line| line.strip_prefix("thread_store_auth_available ")).unwrap().to_owned()
    };
    assert_eq!((auth().await, gauge().await.as_str()), (json!("unknown"), "1"));
    for (round, expected) in ["up", "down", "up"].into_iter().enumerate() {
        let token = token();
        supabase.answer_to(&token, honest(&token));
        match round {
            0 => {}
            1 => supabase.stop().await,
            _ => supabase.start_again().await,
        }
        let is_down = expected == "down";
        let user = User { token, ..client.clone() };
        let status = user.post("/threads/count", json!({})).await.status;
        assert_eq!(status, if is_down { 503 } else { 200 });
        assert_eq!(auth().await, json!(expected));
        assert_eq!(gauge().await, if is_down { "0" } else { "1" });
        assert_eq!(client.get("/ok?check_db=1").await.expect(200), json!({ "ok": true }));
    }
}

#[tokio::test]
async fn told_to_stop_a_server_with_a_delay_serves_on_and_is_not_ready() {
    let server =
        TestServer::start_with(|config| config.shutdown_delay = Duration::from_hours(1)).await;
    let user = server.user().await;
    let id = user.thread(json!({})).await;
    assert!(healthcheck(&server).await);
    server.stop();
    let answer = until(async || {
        let answer = user.get("/readyz").await;
        (answer.status != 200).then_some(answer)
    })
    .await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, "1"));
    assert_eq!(answer.detail(), "The server is stopping, try again shortly");
    assert!(!healthcheck(&server).await);
    // On a connection of its own.
    let other =
        User { client: thread_store::http_client::builder().build().unwrap(), ..user.clone() };
    other.get(&format!("/threads/{id}")).await.expect(200);
    let mut events = crate::sse::Events::of(&other, &id).await;
    let written = user.write(&id, json!({ "n": 1 })).await;
    assert_eq!(events.next().await.unwrap().checkpoint_id(), written);
    assert_eq!(user.get("/ok").await.expect(200), json!({ "ok": true }));

    server.stop();
    assert_eq!(events.rest().await, []);
    let url = server.url.clone();
    tokio::time::timeout(PATIENCE, server.stopped()).await.unwrap();
    assert!(
        thread_store::http_client::builder()
            .build()
            .unwrap()
            .get(url)
            .send()
            .await
            .unwrap_err()
            .is_connect()
    );
}

#[tokio::test]
async fn a_request_under_way_is_answered_after_the_stop_and_no_new_one_is_taken() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let mut under_way = Raw::to(&server).await;
    let token = &user.token;
    let head = format!(
        "POST /threads HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\
         Content-Length: 2\r\n\r\n{{"
    );
    under_way.send(&head).await;
    let mut idle = Raw::to(&server).await;
    idle.send("GET /ok HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    // By now the other has been read as well.
    assert_eq!(idle.answer().await.unwrap().status, 200);
    server.stop();
    assert_eq!(idle.rest().await, "");
    let url = server.url.clone();
    until(async || {
        thread_store::http_client::builder().build().unwrap().get(&url).send().await.err()
    })
    .await;
    under_way.send("}").await;
    let answer = under_way.answer().await.unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.head.contains("connection: close"), "{answer:?}");
    tokio::time::timeout(PATIENCE, server.stopped()).await.unwrap();
}

/// Whether the program's own check finds a server ready.
async fn healthcheck(server: &TestServer) -> bool {
    let port = server.url.rsplit(':').next().unwrap();
    let directory = directory();
    let settings = [("PORT", port), ("SUPABASE_URL", "http://127.0.0.1:1")];
    let mut check = command(directory.path(), &settings);
    check.arg("healthcheck").stderr(Stdio::null());
    check.status().await.unwrap().success()
}
