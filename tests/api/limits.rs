//! What one client cannot do to the others, or to itself.

use std::time::Duration;

use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::Connection;

use crate::program::{Program, command, directory, kill};
use crate::sse::Events;
use crate::support::postgres::{test_cluster, url_of};
use crate::support::{Answer, TestServer};

#[tokio::test]
async fn creates_that_find_their_thread_do_not_run_out_of_connections() {
    let server = TestServer::start_with(|config| config.database_max_connections = 1).await;
    let user = server.user().await;
    let id = user.thread(json!({})).await;
    let body = json!({ "thread_id": id, "if_exists": "do_nothing" });
    let answers = join_all((0..40).map(|_| user.post("/threads", body.clone()))).await;
    for answer in answers {
        assert_eq!(answer.expect(200)["thread_id"], json!(id));
    }
}

#[tokio::test]
async fn writers_who_wait_for_one_thread_leave_connections_for_everybody_else() {
    let server = TestServer::start_with(|config| config.database_max_connections = 3).await;
    let (one, two) = (server.user().await, server.user().await);
    let (busy, own) = (one.thread(json!({})).await, two.thread(json!({})).await);
    let mut connection = server.pool.acquire().await.unwrap();
    let mut lock = connection.begin().await.unwrap();
    sqlx::query("select from thread_store.thread where thread_id = $1::uuid for update")
        .bind(&busy)
        .execute(&mut *lock)
        .await
        .unwrap();
    let path = format!("/threads/{busy}/state");
    let writes = join_all((0..20).map(|n| one.post(&path, json!({ "values": { "n": n } }))));
    let reads = async {
        for _ in 0..20 {
            two.get(&format!("/threads/{own}")).await.expect(200);
        }
        lock.rollback().await.unwrap();
    };
    let (written, ()) = futures::join!(writes, reads);
    for answer in written {
        answer.expect(200);
    }
    let history = one.get(&format!("/threads/{busy}/history?limit=100")).await.expect(200);
    assert_eq!(history.as_array().unwrap().len(), 20);
}

#[tokio::test]
async fn made_up_methods_do_not_make_metrics_of_their_own() {
    let server = TestServer::start().await;
    let nobody = server.nobody();
    for n in 0..20 {
        let method = Method::from_bytes(format!("MADEUP{n}").as_bytes()).unwrap();
        Answer::of(nobody.request(method, "/ok")).await;
    }
    let metrics = nobody.get("/metrics").await;
    assert_eq!(metrics.status, 200);
    assert!(metrics.text.contains("method=\"other\""));
    assert!(!metrics.text.contains("MADEUP"));
}

#[tokio::test]
async fn a_patch_answers_with_the_values_of_its_own_moment() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let id = user.thread(json!({})).await;
    let path = format!("/threads/{id}");
    let writes = async {
        for n in 0..60 {
            user.write(&id, json!({ "n": n })).await;
        }
    };
    let patches = async {
        let mut seen = Vec::new();
        for n in 0..60 {
            seen.push(user.patch(&path, json!({ "metadata": { "k": n } })).await.expect(200));
        }
        seen
    };
    let ((), seen) = futures::join!(writes, patches);
    let history = user.get(&format!("{path}/history?limit=1000")).await.expect(200);
    for thread in seen.iter().filter(|thread| !thread["values"].is_null()) {
        let state = history.as_array().unwrap().iter();
        let state = state.clone().find(|state| state["created_at"] == thread["state_updated_at"]);
        assert_eq!(state.unwrap()["values"], thread["values"]);
    }
}

#[tokio::test]
async fn a_number_that_only_json_can_hold_is_refused_and_searches_go_on() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let id = user.thread(json!({})).await;
    user.write(&id, json!({ "n": 1 })).await;
    let body = format!("{{\"values\":{{\"n\":0.{}e-10}}}}", "1".repeat(16_380));
    let refused = user.post_text(&format!("/threads/{id}/state"), body).await;
    assert_eq!((refused.status.as_u16(), refused.detail().contains("values")), (422, true));
    let found = user.post("/threads/search", json!({ "values": { "n": 1 } })).await.expect(200);
    assert_eq!(found[0]["thread_id"], json!(id));
}

#[tokio::test]
async fn a_thread_has_at_most_a_thousand_keys_beside_messages() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let id = user.thread(json!({})).await;
    let keys = |range: std::ops::Range<usize>| {
        range.map(|n| (format!("k{n}"), json!(n))).collect::<serde_json::Map<_, _>>()
    };
    user.write(&id, Value::Object(keys(0..1000))).await;
    let path = format!("/threads/{id}/state");
    let refused = user.post(&path, json!({ "values": { "one more": 1 } })).await;
    assert_eq!((refused.status.as_u16(), refused.detail().contains("1000 keys")), (422, true));
    user.write(&id, json!({ "k0": 1, "messages": ["still works"] })).await;
    let long = json!({ "values": {}, "as_node": "n".repeat(1025) });
    let refused = user.post(&path, long).await;
    assert_eq!((refused.status.as_u16(), refused.detail().contains("as_node")), (422, true));
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_a_short_page_that_can_be_gone_on_from() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let id = user.thread(json!({})).await;
    user.write(&id, json!({ "big": "x".repeat(8 << 20) })).await;
    for n in 0..19 {
        user.write(&id, json!({ "n": n })).await;
    }
    let path = format!("/threads/{id}/history?limit=1000");
    let mut seen: Vec<Value> = Vec::new();
    loop {
        let before = seen.last().map(|state| state["checkpoint_id"].as_str().unwrap());
        let before = before.map(|id| format!("&before={id}")).unwrap_or_default();
        let page = user.get(&format!("{path}{before}")).await.expect(200);
        let page = page.as_array().unwrap();
        assert!(page.len() < 5, "{}", page.len());
        if page.is_empty() {
            break;
        }
        seen.extend(page.iter().cloned());
    }
    assert_eq!(seen.len(), 20);
    let numbers: Vec<_> = seen.iter().map(|state| state["values"]["n"].as_i64()).collect();
    assert_eq!(numbers, (0..19).rev().map(Some).chain([None]).collect::<Vec<_>>());
    assert!(seen.iter().all(|state| state["values"]["big"].as_str().unwrap().len() == 8 << 20));

    for _ in 0..9 {
        user.copy(&id).await;
    }
    let mut body = json!({ "limit": 100 });
    let mut found = 0;
    loop {
        let page = user.post("/threads/search", body.clone()).await;
        let threads = page.expect(200).as_array().unwrap().len();
        assert!((1..5).contains(&threads), "{threads}");
        found += threads;
        if page.header("x-pagination-next").is_empty() {
            break;
        }
        assert_eq!(page.header("x-pagination-next"), found.to_string());
        assert_eq!(page.header("x-pagination-total"), (found + 1).to_string());
        body["offset"] = json!(found);
    }
    assert_eq!(found, 10);
    // Without their values all fit.
    let ids = json!({ "limit": 100, "select": ["thread_id"] });
    assert_eq!(user.found(ids).await.len(), 10);
}

#[tokio::test]
async fn what_an_error_repeats_of_a_request_is_short() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let long = "x".repeat(100_000);
    let answer = user.post("/threads/search", json!({ "ids": [long] })).await;
    assert_eq!((answer.status.as_u16(), answer.detail().len() < 500), (422, true));
    let answer = user.post("/threads", json!({ long.as_str(): 1, "if_exists": long })).await;
    assert_eq!((answer.status.as_u16(), answer.detail().len() < 1000), (422, true));
    let answer = Answer::of(user.request(Method::GET, "/ok").header("x-request-id", &long[..5000]));
    assert!(answer.await.header("x-request-id").len() < 100);
    let answer = Answer::of(user.request(Method::GET, "/ok").header("x-request-id", "mine"));
    assert_eq!(answer.await.header("x-request-id"), "mine");
}

#[tokio::test]
async fn a_stream_ends_when_its_thread_is_replaced_under_the_same_id() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let id = user.thread(json!({})).await;
    let mut events = Events::of(&user, &id).await;
    user.write(&id, json!({ "n": 1 })).await;
    user.delete(&format!("/threads/{id}")).await;
    user.thread(json!({ "thread_id": id })).await;
    user.write(&id, json!({ "n": 2 })).await;
    let rest = events.rest().await;
    assert!(rest.iter().all(|event| event.data["state"]["values"]["n"] == json!(1)), "{rest:?}");
}

#[tokio::test]
async fn an_event_id_from_the_future_replays_nothing_and_hears_what_comes() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let id = user.thread(json!({})).await;
    user.write(&id, json!({ "n": 1 })).await;
    for last in ["99999999999999999", "99999999999999-7"] {
        let mut events = Events::since(&user, &id, last).await;
        let written = user.write(&id, json!({ "n": 2 })).await;
        assert_eq!(events.next().await.unwrap().checkpoint_id(), written);
    }
}

#[tokio::test]
async fn strangers_do_not_learn_from_options_which_paths_exist() {
    let server = TestServer::start().await;
    let nobody = server.nobody();
    let ask = async |path: &str| {
        let answer = Answer::of(nobody.request(Method::OPTIONS, path)).await;
        (answer.status.as_u16(), answer.header("allow").to_owned(), answer.text)
    };
    let known = ask("/threads/prune").await;
    assert_eq!(known.0, 405);
    assert_eq!(known, ask("/no/such/path").await);
    let preflight = async |path: &str| {
        let request = nobody.request(Method::OPTIONS, path).header("Origin", "http://app.example");
        let answer = Answer::of(request.header("Access-Control-Request-Method", "POST")).await;
        (answer.status.as_u16(), answer.headers.contains_key("allow"))
    };
    assert_eq!(preflight("/threads/prune").await, (200, false));
    assert_eq!(preflight("/no/such/path").await, (200, false));
}

#[tokio::test]
async fn a_signal_ends_a_start_that_waits_for_the_database() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("postgres://u@127.0.0.1:{}/d", silent.local_addr().unwrap().port());
    let directory = directory();
    let settings = [("PORT", "0"), ("DATABASE_URL", url.as_str())];
    let mut program = command(directory.path(), &settings).spawn().unwrap();
    // It is waiting for an answer now.
    let _connection = silent.accept().await.unwrap();
    kill("-TERM", &[program.id().unwrap()]);
    let ended = tokio::time::timeout(Duration::from_secs(10), program.wait()).await;
    assert!(ended.unwrap().unwrap().success());
}

#[tokio::test]
async fn a_second_signal_does_not_wait_for_requests() {
    use tokio::io::AsyncWriteExt as _;
    let database = url_of(&test_cluster().await.database().await);
    let directory = directory();
    let mut program =
        Program::start(directory.path(), &[("PORT", "0"), ("DATABASE_URL", &database)]).await;
    let address = program.url.strip_prefix("http://").unwrap().to_owned();
    let mut half = tokio::net::TcpStream::connect(address).await.unwrap();
    half.write_all(
        b"POST /auth/v1/signup HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{",
    )
    .await
    .unwrap();
    // Answered by the same server, so the half request has been read.
    let alive = thread_store::http_client::builder()
        .build()
        .unwrap()
        .get(format!("{}/ok", program.url))
        .send()
        .await
        .unwrap();
    assert_eq!(alive.status(), 200);
    kill("-TERM", &[program.id()]);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let ended = tokio::time::timeout(Duration::from_secs(10), program.end("-INT")).await;
    assert!(ended.unwrap().success());
}

/// The bound is 32 MiB of text.
#[tokio::test]
async fn a_thread_that_is_too_large_to_compare_does_not_match_and_hides_no_other() {
    let server = TestServer::start_with(|config| config.limits.body_bytes = 40 * 1024 * 1024).await;
    let user = server.user().await;
    let (large, other) = (user.thread(json!({})).await, user.thread(json!({})).await);
    let text = "x".repeat(33 * 1024 * 1024);
    user.write(&large, json!({ "k": { "n": 1, "text": text }, "small": 1 })).await;
    user.write(&other, json!({ "k": { "n": 1 } })).await;
    let ids = json!({ "values": { "k": { "n": 1 } }, "select": ["thread_id"] });
    assert_eq!(user.found(ids).await, [other.as_str()]);
    assert_eq!(user.count(json!({ "values": { "k": { "n": 1 } } })).await, 1);
    // Its other keys are compared.
    let ids = json!({ "values": { "small": 1 }, "select": ["thread_id"] });
    assert_eq!(user.found(ids).await, [large.as_str()]);
}
