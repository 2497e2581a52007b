//! JSON of the JavaScript serializer and of old Python ones. LangChain objects are constructors
//! with arguments, of which only the arguments are shown.

use serde_json::{Map, Value};

use super::unreadable::Unreadable;
use crate::json::Raw;

/// The JSON text of a value. `None`: it means no value.
pub(super) fn to_json(bytes: &[u8]) -> Result<Option<Raw>, Unreadable> {
    let text = std::str::from_utf8(bytes).map_err(|_| Unreadable::Malformed)?;
    // Almost all values are plain, and are copied unchanged.
    if !text.contains("\"lc\"") && !text.contains("\\u0000") {
        return Raw::from_text(text).map(Some).map_err(|_| Unreadable::Malformed);
    }
    let value = serde_json::from_str(text).map_err(|_| Unreadable::Malformed)?;
    let Some(value) = shown(value) else { return Ok(None) };
    Raw::of(&value).map(Some).map_err(|_| Unreadable::Malformed)
}

/// The displayed form of a value. `None`: it is `undefined`.
fn shown(value: Value) -> Option<Value> {
    match value {
        Value::Object(object) if object.contains_key("lc") => constructed(object),
        Value::Object(object) => Some(Value::Object(fields(object))),
        Value::Array(items) => Some(Value::Array(list(items))),
        Value::String(text) if text.contains('\0') => Some(text.replace('\0', "\u{FFFD}").into()),
        other => Some(other),
    }
}

fn fields(object: Map<String, Value>) -> Map<String, Value> {
    let field = |(key, value): (String, Value)| {
        let key = if key.contains('\0') { key.replace('\0', "\u{FFFD}") } else { key };
        Some((key, shown(value)?))
    };
    object.into_iter().filter_map(field).collect()
}

fn list(items: Vec<Value>) -> Vec<Value> {
    // As in JavaScript, where `undefined` in a list becomes null.
    items.into_iter().map(|item| shown(item).unwrap_or(Value::Null)).collect()
}

fn constructed(mut object: Map<String, Value>) -> Option<Value> {
    let r#type = object.get("type").and_then(Value::as_str).unwrap_or_default();
    match r#type {
        "undefined" => return None,
        "delta_snapshot" => return object.remove("value").and_then(shown),
        "constructor" => {}
        _ => return Some(Value::Object(fields(object))),
    }
    let class = object.get("id").and_then(Value::as_array).and_then(|id| id.last()?.as_str());
    let class = class.unwrap_or_default().to_owned();
    if let Some(Value::Object(kwargs)) = object.remove("kwargs")
        && !kwargs.is_empty()
    {
        let mut kwargs = fields(kwargs);
        if let Some(r#type) = message_type(&class) {
            // The reference server's JavaScript overwrites an existing `type`.
            kwargs.insert("type".to_owned(), r#type.into());
        }
        return Some(Value::Object(kwargs));
    }
    let Some(Value::Array(mut arguments)) = object.remove("args") else {
        return Some(Value::Object(Map::new()));
    };
    if arguments.len() == 1 {
        return arguments.pop().and_then(shown);
    }
    Some(Value::Array(list(arguments)))
}

/// The `type` of a message of this class, which the serializer leaves out.
fn message_type(class: &str) -> Option<&'static str> {
    Some(match class {
        "HumanMessage" | "HumanMessageChunk" => "human",
        "AIMessage" | "AIMessageChunk" => "ai",
        "ToolMessage" | "ToolMessageChunk" => "tool",
        "SystemMessage" | "SystemMessageChunk" => "system",
        "FunctionMessage" | "FunctionMessageChunk" => "function",
        "ChatMessage" | "ChatMessageChunk" => "generic",
        "RemoveMessage" => "remove",
        _ => return None,
    })
}
