//! What the server says of itself.

use serde_json::{Value, json};
use sqlx::postgres::PgConnectOptions;
use thread_store::config::Database;
use tokio::net::{TcpListener, UnixStream};
use tokio::task::JoinSet;

use crate::support::TestServer;

#[tokio::test]
async fn liveness_needs_no_token_and_minds_none() {
    let server = TestServer::start().await;
    let nobody = server.nobody();
    for path in ["/", "/ok", "/ok?check_db=1", "/ok?check_db=true", "/ok?check_db=0", "/ok?x=%FF"] {
        let answer = nobody.get(path).await;
        assert_eq!(
            (answer.status.as_u16(), answer.text.as_str()),
            (200, "{\"ok\":true}"),
            "{path}"
        );
        let request = nobody.request(reqwest::Method::GET, path).bearer_auth("bad");
        assert_eq!(request.send().await.unwrap().status(), 200, "{path}");
    }
    let info = nobody.get("/info").await.expect(200);
    assert_eq!(info["version"], json!(env!("CARGO_PKG_VERSION")));
    assert_eq!((&info["flags"]["threads"], &info["flags"]["runs"]), (&json!(true), &json!(false)));
}

#[tokio::test]
async fn metrics_count_requests_by_route_and_never_by_id() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let id = user.thread(json!({})).await;
    user.get(&format!("/threads/{id}")).await.expect(200);
    let metrics = server.nobody().get("/metrics").await;
    assert!(metrics.header("content-type").starts_with("text/plain; version=0.0.4"));
    assert!(metrics.text.contains("/threads/{thread_id}"), "{}", metrics.text);
    assert!(!metrics.text.contains(&id) && !metrics.text.contains(&user.id));
}

#[tokio::test]
async fn every_request_has_an_id_and_keeps_its_own() {
    let server = TestServer::start().await;
    let nobody = server.nobody();
    let (one, two) = (nobody.get("/ok").await, nobody.get("/nope").await);
    assert!(!one.header("x-request-id").is_empty());
    assert_ne!(one.header("x-request-id"), two.header("x-request-id"));
    let request = nobody.request(reqwest::Method::GET, "/ok").header("x-request-id", "mine");
    assert_eq!(request.send().await.unwrap().headers()["x-request-id"], "mine");
}

#[tokio::test]
async fn without_its_database_the_server_lives_and_says_to_come_back() {
    let database = crate::support::postgres::test_cluster().await.database().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let through = PgConnectOptions::new_without_pgpass()
        .host("127.0.0.1")
        .port(port)
        .username(database.get_username())
        .database(database.get_database().unwrap());
    let socket = database.get_socket().unwrap().join(format!(".s.PGSQL.{}", database.get_port()));
    let tunnel = tokio::spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((mut client, _)) = listener.accept().await {
            let mut server = UnixStream::connect(&socket).await.unwrap();
            connections.spawn(async move {
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    let through = Box::new(through);
    let server = TestServer::start_at(database, |config| {
        config.database = Database::External { url: through, direct: None }
    })
    .await;
    let user = server.user().await;
    let id = user.thread(json!({})).await;
    user.get("/ok?check_db=1").await.expect(200);

    tunnel.abort();
    assert!(tunnel.await.unwrap_err().is_cancelled());
    let down = user.get("/ok?check_db=1").await;
    assert_eq!(down.status, 503);
    assert_eq!(down.detail(), "The database is not available, try again shortly");
    assert_eq!(down.header("retry-after"), "1");
    assert_eq!(user.get("/ok").await.expect(200), json!({ "ok": true }));
    let path = format!("/threads/{id}");
    let refused = user.get(&path).await;
    assert_eq!(refused.status, 503, "{}", refused.text);
    assert!(!refused.header("retry-after").is_empty());
    assert_ne!(refused.json(), Value::Null);
}
