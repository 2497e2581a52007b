use serde_json::{Value, json};

use super::*;
use crate::json::Raw;

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<_> = hex.chars().filter_map(|digit| digit.to_digit(16)).collect();
    digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap()).collect()
}

fn read(r#type: &str, hex: &str) -> Result<Value, Unreadable> {
    let value = decode(r#type, &bytes(hex), None)?;
    Ok(value.map_or(Value::Null, |value| value.parse().unwrap()))
}

#[test]
fn every_row_that_the_python_saver_wrote_is_read_as_the_reference_server_shows_it() {
    let rows = include_str!("../../tests/agents/fixtures/rows.json");
    let rows: Vec<Value> = serde_json::from_str(rows).unwrap();
    assert!(rows.len() > 50);
    for row in rows {
        let text = |name: &str| row[name].as_str().unwrap().to_owned();
        assert_eq!(read(&text("type"), &text("blob")), Ok(row["json"].clone()), "{row}");
    }
}

#[test]
fn arrays_of_numpy_are_nested_lists() {
    let arrays = [
        (
            "c72c0694a33c6638920202a143c420000000000000f83f000000000000004000000000000008400000000000001040",
            json!([[1.5, 2.0], [3.0, 4.0]]),
        ),
        ("c7180694a33e6932920302a143c40c000100020003000400050006", json!([[1, 2], [3, 4], [5, 6]])),
        ("c7120694a37c7531920203a146c406010402050306", json!([[1, 2, 3], [4, 5, 6]])),
        ("c70d0694a37c62319102a143c4020100", json!([true, false])),
        ("c7120694a33c693890a143c4080700000000000000", json!(7)),
    ];
    for (hex, expected) in arrays {
        assert_eq!(read("msgpack", hex), Ok(expected), "{hex}");
    }
}

#[test]
fn an_array_of_numpy_that_claims_a_huge_shape_costs_nothing() {
    // 4,000,000,000 lists of no items.
    let hex = "c7100694a37c753192ceee6b280000a143c400";
    assert_eq!(read("msgpack", hex), Err(Unreadable::TooLarge));
}

#[test]
fn encrypted_values_are_read_with_their_key_and_named_without() {
    let rows = [
        (
            &b"0123456789abcdef"[..],
            "815a82ce8b878f8f94cc9f730131dac4eeecf850583bdf739e719f3c75e80447c20fa6b9afdca7793d",
            json!(["secret", 1]),
        ),
        (
            b"0123456789abcdef0123456789abcdef",
            "159093db63646b6d2250b9751d7b762278a78cc939611ee1e4e51eb83548a5516429b553",
            json!({ "a": null }),
        ),
    ];
    for (key, hex, expected) in rows {
        let stored = bytes(hex);
        let key = AesKey::new(key).unwrap();
        let value = decode("msgpack+aes", &stored, Some(&key)).unwrap().unwrap();
        assert_eq!(value.parse::<Value>().unwrap(), expected);
        assert_eq!(decode("msgpack+aes", &stored, None).unwrap_err(), Unreadable::NoKey);
        let other = AesKey::new(b"another key of 24 bytes.").unwrap();
        let wrong = decode("msgpack+aes", &stored, Some(&other));
        assert_eq!(wrong.unwrap_err(), Unreadable::WrongKey);
        let changed: Vec<_> = stored.iter().map(|byte| byte ^ 1).collect();
        let wrong = decode("msgpack+aes", &changed, Some(&key));
        assert_eq!(wrong.unwrap_err(), Unreadable::WrongKey);
    }
    assert!(AesKey::new(b"too short").is_none());
}

#[test]
fn what_cannot_be_read_says_why() {
    assert_eq!(read("pickle", "8004"), Err(Unreadable::Pickle));
    assert_eq!(read("msgpack+gcm", "00"), Err(Unreadable::Type("msgpack+gcm".into())));
    assert_eq!(read("yaml", "00"), Err(Unreadable::Type("yaml".into())));
    assert_eq!(read("msgpack", "d42a00"), Err(Unreadable::Extension(42)));
    assert_eq!(read("json", "7b"), Err(Unreadable::Malformed));
}

#[test]
fn damaged_bytes_are_an_error_wherever_they_end() {
    // A list that says it has 4,000,000,000 items; a text that is longer than what is there; a
    // value after the value; a code that MessagePack does not use.
    for hex in ["ddee6b2800", "dbffffffff61", "c0c0", "c1", "", "9193", "c7ff05", "81a161"] {
        assert_eq!(read("msgpack", hex), Err(Unreadable::Malformed), "{hex}");
    }
}

#[test]
fn depth_is_counted_through_extensions_too() {
    let lists = |levels: usize| "91".repeat(levels) + "c0";
    assert!(read("msgpack", &lists(100)).is_ok());
    let deep = decode("msgpack", &bytes(&lists(600)), None);
    assert_eq!(deep.unwrap_err(), Unreadable::TooDeep);
    // Each extension holds the next one.
    let mut value = vec![0xC0];
    for _ in 0..600 {
        let length = u32::try_from(value.len()).unwrap().to_be_bytes();
        value = [&[0xC9][..], &length, &[7], &value].concat();
    }
    assert_eq!(decode("msgpack", &value, None).unwrap_err(), Unreadable::TooDeep);
}

#[test]
fn texts_that_json_or_postgres_cannot_hold_are_shown_with_replacements() {
    // U+0000, a control character, a lone surrogate, and NaN.
    assert_eq!(read("msgpack", "a3610062"), Ok(json!("a\u{FFFD}b")));
    assert_eq!(read("msgpack", "a101"), Ok(json!("\u{1}")));
    assert_eq!(read("msgpack", "a3eda080"), Ok(json!("\u{FFFD}\u{FFFD}\u{FFFD}")));
    assert_eq!(read("msgpack", "cb7ff8000000000000"), Ok(Value::Null));
    assert_eq!(read("json", "225c753030303022"), Ok(json!("\u{FFFD}")));
}

#[test]
fn keys_that_are_no_texts_become_texts() {
    assert_eq!(
        read("msgpack", "8307c0c0c0c3c0"),
        Ok(json!({ "7": null, "null": null, "true": null }))
    );
}

#[test]
fn constructors_of_javascript_are_shown_by_their_arguments() {
    let message = json!({
        "lc": 1, "type": "constructor", "id": ["langchain_core", "messages", "AIMessage"],
        "kwargs": { "content": "hi", "id": "a", "tool_calls": [{ "args": { "n": 1 } }] },
    });
    let value = json!({
        "list": [message, { "lc": 2, "type": "undefined" }],
        "gone": { "lc": 2, "type": "undefined" },
        "set": { "lc": 2, "type": "constructor", "id": ["Set"], "args": [["a"]] },
        "snapshot": { "lc": 2, "type": "delta_snapshot", "value": [1] },
        "secret": { "lc": 1, "type": "secret", "id": ["KEY"] },
    });
    let text = value.to_string();
    let shown = decode("json", text.as_bytes(), None).unwrap().unwrap();
    let expected = json!({
        "list": [
            { "content": "hi", "id": "a", "tool_calls": [{ "args": { "n": 1 } }], "type": "ai" },
            null,
        ],
        "set": ["a"],
        "snapshot": [1],
        "secret": { "lc": 1, "type": "secret", "id": ["KEY"] },
    });
    assert_eq!(shown.parse::<Value>().unwrap(), expected);
}

fn replayed(channel: &str, base: &Value, writes: &[Value]) -> Value {
    let raw = |value: &Value| Raw::of(value).unwrap();
    let base = Some(raw(base)).filter(|base| !base.is_null());
    let writes = writes.iter().map(raw).collect::<Vec<_>>();
    replay(channel, base.as_ref(), &writes).unwrap().parse().unwrap()
}

#[test]
fn messages_are_appended_replaced_and_removed() {
    let message = |id: &str, text: &str| json!({ "type": "ai", "id": id, "content": text });
    let remove = |id: &str| json!({ "type": "remove", "id": id, "content": "" });
    let base = json!([message("a", "1"), message("b", "2")]);
    assert_eq!(replayed("messages", &Value::Null, &[]), json!([]));
    let writes = [json!([message("b", "3"), remove("a")]), message("c", "4"), Value::Null];
    assert_eq!(replayed("messages", &base, &writes), json!([message("b", "3"), message("c", "4")]));
    let all = [json!([remove("__remove_all__"), message("d", "5")])];
    assert_eq!(replayed("messages", &base, &all), json!([message("d", "5")]));
    let over = [json!([message("x", "0")]), json!({ "value": [], "type": "__overwrite__" })];
    assert_eq!(replayed("messages", &base, &over), json!([]));
    // A message whose text looks like an overwrite is a message.
    let text = [json!([message("e", "{\"value\":1,\"type\":\"__overwrite__\"}")])];
    assert_eq!(replayed("messages", &Value::Null, &text), text[0]);
}

#[test]
fn files_are_merged_and_null_deletes() {
    let base = json!({ "a": 1, "b": { "x": 2 } });
    let writes = [json!({ "a": null, "c": [3] })];
    assert_eq!(replayed("files", &base, &writes), json!({ "b": { "x": 2 }, "c": [3] }));
}

#[test]
fn a_reducer_of_the_agent_is_not_guessed() {
    assert_eq!(replay("todos", None, &[]).unwrap_err(), Unreadable::Reducer);
}

/// The values and the run of a checkpoint.
fn at(document: &Value, writes: &[Write<'_>], is_live: bool) -> (Value, Run) {
    let text = document.to_string();
    let document = Document::read(&text).unwrap();
    let values = Values::read(&document, &[], None, |_| true);
    let place = Place::new("1f1e8789-4f7c-6def-8003-eb3c016b46ea", "", 3);
    let run = run_of(&document, &values, writes, place, &[], is_live, None);
    (values.to_json().parse().unwrap(), run)
}

#[test]
fn a_checkpoint_without_inlined_values_is_read() {
    let old = json!({ "v": 1, "channel_versions": { "n": "1" }, "versions_seen": {} });
    assert_eq!(at(&old, &[], true).0, json!({}));
    let null = json!({ "v": 1, "channel_values": null, "channel_versions": null });
    assert_eq!(at(&null, &[], true).0, json!({}));
}

fn write<'a>(task: &'a str, path: &'a str, channel: &'a str, bytes: &'a [u8]) -> Write<'a> {
    Write { task_id: task, task_path: path, channel, r#type: "json", bytes }
}

#[test]
fn a_question_is_open_until_its_task_has_made_something() {
    let document = json!({
        "v": 4, "channel_values": { "branch:to:a": null, "branch:to:b": null },
        "channel_versions": { "branch:to:a": "2", "branch:to:b": "2" },
        "versions_seen": { "a": { "branch:to:a": "1" } },
    });
    let a = |channel, bytes| write("t-a", "~__pregel_pull, a", channel, bytes);
    let b = |channel, bytes| write("t-b", "~__pregel_pull, b", channel, bytes);
    let writes = [
        a("__resume__", br#"["yes"]"#),
        a("__interrupt__", br#"[{"value":"qa","id":"1","response_schema":null}]"#),
        b("__interrupt__", br#"[{"value":"qb","id":"2"}]"#),
    ];
    // Answered once and asked again: `__resume__` alone says nothing.
    let (_, run) = at(&document, &writes, true);
    assert_eq!(run.next, ["a", "b"]);
    let (qa, qb) = (json!({ "value": "qa", "id": "1" }), json!({ "value": "qb", "id": "2" }));
    assert_eq!(run.all_interrupts(), [qa.clone(), qb.clone()]);
    let writes = [&writes[..], &[a("messages", br#"["a:yes"]"#)]].concat();
    let (_, run) = at(&document, &writes, true);
    assert_eq!(
        (run.next.as_slice(), run.all_interrupts()),
        (&["b".to_owned()][..], vec![qb.clone()])
    );
    // The record of the step has both.
    let (_, run) = at(&document, &writes, false);
    assert_eq!(run.next, ["a", "b"]);
    assert_eq!(run.all_interrupts(), [qa, qb]);
    assert_eq!(run.tasks[0]["result"], json!({ "messages": ["a:yes"] }));
    assert_eq!(run.tasks[1]["result"], Value::Null);
}

#[test]
fn a_join_waits_for_all_of_its_names() {
    let join = |value: Value| {
        json!({
            "v": 4, "channel_values": { "join:a+b:c": value },
            "channel_versions": { "join:a+b:c": "2" }, "versions_seen": {},
        })
    };
    let next = |value| at(&join(value), &[], true).1.next;
    assert!(next(json!(["a"])).is_empty());
    assert_eq!(next(json!(["b", "a"])), ["c"]);
    assert!(next(json!([["a", "b"], false])).is_empty());
    assert_eq!(next(json!([["a", "b"], true])), ["c"]);
}

#[test]
fn versions_of_python_are_texts_and_those_of_javascript_numbers() {
    let document = |version: Value, seen: Value| {
        json!({
            "channel_values": { "branch:to:n": null }, "channel_versions": { "branch:to:n": version },
            "versions_seen": { "n": { "branch:to:n": seen } },
        })
    };
    let is_next = |version, seen| !at(&document(version, seen), &[], true).1.next.is_empty();
    assert!(is_next(json!(10), json!(9)));
    assert!(!is_next(json!(9), json!(10)));
    assert!(is_next(json!("0010.0.1"), json!("0009.0.9")));
    assert!(!is_next(json!("0009.0.9"), json!("0009.0.9")));
    assert!(is_next(json!("1"), Value::Null));
}

#[test]
fn checkpoints_of_old_versions_say_which_nodes_have_run_and_which_are_next() {
    let document = |values: Value, versions: Value, seen: Value| {
        json!({
            "v": 2, "channel_values": values, "channel_versions": versions, "versions_seen": seen,
        })
    };
    let seen = json!({ "a": { "start:a": "2" }, "b": { "a": "3" } });
    let started = document(
        json!({ "n": 1, "start:a": "__start__" }),
        json!({ "n": "4", "start:a": "4" }),
        seen.clone(),
    );
    let (values, run) = at(&started, &[], true);
    assert_eq!((values, run.next), (json!({ "n": 1 }), vec!["a".to_owned()]));
    let ran = document(json!({ "n": 1, "a": "a" }), json!({ "n": "4", "a": "5" }), seen.clone());
    let (values, run) = at(&ran, &[], true);
    assert_eq!((values, run.next), (json!({ "n": 1 }), vec!["b".to_owned()]));
    let done = document(json!({ "n": 1, "b": "b" }), json!({ "n": "4", "b": "6" }), seen.clone());
    let (values, run) = at(&done, &[], true);
    assert_eq!((values, run.next.len()), (json!({ "n": 1 }), 0));
    let branch =
        document(json!({ "branch:a:choose:c": "a" }), json!({ "branch:a:choose:c": "6" }), seen);
    assert_eq!(at(&branch, &[], true).1.next, ["c"]);
}
