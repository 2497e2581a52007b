//! An agent that writes with LangGraph's own saver as fast as it can, while its threads are listed,
//! followed, deleted and pruned, the servers are killed, and its tables are detached and attached: it
//! never gets an error, and everything that it was acknowledged is served.
//!
//! `FAULT_ROUNDS` says how many rounds.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, ConnectOptions as _, PgConnection};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStdout};
use tokio::time::timeout;

use crate::client::Client;
use crate::faults::{Site, rounds};
use crate::program::{self, PATIENCE};

const WRITER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/agents/python/writer.py");
/// Checkpoints that are written between two things that happen.
const PUTS: usize = 300;
/// Ids of the agent's threads that are deleted and pruned meanwhile.
const CHURNED: [&str; 2] = ["00000000-0000-0000-0000-000000000007", "chat:churned"];
/// What is of ours, or could be, in the agent's tables but its rows.
const SHAPE: &str = "
    select string_agg(line, E'\n' order by line) from (
        select format('%s %s %s %s', relname, relrowsecurity, reloptions, relacl) as line
        from pg_class where relnamespace = 'public'::regnamespace
        union all
        select format('%s %s', tgrelid::regclass, pg_get_triggerdef(oid))
        from pg_trigger where not tgisinternal
        union all
        select format('%s %s %s %s', attrelid::regclass, attname, atttypid::regtype, attnotnull)
        from pg_attribute join pg_class on pg_class.oid = attrelid
        where relnamespace = 'public'::regnamespace and attnum > 0 and not attisdropped
        union all
        select proname from pg_proc where pronamespace = 'public'::regnamespace
    ) as shape";

/// The agent, as a process of its own.
struct Writer {
    child: Child,
    lines: tokio::io::Lines<BufReader<ChildStdout>>,
    /// The checkpoints of its threads for which `put` has returned.
    acknowledged: BTreeMap<String, BTreeSet<String>>,
    slowest: f64,
}

impl Writer {
    fn start(python: &str, url: &str, user_id: &str) -> Writer {
        let mut command = tokio::process::Command::new(python);
        command.args([WRITER, url, user_id]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::inherit()).kill_on_drop(true).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Writer { child, lines, acknowledged: BTreeMap::new(), slowest: 0.0 }
    }

    /// Takes note of a line. False: there are no more.
    async fn hear(&mut self) -> bool {
        let line = timeout(PATIENCE, self.lines.next_line()).await.unwrap().unwrap();
        let Some(line) = line else { return false };
        let line: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(line["notice"], Value::Null, "the agent was warned");
        if let (Some(thread), Some(checkpoint)) =
            (line["thread"].as_str(), line["checkpoint"].as_str())
        {
            self.acknowledged.entry(thread.to_owned()).or_default().insert(checkpoint.to_owned());
        }
        self.slowest = line["slowest"].as_f64().unwrap_or(self.slowest);
        true
    }

    /// Until so many more checkpoints were acknowledged.
    async fn go_on(&mut self, checkpoints: usize) {
        for _ in 0..checkpoints {
            assert!(self.hear().await, "the agent has ended");
        }
    }

    async fn end(&mut self) {
        drop(self.child.stdin.take());
        while self.hear().await {}
        let status = timeout(PATIENCE, self.child.wait()).await.unwrap().unwrap();
        assert!(status.success(), "the agent failed");
    }

    fn kept(&self) -> impl Iterator<Item = (&String, &BTreeSet<String>)> {
        self.acknowledged.iter().filter(|(thread, _)| !CHURNED.contains(&thread.as_str()))
    }
}

/// What users do meanwhile, and how often it was answered.
#[derive(Default)]
struct Meanwhile {
    is_over: AtomicBool,
    lists: AtomicUsize,
    deletions: AtomicUsize,
    prunes: AtomicUsize,
    events: AtomicUsize,
}

/// The status of an answer that may be one of these, or 503. A killed server gives none.
fn status(answer: reqwest::Result<(u16, Value)>, expected: &[u16]) -> Option<(u16, Value)> {
    let (status, body) = match answer {
        Ok(answer) => answer,
        Err(error) => {
            assert!(!error.is_timeout(), "a request hangs: {error}");
            return None;
        }
    };
    assert!(status == 503 || expected.contains(&status), "{status} {body}");
    (status != 503).then_some((status, body))
}

impl Meanwhile {
    /// The ids here of the threads that are deleted, as a list shows them.
    async fn churned(user: &Client) -> Vec<String> {
        let mut ids = vec![CHURNED[0].to_owned()];
        let search = json!({ "metadata": { "agent_thread_id": CHURNED[1] } });
        let found = status(user.post("/threads/search", &search).await, &[200]);
        let found = found.map_or(Value::Null, |(_, found)| found);
        ids.extend(found[0]["thread_id"].as_str().map(str::to_owned));
        ids
    }

    async fn list(&self, user: &Client) {
        while !self.is_over.load(Ordering::SeqCst) {
            for search in [json!({}), json!({ "status": "idle" }), json!({ "values": { "x": 1 } })]
            {
                let listed = status(user.post("/threads/search", &search).await, &[200]);
                let Some((_, listed)) = listed else { continue };
                for thread in listed.as_array().unwrap().iter().take(2) {
                    let path =
                        format!("/threads/{}/history", thread["thread_id"].as_str().unwrap());
                    status(user.get(&path).await, &[200, 404]);
                }
                self.lists.fetch_add(1, Ordering::SeqCst);
            }
        }
    }

    async fn delete_and_prune(&self, user: &Client) {
        while !self.is_over.load(Ordering::SeqCst) {
            for id in Meanwhile::churned(user).await {
                let prune = json!({ "thread_ids": [id], "strategy": "keep_latest" });
                let pruned = status(user.post("/threads/prune", &prune).await, &[200, 404]);
                self.prunes
                    .fetch_add(usize::from(matches!(pruned, Some((200, _)))), Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(50)).await;
                let deleted = status(user.delete(&format!("/threads/{id}")).await, &[204, 404]);
                let is_deleted = matches!(deleted, Some((204, _)));
                self.deletions.fetch_add(usize::from(is_deleted), Ordering::SeqCst);
            }
        }
    }

    /// Follows whatever thread comes first, until it ends.
    async fn follow(&self, user: &Client) {
        while !self.is_over.load(Ordering::SeqCst) {
            let newest = status(user.post("/threads/search", &json!({ "limit": 1 })).await, &[200]);
            let id = newest.and_then(|(_, found)| Some(found[0]["thread_id"].as_str()?.to_owned()));
            let Some(id) = id else {
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            };
            let path = format!("/threads/{id}/stream?stream_modes=state_update");
            let Ok(mut response) = user.open(&path).await else { continue };
            for _ in 0..20 {
                match timeout(Duration::from_millis(200), response.chunk()).await {
                    Ok(Ok(Some(chunk))) => {
                        let is_event = chunk.starts_with(b"event: state_update");
                        self.events.fetch_add(usize::from(is_event), Ordering::SeqCst);
                    }
                    Ok(Ok(None) | Err(_)) => break,
                    Err(_) => {}
                }
            }
        }
    }
}

/// The sub-command of this name.
async fn command(site: &Site, name: &str) {
    let mut command = program::command(site.path(), &[("DATABASE_URL", &site.url)]);
    command.arg(name);
    let output = program::output_of(command).await;
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
}

async fn rows_of(connection: &mut PgConnection, thread: &str) -> i64 {
    let rows = "select (select count(*) from checkpoints where thread_id = $1)
        + (select count(*) from checkpoint_blobs where thread_id = $1)
        + (select count(*) from checkpoint_writes where thread_id = $1)";
    sqlx::query_scalar(rows).bind(thread).fetch_one(connection).await.unwrap()
}

async fn shape(connection: &mut PgConnection) -> String {
    sqlx::query_scalar(AssertSqlSafe(SHAPE)).fetch_one(connection).await.unwrap()
}

/// Everything that was acknowledged is served, and nothing else.
async fn check(user: &Client, writer: &Writer) -> usize {
    let kept = writer.kept().count();
    let count = async || user.post("/threads/count", &json!({})).await.unwrap().1;
    for _ in 0..1_200 {
        // A run may have begun one of them anew, which is then seen a moment later.
        for id in Meanwhile::churned(user).await {
            status(user.delete(&format!("/threads/{id}")).await, &[204, 404]);
        }
        if count().await == kept {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(count().await, kept, "threads");
    let mut checked = 0;
    for (thread, acknowledged) in writer.kept() {
        let search = match uuid::Uuid::parse_str(thread) {
            Ok(_) => json!({ "ids": [thread] }),
            Err(_) => json!({ "metadata": { "agent_thread_id": thread } }),
        };
        let (_, found) = user.post("/threads/search", &search).await.unwrap();
        let id = found[0]["thread_id"].as_str().unwrap();
        let history = json!({ "limit": 1000, "select": ["checkpoint_id"] });
        let (_, history) = user.post(&format!("/threads/{id}/history"), &history).await.unwrap();
        let id_of = |state: &Value| state["checkpoint_id"].as_str().unwrap().to_owned();
        let served: Vec<_> = history.as_array().unwrap().iter().map(id_of).collect();
        let expected: Vec<_> = acknowledged.iter().rev().cloned().collect();
        assert_eq!(served, expected, "checkpoints of {thread}");
        let (_, state) = user.get(&format!("/threads/{id}/state")).await.unwrap();
        assert_eq!(id_of(&state), expected[0], "the newest state of {thread}");
        assert_eq!(state["values"], found[0]["values"], "{thread}");
        checked += expected.len();
    }
    checked
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_never_gets_an_error_and_what_it_wrote_is_served_whatever_becomes_of_the_servers()
{
    let Ok(python) = std::env::var("THREAD_STORE_TEST_PYTHON") else {
        let _ = writeln!(std::io::stderr(), "left out: THREAD_STORE_TEST_PYTHON is not set");
        return;
    };
    let mut site = Site::new(2).await;
    let user = Client::sign_up(site.server_url(0)).await;
    let mut made = Command::new(&python);
    assert!(made.args([WRITER, &site.url, "setup"]).status().unwrap().success());
    let mut connection = site.connect_options().connect().await.unwrap();
    let before = shape(&mut connection).await;
    command(&site, "attach").await;

    let mut writer = Writer::start(&python, &site.url, &user.id());
    writer.go_on(PUTS).await;
    let meanwhile = Arc::new(Meanwhile::default());
    let mut users = tokio::task::JoinSet::new();
    for number in 0..2 {
        let user = user.at(site.server_url(number));
        let (one, two, three) = (meanwhile.clone(), meanwhile.clone(), meanwhile.clone());
        let (lists, deletes, follows) = (user.clone(), user.clone(), user);
        users.spawn(async move { one.list(&lists).await });
        users.spawn(async move { two.delete_and_prune(&deletes).await });
        users.spawn(async move { three.follow(&follows).await });
    }
    for _ in 0..rounds() {
        for number in 0..2 {
            writer.go_on(PUTS).await;
            site.restart(number, "-KILL").await;
        }
        writer.go_on(PUTS).await;
        command(&site, "detach").await;
        assert_eq!(shape(&mut connection).await, before);
        writer.go_on(PUTS).await;
        // One server comes and goes while nothing is attached, and while it is being attached.
        site.end(1, "-KILL").await;
        let (attached, ()) = tokio::join!(command(&site, "attach"), writer.go_on(PUTS));
        let () = attached;
        site.restart(1, "-KILL").await;
        writer.go_on(PUTS).await;
    }
    meanwhile.is_over.store(true, Ordering::SeqCst);
    while let Some(ended) = users.join_next().await {
        ended.unwrap();
    }
    writer.end().await;
    let checked = check(&user, &writer).await;
    for thread in CHURNED {
        // What was written to a thread that was deleted already is swept within 10 seconds.
        for _ in 0..600 {
            if rows_of(&mut connection, thread).await == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(rows_of(&mut connection, thread).await, 0, "rows of {thread}");
    }
    command(&site, "detach").await;
    assert_eq!(shape(&mut connection).await, before, "something was left behind");
    let left: i64 = sqlx::query_scalar("select count(*) from checkpoints")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(left, i64::try_from(checked).unwrap(), "rows of the agent's");
    let number = |of: &AtomicUsize| of.load(Ordering::SeqCst);
    let done =
        [&meanwhile.lists, &meanwhile.deletions, &meanwhile.prunes, &meanwhile.events].map(number);
    let _ = writeln!(
        std::io::stderr(),
        "{checked} checkpoints of {} threads are served; lists, deletions, prunes, events: {done:?}; \
         the longest write took {:.3} s",
        writer.kept().count(),
        writer.slowest
    );
    assert!(done.iter().all(|count| *count > 0), "{done:?}");
}
