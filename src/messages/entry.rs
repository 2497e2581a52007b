//! Converts one entry of a client's `messages` to a typed message.
//!
//! A message with a `role` is in `OpenAI`'s form and is converted as by the reference's reducer
//! ([`openai`](super::openai)). A message with only a `type` is in `LangChain`'s form and stays as
//! it was sent, in its order and as raw text ([`langchain`](super::langchain)).

use std::borrow::Cow;

use uuid::Uuid;

use super::fields::{json_string, string};
use super::form::{Entry, Form};
use super::kind::Kind;
use super::{Change, MAX_ID_BYTES, Refused};
use crate::json::{Members, Raw, for_each};

/// The id of the `remove` entry that clears the whole list.
const REMOVE_ALL: &str = "__remove_all__";

impl Entry {
    /// Parses the JSON text of an entry into a change.
    pub(super) fn read(self, sent: &str) -> Result<Change, Refused> {
        match sent.as_bytes().first() {
            Some(b'"') => self.put(of_content(Kind::Human, sent)),
            Some(b'[') => self.put(self.pair(sent)?),
            Some(b'{') => self.object(sent),
            _ => Err(self.refuse(
                "",
                "a message must be an object with a `role` or a `type`, a [role, content] pair \
                 or a string",
            )),
        }
    }

    /// `[role, content]`. The roles are those whose messages need only a content.
    fn pair(self, sent: &str) -> Result<Members<'_>, Refused> {
        let malformed =
            || self.refuse("", "a list in the place of a message must be [role, content]");
        let (mut role, mut content) = (None, None);
        let read = for_each(sent, |part| {
            let free = [&mut role, &mut content].into_iter().find(|place| place.is_none());
            *free.ok_or_else(malformed)? = Some(part);
            Ok(())
        });
        read.map_err(|_| malformed())??;
        let (role, content) = role.zip(content).ok_or_else(malformed)?;
        let role = string(role).unwrap_or_default();
        let Some(kind @ (Kind::Human | Kind::Ai | Kind::System)) = Kind::of_role(&role) else {
            return Err(self.refuse(
                "[0]",
                "the role of a pair must be user, human, assistant, ai, system or developer",
            ));
        };
        if !content.starts_with(['"', '[']) {
            return Err(self.refuse("[1]", "a content must be a string or a list"));
        }
        if content.starts_with('[') {
            self.check_parts(content, "[1]")?;
        }
        let mut message = of_content(kind, content);
        if role == "developer" {
            self.mark_as_developer(&mut message)?;
        }
        Ok(message)
    }

    fn object(self, sent: &str) -> Result<Change, Refused> {
        let sent = self.unwrap_constructor(self.members(sent, "")?)?;
        let (kind, form, is_developer) = self.kind(&sent)?;
        let mut message = match form {
            _ if kind == Kind::Remove => return self.removal(&sent),
            Form::OpenAi => self.type_openai(kind, sent)?,
            Form::LangChain => self.type_langchain(kind, sent)?,
        };
        if is_developer {
            self.mark_as_developer(&mut message)?;
        }
        self.put(message)
    }

    /// The kind of a message, its form, and whether its role is `OpenAI`'s `developer`. If it has
    /// both `role` and `type`, `role` is used; a chat message has a custom role.
    fn kind(self, sent: &Members<'_>) -> Result<(Kind, Form, bool), Refused> {
        let (role, name) = (self.name_in(sent, "role")?, self.name_in(sent, "type")?);
        match (role.as_deref(), name.as_deref()) {
            (Some(role), name) => match Kind::of_role(role) {
                Some(kind) => Ok((kind, Form::OpenAi, role == "developer")),
                None if name == Some("chat") => Ok((Kind::Chat, Form::LangChain, false)),
                None => Err(self.refuse_name(".role", role, "tool, function or remove")),
            },
            (None, Some(name)) => match Kind::of_type(name) {
                Some(kind) => Ok((kind, Form::LangChain, name == "developer")),
                None => Err(self.refuse_name(".type", name, "tool, function, chat or remove")),
            },
            (None, None) => Err(self.refuse("", "a message needs a `role` or a `type`")),
        }
    }

    /// A removal. The reference also requires a content, which it does not use (D7).
    fn removal(self, sent: &Members<'_>) -> Result<Change, Refused> {
        match self.id(sent)? {
            Some(id) if id == REMOVE_ALL => Ok(Change::RemoveAll),
            Some(id) => Ok(Change::Remove { id }),
            None => Err(self.refuse(".id", "the id of the message to remove is missing")),
        }
    }

    fn put(self, mut message: Members<'_>) -> Result<Change, Refused> {
        let id = self.id(&message)?;
        let generated = id.is_none();
        let id = id.unwrap_or_else(|| Uuid::new_v4().to_string());
        message.set("id", json_string(&id));
        let message = Raw::from_compact(message.to_text());
        let message = message.map_err(|_| self.refuse("", "not valid JSON"))?;
        Ok(Change::Put { id, generated, message })
    }

    /// The id of a message. A number is converted to text, and an empty string is an id as well.
    fn id(self, message: &Members<'_>) -> Result<Option<String>, Refused> {
        let Some(sent) = message.get("id").filter(|sent| *sent != "null") else {
            return Ok(None);
        };
        let id = self.text_of_id(sent, ".id", "a string, a number or null")?;
        if id.len() > MAX_ID_BYTES {
            return Err(
                self.refuse(".id", &format!("an id must have at most {MAX_ID_BYTES} bytes"))
            );
        }
        Ok(Some(id.into_owned()))
    }

    fn mark_as_developer(self, message: &mut Members<'_>) -> Result<(), Refused> {
        let field = ".additional_kwargs";
        let mut kwargs = match message.get("additional_kwargs").filter(|sent| *sent != "null") {
            Some(sent) => self.members(sent, field)?,
            None => Members::default(),
        };
        kwargs.set("__openai_role__", "\"developer\"");
        let kwargs = kwargs.to_text();
        message.set("additional_kwargs", kwargs);
        Ok(())
    }

    /// A `role` or a `type`. `None`: it is absent or null.
    fn name_in<'a>(
        self,
        sent: &'a Members<'_>,
        field: &str,
    ) -> Result<Option<Cow<'a, str>>, Refused> {
        let Some(sent) = sent.get(field).filter(|sent| *sent != "null") else { return Ok(None) };
        let name = string(sent);
        name.map(Some).ok_or_else(|| self.refuse(&format!(".{field}"), "must be a string"))
    }
}

/// A message with only a content.
fn of_content(kind: Kind, content: &str) -> Members<'_> {
    [("type", kind.as_json()), ("content", content)].into_iter().collect()
}
