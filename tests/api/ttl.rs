//! `ttl`: a thread whose time is over is gone for readers at once, and later swept.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};
use sqlx::ConnectOptions as _;
use thread_store::store::{PutOff, Store, Strategy, Ttl};

use crate::delete::rows;
use crate::support::postgres::{test_cluster, url_of};
use crate::support::program::Program;
use crate::support::steps::{human, messages};
use crate::support::{TestServer, User};

#[tokio::test]
async fn an_expired_thread_is_gone_for_every_reader_and_writer() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let id = user.thread(json!({ "metadata": { "k": 1 } })).await;
    let kept = user.thread(json!({ "metadata": { "k": 1 } })).await;
    let checkpoint = user.write(&id, json!({ "k": 1 })).await;
    user.write(&kept, json!({ "k": 1 })).await;
    user.expire(&id, "delete").await;

    let missing = format!("Thread with ID {id} not found");
    for (method, path, body) in [
        ("GET", "", json!(null)),
        ("GET", "?include=ttl", json!(null)),
        ("PATCH", "", json!({ "ttl": { "ttl": 5 } })),
        ("GET", "/state", json!(null)),
        ("GET", &format!("/state/{checkpoint}"), json!(null)),
        ("POST", "/state/checkpoint", json!({ "checkpoint": {} })),
        ("POST", "/state", json!({ "values": { "k": 2 } })),
        ("GET", "/history", json!(null)),
        ("POST", "/history", json!({})),
        ("GET", "/storage", json!(null)),
        ("GET", "/stream", json!(null)),
        ("POST", "/copy", json!(null)),
        ("DELETE", "", json!(null)),
    ] {
        let request = user.request(method.parse().unwrap(), &format!("/threads/{id}{path}"));
        let answer = crate::support::Answer::of(request.json(&body)).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{method} {path}");
        assert_eq!(answer.detail(), missing, "{method} {path}");
    }
    for body in [json!({}), json!({ "metadata": { "k": 1 } }), json!({ "values": { "k": 1 } })] {
        assert_eq!(user.found(body.clone()).await, [kept.as_str()], "{body}");
        assert_eq!(user.count(body).await, 1);
    }
    assert_eq!(user.found(json!({ "ids": [id] })).await, [""; 0]);
    for strategy in ["delete", "keep_latest"] {
        let body = json!({ "thread_ids": [id, kept], "strategy": strategy });
        let refused = user.post("/threads/prune", body).await;
        assert_eq!(refused.status, 404);
        assert_eq!(refused.detail(), "At least one thread not found or not authorized");
    }
    assert_eq!(user.values(&kept).await, json!({ "k": 1 }));
}

#[tokio::test]
async fn the_id_of_an_expired_thread_is_free_for_anybody() {
    let server = TestServer::start().await;
    let (one, two) = (server.user().await, server.user().await);
    for supersteps in
        [json!([]), json!([{ "updates": [{ "values": { "n": 2 }, "as_node": "x" }] }])]
    {
        let id = one.thread(json!({ "metadata": { "secret": 1 } })).await;
        let checkpoint = one.write(&id, json!({ "secret": 1, "messages": ["x"] })).await;
        one.expire(&id, "delete").await;
        let body = json!({ "thread_id": id, "supersteps": supersteps, "if_exists": "do_nothing" });
        let thread = two.post("/threads", body).await.expect(200);
        assert_eq!(thread["metadata"], json!({ "owner": two.id }));
        let is_fresh = supersteps == json!([]);
        assert_eq!(thread["values"], if is_fresh { Value::Null } else { json!({ "n": 2 }) });
        assert_eq!(two.history(&id).await.len(), usize::from(!is_fresh));
        assert_eq!(two.values_at(&id, &checkpoint).await, json!({}));
        assert_eq!(one.get(&format!("/threads/{id}")).await.status, 404);
        // Its time was the old thread's, not the id's.
        server.swept().await;
        two.get(&format!("/threads/{id}")).await.expect(200);
    }
}

#[tokio::test]
async fn the_sweeper_deletes_what_expired_and_nothing_else() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let mut gone = Vec::new();
    // More than one batch.
    for n in 0..103 {
        let body = json!({ "ttl": { "ttl": 1e-7 }, "metadata": { "n": n } });
        gone.push(user.thread(body).await);
    }
    let with_state = user.thread(json!({})).await;
    let first = user.write(&with_state, json!({ "messages": ["x"], "k": 1 })).await;
    user.write(&with_state, json!({ "messages": ["y"] })).await;
    user.fork(&with_state, &first, json!({ "messages": ["z"] })).await;
    user.expire(&with_state, "delete").await;
    gone.push(with_state);
    let later = user.thread(json!({ "ttl": { "ttl": 60 } })).await;
    let never = user.thread(json!({})).await;
    server.swept().await;
    for id in &gone {
        assert_eq!(rows(&server, id).await, 0);
    }
    assert_eq!(user.found(json!({})).await, [never, later]);
}

#[tokio::test]
async fn a_long_thread_is_gone_at_once_and_its_rows_with_the_next_sweep() {
    let server = TestServer::start().await;
    let (user, other) = (server.user().await, server.user().await);
    let (first, second) = (user.thread(json!({})).await, user.thread(json!({})).await);
    for id in [&first, &second] {
        for number in 0..5 {
            let text = "x".repeat(1024 * 1024);
            user.write(id, json!({ "messages": [human("a", "A")], "n": number, "text": text }))
                .await;
        }
        assert_eq!(user.delete(&format!("/threads/{id}")).await.status, 204);
        assert_eq!(user.get(&format!("/threads/{id}")).await.status, 404);
        assert!(rows(&server, id).await > 10, "it is erased in the background");
    }
    // Whoever wants the id does not wait for the sweeper.
    other.post("/threads", json!({ "thread_id": second })).await.expect(200);
    assert_eq!(other.history(&second).await, Vec::<serde_json::Value>::new());
    server.swept().await;
    assert_eq!(rows(&server, &first).await, 0);
    assert_eq!(rows(&server, &second).await, 2);
}

#[tokio::test]
async fn keep_latest_shrinks_a_thread_once_and_keeps_it() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let id = user.thread(json!({ "ttl": { "ttl": 60, "strategy": "keep_latest" } })).await;
    user.write(&id, json!({ "messages": [human("a", "A"), human("b", "B")], "k": 1 })).await;
    let newest = user.write(&id, json!({ "messages": [human("b", "B2")] })).await;
    user.expire(&id, "keep_latest").await;
    // Its readers never lose it.
    assert_eq!(messages(&user.values(&id).await), ["a=A", "b=B2"]);
    server.swept().await;
    let history = user.history(&id).await;
    assert_eq!(history.len(), 1);
    assert_eq!(history[0]["checkpoint_id"], json!(newest));
    assert_eq!(history[0]["parent_checkpoint"], Value::Null);
    assert_eq!(messages(&history[0]["values"]), ["a=A", "b=B2"]);
    let ttl = user.get(&format!("/threads/{id}?include=ttl")).await.expect(200)["ttl"].take();
    assert_eq!(ttl["expires_at"], Value::Null, "it happened");
    assert_eq!(ttl["strategy"], json!("keep_latest"));
    // What is written later stays.
    user.write(&id, json!({ "messages": [human("c", "C")] })).await;
    server.swept().await;
    assert_eq!(user.history(&id).await.len(), 2);
    assert_eq!(messages(&user.values(&id).await), ["a=A", "b=B2", "c=C"]);
}

#[tokio::test]
async fn a_ttl_shows_when_it_is_asked_for() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let created = json!({ "ttl": { "ttl": 0.5, "strategy": "keep_latest" } });
    let id = user.thread(created).await;
    let (plain, with) = (format!("/threads/{id}"), format!("/threads/{id}?include=ttl"));
    let thread = user.get(&with).await.expect(200);
    let time = |value: &Value| {
        chrono::DateTime::parse_from_rfc3339(value.as_str().unwrap()).unwrap().timestamp_micros()
    };
    assert_eq!(thread["ttl"]["ttl_minutes"], json!(0.5));
    assert_eq!(thread["ttl"]["strategy"], json!("keep_latest"));
    let length = time(&thread["ttl"]["expires_at"]) - time(&thread["created_at"]);
    assert!((30_000_000..31_000_000).contains(&length), "{length}");
    assert!(user.get(&plain).await.expect(200).get("ttl").is_none());

    // Absent leaves it as it is; what says nothing is refused.
    user.patch(&plain, json!({})).await.expect(200);
    assert_eq!(user.get(&with).await.expect(200)["ttl"], thread["ttl"]);
    for ttl in [json!({}), json!({ "default_ttl": 5 })] {
        let refused = user.patch(&plain, json!({ "ttl": ttl })).await;
        assert_eq!((refused.status.as_u16(), refused.detail().contains("ttl")), (422, true));
    }
    // A new thread has no time that a strategy alone could be for.
    for ttl in [json!({}), json!({ "default_ttl": 5 }), json!({ "strategy": "keep_latest" })] {
        let refused = user.post("/threads", json!({ "ttl": ttl })).await;
        assert_eq!((refused.status.as_u16(), refused.detail().contains("ttl.ttl")), (422, true));
    }
    // A new time counts from now, and keeps the strategy.
    user.patch(&plain, json!({ "ttl": { "ttl": 1_000_000_000 } })).await.expect(200);
    let ttl = user.get(&with).await.expect(200)["ttl"].take();
    assert_eq!((&ttl["strategy"], &ttl["ttl_minutes"]), (&json!("keep_latest"), &json!(1e9)));
    assert!(time(&ttl["expires_at"]) > time(&thread["ttl"]["expires_at"]));
    // A new strategy keeps the time.
    user.patch(&plain, json!({ "ttl": { "strategy": "delete" } })).await.expect(200);
    let changed = user.get(&with).await.expect(200)["ttl"].take();
    assert_eq!(
        (&changed["strategy"], &changed["expires_at"]),
        (&json!("delete"), &ttl["expires_at"])
    );
    user.patch(&plain, json!({ "ttl": null })).await.expect(200);
    assert!(user.get(&with).await.expect(200).get("ttl").is_none());
    let never = user.thread(json!({})).await;
    let thread = user.get(&format!("/threads/{never}?include=ttl")).await.expect(200);
    assert!(thread.get("ttl").is_none());
}

#[tokio::test]
async fn a_copy_does_not_end_with_its_original() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let id = user.thread(json!({ "ttl": { "ttl": 60 } })).await;
    user.write(&id, json!({ "k": 1 })).await;
    let copy = user.copy(&id).await;
    user.expire(&id, "delete").await;
    server.swept().await;
    let thread = user.get(&format!("/threads/{copy}?include=ttl")).await.expect(200);
    assert_eq!((thread.get("ttl"), &thread["values"]), (None, &json!({ "k": 1 })));
}

#[tokio::test]
async fn a_thread_that_is_made_without_a_ttl_gets_the_default() {
    let server = TestServer::start_with(|config| {
        config.thread_ttl.default = Ttl::new(30.0, Strategy::KeepLatest);
    })
    .await;
    let user = server.user().await;
    let ttl_of = async |id: &str| {
        let thread = user.get(&format!("/threads/{id}?include=ttl")).await.expect(200);
        (thread["ttl"]["ttl_minutes"].clone(), thread["ttl"]["strategy"].clone())
    };
    let default = (json!(30.0), json!("keep_latest"));
    let plain = user.thread(json!({})).await;
    let step = json!([{ "updates": [{ "values": { "n": 2 }, "as_node": "x" }] }]);
    let with_state = user.thread(json!({ "supersteps": step })).await;
    let own = user.thread(json!({ "ttl": { "ttl": 60 } })).await;
    assert_eq!(ttl_of(&plain).await, default);
    assert_eq!(ttl_of(&with_state).await, default);
    assert_eq!(ttl_of(&own).await, (json!(60.0), json!("delete")), "the client's own wins");
    // A copy is a thread that is made without a ttl, whatever its original has.
    for id in [&plain, &with_state, &own] {
        let copy = user.copy(id).await;
        assert_eq!(ttl_of(&copy).await, default);
    }
    let length: Option<f64> = sqlx::query_scalar(
        "select min(extract(epoch from expires_at - created_at))::float8 from thread_store.thread \
         where ttl_minutes = 30",
    )
    .fetch_one(&server.pool)
    .await
    .unwrap();
    assert!((1800.0..1801.0).contains(&length.unwrap()), "{length:?}");

    // One that is there keeps what it has, and a change of something else changes no ttl.
    let body = json!({ "thread_id": own, "if_exists": "do_nothing" });
    user.post("/threads", body).await.expect(200);
    user.patch(&format!("/threads/{own}"), json!({ "metadata": { "a": 1 } })).await.expect(200);
    assert_eq!(ttl_of(&own).await, (json!(60.0), json!("delete")));
    let without = server.start_beside().await;
    let never = user.at(&without).thread(json!({})).await;
    user.patch(&format!("/threads/{never}"), json!({ "metadata": { "a": 1 } })).await.expect(200);
    assert_eq!(ttl_of(&never).await, (Value::Null, Value::Null));
}

/// As an operator sets it, and swept as often.
#[tokio::test]
async fn the_default_of_the_settings_ends_threads_at_the_interval_of_the_settings() {
    let sign_in = TestServer::start().await;
    let database = test_cluster().await.database().await;
    let ttl = r#"{"strategy": "delete", "default_ttl": 0.01, "sweep_interval_minutes": 0.02}"#;
    let program = Program::start(&[
        ("DATABASE_URL", &url_of(&database)),
        ("SUPABASE_URL", &sign_in.url),
        ("LANGGRAPH_THREAD_TTL", ttl),
    ]);
    let user = User { url: program.url.clone(), ..sign_in.user().await };
    let id = user.thread(json!({})).await;
    let mut connection = database.connect().await.unwrap();
    let is_gone = async || {
        let rows = "select count(*) from thread_store.thread where thread_id = $1::uuid";
        let rows = sqlx::query_scalar::<_, i64>(rows).bind(&id).fetch_one(&mut connection).await;
        rows.unwrap() == 0
    };
    // Half a minute is the interval without the setting.
    assert!(swept_within(Duration::from_secs(20), is_gone).await);
    program.stop();
}

async fn swept_within(limit: Duration, mut is_gone: impl AsyncFnMut() -> bool) -> bool {
    let begin = std::time::Instant::now();
    while begin.elapsed() < limit {
        if is_gone().await {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    false
}

#[tokio::test]
async fn a_strategy_alone_leaves_a_thread_without_a_ttl_as_it_is() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let id = user.thread(json!({})).await;
    let path = format!("/threads/{id}");
    for strategy in ["keep_latest", "delete"] {
        user.patch(&path, json!({ "ttl": { "strategy": strategy } })).await.expect(200);
        let thread = user.get(&format!("{path}?include=ttl")).await.expect(200);
        assert_eq!(thread["ttl"], json!(null));
    }
}

#[tokio::test]
async fn a_thread_that_takes_too_long_to_delete_does_not_hold_up_the_others() {
    for code in ["57014", "55P03"] {
        let server = TestServer::start().await;
        let user = server.user().await;
        let mut threads = Vec::new();
        for _ in 0..3 {
            let id = user.thread(json!({})).await;
            user.expire(&id, "delete").await;
            threads.push(id);
        }
        let slow = &threads[0];
        let fail = format!(
            "create function public.takes_too_long() returns trigger language plpgsql as $$
             begin
                 if old.thread_id = '{slow}' then
                     raise exception 'too slow' using errcode = '{code}';
                 end if;
                 return old;
             end $$;
             create trigger slow before delete on thread_store.thread
             for each row execute function public.takes_too_long()"
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(fail)).execute(&server.pool).await.unwrap();
        let store = Store::open(server.database.clone(), 2).await.unwrap();
        let mut put_off = PutOff::default();
        let swept = store.sweep(&mut put_off).await.unwrap();
        assert_eq!((swept.deleted, swept.is_last), (2, true), "{code}");
        sqlx::raw_sql("drop trigger slow on thread_store.thread")
            .execute(&server.pool)
            .await
            .unwrap();
        // It is put off, and only in this process.
        assert_eq!(store.sweep(&mut put_off).await.unwrap().deleted, 0);
        assert_eq!(store.sweep(&mut PutOff::default()).await.unwrap().deleted, 1);
        store.close().await;
    }
}
