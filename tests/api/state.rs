//! State: what is written is what is read, at every checkpoint.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::steps::new_id;
use crate::support::{Answer, TestServer};

#[tokio::test]
async fn a_value_comes_back_with_its_digits_key_order_and_equal_keys() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let id = user.thread(json!({})).await;
    let deep = format!("{}1{}", "[".repeat(505), "]".repeat(505));
    let big = format!("\"{}\"", "ü".repeat(1 << 20));
    let long = format!("-{}.{}", "8".repeat(100_000), "7".repeat(16_383));
    for value in [
        r#"{"z":1.50,"a":1e2,"m":-0.0,"z2":[1.0,10,100E-2]}"#,
        r#"{"b":1,"b":2,"a":{"y":1,"y":1}}"#,
        "123456789012345678901234567890.1234567890",
        "18446744073709551615",
        r#""\u00fc \ud83d\ude00 \/ \" \\ \n""#,
        "[[],{},\"\",null,false,0]",
        "null",
        r#"{"":{"":""}," ":"  spaced  "}"#,
        &deep,
        &big,
        &long,
    ] {
        let body = format!("{{\"values\":{{\"k\":{value}}}}}");
        let written = user.post_text(&format!("/threads/{id}/state"), body).await;
        assert_eq!(written.status, 200, "{value:.60}: {}", written.text);
        let expected = format!("{{\"values\":{{\"k\":{value}}},");
        let state = user.get(&format!("/threads/{id}/state")).await.text;
        assert!(state.starts_with(&expected), "{value:.60}: {state:.200}");
        let thread = user.get(&format!("/threads/{id}")).await.text;
        assert!(thread.contains(&format!("\"values\":{{\"k\":{value}}}")), "{value:.60}");
    }
}

#[tokio::test]
async fn white_space_between_tokens_is_all_that_goes() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let id = user.thread(json!({})).await;
    let body =
        "\n{ \"values\" :\t{ \"k\" : { \"a b\" : [ 1 , 2.50 ] , \"c\" : \" x  y \" } } }\r\n";
    user.post_text(&format!("/threads/{id}/state"), body).await.expect(200);
    let state = user.get(&format!("/threads/{id}/state")).await.text;
    let expected = r#"{"values":{"k":{"a b":[1,2.50],"c":" x  y "}},"#;
    assert!(state.starts_with(expected), "{state}");
}

#[tokio::test]
async fn channel_names_may_be_any_text() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let id = user.thread(json!({})).await;
    let long = "x".repeat(1024);
    let values = json!({
        "": 1, " ": 2, "a\"b\\c": 3, "\u{1}\n": 4, "ü😀": 5, "__proto__": 6, "a.b[0]": 7, "$1": 8,
        "Messages": [9], long: 10,
    });
    user.write(&id, values.clone()).await;
    assert_eq!(user.values(&id).await, values);
}

#[tokio::test]
async fn a_channel_keeps_its_last_value_whole() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let id = user.thread(json!({})).await;
    user.write(&id, json!({ "a": { "x": 1 }, "b": [1], "c": 1 })).await;
    user.write(&id, json!({ "a": { "y": 2 }, "c": null })).await;
    assert_eq!(user.values(&id).await, json!({ "a": { "y": 2 }, "b": [1], "c": null }));
    // A list of objects is applied in order, as one checkpoint.
    user.write(&id, json!([{ "c": 1, "d": 1 }, { "d": 2 }, {}])).await;
    assert_eq!(user.values(&id).await, json!({ "a": { "y": 2 }, "b": [1], "c": 1, "d": 2 }));
    assert_eq!(user.history(&id).await.len(), 3);
}

#[tokio::test]
async fn an_update_without_values_writes_a_checkpoint_that_shows_the_same() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let id = user.thread(json!({})).await;
    for body in
        [json!({}), json!({ "values": null }), json!({ "values": [] }), json!({ "values": {} })]
    {
        user.checkpoint(&id, body).await;
        assert_eq!(user.values(&id).await, json!({}));
    }
    user.write(&id, json!({ "k": 1, "messages": ["x"] })).await;
    let before = user.values(&id).await;
    user.write(&id, Value::Null).await;
    assert_eq!(user.values(&id).await, before);
    assert_eq!(user.history(&id).await.len(), 6);
}

#[tokio::test]
async fn the_state_object_has_all_its_fields_in_order() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let id = user.thread(json!({ "metadata": { "graph_id": "g" } })).await;
    let first = user.checkpoint(&id, json!({ "values": { "k": 1 }, "as_node": "n" })).await;
    let second = user.write(&id, json!({})).await;
    let state = user.state(&id).await;
    let at = |checkpoint_id: &str| json!({ "thread_id": id, "checkpoint_ns": "", "checkpoint_id": checkpoint_id });
    let expected = json!({
        "values": { "k": 1 }, "next": [], "tasks": [],
        "metadata": { "step": 1, "source": "update", "parents": {}, "user_id": user.id, "graph_id": "g", "thread_id": id },
        "created_at": state["created_at"], "checkpoint": at(&second), "parent_checkpoint": at(&first),
        "interrupts": [], "checkpoint_id": second, "parent_checkpoint_id": first,
    });
    assert_eq!(state, expected);
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&state), keys(&expected));
    let before = user.get(&format!("/threads/{id}/state/{first}")).await.expect(200);
    assert_eq!(before["metadata"]["as_node"], json!("n"));
    assert_eq!(before["metadata"]["step"], json!(0));
    let ids = [&first, &second].map(|id| id.parse::<uuid::Uuid>().unwrap());
    assert!(ids.iter().all(|id| id.get_version_num() == 6) && ids.is_sorted());
}

#[tokio::test]
async fn only_what_select_names_comes_back() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let id = user.thread(json!({})).await;
    let at = user.write(&id, json!({ "k": 1 })).await;
    let state = user.state(&id).await;
    for path in [format!("/threads/{id}/state"), format!("/threads/{id}/state/{at}")] {
        for (query, fields) in [
            ("select=values", vec!["values"]),
            ("select=checkpoint_id,values", vec!["values", "checkpoint_id"]),
            ("select=metadata&subgraphs=true&select=next", vec!["next", "metadata"]),
            ("select=", state.as_object().unwrap().keys().map(String::as_str).collect()),
        ] {
            let some = user.get(&format!("{path}?{query}")).await.expect(200);
            let expected: serde_json::Map<_, _> =
                fields.iter().map(|field| ((*field).to_owned(), state[*field].clone())).collect();
            assert_eq!(some, Value::Object(expected), "{query}");
        }
    }
    let body = json!({ "checkpoint": { "checkpoint_id": at }, "select": ["parent_checkpoint"] });
    let some = user.post(&format!("/threads/{id}/state/checkpoint"), body).await.expect(200);
    assert_eq!(some, json!({ "parent_checkpoint": null }));
}

#[tokio::test]
async fn an_id_of_no_checkpoint_reads_empty_and_cannot_be_written_onto() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let id = user.thread(json!({})).await;
    user.write(&id, json!({ "k": 1 })).await;
    let unknown = new_id();
    let long = "x".repeat(5000);
    let shown = format!("{}...", "x".repeat(197));
    for (segment, echoed) in [
        (unknown.as_str(), unknown.as_str()),
        ("zzz", "zzz"),
        ("%00", "\u{0}"),
        ("a%2Fb", "a/b"),
        ("%C3%BC%20'", "ü '"),
        (&long, &shown),
    ] {
        let state = user.get(&format!("/threads/{id}/state/{segment}")).await.expect(200);
        assert_eq!(state["values"], json!({}), "{segment}");
        assert_eq!(state["checkpoint_id"], json!(echoed), "{segment}");
        assert_eq!(state["metadata"], Value::Null, "{segment}");
    }
    for checkpoint in [unknown.as_str(), "zzz", "{}", "latest"] {
        for body in [
            json!({ "values": { "k": 2 }, "checkpoint_id": checkpoint }),
            json!({ "values": { "k": 2 }, "checkpoint": { "checkpoint_id": checkpoint } }),
        ] {
            let refused = user.post(&format!("/threads/{id}/state"), body).await;
            assert_eq!(refused.status, 404);
            assert_eq!(refused.detail(), format!("Checkpoint with ID {checkpoint} not found"));
        }
    }
    assert_eq!(user.history(&id).await.len(), 1);
}

#[tokio::test]
async fn another_thread_in_a_checkpoint_is_not_looked_at() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let (id, other) = (user.thread(json!({})).await, user.thread(json!({})).await);
    let at = user.write(&other, json!({ "secret": 1 })).await;
    let body = json!({ "values": { "k": 1 }, "checkpoint": { "thread_id": other } });
    user.checkpoint(&id, body).await;
    assert_eq!(user.values(&id).await, json!({ "k": 1 }));
    assert_eq!(user.values(&other).await, json!({ "secret": 1 }));
    let body = json!({ "checkpoint": { "thread_id": other, "checkpoint_id": at } });
    let state = user.post(&format!("/threads/{id}/state/checkpoint"), body).await.expect(200);
    assert_eq!(state["values"], json!({}));
}

#[tokio::test]
async fn state_cannot_be_patched() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let path = format!("/threads/{}/state", user.thread(json!({})).await);
    let answer =
        Answer::of(user.request(Method::PATCH, &path).json(&json!({ "metadata": {} }))).await;
    assert_eq!((answer.status.as_u16(), answer.detail().as_str()), (405, "Method Not Allowed"));
    assert_eq!(answer.header("allow"), "GET,HEAD,POST");
}
