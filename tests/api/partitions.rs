//! A store whose tables are split by tenant, on one Postgres: the stand-in for a cluster.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::Method;
use serde_json::{Value, json};

use crate::plans::{LOG, explain, nodes, plans};
use crate::support::postgres::{PARTITIONS, test_cluster};
use crate::support::steps::human;
use crate::support::{TestServer, User};

/// The partitions that the scans of a plan read, by number.
fn partitions(plan: &Value) -> BTreeSet<usize> {
    let nodes = nodes(&plan["Plan"]);
    // A write names all partitions that it could be about. What it is about it has to find first.
    let scans = nodes.into_iter().filter(|node| node["Node Type"] != "ModifyTable");
    let names = scans.filter_map(|node| node["Relation Name"].as_str());
    names.filter_map(|name| name.rsplit_once("_p")?.1.parse().ok()).collect()
}

/// Every kind of request of a user, several times: a connection's first plans may be others than
/// those that it keeps.
async fn ask_everything(user: &User) {
    for number in 0..8 {
        let metadata = json!({ "topic": number });
        let body = json!({ "metadata": metadata, "ttl": { "strategy": "delete", "ttl": 60 } });
        let id = user.thread(body).await;
        let path = format!("/threads/{id}");
        let first = user.write(&id, json!({ "messages": [human("a", "A")], "n": number })).await;
        user.write(&id, json!({ "messages": [human("a", "B"), human("b", "B")] })).await;
        user.fork(&id, &first, json!({ "messages": [human("c", "C")] })).await;
        user.get(&path).await.expect(200);
        user.get(&format!("{path}/state")).await.expect(200);
        user.get(&format!("{path}/state/{first}")).await.expect(200);
        user.history(&id).await;
        user.get(&format!("{path}/storage")).await.expect(200);
        user.patch(&path, json!({ "metadata": { "n": number } })).await.expect(200);
        user.patch(&path, json!({ "ttl": { "strategy": "delete", "ttl": 30 } })).await.expect(200);
        for body in [
            json!({}),
            json!({ "limit": 2, "offset": 1, "sort_by": "created_at" }),
            json!({ "metadata": metadata }),
            json!({ "metadata": metadata, "sort_by": "status" }),
            json!({ "values": { "n": number } }),
            json!({ "ids": [id] }),
        ] {
            user.found(body).await;
        }
        user.count(json!({})).await;
        user.count(json!({ "metadata": metadata, "status": "idle" })).await;
        let list = user.request(Method::POST, "/threads/search").body("{}");
        let at_once = (0..8).map(|_| list.try_clone().unwrap().send());
        futures::future::try_join_all(at_once).await.unwrap();
        let copy = user.copy(&id).await;
        let prune = json!({ "thread_ids": [id], "strategy": "keep_latest" });
        user.post("/threads/prune", prune).await.expect(200);
        user.delete(&path).await;
        let prune = json!({ "thread_ids": [copy], "strategy": "delete" });
        user.post("/threads/prune", prune).await.expect(200);
    }
}

#[tokio::test]
async fn every_request_of_the_default_policy_touches_one_partition() {
    let _alone = LOG.lock().await;
    let log = test_cluster().await.log();
    let server = TestServer::start_partitioned_with(|config| {
        config.limits.threads_per_user = Some(1_000);
        explain(config);
    })
    .await;
    let mut asked: BTreeMap<usize, BTreeSet<String>> = BTreeMap::new();
    let mut seen: BTreeSet<usize> = BTreeSet::new();
    for _ in 0..3 {
        let user = server.user().await;
        let before = plans(&log).len();
        ask_everything(&user).await;
        let mut own: BTreeSet<usize> = BTreeSet::new();
        for plan in plans(&log).split_off(before) {
            if of_the_background(&plan) {
                continue;
            }
            let touched = partitions(&plan);
            assert!(touched.len() <= 1, "{touched:?}: {plan:#}");
            own.extend(&touched);
            let text = plan["Query Text"].to_string();
            if !touched.is_empty() {
                asked.entry(touched.len()).or_default().insert(text);
            }
        }
        assert_eq!(own.len(), 1, "one user's threads are in one partition: {own:?}");
        seen.extend(own);
    }
    assert!(seen.iter().all(|number| *number < PARTITIONS), "{seen:?}");
    let texts = &asked[&1];
    assert!(texts.len() > 25, "{} statements: {texts:#?}", texts.len());
}

#[tokio::test]
async fn batches_of_several_tenants_answer_everybody_with_their_own() {
    let server = TestServer::start_partitioned_with(|_| ()).await;
    let mut users = Vec::new();
    for number in 0..4 {
        let user = server.user().await;
        let id = user.thread(json!({ "metadata": { "number": number } })).await;
        user.write(&id, json!({ "n": number })).await;
        users.push((number, id, user));
    }
    for _ in 0..10 {
        let requests = users.iter().flat_map(|user| std::iter::repeat_n(user, 8));
        let answers = requests.map(async |(number, id, user)| {
            let (thread, found) = tokio::join!(
                async { user.get(&format!("/threads/{id}")).await.expect(200) },
                user.found(json!({})),
            );
            assert_eq!(thread["values"], json!({ "n": number }));
            assert_eq!(found, [id.as_str()]);
        });
        futures::future::join_all(answers).await;
    }
}

#[tokio::test]
async fn the_sweeper_finds_what_expired_in_every_partition() {
    let server = TestServer::start_partitioned_with(|_| ()).await;
    let mut threads = Vec::new();
    for _ in 0..4 {
        let user = server.user().await;
        let id = user.thread(json!({})).await;
        user.write(&id, json!({ "messages": ["x"] })).await;
        user.expire(&id, "delete").await;
        threads.push(id);
    }
    server.swept().await;
    for id in threads {
        assert_eq!(crate::delete::rows(&server, &id).await, 0);
    }
}

/// Statements about any tenants, which run whenever their time has come: those that look for expired
/// threads and that keep digests up to date.
fn of_the_background(plan: &Value) -> bool {
    let text = plan["Query Text"].as_str().unwrap();
    let of_all = [
        "ttl_strategy = 'delete' as is_deleted",
        "(thread.tenant, thread.thread_id) > ($1, $2)",
        "with ordinality as asked (tenant, thread_id, place)",
        "insert into thread_store.digest ",
    ];
    of_all.iter().any(|of_all| text.contains(of_all))
}
