//! `POST /threads/search`

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::support::TestServer;
use crate::support::steps::{human, texts};

#[tokio::test]
async fn metadata_filters_are_containment_as_in_postgres() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let metadata = json!({
        "s": "x", "n": 1, "null": null, "t": true, "o": { "a": { "b": 1, "c": [] } },
        "l": [1, "x", { "k": 1, "m": 2 }, [3, 4]], "it's \"q\" \\ $1 %": "; drop table thread; --",
    });
    let id = user.thread(json!({ "metadata": metadata })).await;
    user.thread(json!({ "metadata": { "s": "other" } })).await;
    for (filter, matches) in [
        (json!({ "s": "x" }), true),
        (json!({ "n": 1.0 }), true),
        (json!({ "n": "1" }), false),
        (json!({ "t": 1 }), false),
        (json!({ "null": null }), true),
        (json!({ "absent": null }), false),
        (json!({ "o": {} }), true),
        (json!({ "o": { "a": { "b": 1 } } }), true),
        (json!({ "o": { "b": 1 } }), false),
        (json!({ "o": { "a": { "c": [] } } }), true),
        (json!({ "o": [] }), false),
        (json!({ "l": [] }), true),
        (json!({ "l": ["x", 1, 1] }), true),
        (json!({ "l": [{ "m": 2 }] }), true),
        (json!({ "l": [[4]] }), true),
        (json!({ "l": [4] }), false),
        (json!({ "l": [1, 2] }), false),
        (json!({ "l": 1 }), false),
        (json!({ "it's \"q\" \\ $1 %": "; drop table thread; --" }), true),
        (json!({ "s": { "$eq": "x" } }), false),
        (json!({ "$or": [{ "s": "x" }, { "n": 1 }] }), false),
    ] {
        let found = user.found(json!({ "metadata": filter })).await;
        assert_eq!(found.contains(&id), matches, "{filter}");
    }
}

#[tokio::test]
async fn values_filters_look_at_the_newest_checkpoint() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let without = user.thread(json!({})).await;
    let id = user.thread(json!({})).await;
    let first =
        user.write(&id, json!({ "n": 1, "old": true, "messages": [human("a", "A")] })).await;
    user.write(&id, json!({ "n": 2, "messages": [human("b", "B")] })).await;
    let found = async |values: Value| user.found(json!({ "values": values })).await == [id.clone()];
    assert!(found(json!({ "n": 2, "old": true })).await);
    assert!(!found(json!({ "n": 1 })).await);
    assert!(found(json!({ "messages": [{ "id": "b" }] })).await);
    user.fork(&id, &first, json!({ "n": 3 })).await;
    assert!(found(json!({ "n": 3 })).await);
    assert!(!found(json!({ "messages": [{ "id": "b" }] })).await);
    assert!(!user.found(json!({ "values": { "n": null } })).await.contains(&without));
    // A value that only `json` holds must not spoil the searches of its owner.
    let odd = user.thread(json!({})).await;
    let body = format!("{{\"values\":{{\"n\":0.{}e-300}}}}", "1".repeat(16_383));
    let written = user.post_text(&format!("/threads/{odd}/state"), body).await;
    assert!([200, 422].contains(&written.status.as_u16()), "{}", written.text);
    assert!(found(json!({ "n": 3 })).await);
}

#[tokio::test]
async fn a_page_has_only_the_selected_fields() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let id = user.thread(json!({ "metadata": { "k": 1 } })).await;
    user.write(&id, json!({ "n": 1.50 })).await;
    let whole = user.get(&format!("/threads/{id}")).await.expect(200);
    for fields in [
        vec!["thread_id"],
        vec!["values"],
        vec!["metadata", "status", "metadata"],
        vec!["config", "interrupts"],
        vec!["created_at", "updated_at", "state_updated_at"],
    ] {
        let page = user.post("/threads/search", json!({ "select": fields })).await.expect(200);
        let thread = page[0].as_object().unwrap();
        assert!(thread.iter().all(|(field, value)| *value == whole[field]), "{page}");
        let mut expected = fields.clone();
        expected.sort_unstable();
        expected.dedup();
        let mut got: Vec<_> = thread.keys().map(String::as_str).collect();
        got.sort_unstable();
        assert_eq!(got, expected);
    }
    let page = user.post("/threads/search", json!({ "select": [] })).await.expect(200);
    assert_eq!(page[0], whole);
}

#[tokio::test]
async fn extracts_come_from_inside_values_and_metadata() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let id =
        user.thread(json!({ "metadata": { "a": { "b": [10, { "c": null }] }, "ü x": 1 } })).await;
    let text = r#"{"values":{"n":1.50,"deep":{"z":1,"a":[[1],[2]]},"messages":[{"type":"ai","id":"1","content":"hi"}]}}"#;
    user.post_text(&format!("/threads/{id}/state"), text).await.expect(200);
    for (path, expected) in [
        ("values.n", "1.50"),
        ("values.deep", r#"{"z":1,"a":[[1],[2]]}"#),
        ("values.deep.a[-1][0]", "2"),
        ("values.deep.a[2]", "null"),
        ("values.deep.a[-3]", "null"),
        ("values.deep.a.z", "null"),
        ("values.messages[-1].content", "\"hi\""),
        ("values.n.x", "null"),
        ("metadata.a.b[0]", "10"),
        ("metadata.a.b[1].c", "null"),
        ("metadata.ü x", "1"),
        ("interrupts", "{}"),
        ("config.x", "null"),
        ("values[0]", "null"),
        ("values.messages[2147483648]", "null"),
    ] {
        let body =
            json!({ "select": ["thread_id"], "extract": { "got": path, "_2": "metadata.a.b[0]" } });
        let answer = user.post("/threads/search", body).await;
        let expected =
            format!(r#"[{{"thread_id":"{id}","extracted":{{"got":{expected},"_2":10}}}}]"#);
        assert_eq!(answer.text, expected, "{path}");
    }
    let bare = user.thread(json!({})).await;
    let body = json!({ "ids": [bare], "extract": { "v": "values.n", "m": "metadata.a.b" } });
    let page = user.post("/threads/search", body).await.expect(200);
    assert_eq!(page[0]["extracted"], json!({ "v": null, "m": null }));
}

#[tokio::test]
async fn pages_say_where_the_next_one_starts() {
    let server = TestServer::start().await;
    let user = server.user().await;
    for _ in 0..11 {
        user.thread(json!({})).await;
    }
    for (body, rows, next, total) in [
        (json!({}), 10, "10", "11"),
        (json!({ "limit": 11 }), 11, "", "11"),
        (json!({ "limit": 1000 }), 11, "", "11"),
        (json!({ "limit": 5 }), 5, "5", "6"),
        (json!({ "limit": 5, "offset": 5 }), 5, "10", "11"),
        (json!({ "limit": 5.0, "offset": 6 }), 5, "", "11"),
        (json!({ "offset": 11 }), 0, "", "11"),
        (json!({ "offset": 100 }), 0, "", "100"),
        (json!({ "offset": i64::MAX / 2, "limit": 1000 }), 0, "", "4611686018427387903"),
    ] {
        let page = user.post("/threads/search", body.clone()).await;
        assert_eq!(page.expect(200).as_array().unwrap().len(), rows, "{body}");
        assert_eq!(page.header("x-pagination-next"), next, "{body}");
        assert_eq!(page.header("x-pagination-total"), total, "{body}");
    }
}

#[tokio::test]
async fn many_ids_in_any_spelling_are_one_condition() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let (one, two) =
        (user.thread(json!({})).await, user.thread(json!({ "metadata": { "k": 1 } })).await);
    let mut ids: Vec<_> = (0..5000).map(|_| uuid::Uuid::new_v4().to_string()).collect();
    ids.extend([one.to_uppercase(), two.replace('-', ""), two.clone()]);
    assert_eq!(
        user.found(json!({ "ids": ids, "sort_by": "thread_id", "sort_order": "asc" })).await,
        [one, two.clone()]
    );
    assert_eq!(user.found(json!({ "ids": ids, "metadata": { "k": 1 } })).await, [two]);
    assert_eq!(user.found(json!({ "ids": [] })).await.len(), 2);
}

#[tokio::test]
async fn large_matches_among_many_threads_are_found_with_their_values() {
    let server = TestServer::start().await;
    let user = server.user().await;
    sqlx::query(
        "insert into thread_store.thread \
             (tenant, thread_id, created_at, updated_at, state_updated_at, metadata) \
         select $2, gen_random_uuid(), moment, moment, moment, jsonb_build_object('owner', $1) \
         from generate_series(0, 1199) as number \
         cross join lateral (select now() - make_interval(secs => number) as moment) as made",
    )
    .bind(&user.id)
    .bind(thread_store::auth::Tenant::of(&user.id).number())
    .execute(&server.pool)
    .await
    .unwrap();
    for _ in 0..45 {
        let thread = user.thread(json!({ "metadata": { "kind": "large" } })).await;
        user.write(&thread, json!({ "text": "x".repeat(7_000) })).await;
    }
    let body = json!({ "metadata": { "kind": "large" }, "limit": 100 });
    let page = user.post("/threads/search", body).await.expect(200);
    let threads = page.as_array().unwrap();
    assert_eq!(threads.len(), 45);
    assert!(threads.iter().all(|thread| thread["values"]["text"].as_str().unwrap().len() == 7_000));
}

#[tokio::test]
async fn searches_at_the_same_time_get_the_parts_that_each_selects() {
    let server = TestServer::start().await;
    let user = server.user().await;
    for number in 0..3 {
        let thread = user.thread(json!({ "metadata": { "title": "A title" } })).await;
        user.write(&thread, json!({ "number": number })).await;
    }
    let selects = [
        json!(["thread_id", "values"]),
        json!(["thread_id", "title"]),
        json!(["thread_id", "title", "values"]),
        json!(["thread_id"]),
    ];
    let searches = (0..200).map(|number| {
        let select = &selects[number % selects.len()];
        let body = json!({ "select": select, "limit": 3 + number % 7 });
        async { (select.clone(), user.post("/threads/search", body).await.expect(200)) }
    });
    for (select, page) in futures::future::join_all(searches).await {
        for thread in page.as_array().unwrap() {
            for part in select.as_array().unwrap() {
                assert!(!thread[part.as_str().unwrap()].is_null(), "{select}: {thread}");
            }
        }
    }
}

#[tokio::test]
async fn a_condition_that_only_old_threads_of_many_meet_finds_them_page_by_page() {
    let server = TestServer::start().await;
    let user = server.user().await;
    sqlx::query(
        "insert into thread_store.thread \
             (tenant, thread_id, created_at, updated_at, state_updated_at, metadata) \
         select case when owner = $1 then $2 else 0 end, \
             gen_random_uuid(), moment, moment, moment, jsonb_build_object('owner', owner, \
             'number', number, 'is_new', number < 1000, 'is_odd', number % 2 = 1) \
         from ( \
             select number, now() - make_interval(secs => number) as moment, \
                 case when number % 3 = 0 then 'somebody else' else $1 end as owner \
             from generate_series(0, 2999) as number \
         ) as made",
    )
    .bind(&user.id)
    .bind(thread_store::auth::Tenant::of(&user.id).number())
    .execute(&server.pool)
    .await
    .unwrap();
    let mine = |number: &i64| number % 3 != 0;
    for (metadata, expected) in [
        (json!({ "number": 2998 }), vec![2998]),
        (json!({ "number": 1 }), vec![1]),
        (json!({ "number": 3 }), vec![]),
        (json!({ "is_new": false }), (1000..3000).filter(mine).collect::<Vec<_>>()),
        (json!({ "is_odd": true }), (0..3000).filter(|n| n % 2 == 1).filter(mine).collect()),
    ] {
        let mut numbers = Vec::new();
        loop {
            let body = json!({
                "metadata": metadata, "limit": 300, "offset": numbers.len(),
                "extract": { "number": "metadata.number" },
            });
            let page = user.post("/threads/search", body).await;
            let threads = page.expect(200);
            let found = threads.as_array().unwrap().iter();
            numbers.extend(found.map(|thread| thread["extracted"]["number"].as_i64().unwrap()));
            if page.header("x-pagination-next").is_empty() {
                break;
            }
        }
        assert_eq!(numbers, expected, "{metadata}");
        assert_eq!(user.count(json!({ "metadata": metadata })).await, expected.len() as u64);
    }
}

#[tokio::test]
async fn a_cursor_goes_on_behind_its_page_whatever_was_written_since() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let mut threads = Vec::new();
    for _ in 0..7 {
        threads.insert(0, user.thread(json!({})).await);
    }
    let page = async |body: Value| {
        let page = user.post("/threads/search", body).await;
        let found = texts(&page.expect(200), "thread_id");
        let header = |name: &str| page.header(name).to_owned();
        (found, header("x-pagination-cursor"), header("x-pagination-next"))
    };
    let (first, cursor, next) = page(json!({ "limit": 3 })).await;
    assert_eq!((first.as_slice(), next.as_str()), (&threads[..3], "3"));
    user.thread(json!({})).await;
    user.write(&threads[1], json!({ "n": 1 })).await;
    let (second, cursor, next) = page(json!({ "limit": 3, "cursor": cursor })).await;
    assert_eq!((second.as_slice(), next.as_str()), (&threads[3..6], "6"));
    let (last, none, next) = page(json!({ "limit": 3, "cursor": cursor })).await;
    assert_eq!((last.as_slice(), none.as_str(), next.as_str()), (&threads[6..], "", ""));

    // Where the page ended is not in what was selected.
    let (_, none, next) = page(json!({ "limit": 3, "select": ["thread_id"] })).await;
    assert_eq!((none.as_str(), next.as_str()), ("", "3"));
}

#[tokio::test]
async fn a_cursor_that_was_not_made_by_such_a_search_is_refused() {
    let server = TestServer::start().await;
    let user = server.user().await;
    for _ in 0..2 {
        user.thread(json!({})).await;
    }
    let page = user.post("/threads/search", json!({ "limit": 1 })).await;
    let cursor = page.header("x-pagination-cursor");
    let sound = BASE64_URL_SAFE_NO_PAD.decode(cursor).unwrap();
    let forged = |field: &str, value: Value| {
        let mut sound: Value = serde_json::from_slice(&sound).unwrap();
        sound[field] = value;
        BASE64_URL_SAFE_NO_PAD.encode(sound.to_string())
    };
    let refused = async |body: Value| {
        let detail = user.post("/threads/search", body).await;
        assert_eq!(detail.status, 422, "{}", detail.text);
        assert!(detail.detail().starts_with("cursor: "), "{}", detail.text);
    };
    for cursor in [json!(""), json!("x"), json!("e30"), json!(3), json!(null), json!(["x"])] {
        refused(json!({ "cursor": cursor })).await;
    }
    for (field, value) in [
        ("value", json!("yesterday")),
        ("value", json!("'; drop table thread; --")),
        ("value", json!(3)),
        ("thread_id", json!("x")),
        ("number", json!(-1)),
        ("sort_by", json!("metadata")),
    ] {
        refused(json!({ "cursor": forged(field, value) })).await;
    }
    refused(json!({ "cursor": cursor, "sort_by": "created_at" })).await;
    refused(json!({ "cursor": cursor, "sort_by": "updated_at", "sort_order": "asc" })).await;
    let much = user.post("/threads/search", json!({ "cursor": forged("number", json!(i64::MAX)) }));
    much.await.expect(200);
}
