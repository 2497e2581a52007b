//! An id that belongs to an agent's thread of somebody else, or of nobody, is taken by no route.

use reqwest::Method;
use serde_json::{Value, json};
use sqlx::Executor as _;
use uuid::Uuid;

use super::agent::{Agent, Put, until};
use crate::import;
use crate::runs::agent::{Agent as RunAgent, ordinary};
use crate::runs::{missing, settings};
use crate::support::{Answer, TestServer, User};

/// The ids of three threads that Mallory may not have: Ada's, one of nobody's, and the one that is
/// served for the agent's `user:7:chat`, which is Ada's.
async fn victims(agent: &mut Agent, ada: &User) -> [String; 3] {
    let (owned, nobodys) = (Uuid::new_v4().to_string(), Uuid::new_v4().to_string());
    agent.begin(&owned, ada, json!({ "n": 1 })).await;
    let (values, metadata) = (json!({ "n": 2 }), json!({ "source": "input", "step": -1 }));
    agent.put(Put { thread: &nobodys, values, metadata, parent: None, id: None }).await;
    agent.begin("user:7:chat", ada, json!({ "n": 3 })).await;
    let search = json!({ "metadata": { "agent_thread_id": "user:7:chat" } });
    let found = async || ada.post("/threads/search", search.clone()).await.expect(200);
    until("the agent's own id is served", async || found().await != json!([])).await;
    [owned, nobodys, found().await[0]["thread_id"].as_str().unwrap().to_owned()]
}

/// What may not change, whatever Mallory tries.
async fn seen(agent: &mut Agent, ada: &User, ids: &[String]) -> Vec<Value> {
    let mut seen = Vec::new();
    for id in ids {
        for path in ["", "/state", "/history"] {
            let answer = ada.get(&format!("/threads/{id}{path}")).await;
            seen.push(json!([answer.status.as_u16(), answer.text]));
        }
        seen.push(json!(agent.rows(id).await));
    }
    seen.push(json!(agent.rows("user:7:chat").await));
    seen
}

/// Every request of the routes of runs that names a thread: in the path, and in the body.
fn of_runs(id: &str, own: &str) -> Vec<(Method, String, Value)> {
    let (get, post) = (Method::GET, Method::POST);
    let of = |end: &str| format!("/threads/{id}/{end}");
    let run = Uuid::new_v4();
    let mut cases = vec![
        (get.clone(), of("runs"), Value::Null),
        (get.clone(), of(&format!("runs/{run}")), Value::Null),
        (get.clone(), of(&format!("runs/{run}/join")), Value::Null),
        (get, of(&format!("runs/{run}/stream")), Value::Null),
        (post.clone(), of(&format!("runs/{run}/cancel")), json!({})),
        (post.clone(), "/runs/cancel".into(), json!({ "thread_id": id, "run_ids": [run] })),
        (Method::DELETE, of(&format!("runs/{run}")), Value::Null),
        // Waits for a thread that is being made, and then says that there is none.
        (post.clone(), of("stream/events"), json!({ "channels": ["values"] })),
    ];
    for method in ["run.start", "input.respond", "agent.getTree"] {
        let command = json!({ "id": 1, "method": method, "params": { "assistant_id": "agent" } });
        cases.push((post.clone(), of("commands"), command));
    }
    let in_config = json!({ "config": { "configurable": { "thread_id": id } } });
    let start = json!({ "id": 1, "method": "run.start", "params": in_config });
    cases.push((post.clone(), format!("/threads/{own}/commands"), start));
    for end in ["", "/stream", "/wait"] {
        for if_not_exists in ["create", "reject"] {
            let body = json!({ "if_not_exists": if_not_exists });
            cases.push((post.clone(), of(&format!("runs{end}")), body));
        }
        for body in
            [&in_config, &json!({ "thread_id": id }), &json!({ "checkpoint": { "thread_id": id } })]
        {
            let mut body = body.clone();
            body["if_not_exists"] = json!("create");
            cases.push((post.clone(), format!("/runs{end}"), body.clone()));
            cases.push((post.clone(), format!("/threads/{own}/runs{end}"), body));
        }
    }
    cases
}

#[tokio::test]
async fn no_run_no_command_and_no_stream_takes_the_id_of_an_agents_thread() {
    let hears = RunAgent::start(ordinary).await;
    let mut agent = Agent::start().await;
    let configure = |config: &mut thread_store::config::Config| {
        config.agent = Some(settings(&hears.url));
    };
    let server = TestServer::start_at(agent.database.clone(), configure).await;
    let (ada, mallory) = (server.user().await, server.user().await);
    agent.attach().await;
    let ids = victims(&mut agent, &ada).await;
    let before = seen(&mut agent, &ada, &ids).await;
    let own = mallory.thread(json!({})).await;
    let tries = ids.iter().flat_map(|id| of_runs(id, &own).into_iter().map(move |case| (id, case)));
    let tries = tries.map(async |(id, (method, path, mut body))| {
        let mut request = mallory.request(method.clone(), &path);
        if body.is_object() {
            body["assistant_id"] = json!("agent");
            request = request.json(&body);
        }
        let answer = Answer::of(request).await;
        assert_eq!(answer.status, 404, "{method} {path} {body} {}", answer.text);
        assert_eq!(answer.detail(), missing(id), "{method} {path} {body}");
    });
    assert!(futures::future::join_all(tries).await.len() > 90);
    assert_eq!(hears.heard().len(), 0);
    assert_eq!(seen(&mut agent, &ada, &ids).await, before);
    assert_eq!(mallory.found(json!({})).await, [own]);
}

#[tokio::test]
async fn an_import_takes_no_id_of_an_agents_thread_and_says_so() {
    let source = TestServer::start().await;
    let mut agent = Agent::start().await;
    let server = agent.server().await;
    let (ada, mallory, from) = (server.user().await, server.user().await, source.user().await);
    agent.attach().await;
    let ids = victims(&mut agent, &ada).await;
    let before = seen(&mut agent, &ada, &ids).await;
    for id in &ids {
        from.thread(json!({ "thread_id": id, "metadata": { "mine": true } })).await;
        from.write(id, json!({ "n": 9 })).await;
    }
    let said = import::import(&from, &mallory).await;
    assert_eq!(said.code, Some(1), "{}", said.report);
    for id in &ids {
        let line = format!("{id}  the id belongs to another user in the destination");
        assert!(said.report.contains(&line), "{line}\n{}", said.report);
    }
    assert_eq!(seen(&mut agent, &ada, &ids).await, before);
    assert_eq!(mallory.found(json!({})).await, [""; 0]);
}

#[tokio::test]
async fn an_id_that_an_agent_is_taking_at_that_moment_is_its_threads() {
    let mut agent = Agent::start().await;
    let server = agent.server().await;
    let (ada, mallory) = (server.user().await, server.user().await);
    agent.attach().await;
    let id = Uuid::new_v4().to_string();
    agent.run("begin").await;
    agent.begin(&id, &ada, json!({ "n": 1 })).await;
    let create = json!({ "thread_id": id, "if_exists": "do_nothing" });
    let trying = tokio::spawn({
        let mallory = mallory.clone();
        async move { mallory.post("/threads", create).await }
    });
    let waits = "select exists (select from pg_stat_activity \
                 where wait_event_type = 'Lock' and datname = current_database())";
    until("the other waits for the agent", async || {
        sqlx::query_scalar(waits).fetch_one(&server.pool).await.unwrap()
    })
    .await;
    agent.connection.execute("commit").await.unwrap();
    assert_eq!(trying.await.unwrap().status, 409);
    let path = format!("/threads/{id}");
    until("it is Ada's", async || ada.get(&path).await.status == 200).await;
    assert_eq!(ada.get(&path).await.expect(200)["values"], json!({ "n": 1 }));
    assert_eq!(mallory.get(&path).await.status, 404);
}

/// News of it is heard: a server that never had tables asks once a minute.
#[tokio::test]
async fn a_server_hears_at_once_that_tables_are_attached() {
    let mut agent = Agent::start().await;
    let server = agent.server().await;
    let ada = server.user().await;
    agent.begin("chat:1", &ada, json!({})).await;
    // As long as a server takes to begin to hear.
    let listens = "select exists (select from pg_stat_activity \
                   where query like 'LISTEN%attachment%' and datname = current_database())";
    until("the server listens", async || {
        sqlx::query_scalar(listens).fetch_one(&server.pool).await.unwrap()
    })
    .await;
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let begun = std::time::Instant::now();
    agent.attach().await;
    agent.begin("chat:2", &ada, json!({})).await;
    until("what it works off is there", async || {
        ada.post("/threads/count", json!({})).await.expect(200) == 2
    })
    .await;
    assert!(begun.elapsed() < std::time::Duration::from_secs(20), "{:?}", begun.elapsed());
}

/// Waiting for a locked row with others locked could be a deadlock with an attachment that takes in the same
/// threads in another order.
#[tokio::test]
async fn the_status_of_threads_is_kept_though_one_of_them_is_locked() {
    let mut agent = Agent::start().await;
    let server = agent.server().await;
    let user = server.user().await;
    agent.attach().await;
    for id in ["one", "two", "three"] {
        agent.begin(id, &user, json!({})).await;
    }
    let unsettled = "select count(*) from thread_store.thread where agent_settled < last_seq";
    let unsettled =
        async || -> i64 { sqlx::query_scalar(unsettled).fetch_one(&server.pool).await.unwrap() };
    until("all are settled", async || user.count(json!({})).await == 3 && unsettled().await == 0)
        .await;
    // One is locked before the server has found its status.
    let holder = loop {
        let write = "update thread_store.thread set last_seq = last_seq + 1";
        server.pool.execute(write).await.unwrap();
        let mut holder = server.pool.begin().await.unwrap();
        let lock = "select from thread_store.thread where agent_settled < last_seq \
                    order by thread_id limit 1 for update skip locked";
        if sqlx::query(lock).fetch_optional(&mut *holder).await.unwrap().is_some() {
            break holder;
        }
    };
    until("the others are settled", async || unsettled().await == 1).await;
    holder.rollback().await.unwrap();
    until("all are settled", async || unsettled().await == 0).await;
}
