//! What a search with conditions reads: nothing of other users, and no more than an index has.

use std::path::Path;

use serde_json::{Value, json};
use sqlx::Executor as _;

use crate::plans::{LOG, explained, nodes, plans_behind, reads_all};
use crate::support::postgres::test_cluster;
use crate::support::{TestServer, User};

/// Threads of the user whose topic is `mine`, but for one that is `rare`.
const OWN: &str = "select $1 as owner, number, case when number = 1200 then 'rare' else 'mine' end as topic \
                   from generate_series(1, 1500) as number";
/// Of others, whose topic is `theirs`.
const OTHERS: &str = "select $1 || number % 100 as owner, number, 'theirs' as topic \
                      from generate_series(1, 10000) as number";

async fn fill(server: &TestServer, user: &User) {
    make(server, user, OWN).await;
    make(server, user, OTHERS).await;
}

/// Makes threads with a topic, which is their title and the text of their digests too.
async fn make(server: &TestServer, user: &User, threads: &'static str) {
    let threads = format!(
        "with made as ( \
             insert into thread_store.thread \
                 (tenant, thread_id, created_at, updated_at, state_updated_at, metadata) \
             select thread_store.tenant_of(owner), gen_random_uuid(), moment, moment, moment, \
                 jsonb_build_object('owner', owner, 'deep', jsonb_build_object('topic', topic), \
                     'title', topic, 'n', number) \
             from ({threads}) as asked \
             cross join lateral (select now() - make_interval(secs => number) as moment) as at \
             returning * \
         ), digested as ( \
             insert into thread_store.digest \
                 (tenant, thread_id, created_at, seq, named, title, message_count, parts) \
             select tenant, thread_id, created_at, 0, metadata ->> 'title', metadata ->> 'title', 0, '' \
             from made \
         ) \
         insert into thread_store.digest_text (tenant, thread_id, part, text) \
         select tenant, thread_id, 0, metadata ->> 'title' from made"
    );
    let threads = sqlx::query(sqlx::AssertSqlSafe(threads)).bind(&user.id);
    threads.execute(&server.pool).await.unwrap();
    server.pool.execute("vacuum analyze").await.unwrap();
}

/// Pages that a statement read, from the cache or not.
fn pages(plan: &Value) -> u64 {
    let read = |name: &str| plan["Plan"][name].as_u64().unwrap_or(0);
    read("Shared Hit Blocks") + read("Shared Read Blocks")
}

/// The plans of what a request asks of the database, which reads no table as a whole.
async fn plans_of(log: &Path, user: &User, path: &str, body: &Value) -> Vec<Value> {
    let before = std::fs::metadata(log).unwrap().len();
    user.post(path, body.clone()).await.expect(200);
    let plans = plans_behind(log, before);
    assert!(!plans.is_empty() && !plans.iter().any(reads_all), "{plans:#?}");
    plans
}

/// The fewest pages that a request reads. What a connection reads of the catalogue when it is new, or
/// when something there has changed, is in some of the counts.
async fn pages_of(log: &Path, user: &User, path: &str, body: &Value) -> u64 {
    let mut least = u64::MAX;
    for _ in 0..4 {
        let plans = plans_of(log, user, path, body).await;
        least = least.min(plans.iter().map(pages).sum());
    }
    least
}

#[tokio::test]
async fn what_others_have_changes_nothing_in_what_a_search_reads() {
    let _alone = LOG.lock().await;
    let log = test_cluster().await.log();
    let server = explained().await;
    let user = server.user().await;
    fill(&server, &user).await;
    let filter = |operators: Value| json!({ "filter": { "metadata.deep.topic": operators } });
    let metadata = |topic: &str| json!({ "metadata": { "deep": { "topic": topic } } });
    let pairs = [
        (filter(json!("theirs")), filter(json!("nobodys"))),
        (filter(json!({ "$in": ["theirs", "x"] })), filter(json!({ "$in": ["nobodys", "x"] }))),
        (filter(json!({ "$prefix": "theirs" })), filter(json!({ "$prefix": "nobodys" }))),
        (json!({ "filter": { "title": "theirs" } }), json!({ "filter": { "title": "nobodys" } })),
        (json!({ "query": "theirs" }), json!({ "query": "nobodys" })),
        (json!({ "query": "mine -theirs" }), json!({ "query": "mine -nobodys" })),
        (metadata("theirs"), metadata("nobodys")),
    ];
    let mut seen = Vec::new();
    for _ in 0..2 {
        for path in ["/threads/search", "/threads/count"] {
            for (theirs, nobodys) in &pairs {
                let of_theirs = pages_of(&log, &user, path, theirs).await;
                let of_nobodys = pages_of(&log, &user, path, nobodys).await;
                seen.push((path, theirs.clone(), of_theirs, of_nobodys));
            }
        }
        // Once more with twice as many.
        make(&server, &user, OTHERS).await;
    }
    // A way down an index may have a page more than another. Of the threads of others it would be
    // hundreds, and twice as many afterwards.
    for (path, asked, theirs, nobodys) in &seen {
        assert!(theirs.abs_diff(*nobodys) <= 2, "{path} {asked}: {theirs} and {nobodys} pages");
    }
    let (few, many) = seen.split_at(seen.len() / 2);
    for ((path, asked, few, _), (.., many, _)) in few.iter().zip(many) {
        assert!(many.abs_diff(*few) <= 8, "{path} {asked}: {few} and then {many} pages");
    }
}

#[tokio::test]
async fn conditions_on_metadata_and_times_are_looked_up_in_an_index() {
    let _alone = LOG.lock().await;
    let log = test_cluster().await.log();
    let server = explained().await;
    let user = server.user().await;
    fill(&server, &user).await;
    for path in ["/threads/search", "/threads/count"] {
        for operators in [json!("rare"), json!({ "$in": ["rare", "rarer"] })] {
            // An order that no index has, so that the conditions decide where to look.
            let rare =
                json!({ "filter": { "metadata.deep.topic": operators }, "sort_by": "created_at" });
            let plans = plans_of(&log, &user, path, &rare).await;
            let uses_index = |plan: &Value| {
                nodes(&plan["Plan"]).iter().any(|node| {
                    // Or that of a partition, which Postgres has named.
                    let name = node["Index Name"].as_str().unwrap_or_default();
                    name == "thread_by_metadata" || name.ends_with("_jsonb_set_idx")
                })
            };
            assert!(plans.iter().any(uses_index), "{plans:#?}");
        }
    }
    let late = json!({ "filter": { "updated_at": { "$gt": "2999-01-01T00:00:00Z" } } });
    let pages = pages_of(&log, &user, "/threads/count", &late).await;
    assert!(pages < 30, "{pages}");
}
