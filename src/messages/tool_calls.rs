//! Converts the tool calls of a message from `OpenAI`'s form to `LangChain`'s (D24).

use std::fmt::Write as _;

use super::Refused;
use super::fields::{json_string, string};
use super::form::{Entry, Form};
use crate::json::{self, Members, Raw, Unstorable, for_each};

/// Calls in `LangChain`'s form, as JSON lists.
struct ToolCalls {
    valid: String,
    /// Calls whose arguments are not a JSON object. `None`: there are none.
    invalid: Option<String>,
}

/// The arguments of a call in `OpenAI`'s form.
enum Arguments {
    /// A JSON object, compact.
    Valid(String),
    /// The JSON string that was sent.
    Invalid,
}

impl Entry {
    /// Converts the `tool_calls` of a message. Calls whose arguments are not a JSON object, on
    /// which the reference's reducer fails, go to `invalid_tool_calls`.
    pub(super) fn type_tool_calls(
        self,
        form: Form,
        message: &mut Members<'_>,
    ) -> Result<(), Refused> {
        if message.get("tool_calls") == Some("null") {
            message.take("tool_calls");
        }
        let Some(sent) = message.get("tool_calls") else { return Ok(()) };
        let Some(calls) = self.tool_calls(sent, ".tool_calls", form)? else { return Ok(()) };
        message.set("tool_calls", calls.valid);
        if let Some(invalid) = calls.invalid {
            let before = message.get("invalid_tool_calls").filter(|sent| *sent != "null");
            let all = self.joined(before, invalid)?;
            message.set("invalid_tool_calls", all);
        }
        Ok(())
    }

    /// Converts calls that are only in `additional_kwargs`, where `LangChain` keeps them as they
    /// were sent. The reducer ignores malformed ones.
    pub(super) fn type_tool_calls_of_kwargs(self, kwargs: &Members<'_>, message: &mut Members<'_>) {
        let has_calls = message.get("tool_calls").is_some_and(|calls| calls != "[]")
            || message.get("invalid_tool_calls").is_some();
        let Some(sent) = kwargs.get("tool_calls").filter(|_| !has_calls) else { return };
        let calls = self.tool_calls(sent, ".additional_kwargs.tool_calls", Form::OpenAi);
        if let Ok(Some(ToolCalls { valid, invalid })) = calls {
            message.set("tool_calls", valid);
            if let Some(invalid) = invalid {
                message.set("invalid_tool_calls", invalid);
            }
        }
    }

    /// A list of calls in `LangChain`'s form. `None`: they already have it.
    fn tool_calls(self, sent: &str, field: &str, form: Form) -> Result<Option<ToolCalls>, Refused> {
        let (mut valid, mut invalid, mut index) = (List::default(), List::default(), 0_usize);
        let mut is_changed = form == Form::OpenAi;
        let read = for_each(sent, |sent| {
            let field = format!("{field}[{index}]");
            index += 1;
            let mut call = self.members(sent, &field)?;
            if let Some(function) = call.get("function") {
                is_changed = true;
                let (typed, is_valid) = self.tool_call(&call, function, &field)?;
                if is_valid { &mut valid } else { &mut invalid }.push(&typed.to_text());
            } else {
                if form == Form::OpenAi {
                    call.get("name").and(call.get("args")).ok_or_else(|| {
                        self.refuse(&field, "a call needs a `function`, or `name` and `args`")
                    })?;
                    call.set("type", "\"tool_call\"");
                }
                valid.push(&call.to_text());
            }
            Ok(())
        });
        read.map_err(|_| self.refuse(field, "must be a list"))??;
        let (valid, invalid) = (valid.end().unwrap_or_else(|| "[]".to_owned()), invalid.end());
        Ok(is_changed.then_some(ToolCalls { valid, invalid }))
    }

    /// One call in `OpenAI`'s form, and whether it is valid.
    fn tool_call<'a>(
        self,
        call: &'a Members<'_>,
        function: &'a str,
        field: &str,
    ) -> Result<(Members<'a>, bool), Refused> {
        let within = |name: &str| format!("{field}.{name}");
        let id = match call.get("id").unwrap_or("null") {
            "null" => "null".to_owned(),
            id => json_string(&self.text_of_id(id, &within("id"), "a string, a number or null")?),
        };
        let function = self.members(function, &within("function"))?;
        let name = function.get("name").filter(|name| name.starts_with('"'));
        let name = name.ok_or_else(|| self.refuse(&within("function.name"), "must be a string"))?;
        let sent = function.get("arguments").unwrap_or("null");
        let arguments = self.arguments(sent, &within("function.arguments"))?;
        let mut typed = Members::default();
        typed.set("name", name.to_owned());
        let is_valid = match arguments {
            Arguments::Valid(arguments) => {
                typed.set("args", arguments);
                typed.set("id", id);
                typed.set("type", "\"tool_call\"");
                true
            }
            Arguments::Invalid => {
                typed.set("args", sent.to_owned());
                typed.set("id", id);
                typed.set("error", "null");
                typed.set("type", "\"invalid_tool_call\"");
                false
            }
        };
        Ok((typed, is_valid))
    }

    /// Arguments are a string of JSON, from some clients an object, and from others absent if a
    /// tool has no parameters.
    fn arguments(self, sent: &str, field: &str) -> Result<Arguments, Refused> {
        let none = || Ok(Arguments::Valid("{}".to_owned()));
        match sent.as_bytes().first() {
            Some(b'n') => return none(),
            Some(b'{') => return Ok(valid(sent)),
            Some(b'"') => {}
            _ => return Err(self.refuse(field, "must be a string of JSON, or an object")),
        }
        let text = with_escaped_controls(&string(sent).unwrap_or_default());
        match json::check(text.as_bytes()).map(str::trim_ascii) {
            Ok(text) if text.starts_with('{') => Ok(valid(text)),
            Ok("null") => none(),
            Ok(_) | Err(Unstorable::Invalid) => Ok(Arguments::Invalid),
            Err(unstorable) => Err(self.refuse(field, &unstorable.reason())),
        }
    }

    /// A list with the elements of `more` appended.
    fn joined(self, before: Option<&str>, more: String) -> Result<String, Refused> {
        let Some(before) = before else { return Ok(more) };
        let mut all = List::default();
        for list in [before, &more] {
            let read = for_each(list, |element| {
                all.push(element);
                Ok::<_, Refused>(())
            });
            read.map_err(|_| self.refuse(".invalid_tool_calls", "must be a list"))??;
        }
        Ok(all.end().unwrap_or(more))
    }
}

fn valid(object: &str) -> Arguments {
    Raw::from_text(object).map_or(Arguments::Invalid, |object| Arguments::Valid(object.into_text()))
}

/// A JSON list that is being written.
#[derive(Default)]
struct List(String);

impl List {
    fn push(&mut self, element: &str) {
        self.0.push(if self.0.is_empty() { '[' } else { ',' });
        self.0.push_str(element);
    }

    /// The list. `None`: it is empty.
    fn end(mut self) -> Option<String> {
        if self.0.is_empty() {
            return None;
        }
        self.0.push(']');
        Some(self.0)
    }
}

/// Escapes control characters, because models write unescaped line breaks into strings, and the
/// reducer accepts them.
fn with_escaped_controls(text: &str) -> String {
    let (mut escaped, mut in_string, mut is_escaped) =
        (String::with_capacity(text.len()), false, false);
    for character in text.chars() {
        if in_string && character < ' ' {
            let _ = write!(escaped, "\\u{:04x}", u32::from(character));
        } else {
            escaped.push(character);
        }
        in_string ^= character == '"' && !is_escaped;
        is_escaped = in_string && character == '\\' && !is_escaped;
    }
    escaped
}
