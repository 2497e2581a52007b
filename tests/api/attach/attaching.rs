//! Attaching and detaching: what is changed, what is refused, what is remembered.

use std::process::Command;

use serde_json::json;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, Executor as _};
use thread_store::store::{AttachError, CheckError, detach, migrate};

use super::agent::{Agent, JAVASCRIPT, Put, attach};
use crate::support::postgres::{test_cluster, url_of};
use crate::support::program::Program;

/// Schemas as `pg_dump` has them.
fn schema_of(database: &PgConnectOptions) -> String {
    let options = database.get_socket().unwrap().parent().unwrap().join("pg/postmaster.opts");
    let postgres = std::fs::read_to_string(options).unwrap();
    let postgres = std::path::Path::new(postgres.split_whitespace().next().unwrap());
    let output = Command::new(postgres.with_file_name("pg_dump"))
        .args(["--schema-only", "--no-owner", "--dbname", &url_of(database)])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    // Each dump has a key of its own.
    text.lines().filter(|line| !line.contains("restrict ")).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn detaching_leaves_the_schema_as_it_was() {
    for javascript in [false, true] {
        let mut agent = Agent::start().await;
        if javascript {
            agent.run(JAVASCRIPT).await;
        }
        migrate(&agent.database).await.unwrap();
        let before = schema_of(&agent.database);
        agent.attach().await;
        assert_ne!(schema_of(&agent.database), before);
        // Twice is once.
        let once = schema_of(&agent.database);
        agent.attach().await;
        assert_eq!(schema_of(&agent.database), once);
        detach(&agent.database).await.unwrap();
        assert_eq!(schema_of(&agent.database), before);
        assert!(matches!(detach(&agent.database).await, Err(AttachError::NotAttached)));
    }
}

#[tokio::test]
async fn tables_of_the_saver_without_history_are_refused_and_left_alone() {
    let mut agent = Agent::start().await;
    agent
        .run(
            "alter table SCHEMA.checkpoints drop column checkpoint_id cascade;
             alter table SCHEMA.checkpoints drop column parent_checkpoint_id;
             alter table SCHEMA.checkpoint_blobs drop column version cascade",
        )
        .await;
    migrate(&agent.database).await.unwrap();
    let before = schema_of(&agent.database);
    let refused = agent.try_attach(None).await.unwrap_err();
    assert!(matches!(refused, AttachError::Check(CheckError::Shallow { .. })), "{refused:?}");
    let line = refused.to_string();
    assert!(line.contains("ShallowPostgresSaver") && line.contains("checkpoint_blobs.version"));
    assert!(line.contains("checkpoints.checkpoint_id") && !line.contains('\n'), "{line}");
    assert_eq!(schema_of(&agent.database), before);
}

#[tokio::test]
async fn other_tables_or_none_are_refused_by_their_names() {
    let database = test_cluster().await.database().await;
    let refused = attach(&database, "public", None).await.unwrap_err();
    assert!(refused.to_string().contains("has no table checkpoints"), "{refused}");
    let mut agent = Agent::at(database, "other").await;
    agent.run("alter table SCHEMA.checkpoint_writes drop column idx cascade").await;
    let refused = agent.try_attach(None).await.unwrap_err();
    assert!(refused.to_string().contains("checkpoint_writes.idx"), "{refused}");
}

#[tokio::test]
async fn a_second_schema_is_refused_until_the_first_is_detached() {
    let agent = Agent::start().await;
    agent.attach().await;
    let other = Agent::at(agent.database.clone(), "\"my \"\"agent\"").await;
    let name = "my \"agent";
    let refused = attach(&other.database, name, None).await.unwrap_err();
    assert!(matches!(&refused, AttachError::Attached(schema) if schema == "public"), "{refused}");
    detach(&agent.database).await.unwrap();
    attach(&other.database, name, None).await.unwrap();
    let server = other.server().await;
    let ada = server.user().await;
    let mut other = other;
    let id = uuid::Uuid::new_v4().to_string();
    other.begin(&id, &ada, json!({ "n": 5 })).await;
    let thread = ada.get(&format!("/threads/{id}")).await.expect(200);
    assert_eq!(thread["values"], json!({ "n": 5 }));
}

#[tokio::test]
async fn an_attach_that_was_killed_goes_on_where_it_was() {
    let mut agent = Agent::start().await;
    let server = agent.server().await;
    let ada = server.user().await;
    for number in 0..450 {
        agent.begin(&format!("user:{number:04}"), &ada, json!({ "n": number })).await;
    }
    let mut sum = thread_store::store::TakenIn::default();
    let mut attaching =
        thread_store::store::Attaching::begin(&agent.database, "public", "user_id").await.unwrap();
    assert_eq!(attaching.take_in_some(&mut sum).await.unwrap(), 200);
    drop(attaching);
    assert_eq!(ada.post("/threads/count", json!({})).await.expect(200), 200);
    // What the agent writes meanwhile is taken in too.
    agent.begin("user:0999", &ada, json!({ "n": 999 })).await;
    let again = agent.attach().await;
    assert!(again.taken_in < 300, "{again:?}");
    let found = async || ada.post("/threads/count", json!({})).await.expect(200);
    for _ in 0..100 {
        if found().await == 451 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(found().await, 451);
    let again = agent.attach().await;
    assert_eq!(again.taken_in, 0, "{again:?}");
}

#[tokio::test]
async fn threads_keep_their_ids_and_their_metadata_when_tables_are_detached_and_attached_again() {
    let mut agent = Agent::start().await;
    let server = agent.server().await;
    let ada = server.user().await;
    agent.attach().await;
    let id = uuid::Uuid::new_v4().to_string();
    agent.begin(&id, &ada, json!({ "n": 1 })).await;
    ada.patch(&format!("/threads/{id}"), json!({ "metadata": { "title": "T" } })).await.expect(200);
    detach(&agent.database).await.unwrap();
    // The agent goes on, unheard.
    let metadata = json!({ "user_id": ada.id, "source": "loop", "step": 0 });
    agent
        .put(Put { thread: &id, values: json!({ "n": 2 }), metadata, parent: None, id: None })
        .await;
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    let thread = ada.get(&format!("/threads/{id}")).await.expect(200);
    assert_eq!((&thread["values"], &thread["status"]), (&json!(null), &json!("idle")));
    let state = ada.get(&format!("/threads/{id}/state")).await.expect(200);
    assert_eq!(state["values"], json!({}));
    agent.attach().await;
    let thread = ada.get(&format!("/threads/{id}")).await.expect(200);
    assert_eq!(thread["values"], json!({ "n": 2 }));
    assert_eq!(thread["metadata"]["title"], "T");
}

#[tokio::test]
async fn the_program_attaches_reports_and_detaches() {
    let mut agent = Agent::start().await;
    let server = agent.server().await;
    let ada = server.user().await;
    agent.begin("user:1", &ada, json!({ "n": 1 })).await;
    let metadata = json!({ "source": "input" });
    agent.put(Put { thread: "nobody", values: json!({}), metadata, parent: None, id: None }).await;
    agent
        .run(
            "insert into SCHEMA.checkpoint_blobs values ('user:1', '', 'model', '1', 'pickle', '\\x80'),
                 ('user:1', '', 'secret', '1', 'msgpack+aes', '\\x80');
             insert into SCHEMA.checkpoint_blobs
             select 'user:1', '', 'big', '1', 'bytes', string_agg(sha256(n::text::bytea), '')
             from generate_series(1, 400000) as n",
        )
        .await;
    let url = url_of(&agent.database);
    let run = |words: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_thread-store"))
            .env_clear()
            .env("DATABASE_URL", &url)
            .args(words)
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    };
    let (code, said, errors) = run(&["attach"]);
    assert_eq!((code, errors.as_str()), (0, ""), "{errors}");
    for expected in [
        "schema public is attached, 1 thread taken in",
        "in total 2 threads",
        "without an owner: 1 thread",
        "model is a pickle, which only Python can read",
        "secret is encrypted, and LANGGRAPH_AES_KEY is not set",
        "large: user:1 has 12 MiB",
    ] {
        assert!(said.contains(expected), "{expected}\n{said}");
    }
    let (code, said, _) = run(&["detach"]);
    assert!(code == 0 && said.contains("schema public is detached"), "{said}");
    agent
        .run("truncate SCHEMA.checkpoints, SCHEMA.checkpoint_blobs, SCHEMA.checkpoint_writes")
        .await;
    let (_, said, _) = run(&["attach"]);
    assert!(said.contains("0 threads taken in\n  0 bytes of state"), "{said}");
    assert_eq!(run(&["detach"]).0, 0);
    let (code, _, line) = run(&["detach"]);
    assert_eq!((code, line.as_str()), (1, "thread-store: no tables are attached\n"));
    let (code, _, line) = run(&["attach", "--schema", "nowhere"]);
    assert_eq!((code, line.lines().count()), (1, 1), "{line}");
}

#[tokio::test]
async fn an_agent_that_holds_its_tables_delays_an_attach_and_is_not_delayed() {
    let mut agent = Agent::start().await;
    migrate(&agent.database).await.unwrap();
    agent.run("begin; lock table SCHEMA.checkpoints in row exclusive mode").await;
    let database = agent.database.clone();
    let mut is_committed = false;
    let others = async {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        // Others who write wait no longer than the attach tries once.
        let mut other = agent.clone_connection().await;
        let insert = "insert into public.checkpoints (thread_id, checkpoint_id, checkpoint) \
                      values ('x', 'y', '{}')";
        let begun = std::time::Instant::now();
        other.execute(insert).await.unwrap();
        assert!(begun.elapsed() < std::time::Duration::from_secs(3), "{:?}", begun.elapsed());
        other.close().await.unwrap();
        agent.run("commit").await;
        is_committed = true;
    };
    let (attached, ()) = tokio::join!(attach(&database, "public", None), others);
    attached.unwrap();
    assert!(is_committed);
}

#[tokio::test]
async fn a_server_says_that_its_runs_name_owners_by_another_key_than_the_tables() {
    let agent = Agent::start().await;
    migrate(&agent.database).await.unwrap();
    agent.attach().await;
    let database = url_of(&agent.database);
    for (key, is_said) in [("user_id", false), ("owner", true)] {
        let settings = [
            ("DATABASE_URL", database.as_str()),
            ("AGENT_URL", "http://127.0.0.1:9"),
            ("AGENT_OWNER_KEY", key),
        ];
        let program = Program::start(&settings);
        // It has looked at the tables when it says how they are.
        let client = thread_store::http_client::builder().build().unwrap();
        loop {
            let ready = client.get(format!("{}/readyz", program.url)).send().await.unwrap();
            if ready.json::<serde_json::Value>().await.unwrap()["agents"] == "up" {
                break;
            }
            tokio::task::yield_now().await;
        }
        let log = program.stop();
        assert_eq!(log.contains("AGENT_OWNER_KEY is not the key"), is_said, "{log}");
    }
}
