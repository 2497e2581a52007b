//! The lines that requests leave in the log.

use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _};

use crate::raw::until;
use crate::stream::sign_up;
use crate::support::postgres::{test_cluster, url_of};
use crate::support::program::Program;

/// A program that is asked twice by one user for what works, and once for what fails; with the
/// user's id and all lines that it wrote.
async fn lines_of(log_users: &str) -> (String, Vec<Value>) {
    let options = test_cluster().await.database().await;
    let settings = [
        ("DATABASE_URL", url_of(&options)),
        ("LOG_FORMAT", "json".to_owned()),
        ("LOG_USERS", log_users.to_owned()),
    ];
    let start =
        move || Program::start(&settings.each_ref().map(|(name, value)| (*name, value.as_str())));
    let program = tokio::task::spawn_blocking(start).await.unwrap();
    let user = sign_up(&program.url).await;
    let payload = user.token.split('.').nth(1).unwrap();
    let payload =
        base64::Engine::decode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, payload).unwrap();
    let claims: Value = serde_json::from_slice(&payload).unwrap();
    for _ in 0..2 {
        user.post("/threads/search", json!({})).await.expect(200);
    }
    let mut connection = sqlx::PgConnection::connect_with(&options).await.unwrap();
    connection.execute("alter schema thread_store rename to gone").await.unwrap();
    let request = user.request(Method::POST, "/threads/search").body("{}");
    let answer = request.header("x-request-id", "the-one-that-fails").send().await.unwrap();
    assert_eq!((answer.status().as_u16()), 500);
    assert_eq!(answer.headers()["x-request-id"], "the-one-that-fails");
    let output = tokio::task::spawn_blocking(move || program.stop()).await.unwrap();
    let lines = output.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    (claims["sub"].as_str().unwrap().to_owned(), lines)
}

/// What the lines of searches call the user.
fn users(lines: &[Value]) -> Vec<Value> {
    let is_search = |line: &&Value| {
        line["message"] == json!("request") && line["http.route"] == json!("/threads/search")
    };
    lines.iter().filter(is_search).map(|line| line["user.id"].clone()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_are_named_in_the_log_as_the_setting_says() {
    let (id, lines) = lines_of("plain").await;
    assert_eq!(users(&lines), [json!(id), json!(id), json!(id)]);

    let (id, lines) = lines_of("hash").await;
    let hashes = users(&lines);
    assert_eq!((hashes.len(), &hashes[0], &hashes[1]), (3, &hashes[1], &hashes[2]));
    let hash = hashes[0].as_str().unwrap();
    assert!(hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()), "{hash}");
    assert!(lines.iter().all(|line| !line.to_string().contains(&id)));

    let (id, lines) = lines_of("off").await;
    assert_eq!(users(&lines), [Value::Null, Value::Null, Value::Null]);
    assert!(lines.iter().all(|line| !line.to_string().contains(&id)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_request_has_one_line_and_its_cause_one_more() {
    let (_, lines) = lines_of("off").await;
    let of_request = lines.iter().filter(|line| line["request.id"] == json!("the-one-that-fails"));
    let of_request: Vec<_> = of_request.collect();
    let messages: Vec<_> = of_request.iter().map(|line| line["message"].clone()).collect();
    assert_eq!(messages, [json!("request failed"), json!("request")]);
    assert_eq!(of_request[0]["level"], json!("ERROR"));
    let cause = of_request[0]["cause"].as_str().unwrap();
    assert!(cause.contains("does not exist"), "{cause}");
    let about_it = lines.iter().filter(|line| line.to_string().contains("does not exist")).count();
    assert_eq!(about_it, 1);
    assert_eq!(of_request[1]["http.status"], json!(500));
    assert!(of_request[1]["duration_ms"].is_number());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_whose_client_left_has_a_line_and_a_measurement() {
    let options = test_cluster().await.database().await;
    let settings = [("DATABASE_URL", url_of(&options)), ("LOG_FORMAT", "json".to_owned())];
    let start =
        move || Program::start(&settings.each_ref().map(|(name, value)| (*name, value.as_str())));
    let program = tokio::task::spawn_blocking(start).await.unwrap();
    let user = sign_up(&program.url).await;
    let id = user.thread(json!({})).await;
    let mut connection = sqlx::PgConnection::connect_with(&options).await.unwrap();
    connection.execute("begin; select from thread_store.thread for update").await.unwrap();
    let change = user.request(Method::PATCH, &format!("/threads/{id}")).body("{}");
    let change = change.timeout(std::time::Duration::from_millis(300)).send().await;
    assert!(change.unwrap_err().is_timeout());
    let labels = "method=\"PATCH\",route=\"/threads/{thread_id}\",status=\"499\"";
    until(async || {
        let metrics = user.get("/metrics").await.text;
        let mut counts = metrics.lines().filter(|line| line.contains("seconds_count{"));
        counts
            .find(|line| line.contains(labels))
            .map(|line| assert!(line.ends_with(" 1"), "{line}"))
    })
    .await;
    connection.execute("rollback").await.unwrap();
    let output = tokio::task::spawn_blocking(move || program.stop()).await.unwrap();
    let lines: Vec<Value> =
        output.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let left: Vec<_> = lines.iter().filter(|line| line["http.status"] == json!(499)).collect();
    assert_eq!(left.len(), 1, "{output}");
    assert_eq!((&left[0]["http.method"], &left[0]["thread.id"]), (&json!("PATCH"), &json!(id)));
}
