//! Messages in `OpenAI`'s form, which become what the reference's reducer makes of them (D24).

use super::Refused;
use super::entry::{Entry, Form};
use super::fields::is_empty;
use super::kind::Kind;
use crate::json::Members;

impl Entry {
    /// A message that says its kind in `role`. What `LangChain`'s messages have no field for goes
    /// to `additional_kwargs`, where the client's own entries win.
    pub(super) fn type_openai(self, kind: Kind, sent: Members<'_>) -> Result<Members<'_>, Refused> {
        let is_tool = kind == Kind::Tool;
        let is_spoken = matches!(kind, Kind::Human | Kind::Ai);
        let (mut message, mut extra, mut kwargs) = (Members::default(), Members::default(), None);
        for (key, value) in sent {
            match (&*key, &*value) {
                ("role", _) => message.set("type", kind.as_json()),
                ("id" | "content", _) => message.set(key, value),
                (
                    "type" | "name" | "tool_call_id" | "tool_calls" | "response_metadata"
                    | "additional_kwargs",
                    "null",
                ) => {}
                ("artifact" | "status", "null") if is_tool => {}
                ("example", "null" | "false") if is_spoken => {}
                ("response_metadata", _) if is_empty(&value) => {}
                ("name" | "tool_call_id" | "tool_calls" | "response_metadata", _) => {
                    message.set(key, value);
                }
                ("artifact" | "status", _) if is_tool => message.set(key, value),
                ("example", _) if is_spoken => message.set(key, value),
                ("additional_kwargs", _) => kwargs = Some(value),
                _ => extra.set(key, value),
            }
        }
        self.type_common_fields(kind, Form::OpenAi, &mut message)?;
        self.type_tool_calls(Form::OpenAi, &mut message)?;
        if let Some(kwargs) = &kwargs {
            for (key, value) in self.members(kwargs, ".additional_kwargs")? {
                // They outlive this function as text of their own.
                extra.set(key.into_owned(), value.into_owned());
            }
        }
        if kind == Kind::Ai {
            self.type_tool_calls_of_kwargs(&extra, &mut message);
        }
        if kwargs.is_some() || !extra.is_empty() {
            message.set("additional_kwargs", extra.to_text());
        }
        Ok(message)
    }
}
