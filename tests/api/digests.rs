//! The task that keeps digests of threads.

use std::process::Command;
use std::time::Duration;

use serde_json::json;

use crate::search_query::{caught_up, found, page, said};
use crate::support::TestServer;
use crate::support::deadline::output_of;
use crate::support::postgres::url_of;
use crate::support::steps::{human, remove};

#[tokio::test]
async fn one_message_does_not_stop_the_others_from_being_found() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let base64 = format!("begin{}end", "QUJD".repeat(325_000));
    let letters: String =
        (0..400_000_u32).map(|n| char::from_u32(0x4e00 + n % 20_000).unwrap()).collect();
    let huge = format!("first {} last", "x y".repeat(2_000_000));
    let ids = [
        said(&user, &base64).await,
        said(&user, &format!("龘龘{letters}龖龖")).await,
        said(&user, &"w".repeat(12_000)).await,
        said(&user, &huge).await,
    ];
    let needle = said(&user, "needle").await;
    tokio::time::timeout(Duration::from_secs(20), caught_up(&server.pool)).await.unwrap();
    assert_eq!(found(&user, "needle").await, [needle]);
    for (query, place) in [
        ("begin", 0),
        ("end", 0),
        ("龘龘", 1),
        ("龖龖", 1),
        (&"w".repeat(900)[..], 2),
        ("first", 3),
        ("last", 3),
    ] {
        assert!(found(&user, query).await.contains(&ids[place]), "{place}");
    }
    let titles = page(&user, json!({ "sort_by": "title" })).await;
    assert_eq!(titles.len(), 5);
    assert!(titles.iter().all(|thread| thread["title"].as_str().unwrap().chars().count() <= 200));
    let kept: i64 =
        sqlx::query_scalar("select sum(length(text))::bigint from thread_store.digest_text")
            .fetch_one(&server.pool)
            .await
            .unwrap();
    assert!(kept < 4_194_304 + 1_400_000 + 500_000, "{kept}");
}

#[tokio::test]
async fn digests_follow_writes_of_all_instances_and_are_caught_up_after_a_restart() {
    let server = TestServer::start().await;
    let beside = server.start_beside().await;
    let user = server.user().await;
    let there = user.at(&beside);
    let first = said(&user, "hello from one").await;
    let second = said(&there, "hello from two").await;
    caught_up(&server.pool).await;
    let copy = user.copy(&first).await;
    let made = json!({ "metadata": { "title": "made" }, "supersteps": [{ "updates": [
        { "values": { "messages": [human("s", "hello from a superstep")] }, "as_node": "a" } ] }] });
    let made = there.thread(made).await;
    caught_up(&server.pool).await;
    let seqs = "select count(*) from thread_store.digest where message_count = 1";
    let count: i64 = sqlx::query_scalar(seqs).fetch_one(&server.pool).await.unwrap();
    assert_eq!(count, 4);
    let mut found = found(&user, "hello").await;
    found.sort_unstable();
    let mut expected = vec![first.clone(), second, copy, made];
    expected.sort_unstable();
    assert_eq!(found, expected);
    // As if a server had ended before it came to them.
    beside.stop();
    beside.stopped().await;
    sqlx::query("delete from thread_store.digest_text").execute(&server.pool).await.unwrap();
    sqlx::query("delete from thread_store.digest").execute(&server.pool).await.unwrap();
    let again = server.start_beside().await;
    caught_up(&again.pool).await;
    let words: i64 = sqlx::query_scalar(
        "select count(*) from thread_store.digest_text where strpos(text, 'hello') > 0",
    )
    .fetch_one(&again.pool)
    .await
    .unwrap();
    assert_eq!(words, 4);
}

#[tokio::test]
async fn two_instances_make_one_digest_of_a_thread_that_both_write_to() {
    let server = TestServer::start().await;
    let beside = server.start_beside().await;
    let user = server.user().await;
    let there = user.at(&beside);
    let id = user.thread(json!({})).await;
    let long = "lorem ipsum ".repeat(20);
    for n in 0..30 {
        let message = |place: &str| human(&format!("{place}{n}"), &format!("{place}{n}. {long}"));
        user.write(&id, json!({ "messages": [message("here")] })).await;
        there.write(&id, json!({ "messages": [message("there")] })).await;
    }
    caught_up(&server.pool).await;
    let text: String = sqlx::query_scalar(
        "select string_agg(text, ' ' order by part) from thread_store.digest_text where part > 0",
    )
    .fetch_one(&server.pool)
    .await
    .unwrap();
    let said: Vec<_> = text.split_whitespace().filter(|word| word.ends_with('.')).collect();
    let expected = (0..30).flat_map(|n| [format!("here{n}."), format!("there{n}.")]);
    assert_eq!(said, expected.collect::<Vec<_>>());
    let parts = "select octet_length(parts) / 8 = (select count(*) from thread_store.digest_text) \
                 from thread_store.digest";
    assert!(sqlx::query_scalar::<_, bool>(parts).fetch_one(&server.pool).await.unwrap());
}

#[tokio::test]
async fn reindex_makes_all_digests_anew() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let long = format!("first {} last", "lorem ipsum ".repeat(1_000));
    let ids = [said(&user, "needle").await, said(&user, &long).await];
    let titled = user.thread(json!({ "metadata": { "title": "needle too" } })).await;
    user.write(&titled, json!({ "messages": [human("m", "hay")] })).await;
    user.thread(json!({})).await;
    caught_up(&server.pool).await;
    // As if an older program had made other texts, titles and counts.
    for damage in [
        "update thread_store.digest_text set text = 'damaged'",
        "update thread_store.digest set title = 'damaged', message_count = 7",
    ] {
        sqlx::query(damage).execute(&server.pool).await.unwrap();
    }
    assert_eq!(found(&user, "needle").await, [""; 0]);
    let url = url_of(&server.database);
    let directory = tempfile::tempdir().unwrap();
    let mut reindex = Command::new(env!("CARGO_BIN_EXE_thread-store"));
    let reindex = reindex.arg("reindex").env_clear().env("DATABASE_URL", &url);
    let output = output_of(reindex.current_dir(directory.path())).unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        printed,
        "thread-store: 4 threads were indexed\n",
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(found(&user, "needle").await, [titled.clone(), ids[0].clone()]);
    assert_eq!(found(&user, "first last").await, [ids[1].clone()]);
    let counts = json!({ "filter": { "message_count": 1 } });
    assert_eq!(user.count(counts).await, 3);
    let shown = page(&user, json!({ "query": "needle" })).await;
    assert_eq!([&shown[0]["title"], &shown[1]["title"]], ["needle too", "needle"]);
}

#[tokio::test]
async fn a_long_conversation_writes_only_the_text_that_is_new() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let id = user.thread(json!({})).await;
    for n in 0..30 {
        let text = format!("message {n} {}", "lorem ipsum ".repeat(60));
        user.write(&id, json!({ "messages": [human(&n.to_string(), &text)] })).await;
    }
    caught_up(&server.pool).await;
    let oldest = "select min(xmin::text::bigint) from thread_store.digest_text where part = 1";
    let before: i64 = sqlx::query_scalar(oldest).fetch_one(&server.pool).await.unwrap();
    user.write(&id, json!({ "messages": [human("new", "one more")] })).await;
    caught_up(&server.pool).await;
    let after: i64 = sqlx::query_scalar(oldest).fetch_one(&server.pool).await.unwrap();
    assert_eq!(before, after);
    assert_eq!(found(&user, "\"message 29\" \"one more\"").await, std::slice::from_ref(&id));
    user.write(&id, json!({ "messages": [remove("__remove_all__"), human("n", "short")] })).await;
    caught_up(&server.pool).await;
    assert_eq!(found(&user, "lorem").await, [""; 0]);
    assert_eq!(found(&user, "short").await, [id]);
    let parts: i64 = sqlx::query_scalar("select count(*) from thread_store.digest_text")
        .fetch_one(&server.pool)
        .await
        .unwrap();
    assert_eq!(parts, 2);
}
