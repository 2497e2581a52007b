//! How soon a run's first event comes.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use sqlx::Executor as _;
use tokio::time::timeout;

use super::agent::{Agent, ordinary};
use super::{ask, run, run_id, settings};
use crate::support::postgres::test_cluster;
use crate::support::{TestServer, User};

/// Has what counts for certain wait for a standby that is not there, as on a disk that is very slow.
/// Others' tests do not see it: nothing of theirs counts for certain.
async fn slow_down(server: &TestServer, standby: &str, ada: &User) {
    let setting = format!("alter system set synchronous_standby_names = '{standby}'");
    server.pool.execute(sqlx::AssertSqlSafe(setting)).await.unwrap();
    server.pool.execute("select pg_reload_conf()").await.unwrap();
    let is_slow = !standby.is_empty();
    let begun = std::time::Instant::now();
    while timeout(Duration::from_millis(500), ada.thread(json!({}))).await.is_err() != is_slow {
        assert!(begun.elapsed() < Duration::from_secs(30), "never: {standby:?}");
    }
}

#[tokio::test]
async fn a_run_that_begins_waits_for_no_disk_and_is_known_at_once() {
    let agent = Agent::start(ordinary).await;
    let database = test_cluster().await.database_of_a_server().await;
    let database = database.options([("synchronous_commit", "on")]);
    let server =
        TestServer::start_at(database, |config| config.agent = Some(settings(&agent.url))).await;
    let ada = server.user().await;
    let thread = ada.thread(json!({})).await;
    slow_down(&server, "nobody", &ada).await;
    let began = timeout(Duration::from_secs(5), run(&ada, &thread, json!({}))).await;
    let known = match &began {
        Ok(answer) => {
            let path = format!("/threads/{thread}/runs/{}", run_id(answer));
            Some(ask(&ada, Method::GET, &path).await)
        }
        Err(_) => None,
    };
    slow_down(&server, "", &ada).await;
    assert!(began.unwrap().text.contains("event: values"));
    assert_eq!(known.unwrap().status, 200);
}
