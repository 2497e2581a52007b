//! Messages in `OpenAI`'s form, which are converted as by the reference's reducer (D24).

use std::borrow::Cow;

use super::Refused;
use super::fields::is_empty;
use super::form::{Entry, Form};
use super::kind::Kind;
use crate::json::Members;

/// The fields of a message, by their location in `LangChain`'s form.
#[derive(Default)]
struct Fields<'a> {
    /// The fields that its messages have.
    own: Members<'a>,
    /// All others.
    extra: Members<'a>,
    /// The client's own `additional_kwargs`.
    kwargs: Option<Cow<'a, str>>,
}

impl Entry {
    /// A message with its kind in `role`. Fields that `LangChain`'s messages do not have go to
    /// `additional_kwargs`, where the client's own entries take precedence.
    pub(super) fn type_openai(self, kind: Kind, sent: Members<'_>) -> Result<Members<'_>, Refused> {
        let Fields { own: mut message, mut extra, kwargs } = Fields::of(kind, sent);
        self.type_common_fields(kind, Form::OpenAi, &mut message)?;
        self.type_tool_calls(Form::OpenAi, &mut message)?;
        if let Some(kwargs) = &kwargs {
            for (key, value) in self.members(kwargs, ".additional_kwargs")? {
                // Owned, because the text that they borrow from is dropped at the end of this
                // function.
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
    /// Sorts the fields of a message. Those that are only defaults of `LangChain` are left out.
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
