//! What the database writes to its own log, as one of somebody else's does by default: the text of
//! each statement that fails. Nothing of a user is in it.

use std::time::Duration;

use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Executor as _};

use crate::raw::until;
use crate::support::postgres::test_cluster;
use crate::support::{Answer, TestServer};

/// Postgres's defaults, which the cluster of these tests does not have.
const DEFAULTS: [&str; 3] = [
    "log_min_messages = warning",
    "log_min_error_statement = error",
    "log_parameter_max_length_on_error = 0",
];

#[tokio::test]
async fn statements_that_time_out_leave_nothing_of_a_user_in_the_log_of_the_database() {
    let log = test_cluster().await.log();
    let server = TestServer::start().await;
    let user = server.user().await;
    let mut connection = server.database.connect().await.unwrap();
    let name = server.database.get_database().unwrap();
    for setting in DEFAULTS {
        let alter = format!("alter database {name} set {setting}");
        connection.execute(AssertSqlSafe(alter)).await.unwrap();
    }
    let secret = format!("secret-{}", uuid::Uuid::new_v4().simple());
    let metadata = json!({ "topic": secret });
    let id = user.thread(json!({ "metadata": metadata })).await;
    let values = json!({ "messages": [secret], "k": secret });
    let checkpoint = user.write(&id, values.clone()).await;

    // One that begins when the database logs, with a connection for each request below.
    let impatient = server.start_beside_with(|config| {
        config.database_timeout = Duration::from_secs(3);
        config.database_max_connections = 40;
        config.database_connections_per_user = 20;
    });
    let impatient = impatient.await;
    let user = user.at(&impatient);
    assert_eq!(user.count(json!({ "metadata": metadata })).await, 1);
    let before = std::fs::read_to_string(&log).unwrap().len();
    let mut locked = sqlx::Connection::begin(&mut connection).await.unwrap();
    locked.execute("lock table thread_store.thread").await.unwrap();

    let thread = format!("/threads/{id}");
    let requests: [(Method, String, Value); 17] = [
        post("/threads/search", json!({})),
        post("/threads/search", json!({ "metadata": metadata })),
        post("/threads/search", json!({ "metadata": metadata, "sort_by": "created_at" })),
        post("/threads/search", json!({ "metadata": metadata, "status": "idle" })),
        post("/threads/search", json!({ "metadata": metadata, "ids": [id] })),
        post("/threads/search", json!({ "values": { "k": secret } })),
        post("/threads/search", json!({ "extract": { "x": format!("values.{secret}") } })),
        post("/threads/count", json!({})),
        post("/threads/count", json!({ "metadata": metadata })),
        post("/threads/count", json!({ "values": { "k": secret } })),
        post("/threads", json!({ "metadata": metadata })),
        post(&format!("{thread}/copy"), json!(null)),
        post(&format!("{thread}/state"), json!({ "values": values, "as_node": secret })),
        post(&format!("{thread}/history"), json!({ "metadata": metadata })),
        (Method::PATCH, thread.clone(), json!({ "metadata": metadata })),
        (Method::GET, thread.clone(), json!(null)),
        (Method::GET, format!("{thread}/state/{checkpoint}"), json!(null)),
    ];
    let answers = requests.iter().map(async |(method, path, body)| {
        let answer = Answer::of(user.request(method.clone(), path).json(body)).await;
        assert_eq!(answer.status, 503, "{method} {path} {body}: {}", answer.text);
    });
    join_all(answers).await;
    // The database may write its lines after the answers, and only while the lock is held.
    let news = until(async || {
        let log = std::fs::read_to_string(&log).unwrap();
        let news = log.get(before..).unwrap().to_owned();
        (news.matches("STATEMENT:").count() >= 10).then_some(news)
    });
    let news = news.await;
    locked.rollback().await.unwrap();
    let statements = news.matches("STATEMENT:").count();
    let tells = |line: &&str| line.contains(&secret) || line.contains(&user.id);
    let told: Vec<_> = news.lines().filter(tells).filter_map(|line| line.get(..120)).collect();
    assert!(told.is_empty(), "{} of {statements} statements: {told:#?}", told.len());
}

fn post(path: &str, body: Value) -> (Method, String, Value) {
    (Method::POST, path.to_owned(), body)
}
