//! `query` of a search, and what is kept beside threads for it: titles, previews, counts, text.

use std::time::Duration;

use serde_json::{Value, json};
use sqlx::PgPool;

use crate::support::deadline::PATIENCE;
use crate::support::steps::{human, remove, texts};
use crate::support::{TestServer, User};

/// Waits until every thread that has state has a digest of it.
pub(crate) async fn caught_up(pool: &PgPool) {
    let behind = "select count(*) from thread_store.thread left join thread_store.digest \
                  using (tenant, thread_id) \
                  where last_seq > 0 and (seq is distinct from last_seq \
                      or named is distinct from case when jsonb_typeof(thread.metadata -> 'title') = 'string' \
                      then left(thread.metadata ->> 'title', 1000) end)";
    let wait = async {
        while sqlx::query_scalar::<_, i64>(behind).fetch_one(pool).await.unwrap() > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap();
}

/// The threads that a query finds, after checking that a count agrees.
pub(crate) async fn found(user: &User, query: &str) -> Vec<String> {
    let found = user.found(json!({ "query": query, "limit": 1000 })).await;
    assert_eq!(user.count(json!({ "query": query })).await, found.len() as u64, "{query}");
    found
}

/// The page of a search, with the fields that are kept beside threads.
pub(crate) async fn page(user: &User, mut body: Value) -> Vec<Value> {
    body["select"] =
        json!(["thread_id", "title", "preview", "message_count", "last_message_at", "matches"]);
    user.post("/threads/search", body).await.expect(200).as_array().unwrap().clone()
}

pub(crate) async fn said(user: &User, text: &str) -> String {
    let id = user.thread(json!({})).await;
    user.write(&id, json!({ "messages": [human("m", text)] })).await;
    id
}

#[tokio::test]
async fn what_people_type_is_not_syntax() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let texts = [
        "100% sure",
        "1000 sure",
        "case_1",
        "caseA1",
        "C:\\tmp",
        "POL-358",
        "covid-19",
        "don't use",
        "--error-on-warnings",
        "TODO: fix",
        "foo and bar",
        "我喜欢猫咪和狗",
        "ไทยแลนด์",
        "Ｆｕｌｌ Straße",
    ];
    let mut ids = Vec::new();
    for text in texts {
        ids.push(said(&user, text).await);
    }
    for is_caught_up in [false, true] {
        if is_caught_up {
            caught_up(&server.pool).await;
        }
        for (query, expected) in [
            ("100%", &["100% sure"][..]),
            ("case_1", &["case_1"]),
            ("C:\\tmp", &["C:\\tmp"]),
            ("POL-358", &["POL-358"]),
            ("pol -358", &[]),
            ("don't use", &["don't use"]),
            ("\"--error-on-warnings\"", &["--error-on-warnings"]),
            ("--error", &["--error-on-warnings"]),
            ("TODO:", &["TODO: fix"]),
            ("foo \"bar", &["foo and bar"]),
            ("\"foo  and\"", &["foo and bar"]),
            ("\"and foo\"", &[]),
            ("bar foo", &["foo and bar"]),
            ("sure -1000", &["100% sure"]),
            ("sure -\"0% s\"", &["1000 sure"]),
            ("猫咪", &["我喜欢猫咪和狗"]),
            ("แลน", &["ไทยแลนด์"]),
            ("full STRASSE", &["Ｆｕｌｌ Straße"]),
            ("' or '1'='1", &[]),
        ] {
            let found = found(&user, query).await;
            let of_id = |id: &String| texts[ids.iter().position(|own| own == id).unwrap()];
            let found: Vec<_> = found.iter().map(of_id).collect();
            assert_eq!(found, expected, "{query} {is_caught_up}");
        }
    }
    for query in [
        "-",
        "\"\"",
        "",
        " ",
        "-word",
        &"x".repeat(1_001),
        "a b c d e f g h i j k l m n o p q r s t u",
    ] {
        let answer = user.post("/threads/search", json!({ "query": query })).await;
        assert_eq!(answer.status, 422, "{query}");
        assert!(answer.detail().starts_with("query: must"), "{}", answer.text);
    }
    assert_eq!(user.post("/threads/search", json!({ "query": 1 })).await.status, 422);
}

#[tokio::test]
async fn matches_show_the_original_letters_where_the_hits_are() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let id = user.thread(json!({ "metadata": { "title": "Größe & Maß" } })).await;
    let text = "½ ½ ﬁne 👍🏽 20℃ ネバダ州 Nevada E\u{301}cole";
    user.write(
        &id,
        json!({ "messages": [
        human("a", text),
        { "type": "ai", "id": "b", "content": [{ "type": "text", "text": "Nevada again" },
            { "type": "image_url", "image_url": { "url": "data:image/png;base64,needle" } }] },
        { "type": "tool", "id": "c", "tool_call_id": "t", "content": "needle" },
    ] }),
    )
    .await;
    let other = server.user().await;
    said(&other, text).await;
    for (query, expected) in [
        ("fine", vec![("a", "ﬁne")]),
        ("20°C", vec![("a", "20℃")]),
        ("nevada", vec![("a", "Nevada"), ("b", "Nevada")]),
        ("école again", vec![("a", "E\u{301}cole"), ("b", "again")]),
        ("½", vec![("a", "½"), ("a", "½")]),
        ("mass", vec![("", "Maß")]),
        ("GRÖSSE cole", vec![("", "Größe"), ("a", "cole")]),
    ] {
        let found = page(&user, json!({ "query": query })).await;
        assert_eq!(found.len(), 1, "{query}");
        let mut hits = Vec::new();
        for hit in found[0]["matches"].as_array().unwrap() {
            let units: Vec<u16> = hit["snippet"].as_str().unwrap().encode_utf16().collect();
            for place in hit["places"].as_array().unwrap() {
                let at = |n: usize| usize::try_from(place[n].as_u64().unwrap()).unwrap();
                let text = String::from_utf16(&units[at(0)..at(1)]).unwrap();
                hits.push((hit["message_id"].as_str().unwrap_or_default().to_owned(), text));
            }
            let role = match hit["message_id"].as_str() {
                None => Value::Null,
                Some("a") => json!("human"),
                Some(_) => json!("ai"),
            };
            assert_eq!(hit["role"], role);
        }
        let expected: Vec<_> =
            expected.iter().map(|(id, hit)| ((*id).to_owned(), (*hit).to_owned())).collect();
        assert_eq!(hits, expected, "{query}");
    }
    assert_eq!(found(&user, "needle").await, [""; 0], "images and what tools say are no text");
    let long = format!("{}needle{}", "a ".repeat(500), " b".repeat(500));
    said(&user, &long).await;
    let page = page(&user, json!({ "query": "needle" })).await;
    let snippet = page[0]["matches"][0]["snippet"].as_str().unwrap();
    assert!(snippet.len() < 200 && long.contains(snippet), "{snippet}");
    assert_eq!(page[0]["matches"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_list_shows_titles_previews_and_counts_without_the_state() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let empty = user.thread(json!({})).await;
    let named = user.thread(json!({ "metadata": { "title": " My\n title " } })).await;
    let asked = user.thread(json!({ "metadata": { "title": 5 } })).await;
    user.write(&asked, json!({ "messages": [{ "type": "system", "content": "be nice" }] })).await;
    user.write(&asked, json!({ "messages": [human("h", "What\n  is this?"), human("i", "x")] }))
        .await;
    let last = json!({ "role": "assistant", "content": format!("{} end", "long ".repeat(100)) });
    user.write(&asked, json!({ "messages": [last] })).await;
    let written_at = user.state(&asked).await["created_at"].clone();
    user.write(&asked, json!({ "n": 1 })).await;
    for is_caught_up in [false, true] {
        if is_caught_up {
            caught_up(&server.pool).await;
        }
        let page = page(&user, json!({})).await;
        let of = |id: &String| page.iter().find(|thread| thread["thread_id"] == json!(id)).unwrap();
        let fields = of(&empty).as_object().unwrap();
        assert_eq!(fields.len(), 6);
        assert_eq!((&fields["title"], &fields["preview"]), (&Value::Null, &Value::Null));
        assert_eq!(
            (&fields["message_count"], &fields["last_message_at"]),
            (&json!(0), &Value::Null)
        );
        assert_eq!(fields["matches"], json!([]));
        assert_eq!(of(&named)["title"], "My title");
        let shown = of(&asked);
        assert_eq!(
            (&shown["title"], &shown["message_count"]),
            (&json!("What is this?"), &json!(4))
        );
        let preview = shown["preview"].as_str().unwrap();
        assert!(preview.starts_with("long long") && preview.ends_with('…'), "{preview}");
        assert_eq!(preview.chars().count(), 200);
        assert_eq!(shown["last_message_at"], written_at);
        for (filter, expected) in [
            (json!({ "title": { "$prefix": "My" } }), vec![&named]),
            (json!({ "title": null }), vec![&empty]),
            (json!({ "title": { "$exists": true }, "message_count": 0 }), vec![&named]),
            (json!({ "message_count": { "$gte": 3.5 } }), vec![&asked]),
            (json!({ "last_message_at": { "$exists": false } }), vec![&named, &empty]),
        ] {
            let mut found = user.found(json!({ "filter": filter })).await;
            found.sort_unstable();
            let mut expected: Vec<_> = expected.into_iter().cloned().collect();
            expected.sort_unstable();
            assert_eq!(found, expected, "{filter}");
            assert_eq!(user.count(json!({ "filter": filter })).await, expected.len() as u64);
        }
    }
    let whole = user.post("/threads/search", json!({ "limit": 1 })).await.expect(200);
    assert!(whole[0].get("title").is_none() && whole[0].get("matches").is_none(), "{whole}");
}

#[tokio::test]
async fn pages_in_the_order_of_titles_and_of_last_messages_hold_all_threads_once() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let mut ids = Vec::new();
    for title in ["b", "", "a", "É", "b", "\u{10ffff}x"] {
        let id = user.thread(json!({ "metadata": { "title": title } })).await;
        if title.len() == 1 {
            user.write(&id, json!({ "messages": [human("m", title)] })).await;
        }
        ids.push(id);
    }
    ids.push(said(&user, &"字".repeat(12_000)).await);
    let all_pages = async |sort_by: &str, order: &str| {
        let mut found = Vec::new();
        let select = ["thread_id", "title", "last_message_at"];
        let mut body =
            json!({ "sort_by": sort_by, "sort_order": order, "limit": 2, "select": select });
        loop {
            let page = user.post("/threads/search", body.clone()).await;
            let threads = page.expect(200);
            found.extend(threads.as_array().unwrap().iter().cloned());
            let cursor = page.header("x-pagination-cursor");
            if cursor.is_empty() {
                return found;
            }
            body["cursor"] = json!(cursor);
        }
    };
    for sort_by in ["title", "last_message_at"] {
        let up = all_pages(sort_by, "asc").await;
        let mut down = all_pages(sort_by, "desc").await;
        down.reverse();
        assert_eq!(up, down);
        let mut found = texts(&json!(up), "thread_id");
        found.sort_unstable();
        let mut expected = ids.clone();
        expected.sort_unstable();
        assert_eq!(found, expected, "{sort_by}");
        let keys = up.iter().map(|thread| thread[sort_by].as_str().unwrap_or_default());
        assert!(keys.is_sorted(), "{up:?}");
    }
    let cursor = json!({ "cursor": "eyJzb3J0X2J5IjoidGl0bGUifQ", "sort_by": "title" });
    assert_eq!(user.post("/threads/search", cursor).await.status, 422);
}

#[tokio::test]
async fn a_search_finds_what_is_there_and_not_what_was() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let removed = said(&user, "alpha").await;
    let replaced = said(&user, "beta").await;
    let forked = said(&user, "root").await;
    let root =
        user.state(&forked).await["checkpoint"]["checkpoint_id"].as_str().unwrap().to_owned();
    user.write(&forked, json!({ "messages": [human("g", "gamma")] })).await;
    let deleted = said(&user, "delta").await;
    let expired = said(&user, "epsilon").await;
    let renamed = user.thread(json!({ "metadata": { "title": "zeta" } })).await;
    let untitled = user.thread(json!({ "metadata": { "title": "eta" } })).await;
    let hidden = said(&user, "theta").await;
    let words = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta"];
    caught_up(&server.pool).await;
    for word in words {
        assert_ne!(found(&user, word).await, [""; 0], "{word}");
    }
    user.write(&removed, json!({ "messages": [remove("m")] })).await;
    user.write(&replaced, json!({ "messages": [human("m", "other")] })).await;
    user.fork(&forked, &root, json!({ "messages": [human("n", "side")] })).await;
    user.delete(&format!("/threads/{deleted}")).await;
    user.expire(&expired, "delete").await;
    user.patch(&format!("/threads/{renamed}"), json!({ "metadata": { "title": "iota" } }))
        .await
        .expect(200);
    user.patch(&format!("/threads/{untitled}"), json!({ "metadata": { "title": null } }))
        .await
        .expect(200);
    user.write(&hidden, json!({ "messages": [remove("__remove_all__")] })).await;
    for is_caught_up in [false, true] {
        if is_caught_up {
            caught_up(&server.pool).await;
        }
        for word in words {
            let page = page(&user, json!({ "query": word })).await;
            // "eta" is in no text but that of "beta", "zeta" and "theta".
            assert_eq!(page, [Value::Null; 0], "{word} {is_caught_up}");
            assert_eq!(user.count(json!({ "query": word })).await, 0, "{word}");
        }
        assert_eq!(found(&user, "side root").await, std::slice::from_ref(&forked));
        assert_eq!(found(&user, "other").await, std::slice::from_ref(&replaced));
        assert_eq!(found(&user, "iota").await, std::slice::from_ref(&renamed));
        for thread in page(&user, json!({})).await {
            let text = thread.to_string();
            assert!(!words.iter().any(|word| text.contains(word)), "{text}");
        }
    }
}

#[tokio::test]
async fn nothing_is_missing_or_twice_over_pages_while_somebody_writes() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let mut ids = Vec::new();
    for _ in 0..12 {
        ids.push(said(&user, "needle").await);
    }
    ids.sort_unstable();
    let writer = {
        let (user, ids) = (user.clone(), ids.clone());
        tokio::spawn(async move {
            for n in 0..u64::MAX {
                let id = &ids[usize::try_from(n % 12).unwrap()];
                user.write(id, json!({ "messages": [human("w", &n.to_string())] })).await;
            }
        })
    };
    for _ in 0..8 {
        let body = json!({ "query": "needle", "limit": 5, "sort_by": "created_at" });
        assert_eq!(user.found_on_all_pages(body).await, ids);
        assert_eq!(user.count(json!({ "query": "needle" })).await, 12);
    }
    writer.abort();
}
