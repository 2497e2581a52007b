//! Fields with values that they do not take.

use serde_json::{Value, json};

use super::{Bystander, WITH_BODY};
use crate::support::TestServer;

/// The endpoint by its place in [`WITH_BODY`], how the refusal starts, and the values.
type Row = (usize, &'static str, Vec<Value>);

const CREATE: usize = 0;
const SEARCH: usize = 1;
const COUNT: usize = 2;
const PRUNE: usize = 3;
const PATCH: usize = 4;
const STATE: usize = 5;
const AT: usize = 6;
const HISTORY: usize = 7;
const EVENTS: usize = 8;

const CHECKPOINT_ID: &str = "1ef00000-0000-6000-8000-000000000000";

/// Values of every type but the ones named.
fn all_but(types: &[&str]) -> Vec<Value> {
    let values = [
        ("null", json!(null)),
        ("bool", json!(true)),
        ("integer", json!(3)),
        ("number", json!(1.5)),
        ("string", json!("x")),
        ("array", json!([])),
        ("array", json!([1])),
        ("array", json!([[], null, {}])),
        ("object", json!({})),
        ("object", json!({ "x": null })),
    ];
    let rest = values.into_iter().filter(|(name, _)| !types.contains(name));
    rest.map(|(_, value)| value).collect()
}

/// An object as the list of its values, and a name as an object: serde would take both.
fn disguised(names: &[&str]) -> Vec<Value> {
    names.iter().map(|name| json!({ *name: null })).collect()
}

fn of_creating() -> Vec<Row> {
    vec![
        (CREATE, "thread_id", all_but(&["string"])),
        (
            CREATE,
            "thread_id",
            vec![
                json!("x"),
                json!("\u{1}"),
                json!("0".repeat(33)),
                json!(CHECKPOINT_ID.replace('-', "_")),
            ],
        ),
        (CREATE, "if_exists", all_but(&[])),
        (CREATE, "if_exists", [disguised(&["raise", "do_nothing"]), vec![json!("Raise")]].concat()),
        (CREATE, "supersteps", all_but(&["array"])),
        (
            CREATE,
            "supersteps",
            vec![
                json!([null]),
                json!([1]),
                json!([[]]),
                json!([[[]]]),
                json!([{}]),
                json!([{ "updates": null }]),
                json!([{ "updates": {} }]),
            ],
        ),
        (
            CREATE,
            "supersteps",
            vec![
                json!([{ "updates": [[null, null, "x"]] }]),
                json!([{ "updates": ["x"] }]),
                json!([{ "updates": [{ "as_node": 5 }] }]),
            ],
        ),
    ]
}

fn of_searching_and_pruning() -> Vec<Row> {
    vec![
        (SEARCH, "ids", all_but(&["array"])),
        (
            SEARCH,
            "ids",
            vec![
                json!([1]),
                json!([null]),
                json!(["x"]),
                json!([""]),
                json!([[CHECKPOINT_ID]]),
                json!({ "0": CHECKPOINT_ID }),
            ],
        ),
        (
            SEARCH,
            "limit",
            [
                all_but(&["integer"]),
                vec![json!(0), json!(-1), json!(1001), json!(1e300), json!("5"), json!(u64::MAX)],
            ]
            .concat(),
        ),
        (
            SEARCH,
            "offset",
            [
                all_but(&["integer"]),
                vec![json!(-1), json!(i64::MAX), json!(u64::MAX), json!(-1e30)],
            ]
            .concat(),
        ),
        (
            SEARCH,
            "sort_by",
            [
                all_but(&[]),
                disguised(&["status", "created_at"]),
                vec![json!("metadata"), json!("Status")],
            ]
            .concat(),
        ),
        (
            SEARCH,
            "sort_order",
            [all_but(&[]), disguised(&["asc", "desc"]), vec![json!("ASC")]].concat(),
        ),
        (
            SEARCH,
            "select",
            [
                all_but(&["array"]),
                vec![json!(["x"]), json!([null]), json!([["values"]]), json!([{ "values": null }])],
            ]
            .concat(),
        ),
        (SEARCH, "extract", all_but(&["object"])),
        (
            SEARCH,
            "extract",
            vec![
                json!({ "a": 1 }),
                json!({ "a": null }),
                json!({ "a": ["metadata.k"] }),
                json!([["a", "metadata.k"]]),
            ],
        ),
        (PRUNE, "thread_ids", all_but(&["array"])),
        (PRUNE, "thread_ids", vec![json!([1]), json!([null]), json!([["x"]]), json!([{}])]),
        (
            PRUNE,
            "strategy",
            [all_but(&[]), disguised(&["delete", "keep_latest"]), vec![json!("Delete")]].concat(),
        ),
    ]
}

fn of_updating_state() -> Vec<Row> {
    vec![
        (
            STATE,
            "values",
            [
                all_but(&["object", "array", "null"]),
                vec![json!([1]), json!([[]]), json!([null]), json!([{}, "x"])],
            ]
            .concat(),
        ),
        (STATE, "values", vec![json!({ "x".repeat(1025): 1 })]),
        (
            STATE,
            "values.messages",
            vec![
                json!({ "messages": 5 }),
                json!({ "messages": null }),
                json!({ "messages": true }),
                json!({ "messages": {} }),
            ],
        ),
        (
            STATE,
            "values.messages[0]",
            vec![
                json!({ "messages": [null] }),
                json!({ "messages": [[]] }),
                json!({ "messages": [{ "type": "remove" }] }),
            ],
        ),
        (
            STATE,
            "values.messages[1].id",
            vec![
                json!({ "messages": ["x", { "type": "ai", "content": "", "id": true }] }),
                json!({ "messages": ["x", { "type": "ai", "content": "", "id": [] }] }),
                json!({ "messages": ["x", { "type": "ai", "content": "", "id": "x".repeat(1025) }] }),
            ],
        ),
        (STATE, "as_node", all_but(&["string"])),
        // Null is as if it were not there, as on the reference server.
        (STATE, "checkpoint_id", all_but(&["string", "null"])),
    ]
}

fn of_reading_state() -> Vec<Row> {
    vec![
        (
            HISTORY,
            "limit",
            [all_but(&["integer"]), vec![json!(0), json!(-1), json!(1001), json!("5")]].concat(),
        ),
        // An object that names no checkpoint is as if it were not there.
        (HISTORY, "before", all_but(&["object"])),
        (
            HISTORY,
            "before",
            vec![
                json!([CHECKPOINT_ID, null]),
                json!({ "checkpoint_id": null }),
                json!({ "configurable": null }),
                json!({ "configurable": [CHECKPOINT_ID, null] }),
                json!({ "configurable": CHECKPOINT_ID }),
                json!({ "configurable": { "checkpoint_id": 5 } }),
                json!({ "configurable": { "checkpoint_id": "x" } }),
                json!({ "checkpoint_id": ["x"] }),
                json!({ "checkpoint_id": "x" }),
                json!(""),
            ],
        ),
        (AT, "subgraphs", all_but(&["bool"])),
        (EVENTS, "channels", all_but(&["array"])),
        (
            EVENTS,
            "channels",
            vec![json!([]), json!([1]), json!(["Values"]), json!(["values", "x"]), json!([null])],
        ),
    ]
}

/// Fields that several endpoints have.
fn of_several() -> Vec<Row> {
    let mut fields = Vec::new();
    for endpoint in [CREATE, PATCH] {
        // On PATCH null takes the ttl away.
        let not_objects =
            all_but(if endpoint == PATCH { &["object", "null"] } else { &["object"] });
        fields.push((endpoint, "ttl", not_objects));
        let numbers = [json!(0), json!(-1), json!(-0.0), json!(1e10), json!(1e308), json!(-1e308)];
        let numbers = numbers.into_iter().chain(all_but(&["integer", "number"]));
        fields.push((endpoint, "ttl", numbers.map(|ttl| json!({ "ttl": ttl })).collect()));
        let strategies = [all_but(&[]), disguised(&["delete", "keep_latest"])].concat();
        let ttl = |strategy| json!({ "ttl": 5, "strategy": strategy });
        fields.push((endpoint, "ttl", strategies.into_iter().map(ttl).collect()));
    }
    for endpoint in [CREATE, SEARCH, COUNT, PATCH, HISTORY] {
        fields.push((endpoint, "metadata", all_but(&["object"])));
    }
    for endpoint in [SEARCH, COUNT] {
        fields.push((endpoint, "values", all_but(&["object"])));
        let statuses = [all_but(&[]), disguised(&["idle", "busy"]), vec![json!("Idle")]].concat();
        fields.push((endpoint, "status", statuses));
    }
    for endpoint in [AT, HISTORY] {
        let names = [
            all_but(&["array", "null"]),
            vec![json!(["x"]), json!([1]), json!([{ "values": null }])],
        ];
        fields.push((endpoint, "select", names.concat()));
    }
    for endpoint in [STATE, AT, HISTORY] {
        fields.push((endpoint, "checkpoint", all_but(&["object"])));
        for field in ["checkpoint_id", "checkpoint_ns", "thread_id"] {
            let values = all_but(&["string"]).into_iter();
            fields.push((
                endpoint,
                "checkpoint",
                values.map(|value| json!({ field: value })).collect(),
            ));
        }
        let maps = all_but(&["object"]).into_iter();
        fields.push((
            endpoint,
            "checkpoint",
            maps.map(|map| json!({ "checkpoint_map": map })).collect(),
        ));
        fields.push((endpoint, "checkpoint", vec![json!([CHECKPOINT_ID, "", {}])]));
    }
    fields
}

#[tokio::test]
async fn every_field_refuses_values_of_other_types_by_its_name() {
    let server = TestServer::start().await;
    let bystander = Bystander::new(&server).await;
    let mut wrong = Vec::new();
    let rows = [
        of_creating(),
        of_searching_and_pruning(),
        of_updating_state(),
        of_reading_state(),
        of_several(),
    ];
    for (endpoint, field, values) in rows.concat() {
        let (method, path) = WITH_BODY[endpoint];
        for value in values {
            let key = field.split('.').next().unwrap();
            let mut body = json!({ key: value });
            for (endpoint, key, value) in [
                (PRUNE, "thread_ids", json!([])),
                (AT, "checkpoint", json!({})),
                (EVENTS, "channels", json!(["values"])),
            ] {
                if WITH_BODY[endpoint] == (method, path) && body.get(key).is_none() {
                    body[key] = value;
                }
            }
            let answer = bystander.send(method, path, body.to_string().into()).await;
            let names_it = answer.status == 422 && {
                let detail = answer.detail();
                detail.starts_with(field) || detail == "Invalid thread ID: must be a UUID"
            };
            if !names_it {
                wrong.push(format!(
                    "{method} {path} {body:.100}: {} {}",
                    answer.status, answer.text
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for (endpoint, field) in [(PRUNE, "thread_ids"), (AT, "checkpoint"), (EVENTS, "channels")] {
        let (method, path) = WITH_BODY[endpoint];
        let answer = bystander.send(method, path, b"{}".to_vec()).await;
        assert_eq!(answer.status, 422, "{path}");
        assert!(answer.detail().contains(field), "{}", answer.text);
    }
    bystander.assert_untouched().await;
}

#[tokio::test]
async fn what_no_index_holds_is_refused_or_stored_but_never_fails() {
    let server = TestServer::start().await;
    let bystander = Bystander::new(&server).await;
    // Incompressible, and longer than an entry of an index may be.
    let noise = (0..400).map(|_| uuid::Uuid::new_v4().to_string()).collect::<String>();
    let at = json!({ "checkpoint_ns": noise });
    let answer = bystander
        .user
        .post(
            &format!("/threads/{}/state", bystander.id),
            json!({ "values": {}, "checkpoint": at }),
        )
        .await;
    assert_eq!(answer.status, 422);
    assert!(answer.detail().contains("checkpoint_ns"), "{}", answer.text);
    for values in [
        json!({ noise.clone(): 1 }),
        json!({ "messages": [{ "type": "ai", "content": "", "id": noise }] }),
    ] {
        let answer = bystander
            .user
            .post(&format!("/threads/{}/state", bystander.id), json!({ "values": values }))
            .await;
        assert_eq!(answer.status, 422);
        assert!(answer.detail().starts_with("values"), "{}", answer.text);
    }
    bystander.assert_untouched().await;
    let path = format!("/threads/{}/history", bystander.id);
    assert_eq!(
        bystander.user.post(&path, json!({ "checkpoint": at })).await.expect(200),
        json!([])
    );
    let metadata = json!({ "metadata": { noise.clone(): { "k": noise } } });
    let id = bystander.user.thread(metadata.clone()).await;
    assert_eq!(bystander.user.found(metadata).await, [id]);
}
