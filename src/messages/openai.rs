//! Messages in `OpenAI`'s form, which become what the reference's reducer makes of them (D24).

use std::borrow::Cow;

use super::Refused;
use super::fields::is_empty;
use super::form::{Entry, Form};
use super::kind::Kind;
use crate::json::Members;

/// The fields of a message by where `LangChain` keeps them.
#[derive(Default)]
struct Fields<'a> {
    /// Those that its messages have.
    own: Members<'a>,
    /// All others.
    extra: Members<'a>,
    /// What the client itself put into `additional_kwargs`.
    kwargs: Option<Cow<'a, str>>,
}

impl Entry {
    /// A message that says its kind in `role`. What `LangChain`'s messages have no field for goes
    /// to `additional_kwargs`, where the client's own entries win.
    pub(super) fn type_openai(self, kind: Kind, sent: Members<'_>) -> Result<Members<'_>, Refused> {
        let Fields { own: mut message, mut extra, kwargs } = Fields::of(kind, sent);
        self.type_common_fields(kind, Form::OpenAi, &mut message)?;
        self.type_tool_calls(Form::OpenAi, &mut message)?;
        if let Some(kwargs) = &kwargs {
            for (key, value) in self.members(kwargs, ".additional_kwargs")? {
                // Owned, because the text that they are read from ends with this function.
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

impl<'a> Fields<'a> {
    /// Fields of `LangChain` that only say that there is nothing are left out.
    fn of(kind: Kind, sent: Members<'a>) -> Fields<'a> {
        let is_tool = kind == Kind::Tool;
        let is_spoken = matches!(kind, Kind::Human | Kind::Ai);
        let mut fields = Fields::default();
        for (key, value) in sent {
            match (&*key, &*value) {
                ("role", _) => fields.own.set("type", kind.as_json()),
                ("id" | "content", _) => fields.own.set(key, value),
                (
                    "type" | "name" | "additional_kwargs" | "response_metadata" | "tool_call_id"
                    | "tool_calls",
                    "null",
                ) => {}
                ("additional_kwargs", _) => fields.kwargs = Some(value),
                ("response_metadata", _) if is_empty(&value) => {}
                ("name" | "tool_call_id" | "tool_calls" | "response_metadata", _) => {
                    fields.own.set(key, value);
                }
                ("artifact" | "status", "null") if is_tool => {}
                ("artifact" | "status", _) if is_tool => fields.own.set(key, value),
                ("example", "null" | "false") if is_spoken => {}
                ("example", _) if is_spoken => fields.own.set(key, value),
                _ => fields.extra.set(key, value),
            }
        }
        fields
    }
}
