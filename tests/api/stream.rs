//! `GET /threads/{thread_id}/stream`

use reqwest::Method;
use serde_json::json;
use thread_store::auth::private_threads;
use thread_store::config::Config;
use thread_store::server::{Server, StopSignal};

use crate::program::{Program, directory};
use crate::sse::{Event, Events, PATIENCE};
use crate::support::postgres::test_cluster;
use crate::support::{Answer, TestServer, User};

fn checkpoints(events: &[Event]) -> Vec<&str> {
    events.iter().map(Event::checkpoint_id).collect()
}

/// Writes so many checkpoints and answers their ids.
async fn write(user: &User, thread_id: &str, count: usize) -> Vec<String> {
    let mut written = Vec::new();
    for n in 0..count {
        written.push(user.write(thread_id, json!({ "n": n })).await);
    }
    written
}

#[tokio::test]
async fn an_update_carries_the_state_that_was_written() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let thread = user.thread(json!({})).await;
    let mut events = Events::of(&user, &thread).await;
    let values = json!({ "messages": [{ "role": "user", "content": "\u{1f600}\n\n\r" }], "n": 1 });
    let checkpoint = user.write(&thread, values).await;

    let event = events.next().await.unwrap();
    assert_eq!(event.name, "state_update");
    let state = user.get(&format!("/threads/{thread}/state")).await.expect(200);
    assert_eq!(event.data, json!({ "state": state, "thread_id": thread }));
    assert_eq!(event.checkpoint_id(), checkpoint);
    assert_eq!(event.position().1, 1);
}

#[tokio::test]
async fn updates_come_in_the_order_they_were_written_and_once() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let thread = user.thread(json!({})).await;
    write(&user, &thread, 2).await;
    // Nothing of what was before.
    let mut streams = [Events::of(&user, &thread).await, Events::of(&user, &thread).await];
    let mut written = write(&user, &thread, 30).await;
    // A fork is news as well; another namespace and another thread are not.
    let path = format!("/threads/{thread}/state");
    let fork = json!({ "values": { "n": -1 }, "checkpoint_id": written[3] });
    let fork = user.post(&path, fork).await.expect(200);
    written.push(fork["checkpoint_id"].as_str().unwrap().to_owned());
    let elsewhere = json!({ "values": { "n": 0 }, "checkpoint": { "checkpoint_ns": "sub" } });
    user.post(&path, elsewhere).await.expect(200);
    let other = user.thread(json!({})).await;
    write(&user, &other, 1).await;
    written.extend(write(&user, &thread, 30).await);

    for events in &mut streams {
        let seen = events.take(written.len()).await;
        assert_eq!(checkpoints(&seen), written);
        assert!(seen.is_sorted_by(|one, next| one.position() < next.position()));
    }
    user.delete(&format!("/threads/{thread}")).await.expect(204);
    for events in &mut streams {
        assert_eq!(events.rest().await, []);
    }
}

#[tokio::test]
async fn last_event_id_replays_what_came_after_it_and_nothing_else() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let thread = user.thread(json!({})).await;
    // More than are read at once.
    let mut written = write(&user, &thread, 70).await;
    let all = Events::since(&user, &thread, "-").await.take(70).await;
    assert_eq!(checkpoints(&all), written);

    let mut expected = Vec::new();
    for (index, event) in all.iter().enumerate().step_by(9) {
        expected.push((event.id.clone(), index + 1));
        // A bare time means everything from that millisecond on.
        let (milliseconds, _) = event.position();
        let from = all.iter().position(|event| event.position().0 >= milliseconds).unwrap();
        expected.push((milliseconds.to_string(), from));
    }
    expected.push((all[69].id.clone(), 70));
    expected.extend([("-".to_owned(), 0), ("0".to_owned(), 0), ("0-0".to_owned(), 0)]);
    // Of an event that was never sent nothing can have been missed: what comes is news.
    expected.push(("9999999999999999999999-5".to_owned(), 70));
    expected.push((u64::MAX.to_string(), 70));

    let mut streams = Vec::new();
    for (id, _) in &expected {
        streams.push(Events::since(&user, &thread, id).await);
    }
    written.extend(write(&user, &thread, 1).await);
    for (events, (id, from)) in streams.iter_mut().zip(&expected) {
        let seen = events.take(71 - from).await;
        assert_eq!(checkpoints(&seen), written[*from..], "after {id}");
    }
    user.delete(&format!("/threads/{thread}")).await.expect(204);
    for (events, (id, _)) in streams.iter_mut().zip(&expected) {
        assert_eq!(events.rest().await, [], "after {id}");
    }
}

#[tokio::test]
async fn reconnecting_amid_writes_misses_and_repeats_nothing() {
    const WRITES: usize = 150;
    let server = TestServer::start().await;
    let user = server.user().await;
    let thread = user.thread(json!({})).await;
    let writing = tokio::spawn({
        let (user, thread) = (user.clone(), thread.clone());
        async move { write(&user, &thread, WRITES).await }
    });
    let mut seen: Vec<Event> = Vec::new();
    while seen.len() < WRITES {
        let since = seen.last().map_or("-", |event| event.id.as_str()).to_owned();
        let some = (seen.len() % 5 + 1).min(WRITES - seen.len());
        seen.extend(Events::since(&user, &thread, &since).await.take(some).await);
    }
    assert_eq!(checkpoints(&seen), writing.await.unwrap());
}

#[tokio::test]
async fn modes_without_state_updates_stay_silent() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let thread = user.thread(json!({})).await;
    let silent = [
        "",
        "?stream_modes=run_modes",
        "?stream_modes=lifecycle",
        "?stream_mode=lifecycle,run_modes",
        "?stream_mode=lifecycle&stream_mode=run_modes",
        r#"?stream_mode=["lifecycle"]"#,
    ];
    let mut streams = Vec::new();
    for query in silent {
        streams.push(Events::open(&user, &thread, query, None).await);
        streams.push(Events::open(&user, &thread, query, Some("-")).await);
    }
    let mut loud = Events::of(&user, &thread).await;
    write(&user, &thread, 3).await;
    assert_eq!(loud.take(3).await.len(), 3);
    user.delete(&format!("/threads/{thread}")).await.expect(204);
    for events in &mut streams {
        assert_eq!(events.rest().await, []);
    }
}

#[tokio::test]
async fn state_updates_can_be_asked_for_in_every_way_that_clients_write_it() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let thread = user.thread(json!({})).await;
    let written = write(&user, &thread, 1).await;
    for query in [
        "?stream_modes=state_update",
        "?stream_mode=state_update",
        "?stream_modes=lifecycle,state_update",
        "?stream_mode=lifecycle&stream_mode=state_update",
        "?stream_modes=run_modes&stream_mode=state_update",
        r#"?stream_mode=["state_update","lifecycle"]"#,
        "?stream_mode=%5B%22run_modes%22%2C%22state_update%22%5D",
    ] {
        let mut events = Events::open(&user, &thread, query, Some("-")).await;
        assert_eq!(checkpoints(&events.take(1).await), written, "{query}");
    }
}

#[tokio::test]
async fn an_unknown_mode_and_a_malformed_event_id_are_422() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let thread = user.thread(json!({})).await;
    for mode in ["values", "state_update,bogus", "State_update", "state_updates"] {
        for parameter in ["stream_mode", "stream_modes"] {
            let answer = user.get(&format!("/threads/{thread}/stream?{parameter}={mode}")).await;
            answer.expect(422);
            let unknown = mode.rsplit(',').next().unwrap();
            assert_eq!(answer.detail(), format!("Invalid stream mode: {unknown}"));
        }
    }
    for id in ["zzz", "-1", "1-", "--", "1-2-3", "1-x", "+1", "1.5", "\u{e9}"] {
        let request = user.request(Method::GET, &format!("/threads/{thread}/stream"));
        let answer = Answer::of(request.header("Last-Event-ID", id.as_bytes())).await;
        answer.expect(422);
        let detail = "Invalid last-event-id: must be a valid Redis stream ID";
        assert_eq!(answer.detail(), detail, "{id}");
    }
    assert_eq!(user.get("/threads/zzz/stream").await.status, 422);
}

#[tokio::test]
async fn a_foreign_thread_is_as_missing_as_one_that_never_was() {
    let server = TestServer::start().await;
    let (mine, theirs) = (server.user().await, server.user().await);
    let thread = mine.thread(json!({})).await;
    let never = uuid::Uuid::now_v7().to_string();
    let [foreign, missing] = [&thread, &never].map(|id| format!("/threads/{id}/stream"));
    let (foreign, missing) = (theirs.get(&foreign).await, theirs.get(&missing).await);
    foreign.expect(404);
    assert_eq!(foreign.detail(), format!("Thread with ID {thread} not found"));
    assert_eq!(foreign.text.replace(&thread, ""), missing.text.replace(&never, ""));
    assert_eq!(server.nobody().get(&format!("/threads/{thread}/stream")).await.status, 403);
}

#[tokio::test]
async fn a_stream_ends_when_its_thread_is_deleted_pruned_or_expired() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let mut streams = Vec::new();
    for n in 0..4 {
        let thread = user.thread(json!({})).await;
        for query in ["?stream_modes=state_update", ""] {
            let mut events = Events::open(&user, &thread, query, None).await;
            if !query.is_empty() {
                write(&user, &thread, 1).await;
                events.take(1).await;
            }
            streams.push((n, events));
        }
        match n {
            0 => assert_eq!(user.delete(&format!("/threads/{thread}")).await.status, 204),
            1 => {
                let prune = json!({ "thread_ids": [thread] });
                user.post("/threads/prune", prune).await.expect(200);
            }
            2 => {
                let expire = "update thread_store.thread set expires_at = now(), \
                              ttl_minutes = 1, ttl_strategy = 'delete' where thread_id = $1";
                let id: uuid::Uuid = thread.parse().unwrap();
                sqlx::query(expire).bind(id).execute(&server.pool).await.unwrap();
            }
            _ => {}
        }
    }
    // The last thread is still there.
    for (n, events) in streams.iter_mut().filter(|(n, _)| *n < 3) {
        assert_eq!(events.rest().await, [], "{n}");
    }
    let thread = user.post("/threads/search", json!({})).await.expect(200);
    assert_eq!(thread.as_array().unwrap().len(), 1);
}

/// An instance on the database of `server`, which signs in there; to be looked into.
async fn instance_of(server: &TestServer, configure: impl FnOnce(&mut Config)) -> Server {
    let mut config = Config::for_test(server.database.clone(), "unused").unwrap();
    config.sign_in = crate::schema::sign_in_at(server);
    configure(&mut config);
    Server::start(config, private_threads).await.unwrap()
}

#[tokio::test]
async fn a_client_that_goes_away_frees_its_slot() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let instance = instance_of(&server, |_| ()).await;
    let changes = instance.changes().clone();
    let user = User { url: format!("http://{}", instance.address()), ..user };
    let (_stop, stopped) = StopSignal::of_channel();
    let running = tokio::spawn(instance.run(stopped));

    let mut streams = Vec::new();
    for n in 0..20 {
        let thread = user.thread(json!({})).await;
        // Silent ones as well: nothing is ever sent that could fail.
        let query = if n % 2 == 0 { "" } else { "?stream_modes=state_update" };
        streams.push(Events::open(&user, &thread, query, None).await);
    }
    assert_eq!(changes.watched(), 20);
    // A refused stream takes no slot.
    let missing = format!("/threads/{}/stream", uuid::Uuid::now_v7());
    user.get(&missing).await.expect(404);
    assert_eq!(changes.watched(), 20);

    streams.truncate(5);
    until(|| changes.watched() == 5).await;
    drop(streams);
    until(|| changes.watched() == 0).await;
    running.abort();
}

async fn until(met: impl Fn() -> bool + Send + Sync) {
    let wait = async {
        while !met() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap();
}

/// `THREAD_STORE_TEST_STREAMS` says how many.
#[tokio::test(flavor = "multi_thread")]
async fn hundreds_of_streams_share_four_connections_and_leave_room_for_others() {
    let count = std::env::var("THREAD_STORE_TEST_STREAMS");
    let count: usize = count.map_or(200, |count| count.parse().unwrap());
    let server = TestServer::start_with(|config| config.database_max_connections = 4).await;
    let user = server.user().await;
    let mut threads = Vec::new();
    for _ in 0..10 {
        threads.push(user.thread(json!({})).await);
    }
    let mut streams = Vec::new();
    for thread in threads.iter().cycle().take(count) {
        streams.push((thread, Events::of(&user, thread).await));
    }

    for thread in &threads {
        user.get(&format!("/threads/{thread}")).await.expect(200);
    }
    user.post("/threads/search", json!({ "limit": 100 })).await.expect(200);
    // With the one that hears of changes, and the one that cancels statements.
    let statement = "select count(*) from pg_stat_activity \
                where datname = current_database() and application_name = 'thread-store'";
    let connections: i64 = sqlx::query_scalar(statement).fetch_one(&server.pool).await.unwrap();
    assert!(connections <= 6, "{connections} connections");

    for round in 0..3 {
        let mut written = Vec::new();
        for thread in &threads {
            written.push((thread, user.write(thread, json!({ "round": round })).await));
        }
        for (thread, events) in &mut streams {
            let event = events.next().await.unwrap();
            let checkpoint = written.iter().find(|(written, _)| written == thread).unwrap();
            assert_eq!(event.checkpoint_id(), checkpoint.1);
        }
    }
}

pub(crate) async fn sign_up(url: &str) -> User {
    let nobody = User {
        id: String::new(),
        token: String::new(),
        email: "somebody@example.com".to_owned(),
        url: url.to_owned(),
        client: thread_store::http_client::builder().build().unwrap(),
    };
    let credentials = json!({ "email": nobody.email, "password": "correct horse" });
    let session = nobody.post("/auth/v1/signup", credentials).await.expect(200);
    User { token: session["access_token"].as_str().unwrap().to_owned(), ..nobody }
}

#[tokio::test]
async fn told_to_stop_the_program_ends_its_streams_and_then_itself() {
    let database = test_cluster().await.database_url().await;
    let directory = directory();
    let settings = [("PORT", "0"), ("DATA_DIR", "data"), ("DATABASE_URL", &database)];
    let mut program = Program::start(directory.path(), &settings).await;
    let user = sign_up(&program.url).await;
    let mut streams = Vec::new();
    for n in 0..50 {
        let thread = user.thread(json!({})).await;
        let query = if n % 2 == 0 { "" } else { "?stream_modes=state_update" };
        streams.push(Events::open(&user, &thread, query, None).await);
    }
    assert_eq!(program.end("-TERM").await.code(), Some(0));
    // The end of each is a proper one, which `next` would not survive otherwise.
    for events in &mut streams {
        assert_eq!(events.rest().await, []);
    }
    let log = program.log();
    assert!(!log.contains("cut off"), "{log}");
}
