//! The fields of messages of both forms: content, name, and those of a tool message.

use std::borrow::Cow;

use super::Refused;
use super::form::{Entry, Form};
use super::kind::Kind;
use crate::json::{Members, Raw, for_each};

impl Entry {
    /// Refuses fields that the reference's reducer refuses, and converts the others in place.
    pub(super) fn type_common_fields(
        self,
        kind: Kind,
        form: Form,
        message: &mut Members<'_>,
    ) -> Result<(), Refused> {
        let content = message.get("content");
        let content = content.ok_or_else(|| self.refuse("", "a message needs a `content`"))?;
        if let Some(typed) = self.content(kind, form, content)? {
            message.set("content", typed);
        }
        let name = message.get("name").filter(|name| *name != "null");
        if name.is_some_and(|name| !name.starts_with('"')) {
            return Err(self.refuse(".name", "must be a string"));
        }
        if name.is_none() && kind == Kind::Function {
            return Err(self.refuse(".name", "a function's message needs the function's name"));
        }
        for field in ["additional_kwargs", "response_metadata"] {
            if message.get(field).is_some_and(|sent| !sent.starts_with(['{', 'n'])) {
                return Err(self.refuse(&format!(".{field}"), "must be an object"));
            }
        }
        if kind == Kind::Tool { self.type_tool_fields(message) } else { Ok(()) }
    }

    /// The content to store. `None`: unchanged.
    fn content(self, kind: Kind, form: Form, sent: &str) -> Result<Option<String>, Refused> {
        let nothing = || Ok(Some("\"\"".to_owned()));
        match sent.as_bytes().first() {
            Some(b'"') => Ok(None),
            Some(b'n') => nothing(),
            // `LangChain` also prints an empty list if a model answered only with calls.
            Some(b'[') if is_empty(sent) && form == Form::LangChain => Ok(None),
            Some(b'[' | b'{') if is_empty(sent) => nothing(),
            Some(b'[') if kind == Kind::Tool => Ok(parts_as_text(sent)),
            Some(b'[') => self.check_parts(sent, ".content").map(|()| None),
            // The result of a tool may not be text.
            _ if kind == Kind::Tool => Ok(Some(as_text(sent))),
            _ => {
                Err(self
                    .refuse(".content", "must be a string, a list of strings and objects, or null"))
            }
        }
    }

    /// Checks the parts of a content.
    pub(super) fn check_parts(self, list: &str, field: &str) -> Result<(), Refused> {
        let mut index = 0_usize;
        let checked = for_each(list, |part| {
            if !part.starts_with(['"', '{']) {
                let field = format!("{field}[{index}]");
                return Err(self.refuse(&field, "a part must be a string or an object"));
            }
            index += 1;
            Ok(())
        });
        checked.map_err(|_| self.refuse(field, "must be a list"))?
    }

    fn type_tool_fields(self, message: &mut Members<'_>) -> Result<(), Refused> {
        let field = "tool_call_id";
        let sent = message.get(field).filter(|sent| *sent != "null");
        let needed = || self.refuse("", "a tool's message needs a `tool_call_id`");
        let id =
            self.text_of_id(sent.ok_or_else(needed)?, ".tool_call_id", "a string or a number")?;
        if sent.is_some_and(|sent| !sent.starts_with('"')) {
            let id = json_string(&id);
            message.set(field, id);
        }
        match message.get("status") {
            None | Some("null" | "\"success\"" | "\"error\"") => Ok(()),
            Some(_) => Err(self.refuse(".status", "must be success or error")),
        }
    }

    /// The text of a string or a number.
    pub(super) fn text_of_id<'a>(
        self,
        sent: &'a str,
        field: &str,
        kinds: &str,
    ) -> Result<Cow<'a, str>, Refused> {
        let text = match sent.as_bytes().first() {
            Some(b'"') => string(sent),
            Some(b'-' | b'0'..=b'9') => Some(text_of_number(sent)),
            _ => None,
        };
        text.ok_or_else(|| self.refuse(field, &format!("must be {kinds}")))
    }
}

/// The parts of a tool's result, each as a string or an object. `None`: unchanged.
fn parts_as_text(list: &str) -> Option<String> {
    let (mut text, mut is_changed) = (String::from("["), false);
    let read = for_each(list, |part| {
        if text.len() > 1 {
            text.push(',');
        }
        if part.starts_with(['"', '{']) {
            text.push_str(part);
        } else {
            is_changed = true;
            text.push_str(&as_text(part));
        }
        Ok::<_, ()>(())
    });
    text.push(']');
    read.is_ok_and(|_| is_changed).then_some(text)
}

/// A value as a JSON string of its text.
fn as_text(value: &str) -> String {
    Raw::from_text(value).map(|value| json_string(value.text())).unwrap_or_default()
}

/// Whether a value is an empty list or an empty object.
pub(super) fn is_empty(value: &str) -> bool {
    let inner = value.get(1..value.len().saturating_sub(1)).unwrap_or_default();
    value.starts_with(['[', '{']) && inner.trim_ascii().is_empty()
}

/// The text of a JSON string. `None`: the value is not a string.
pub(super) fn string(sent: &str) -> Option<Cow<'_, str>> {
    let plain = sent.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    match plain {
        Some(plain) if !plain.contains('\\') => Some(Cow::Borrowed(plain)),
        _ => serde_json::from_str(sent).ok().map(Cow::Owned),
    }
}

/// A text as a JSON string.
pub(super) fn json_string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A number as Python prints it, as the reference does for a numeric id.
fn text_of_number(sent: &str) -> Cow<'_, str> {
    if !sent.contains(['.', 'e', 'E']) {
        return Cow::Borrowed(if sent == "-0" { "0" } else { sent });
    }
    let Ok(number) = sent.parse::<f64>() else { return Cow::Borrowed(sent) };
    let printed = format!("{number:?}");
    Cow::Owned(match printed.split_once('e') {
        Some((digits, exponent)) => match exponent.strip_prefix('-') {
            Some(exponent) => format!("{digits}e-{exponent:0>2}"),
            None => format!("{digits}e+{exponent:0>2}"),
        },
        None => printed,
    })
}
