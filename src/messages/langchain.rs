//! Messages in `LangChain`'s form, which are stored as they were sent (D24).
//!
//! There are two exceptions: an alias of a type is replaced by its name, and parts in `OpenAI`'s
//! form (`content: null`, calls with a `function`, a numeric `tool_call_id`) are converted.

use std::borrow::Cow;

use super::Refused;
use super::fields::string;
use super::form::{Entry, Form};
use super::kind::Kind;
use crate::json::{Members, for_each};

impl Entry {
    /// A message with its kind in `type`.
    pub(super) fn type_langchain(
        self,
        kind: Kind,
        mut message: Members<'_>,
    ) -> Result<Members<'_>, Refused> {
        message.set("type", kind.as_json());
        self.type_common_fields(kind, Form::LangChain, &mut message)?;
        self.type_tool_calls(Form::LangChain, &mut message)?;
        Ok(message)
    }

    /// Unwraps a message in `LangChain`'s serialised form, `{"lc":1,"type":"constructor","id":[...,
    /// class],"kwargs":{...}}`. The class gives the type unless the message has one. Every other
    /// value is returned unchanged.
    pub(super) fn unwrap_constructor(self, mut sent: Members<'_>) -> Result<Members<'_>, Refused> {
        let Some(kind) = class_of_constructor(&sent) else { return Ok(sent) };
        // A value that was just parsed is borrowed from the request.
        let Some(Cow::Borrowed(kwargs)) = sent.take("kwargs") else { return Ok(sent) };
        let mut kwargs = self.members(kwargs, ".kwargs")?;
        if kwargs.get("type") == Some("null") {
            kwargs.take("type");
        }
        let named = (Cow::Borrowed("type"), Cow::Borrowed(kind.as_json()));
        Ok([named].into_iter().chain(kwargs).collect())
    }
}

fn class_of_constructor(sent: &Members<'_>) -> Option<Kind> {
    if sent.get("lc") != Some("1") || sent.get("type") != Some("\"constructor\"") {
        return None;
    }
    sent.get("kwargs").filter(|kwargs| kwargs.starts_with('{'))?;
    let mut class = None;
    let path = for_each(sent.get("id")?, |part| {
        class = string(part);
        Ok::<_, ()>(())
    });
    path.ok().and(class).and_then(|class| Kind::of_class(&class))
}
