//! What messages become, against the reference's own reducer.

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::*;
use crate::json::Object;

/// The messages that a list of one entry becomes. The id is left out if it was generated.
fn typed(sent: &str) -> Result<Vec<String>, Refused> {
    let messages = read(sent)?.into_iter().map(|change| {
        let Change::Put { id, generated, message } = change else { panic!("{sent}: {change:?}") };
        let mut object: Object = message.parse().unwrap();
        assert_eq!(object.get("id"), Some(&Raw::from(id.as_str())), "{sent}");
        if generated {
            assert!(Uuid::parse_str(&id).is_ok_and(|id| id.get_version_num() == 4), "{sent}");
            object.remove("id");
        }
        object.to_text()
    });
    Ok(messages.collect())
}

#[track_caller]
fn message(sent: &str) -> String {
    let [message] = <[String; 1]>::try_from(typed(sent).unwrap()).unwrap();
    message
}

#[track_caller]
fn refused(sent: &str) -> String {
    read(sent).unwrap_err().to_string()
}

/// The observed result of the reference's reducer, and the result here if it differs on purpose.
#[derive(serde::Deserialize)]
struct Case {
    sent: Value,
    /// `null`: the reducer refuses the entry.
    reducer: Value,
    /// The result here, if it differs.
    #[serde(default, deserialize_with = "crate::http::present")]
    here: Option<Value>,
}

#[derive(serde::Deserialize)]
struct Observed {
    cases: Vec<Case>,
}

/// A message without the fields that have their default value.
fn without_defaults(message: Value) -> Value {
    let Value::Object(fields) = message else { return message };
    let is_default = |name: &str, value: &Value| match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(list) => list.is_empty() && name != "content",
        Value::Object(fields) => fields.is_empty(),
        Value::String(text) => name == "status" && text == "success",
        _ => false,
    };
    let fields = fields.into_iter().filter(|(name, value)| !is_default(name, value));
    Value::Object(fields.collect::<Map<_, _>>())
}

#[test]
fn entries_become_what_the_reducer_makes_of_them() {
    let observed = include_str!("../../tests/clients/langgraph_py/messages.json");
    let observed: Observed = serde_json::from_str(observed).unwrap();
    assert!(observed.cases.len() > 200);
    let mut wrong = Vec::new();
    for Case { sent, reducer, here } in observed.cases {
        let sent = sent.to_string();
        let changes = read(&format!("[{sent}]")).and_then(|changes| match changes.as_slice() {
            // The list has only the message `a`.
            [Change::Remove { id }] if id != "a" => Err(Refused(String::new())),
            _ => Ok(changes),
        });
        let outcome = match changes.as_deref() {
            Err(_) => Value::Null,
            Ok([Change::RemoveAll]) => json!("clears"),
            Ok([Change::Remove { .. }]) => json!("removes a"),
            Ok([Change::Put { generated, message, .. }]) => {
                let mut message: Object = message.parse().unwrap();
                if *generated {
                    message.remove("id");
                }
                without_defaults(serde_json::from_str(&message.to_text()).unwrap())
            }
            Ok(changes) => panic!("{sent}: {changes:?}"),
        };
        let expected = here.unwrap_or(reducer);
        if outcome != expected {
            wrong.push(format!("{sent}\n    is {outcome}\nnot is {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn langchains_own_form_comes_back_as_it_was_sent() {
    let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
    for text in [
        r#"{"type":"human","content":"x","id":"1"}"#,
        r#"{"z":1.50,"id":"1","content":[{"type":"text","text":"ü"}],"type":"ai","a":1e2}"#,
        r#"{"content":"","additional_kwargs":{"refusal":null},"response_metadata":{"n":1.0},"type":"ai","name":null,"id":"1","example":false,"tool_calls":[{"name":"f","args":{"x":[1.50,null]},"id":"c","type":"tool_call"}],"invalid_tool_calls":[],"usage_metadata":{"input_tokens":1}}"#,
        r#"{"type":"ai","content":"","tool_calls":[{"name":"f","args":{"x":[1,null]},"id":"c"}]}"#,
        r#"{"type":"ai","content":"","additional_kwargs":{"tool_calls":[{"id":"c","function":{"name":"f","arguments":"{}"}}]}}"#,
        r#"{"type":"chat","role":"bob","content":"x"}"#,
        r#"{"role":null,"type":"tool","content":"x","tool_call_id":"t","artifact":{"a":1},"status":"error"}"#,
        r#"{"type":"human","content":"x","additional_kwargs":null}"#,
        r#"{"type":"ai","content":[]}"#,
        r#"{"type":"human","content":"h\u0069","id":""}"#,
        r#"{"type":"human","content":"x","id":"__remove_all__"}"#,
        r#"{"type":"human","content":"x","id":"é\"\\"}"#,
        &format!(r#"{{"type":"ai","content":"","x":{deep}}}"#),
    ] {
        assert_eq!(message(text), text);
        assert_eq!(message(&format!("[{text}]")), text);
    }
}

#[test]
fn texts_of_openais_form_keep_their_digits_and_spelling() {
    for (text, expected) in [
        (r#""h\u0069""#, r#"{"type":"human","content":"h\u0069"}"#),
        (
            r#"{"content":"h\u0069","role":"assistant","id":"9","z":1.50,"a":1e2}"#,
            r#"{"content":"h\u0069","type":"ai","id":"9","additional_kwargs":{"z":1.50,"a":1e2}}"#,
        ),
        (
            r#"{"role":"assistant","content":null,"tool_calls":[{"id":"c","function":{"name":"f","arguments":"{\"b\": 1.50, \"a\": 12345678901234567890123}"}}]}"#,
            r#"{"type":"ai","content":"","tool_calls":[{"name":"f","args":{"b":1.50,"a":12345678901234567890123},"id":"c","type":"tool_call"}]}"#,
        ),
        (
            r#"{"role":"tool","content":{"b": 1.50},"tool_call_id":"t"}"#,
            r#"{"type":"tool","content":"{\"b\":1.50}","tool_call_id":"t"}"#,
        ),
        (
            r#"{"role":"user","content":"x","a":1,"a":2}"#,
            r#"{"type":"human","content":"x","additional_kwargs":{"a":2}}"#,
        ),
        (
            r#"{"lc":1,"type":"constructor","id":["x","HumanMessage"],"kwargs":{"content":"x","n":1.0,"type":null}}"#,
            r#"{"type":"human","content":"x","n":1.0}"#,
        ),
    ] {
        assert_eq!(message(text), expected);
    }
}

/// The `tool_calls` and `invalid_tool_calls` that one call with these arguments becomes.
fn called_with(arguments: &str) -> Result<(Value, Value), String> {
    let call = json!({ "id": "c", "function": { "name": "f", "arguments": arguments } });
    let sent = json!({ "role": "assistant", "content": "", "tool_calls": [call] });
    let typed = typed(&sent.to_string()).map_err(|refused| refused.to_string())?;
    let mut message: Value = serde_json::from_str(&typed[0]).unwrap();
    Ok((message["tool_calls"].take(), message["invalid_tool_calls"].take()))
}

#[test]
fn arguments_are_read_as_models_write_them() {
    // Unescaped line ends and tabs, within strings and between tokens.
    let (valid, invalid) = called_with("{\n\t\"a\": \"x\n\ty\\\"\r\\\\\"\n}").unwrap();
    assert_eq!(valid[0]["args"], json!({ "a": "x\n\ty\"\r\\" }));
    assert_eq!(invalid, Value::Null);
    for text in ["{", "", "x", "[1]", "5", "{\"a\":NaN}", "{\"a\":1e999}", "{\"a\":\"\\ud800\"}"] {
        let (valid, invalid) = called_with(text).unwrap();
        let call = json!({
            "name": "f", "args": text, "id": "c", "error": null, "type": "invalid_tool_call",
        });
        assert_eq!((valid, invalid), (json!([]), json!([call])), "{text}");
    }
}

#[test]
fn arguments_that_cannot_be_stored_are_refused_by_name() {
    let field = "values.messages.tool_calls[0].function.arguments: ";
    for (arguments, why) in [
        ("{\"a\":\"\\u0000\"}".to_owned(), "the character U+0000"),
        (format!("{{\"a\":{}{}}}", "[".repeat(600), "]".repeat(600)), "nested deeper than 512"),
        ("{\"a\":1e-999}".to_owned(), "a number has more digits"),
    ] {
        let refused = called_with(&arguments).unwrap_err();
        assert!(refused.starts_with(&format!("{field}{why}")), "{refused}");
    }
}

#[test]
fn a_list_of_two_strings_is_two_messages() {
    assert_eq!(typed(r#"["user","hi"]"#).unwrap().len(), 2);
    assert_eq!(read("[]").unwrap(), []);
}

#[test]
fn what_cannot_be_a_message_is_refused_by_the_name_of_its_field() {
    let long = format!(r#"["x",{{"type":"ai","content":"","id":"{}"}}]"#, "é".repeat(513));
    let keys: Vec<_> = (0..=crate::json::MAX_KEYS).map(|key| format!("\"{key}\":1")).collect();
    let keys = format!(r#"[{{"role":"user","content":"",{}}}]"#, keys.join(","));
    for (text, start) in [
        ("null", ": a message must be an object"),
        ("{}", ": a message needs a `role`"),
        (r#"["x",null]"#, "[1]: a message must be an object"),
        (r#"[{"content":"x"}]"#, "[0]: a message needs a `role`"),
        (r#"[{"role":"user"}]"#, "[0]: a message needs a `content`"),
        (r#"[{"type":1}]"#, "[0].type: must be a string"),
        (r#"[{"role":"bob"}]"#, "[0].role: \"bob\" must be one of user, human"),
        (r#"[{"type":"bob"}]"#, "[0].type: \"bob\" must be one of user, human"),
        ("[[]]", "[0]: a list in the place of a message"),
        (r#"[["user",1]]"#, "[0][1]: a content must be"),
        (r#"[["user",[1]]]"#, "[0][1][0]: a part must be"),
        (r#"[["tool","x"]]"#, "[0][0]: the role of a pair"),
        (r#"[[["user","a"],["user","b"]]]"#, "[0][0]: the role of a pair"),
        (r#"[{"type":"ai","content":5}]"#, "[0].content: must be"),
        (r#"[{"type":"ai","content":["x",5]}]"#, "[0].content[1]: a part must be"),
        (r#"[{"type":"ai","content":"","id":true}]"#, "[0].id: must be a string, a number"),
        (&long, "[1].id: an id must have at most 1024 bytes"),
        (r#"[{"type":"remove"}]"#, "[0].id: the id of the message to remove is missing"),
        (r#"[{"role":"tool","content":""}]"#, "[0]: a tool's message needs a `tool_call_id`"),
        (r#"[{"role":"function","content":""}]"#, "[0].name: "),
        (r#"[{"role":"user","content":"","additional_kwargs":1}]"#, "[0].additional_kwargs: must"),
        (
            r#"[{"role":"ai","content":"","tool_calls":["x"]}]"#,
            "[0].tool_calls[0]: must be an object",
        ),
        (
            r#"[{"role":"ai","content":"","tool_calls":[{"function":{}}]}]"#,
            "[0].tool_calls[0].function.name: must be a string",
        ),
        (&keys, "[0]: an object with too many keys"),
    ] {
        let refused = refused(text);
        assert!(refused.starts_with(&format!("values.messages{start}")), "{text:.99}: {refused}");
    }
}

#[test]
fn a_request_has_no_more_messages_than_it_may() {
    let mut changes = vec![Change::RemoveAll];
    read_into(&mut changes, r#"["x","y"]"#, 2).unwrap();
    let refused = read_into(&mut changes, r#"["x","y","z"]"#, 2).unwrap_err().to_string();
    assert_eq!(refused, "values.messages: more than 50000 messages in one request");
    assert!(read_into(&mut changes, "\"x\"", 0).is_err());
    assert!(read_into(&mut changes, "[]", 0).is_ok());
}

fn any_json() -> impl Strategy<Value = Value> {
    let word = prop::sample::select(vec![
        "type",
        "role",
        "id",
        "content",
        "kwargs",
        "lc",
        "user",
        "ai",
        "tool",
        "remove",
        "developer",
        "constructor",
        "HumanMessage",
        "additional_kwargs",
        "__remove_all__",
        "chat",
        "tool_calls",
        "invalid_tool_calls",
        "function",
        "arguments",
        "name",
        "args",
        "tool_call_id",
        "status",
        "example",
        "response_metadata",
        "{}",
        "{",
        "x",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Into::into),
        (0..3_i64).prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        word.clone().prop_map(Into::into),
        "[^\0]*".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 60, 6, move |inner| {
        let key = prop_oneof![4 => word.clone().prop_map(str::to_owned), 1 => "[^\0]*"];
        let message =
            prop::collection::vec((key.clone(), inner.clone()), 0..6).prop_map(|entries| {
                let mut message = json!({ "role": "assistant", "content": "" });
                message.as_object_mut().unwrap().extend(entries);
                message
            });
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            message,
            prop::collection::vec((key, inner), 0..6)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_json_is_refused_or_becomes_typed_messages(value in any_json()) {
        for change in read(&value.to_string()).into_iter().flatten() {
            let Change::Put { id, message, .. } = change else { continue };
            let object: Object = message.parse().unwrap();
            prop_assert_eq!(object.get("id").unwrap(), &Raw::from(id.as_str()));
            prop_assert!(object.get("type").unwrap().parse::<String>().is_ok());
            prop_assert!(object.get("content").unwrap().text().starts_with(['"', '[']));
            prop_assert!(crate::json::check(message.text().as_bytes()).is_ok());
            // What was typed stays as it is, so that a message may be sent again.
            prop_assert_eq!(typed(message.text()).unwrap(), [object.to_text()]);
        }
    }

    #[test]
    fn other_fields_of_a_message_keep_their_text_and_order(
        before in prop::collection::vec(("[a-d].*", any_json()), 0..5),
        digits in "-?[1-9][0-9]{0,30}(\\.[0-9]{1,30})?",
        after in prop::collection::vec(("[a-d].*", any_json()), 0..5),
        by_role in any::<bool>(),
    ) {
        let is_other = |key: &str| !["content", "additional_kwargs", "artifact"].contains(&key);
        let fields: Object = before
            .into_iter()
            .chain(after)
            .filter(|(key, _)| is_other(key))
            .map(|(key, value)| (key, Raw::of(&value).unwrap()))
            .chain([("digits".to_owned(), Raw::from_text(&digits).unwrap())])
            .collect();
        let fields = fields.to_text();
        let others = fields.trim_start_matches('{');
        if by_role {
            let sent = format!(r#"{{"role":"user","content":"x",{others}"#);
            let expected = format!(r#"{{"type":"human","content":"x","additional_kwargs":{fields}}}"#);
            prop_assert_eq!(message(&sent), expected);
        } else {
            let sent = format!(r#"{{"type":"human","content":"x",{others}"#);
            prop_assert_eq!(message(&sent), sent);
        }
    }
}
