//! `filter` of a search and of a count.

use serde_json::{Value, json};

use crate::support::{TestServer, User};

/// Threads with these metadata, which are found by their place in the list.
struct Threads {
    user: User,
    ids: Vec<String>,
}

impl Threads {
    async fn make(user: User, metadata: &[Value]) -> Threads {
        let mut ids = Vec::new();
        for metadata in metadata {
            ids.push(user.thread(json!({ "metadata": metadata })).await);
        }
        Threads { user, ids }
    }

    /// The places of the threads that a filter finds, after checking that a count and an order
    /// that is planned for the conditions agree.
    async fn found(&self, filter: &Value) -> Vec<usize> {
        let body = json!({ "filter": filter, "limit": 1000 });
        let places = |ids: Vec<String>| {
            let mut places: Vec<_> =
                ids.iter().map(|id| self.ids.iter().position(|own| own == id).unwrap()).collect();
            places.sort_unstable();
            places
        };
        let found = places(self.user.found(body.clone()).await);
        let mut planned = body;
        planned["sort_by"] = json!("created_at");
        assert_eq!(places(self.user.found(planned).await), found, "{filter}");
        let count = self.user.count(json!({ "filter": filter })).await;
        assert_eq!(count, found.len() as u64, "{filter}");
        found
    }
}

#[tokio::test]
async fn a_path_leads_through_objects_and_not_into_lists() {
    let server = TestServer::start().await;
    let metadata = [
        json!({ "a": { "b": 1 } }),
        json!({ "a": [{ "b": 1 }] }),
        json!({ "a": { "b": [1] } }),
        json!({ "a": { "b": 1.0, "c": 2 } }),
        json!({ "a": { "b": "1" } }),
    ];
    let threads = Threads::make(server.user().await, &metadata).await;
    for (filter, expected) in [
        (json!({ "metadata.a.b": 1 }), vec![0, 3]),
        (json!({ "$not": { "metadata.a.b": 1 } }), vec![1, 2, 4]),
        (json!({ "metadata.a.b": { "$in": [1, "1"] } }), vec![0, 3, 4]),
        (json!({ "metadata.a.b": [1] }), vec![2]),
    ] {
        assert_eq!(threads.found(&filter).await, expected, "{filter}");
    }
}

#[tokio::test]
async fn a_negation_holds_for_absent_keys_and_a_comparison_does_not() {
    let server = TestServer::start().await;
    let metadata = [json!({ "p": "high" }), json!({ "p": "low" }), json!({ "p": null }), json!({})];
    let threads = Threads::make(server.user().await, &metadata).await;
    let one_of_or_absent = json!({ "$or": [
        { "metadata.p": { "$exists": false } },
        { "metadata.p": { "$in": ["low", "null"] } },
    ] });
    for (filter, expected) in [
        (json!({ "metadata.p": "high" }), vec![0]),
        (json!({ "metadata.p": { "$eq": "high" } }), vec![0]),
        (json!({ "metadata.p": { "$ne": "high" } }), vec![1, 2, 3]),
        (json!({ "metadata.p": { "$nin": ["high"] } }), vec![1, 2, 3]),
        (json!({ "$not": { "metadata.p": "high" } }), vec![1, 2, 3]),
        (json!({ "metadata.p": { "$not": { "$eq": "high" } } }), vec![1, 2, 3]),
        (json!({ "metadata.p": null }), vec![2]),
        (json!({ "metadata.p": { "$ne": null } }), vec![0, 1, 3]),
        (json!({ "metadata.p": { "$exists": true } }), vec![0, 1, 2]),
        (json!({ "metadata.p": { "$exists": false } }), vec![3]),
        (json!({ "metadata.p": { "$in": ["high", null] } }), vec![0, 2]),
        (json!({ "metadata.p": { "$in": ["high", "low"] } }), vec![0, 1]),
        (json!({ "metadata.p": { "$nin": ["high", "low"] } }), vec![2, 3]),
        (json!({ "metadata.p": { "$in": [] } }), vec![]),
        (json!({ "metadata.p": { "$nin": [] } }), vec![0, 1, 2, 3]),
        (json!({ "metadata.p": { "$gte": "" } }), vec![0, 1]),
        (json!({ "metadata.p": { "$not": { "$gte": "" } } }), vec![2, 3]),
        (json!({ "metadata.p": { "$prefix": "h" } }), vec![0]),
        (json!({ "metadata.p": { "$contains": "o" } }), vec![1]),
        (json!({ "metadata.p.x": { "$exists": false } }), vec![0, 1, 2, 3]),
        (json!({ "metadata.p": { "$gt": "a", "$lt": "i" } }), vec![0]),
        (
            json!({ "$or": [{ "metadata.p": "low" }, { "metadata.p": { "$exists": false } }] }),
            vec![1, 3],
        ),
        (one_of_or_absent.clone(), vec![1, 3]),
        (json!({ "$not": one_of_or_absent }), vec![0, 2]),
        (json!({ "$and": [] }), vec![0, 1, 2, 3]),
        (json!({ "$or": [] }), vec![]),
        (json!({ "$or": [{}] }), vec![0, 1, 2, 3]),
        (json!({ "metadata.p": {} }), vec![]),
        (json!({}), vec![0, 1, 2, 3]),
    ] {
        assert_eq!(threads.found(&filter).await, expected, "{filter}");
    }
}

#[tokio::test]
async fn values_compare_with_their_own_type_only_and_numbers_exactly() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let texts = [
        "2",
        "9",
        "10",
        "10.0",
        "\"10\"",
        "\"9\"",
        "\"abc\"",
        "true",
        "null",
        "{}",
        "",
        "9007199254740993",
        "[10]",
        "1e1",
        "\"\\u00e4\"",
    ];
    let mut ids = Vec::new();
    for text in texts {
        let metadata =
            if text.is_empty() { "{}".to_owned() } else { format!("{{\"score\":{text}}}") };
        let thread = user.post_text("/threads", format!("{{\"metadata\":{metadata}}}")).await;
        ids.push(thread.expect(200)["thread_id"].as_str().unwrap().to_owned());
    }
    let threads = Threads { user, ids };
    for (operators, expected) in [
        (json!({ "$gte": 10 }), vec!["10", "10.0", "9007199254740993", "1e1"]),
        (json!({ "$gte": "10" }), vec!["\"10\"", "\"9\"", "\"abc\"", "\"\\u00e4\""]),
        (json!({ "$gt": "abc" }), vec!["\"\\u00e4\""]),
        (json!({ "$gt": 9_007_199_254_740_992_i64 }), vec!["9007199254740993"]),
        (json!({ "$lt": 9_007_199_254_740_993_i64, "$gt": 10 }), vec![]),
        (json!({ "$eq": 10 }), vec!["10", "10.0", "1e1"]),
        (json!({ "$in": [10.0, true] }), vec!["10", "10.0", "true", "1e1"]),
        (
            json!({ "$in": ["10", "true", "null", "{}", "[10]", "ä"] }),
            vec!["\"10\"", "\"\\u00e4\""],
        ),
        (json!({ "$lt": 9.5 }), vec!["2", "9"]),
        (json!({ "$lte": "9", "$gte": "9" }), vec!["\"9\""]),
        (json!({ "$eq": {} }), vec!["{}"]),
        (json!({ "$contains": 10 }), vec!["[10]"]),
        (json!({ "$contains": [10.0] }), vec!["[10]"]),
        (json!({ "$contains": "1" }), vec!["\"10\""]),
        (json!({ "$prefix": "" }), vec!["\"10\"", "\"9\"", "\"abc\"", "\"\\u00e4\""]),
    ] {
        let found = threads.found(&json!({ "metadata.score": operators })).await;
        let found: Vec<_> = found.into_iter().map(|place| texts[place]).collect();
        assert_eq!(found, expected, "{operators}");
    }
}

#[tokio::test]
async fn keys_of_any_spelling_are_data() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let odd = json!({
        "a.b": 1, "a": { "b": 2, "0": 7 }, "$ref": 3, "it's": 4, "ключ": 5, "": 6, "_x": 8, "l": [9],
        "%": "50% of a_b\\", "q\"": true,
    });
    let threads = Threads::make(user, &[odd, json!({})]).await;
    for (filter, matches) in [
        (json!({ "metadata.a.b": 2 }), true),
        (json!({ "metadata.a.b": 1 }), false),
        (json!({ "metadata.a.0": 7 }), true),
        (json!({ "metadata.l.0": 9 }), false),
        (json!({ "metadata.$ref": 3 }), true),
        (json!({ "metadata.it's": 4 }), true),
        (json!({ "metadata.ключ": 5 }), true),
        (json!({ "metadata.": 6 }), true),
        (json!({ "metadata._x": { "$gt": 7 } }), true),
        (json!({ "metadata.q\"": true }), true),
        (json!({ "metadata.x' = 'x' OR '1'='1' --": { "$exists": true } }), false),
        (json!({ "metadata.x' = 'x' OR '1'='1' --": "x" }), false),
        (json!({ "metadata.%": { "$contains": "0% of a_b\\" } }), true),
        (json!({ "metadata.%": { "$contains": "5%a" } }), false),
        (json!({ "metadata.%": { "$prefix": "5_%" } }), false),
        (json!({ "metadata.%": { "$prefix": "50%" } }), true),
        (json!({ "metadata.{visible}": "{criteria} asked.tenant" }), false),
        (json!({ "metadata.a": { "$eq": { "0": 7.0, "b": 2 } } }), true),
    ] {
        let expected = if matches { vec![0] } else { vec![] };
        assert_eq!(threads.found(&filter).await, expected, "{filter}");
    }
    let literal = json!({ "metadata": { "a.b": 1 } });
    assert_eq!(threads.user.found(literal).await, [threads.ids[0].clone()]);
}

#[tokio::test]
async fn times_compare_to_the_microsecond_in_any_time_zone() {
    let server = TestServer::start().await;
    let threads = Threads::make(server.user().await, &[json!({}), json!({}), json!({})]).await;
    for (place, moment) in
        ["2026-11-01T00:00:00Z", "2026-11-01T00:00:00.000001Z", "2026-11-01T00:00:01Z"]
            .into_iter()
            .enumerate()
    {
        sqlx::query(
            "update thread_store.thread set updated_at = $2::timestamptz where thread_id = $1::uuid",
        )
        .bind(&threads.ids[place])
        .bind(moment)
        .execute(&server.pool)
        .await
        .unwrap();
    }
    for (operators, expected) in [
        (json!({ "$gte": "2026-11-01T00:00:00Z" }), vec![0, 1, 2]),
        (json!({ "$gt": "2026-11-01T01:00:00+01:00" }), vec![1, 2]),
        (json!({ "$gt": "2026-11-01T00:00:00.000000999Z" }), vec![1, 2]),
        (json!({ "$gte": "2026-11-01T00:00:00.000000999Z" }), vec![1, 2]),
        (json!({ "$lt": "2026-11-01T00:00:00.000001001Z" }), vec![0, 1]),
        (json!({ "$lte": "2026-11-01T00:00:00.000001Z" }), vec![0, 1]),
        (json!("2026-11-01T00:00:01+00:00"), vec![2]),
        (json!({ "$eq": "2026-11-01T00:00:00.0000005Z" }), vec![]),
        (json!({ "$ne": "2026-11-01T00:00:00.0000005Z" }), vec![0, 1, 2]),
        (json!({ "$in": ["2026-11-01T00:00:01Z", "2026-11-01T00:00:00Z"] }), vec![0, 2]),
        (json!({ "$gt": "0000-01-01T00:00:00Z" }), vec![0, 1, 2]),
        (json!({ "$lt": "9999-12-31T23:59:59-23:59" }), vec![0, 1, 2]),
        (json!({ "$exists": true }), vec![0, 1, 2]),
    ] {
        let found = threads.found(&json!({ "updated_at": operators })).await;
        assert_eq!(found, expected, "{operators}");
    }
    assert_eq!(
        threads.found(&json!({ "created_at": { "$gt": "2020-01-01T00:00:00Z" } })).await.len(),
        3
    );
}

#[tokio::test]
async fn values_are_those_of_the_newest_state() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let none = user.thread(json!({})).await;
    let old = user.thread(json!({})).await;
    user.write(&old, json!({ "n": 1, "deep": { "a": "x" } })).await;
    user.write(&old, json!({ "n": 2 })).await;
    let new = user.thread(json!({})).await;
    user.write(&new, json!({ "n": 3, "messages": ["hello"] })).await;
    let threads = Threads { user, ids: vec![none, old, new] };
    for (filter, expected) in [
        (json!({ "values.n": { "$gte": 2 } }), vec![1, 2]),
        (json!({ "values.n": 1 }), vec![]),
        (json!({ "values.n": { "$ne": 2 } }), vec![0, 2]),
        (json!({ "values.deep.a": { "$prefix": "x" } }), vec![1]),
        (json!({ "values.messages": { "$exists": true } }), vec![2]),
        (json!({ "values.n": { "$exists": false } }), vec![0]),
        (json!({ "$not": { "values.n": { "$in": [2, 3] } }, "status": "idle" }), vec![0]),
    ] {
        assert_eq!(threads.found(&filter).await, expected, "{filter}");
    }
}

#[tokio::test]
async fn a_filter_joins_the_other_conditions_and_the_owner() {
    let server = TestServer::start().await;
    let (user, other) = (server.user().await, server.user().await);
    other.thread(json!({ "metadata": { "k": 1, "n": 1 } })).await;
    let id = user.thread(json!({ "metadata": { "k": 1, "n": 1 } })).await;
    user.thread(json!({ "metadata": { "k": 1, "n": 2 } })).await;
    user.thread(json!({ "metadata": { "k": 2, "n": 1 } })).await;
    let body = json!({ "metadata": { "k": 1 }, "filter": { "metadata.n": 1 } });
    assert_eq!(user.found(body.clone()).await, [id]);
    assert_eq!(user.count(body).await, 1);
    let everything = json!({ "filter": { "$or": [{}, { "metadata.owner": { "$ne": user.id } }] } });
    assert_eq!(user.found(everything).await.len(), 3);
    let of_other = json!({ "filter": { "metadata.owner": other.id } });
    assert_eq!(user.found(of_other).await, [""; 0]);
}

#[tokio::test]
async fn what_is_no_filter_is_refused_with_its_name() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let deep = (0..20).fold(json!({}), |inner, _| json!({ "$not": inner }));
    let wide: Vec<_> = (0..101).map(|n| json!({ "metadata.n": n })).collect();
    let values: Vec<_> = (0..11).map(|n| json!({ "values.n": n })).collect();
    for (filter, named) in [
        (json!({ "metadata.p": { "$regex": "x" } }), "$regex"),
        (json!({ "metadata.p": { "$eq": 1, "x": 2 } }), "\"x\""),
        (json!({ "$nor": [] }), "$nor"),
        (json!({ "metadta.p": 1 }), "metadta.p"),
        (json!({ "metadata": {} }), "\"metadata\""),
        (json!({ "thread_id": "x" }), "thread_id"),
        (json!({ "metadata.p": { "$in": "high" } }), "$in of \"metadata.p\""),
        (json!({ "metadata.p": { "$nin": null } }), "$nin"),
        (json!({ "metadata.p": { "$exists": 1 } }), "$exists"),
        (json!({ "metadata.p": { "$gt": null } }), "$gt"),
        (json!({ "metadata.p": { "$lt": [1] } }), "$lt"),
        (json!({ "metadata.p": { "$prefix": 1 } }), "$prefix"),
        (json!({ "metadata.p": { "$not": 1 } }), "$not"),
        (json!({ "$or": {} }), "$or"),
        (json!({ "$and": [1] }), "object"),
        (json!({ "$not": [] }), "object"),
        (json!({ "status": "done" }), "status"),
        (json!({ "status": { "$in": ["idle", "nope"] } }), "status"),
        (json!({ "updated_at": "yesterday" }), "updated_at"),
        (json!({ "updated_at": { "$gt": "2026-11-01" } }), "updated_at"),
        (json!({ "updated_at": { "$gt": 5 } }), "updated_at"),
        (json!({ "created_at": { "$prefix": "2026" } }), "created_at"),
        (json!({ "created_at": null }), "created_at"),
        (deep, "16"),
        (json!({ "$or": wide }), "100"),
        (json!({ "$or": values }), "values"),
        (json!({ format!("metadata.{}", "a.".repeat(20)): 1 }), "keys"),
        (json!({ "metadata.p": "x".repeat(70_000) }), "65536"),
        (json!({ "metadata.p": { "x".repeat(3000): 1, "$eq": 1 } }), "unknown operator"),
        (json!([]), "filter"),
        (json!(null), "filter"),
        (json!("x"), "filter"),
    ] {
        for path in ["/threads/search", "/threads/count"] {
            let answer = user.post(path, json!({ "filter": filter })).await;
            assert_eq!(answer.status, 422, "{filter} {}", answer.text);
            let detail = answer.detail();
            assert!(detail.contains("filter") && detail.contains(named), "{filter}: {detail}");
            assert!(detail.len() < 600, "{detail}");
        }
    }
    for text in [r#"{"filter":{"metadata.p":"\u0000"}}"#, r#"{"filter":{"metadata.\u0000":1}}"#] {
        assert_eq!(user.post_text("/threads/search", text).await.status, 422);
    }
}
