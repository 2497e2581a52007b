//! How Postgres carries out what the server asks of it, in a store of some size.

use std::collections::BTreeSet;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sqlx::Executor as _;
use thread_store::auth::Tenant;
use thread_store::config::{Config, Database};
use tokio::sync::Mutex;

use crate::support::TestServer;
use crate::support::postgres::test_cluster;

/// Statements that a connection has planned this often keep one plan for all values.
const TIMES: usize = 8;

/// All databases share a log, so only one test at a time has plans written to it.
pub(crate) static LOG: Mutex<()> = Mutex::const_new(());

/// A server whose statements' plans go to the log of its database.
pub(crate) async fn explained() -> TestServer {
    explained_with(|_| ()).await
}

async fn explained_with(configure: impl FnOnce(&mut Config)) -> TestServer {
    TestServer::start_with(|config| {
        configure(config);
        explain(config);
    })
    .await
}

/// Lets the plans of a server's statements go to the log.
pub(crate) fn explain(config: &mut Config) {
    if let Database::External { url, .. } = &mut config.database {
        let explain = [
            ("session_preload_libraries", "auto_explain"),
            ("auto_explain.log_min_duration", "0"),
            ("auto_explain.log_format", "json"),
            ("auto_explain.log_analyze", "on"),
            ("auto_explain.log_buffers", "on"),
            ("auto_explain.log_timing", "off"),
            // What foreign keys ask for too.
            ("auto_explain.log_nested_statements", "on"),
            // Processes that help look cheap, as they do in a large store.
            ("parallel_setup_cost", "0"),
            ("parallel_tuple_cost", "0"),
            ("min_parallel_table_scan_size", "0"),
            ("min_parallel_index_scan_size", "0"),
        ];
        **url = (**url).clone().options(explain);
    }
}

/// The plans of all statements about threads that were logged so far.
pub(crate) fn plans(log: &Path) -> Vec<Value> {
    plans_behind(log, 0)
}

/// The same, of what was logged behind a place in the log.
pub(crate) fn plans_behind(log: &Path, place: u64) -> Vec<Value> {
    let begun = Instant::now();
    let plans = loop {
        match all_plans_behind(log, place) {
            // The database is writing the last one, of a statement in the background.
            Err(error) if error.is_eof() && begun.elapsed() < Duration::from_secs(10) => {
                std::thread::sleep(Duration::from_millis(10));
            }
            plans => break plans.unwrap(),
        }
    };
    // The one row that says whether an agent's tables are attached is read whole, in the background.
    let is_ours =
        |text: &str| text.contains("thread_store") && !text.contains("from thread_store.agent_");
    let is_about_us = |plan: &Value| is_ours(plan["Query Text"].as_str().unwrap());
    plans.into_iter().filter(is_about_us).collect()
}

fn all_plans_behind(log: &Path, place: u64) -> serde_json::Result<Vec<Value>> {
    let mut file = std::fs::File::open(log).unwrap();
    file.seek(SeekFrom::Start(place)).unwrap();
    let mut log = Vec::new();
    file.read_to_end(&mut log).unwrap();
    let log = String::from_utf8_lossy(&log);
    let logged = log.split("  plan:\n").skip(1);
    let first = |text: &str| {
        let mut values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
        values.next().unwrap_or_else(|| serde_json::from_str(""))
    };
    logged.map(first).collect()
}

/// The nodes of a plan, from the top.
pub(crate) fn nodes(plan: &Value) -> Vec<&Value> {
    let below = plan["Plans"].as_array().into_iter().flatten();
    std::iter::once(plan).chain(below.flat_map(nodes)).collect()
}

pub(crate) fn reads_all(plan: &Value) -> bool {
    let nodes = nodes(&plan["Plan"]);
    nodes.iter().any(|node| node["Node Type"] == "Seq Scan" && node["Relation Name"] != json!(null))
}

/// Whether Postgres starts processes for it, which takes longer than any of these statements.
fn needs_help(plan: &Value) -> bool {
    let nodes = nodes(&plan["Plan"]);
    nodes.iter().any(|node| node["Node Type"].as_str().unwrap().contains("Gather"))
}

/// Whether threads are sorted, not just what belongs to one of them.
fn sorts(plan: &Value) -> bool {
    let is_sort = |node: &&&Value| node["Node Type"].as_str().unwrap().contains("Sort");
    let of_threads = |node: &&Value| node["Relation Name"] == "thread";
    let all = nodes(&plan["Plan"]);
    all.iter().filter(is_sort).any(|sort| nodes(sort).iter().any(of_threads))
}

#[tokio::test]
async fn an_owners_threads_are_found_by_index_and_listed_without_sorting() {
    let _alone = LOG.lock().await;
    let log = test_cluster().await.log();
    let server = explained().await;
    let user = server.user().await;
    let mut threads = Vec::new();
    for number in 0..20 {
        threads.push(user.thread(json!({ "metadata": { "topic": number % 3 } })).await);
    }
    sqlx::query(
        "insert into thread_store.thread \
             (tenant, thread_id, created_at, updated_at, state_updated_at, metadata) \
         select case when owner = $1 then $2 else hashtextextended(owner, 0) end, \
             gen_random_uuid(), moment, moment, moment, \
             jsonb_build_object('owner', owner, 'topic', number % 3) \
         from ( \
             select number, now() - make_interval(secs => number) as moment, \
                 case when number % 10 = 0 then $1 else 'owner ' || number % 200 end as owner \
             from generate_series(1, 20000) as number \
         ) as made",
    )
    .bind(&user.id)
    .bind(Tenant::of(&user.id).number())
    .execute(&server.pool)
    .await
    .unwrap();
    server.pool.execute("vacuum analyze").await.unwrap();

    let before = plans(&log).len();
    for _ in 0..TIMES {
        for body in [
            json!({}),
            json!({ "limit": 100, "offset": 20 }),
            json!({ "sort_by": "updated_at", "sort_order": "asc" }),
        ] {
            user.found(body).await;
        }
        let list = user.request(reqwest::Method::POST, "/threads/search").body("{}");
        let at_once = (0..16).map(|_| list.try_clone().unwrap().send());
        futures::future::try_join_all(at_once).await.unwrap();
    }
    let listed = plans(&log).split_off(before);
    assert!(listed.len() > 3 * TIMES, "{}", listed.len());
    for plan in listed {
        assert!(!reads_all(&plan) && !needs_help(&plan), "{plan:#}");
        assert!(!sorts(&plan), "{plan:#}");
        let by_owner = |node: &&Value| node["Index Name"] == "thread_by_update";
        assert!(nodes(&plan["Plan"]).iter().any(by_owner), "{plan:#}");
    }

    let before = plans(&log).len();
    for number in 0..TIMES {
        let thread = &threads[number];
        for body in [
            json!({ "metadata": { "topic": 1 } }),
            json!({ "metadata": { "topic": "none" } }),
            json!({ "metadata": { "topic": 1 }, "sort_by": "created_at" }),
            json!({ "status": "busy" }),
            json!({ "status": "idle", "metadata": { "topic": 2 } }),
            json!({ "ids": threads }),
            json!({ "values": { "n": 1 }, "metadata": { "topic": "none" } }),
            json!({ "sort_by": "created_at" }),
            json!({ "select": ["thread_id"] }),
            json!({ "extract": { "topic": "metadata.topic" } }),
        ] {
            user.found(body).await;
        }
        user.count(json!({})).await;
        user.count(json!({ "metadata": { "topic": 1 } })).await;
        user.write(thread, json!({ "messages": ["hello"], "n": 1 })).await;
        user.patch(&format!("/threads/{thread}"), json!({ "metadata": { "a": 1 } })).await;
        user.get(&format!("/threads/{thread}")).await.expect(200);
        user.history(thread).await;
        user.copy(thread).await;
    }
    let others = plans(&log).split_off(before);
    let texts: BTreeSet<_> = others.iter().map(|plan| plan["Query Text"].to_string()).collect();
    assert!(texts.len() > 15, "{texts:#?}");
    for plan in others {
        assert!(!reads_all(&plan) && !needs_help(&plan), "{plan:#}");
    }
}

#[tokio::test]
async fn caps_are_checked_in_ranges_of_indexes() {
    let _alone = LOG.lock().await;
    let log = test_cluster().await.log();
    let server = explained_with(|config| {
        config.limits.threads_per_user = Some(1000);
    })
    .await;
    let user = server.user().await;
    let threads = futures::future::join_all((0..20).map(|_| user.thread(json!({})))).await;
    for thread in &threads {
        user.write(thread, json!({ "messages": ["hello"], "n": 1 })).await;
    }
    server.pool.execute("vacuum analyze").await.unwrap();

    let before = plans(&log).len();
    for thread in &threads {
        user.write(thread, json!({ "messages": ["hello"], "n": 2 })).await;
        user.copy(thread).await;
        user.thread(json!({})).await;
    }
    let checked = plans(&log).split_off(before);
    let about = |text: &str| {
        let is_about = |plan: &&Value| plan["Query Text"].to_string().contains(text);
        checked.iter().filter(is_about).collect::<Vec<_>>()
    };
    let counts = about("as own");
    assert_eq!(counts.len(), 40);
    for plan in &checked {
        assert!(!reads_all(plan), "{plan:#}");
    }
    for plan in counts {
        let by_owner = |node: &&Value| node["Index Name"] == "thread_by_update";
        assert!(nodes(&plan["Plan"]).iter().any(by_owner), "{plan:#}");
    }
}
