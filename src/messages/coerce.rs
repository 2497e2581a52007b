//! What clients send for `messages`, as typed messages.
//!
//! A message keeps everything that was sent, in its order and as raw text. What is changed: the
//! `role` key becomes `type`, an alias of a type becomes its name, and the id becomes a string.

use serde::Deserialize;
use uuid::Uuid;

use super::{Change, Refused};
use crate::json::{Object, Raw};

/// Longest message id in bytes: ids are indexed.
pub const MAX_ID_BYTES: usize = 1024;

/// The id of the `remove` entry that drops the whole list.
const REMOVE_ALL: &str = "__remove_all__";

/// Reads what a client sent for `messages`: a list, or a single message.
pub fn read(sent: &Raw) -> Result<Vec<Change>, Refused> {
    if !sent.text().starts_with('[') {
        return Ok(vec![Entry { place: None }.read(sent.clone())?]);
    }
    let entries: Vec<Raw> = Entry { place: None }.parse(sent)?;
    let changes = entries.into_iter().enumerate();
    changes.map(|(place, sent)| Entry { place: Some(place) }.read(sent)).collect()
}

/// One entry of an update, by its place in the list that was sent.
#[derive(Clone, Copy)]
struct Entry {
    place: Option<usize>,
}

impl Entry {
    fn read(self, sent: Raw) -> Result<Change, Refused> {
        let message = match sent.text().as_bytes().first() {
            Some(b'"') => conversational("human", sent),
            Some(b'[') => self.pair(&sent)?,
            Some(b'{') => self.typed(self.parse(&sent)?)?,
            _ => {
                return Err(self.refuse(
                    "",
                    "a message is an object with a `type` or a `role`, a [role, content] pair \
                     or a string",
                ));
            }
        };
        self.change(message)
    }

    /// `[role, content]`. The roles are those whose messages need nothing but a content.
    fn pair(self, sent: &Raw) -> Result<Object, Refused> {
        let parts: Vec<Raw> = self.parse(sent)?;
        let Ok([role, content]) = <[Raw; 2]>::try_from(parts) else {
            return Err(self.refuse("", "a list in the place of a message is [role, content]"));
        };
        if !content.text().starts_with(['"', '[']) {
            return Err(self.refuse("[1]", "the content of a message is a string or a list"));
        }
        let role = role.parse::<String>().unwrap_or_default();
        match type_of_role(&role) {
            Some(kind @ ("human" | "ai" | "system")) => {
                let mut message = conversational(kind, content);
                if role == "developer" {
                    self.keep_aside(&mut message, "__openai_role__", Raw::from("developer"))?;
                }
                Ok(message)
            }
            _ => Err(self.refuse(
                "[0]",
                "the role of a pair is one of user, human, assistant, ai, system, developer",
            )),
        }
    }

    /// An object as a typed message. A `type` that names a kind of message counts before a
    /// `role` (chat messages have both), and a type unknown to us is the client's own.
    fn typed(self, sent: Object) -> Result<Object, Refused> {
        let mut message = opened(sent);
        let kind = match message.get("type") {
            Some(kind) if !kind.is_null() => Some(
                kind.parse::<String>().map_err(|_| self.refuse(".type", "a type is a string"))?,
            ),
            _ => None,
        };
        if let Some(name) = kind.as_deref().and_then(type_of_type) {
            if kind.as_deref() == Some("developer") {
                self.keep_aside(&mut message, "__openai_role__", Raw::from("developer"))?;
            }
            message.insert("type", Raw::from(name));
            return Ok(message);
        }
        let role = message.get("role").filter(|role| !role.is_null());
        let name = role.and_then(|role| role.parse::<String>().ok());
        match name.as_deref().and_then(type_of_role) {
            Some(kind) => self.with_type_for_role(message, kind),
            None if kind.is_some() => Ok(message),
            None if role.is_some() => Err(self.refuse(
                ".role",
                "a role is one of user, human, assistant, ai, system, developer, tool, function",
            )),
            None => Err(self.refuse("", "a message needs a `type` or a `role`")),
        }
    }

    /// Puts `type` where `role` was. What else the client sent as `type` (`OpenAI`'s items say
    /// `message`) and the developer role are kept where `LangChain` keeps them.
    fn with_type_for_role(self, mut message: Object, kind: &str) -> Result<Object, Refused> {
        if let Some(sent) = message.remove("type").filter(|sent| !sent.is_null()) {
            self.keep_aside(&mut message, "type", sent)?;
        }
        if message.get("role").is_some_and(|role| role.text() == "\"developer\"") {
            self.keep_aside(&mut message, "__openai_role__", Raw::from("developer"))?;
        }
        let entries = message.into_iter();
        let renamed = entries.map(|(key, value)| match key.as_str() {
            "role" => ("type".to_owned(), Raw::from(kind)),
            _ => (key, value),
        });
        Ok(renamed.collect())
    }

    /// Keeps a value in `additional_kwargs`, unless the client itself put something there.
    fn keep_aside(self, message: &mut Object, key: &str, value: Raw) -> Result<(), Refused> {
        let field = ".additional_kwargs";
        let mut aside = match message.get("additional_kwargs").filter(|aside| !aside.is_null()) {
            Some(aside) => aside
                .parse::<Object>()
                .map_err(|_| self.refuse(field, "additional_kwargs is an object"))?,
            None => Object::default(),
        };
        if aside.get(key).is_none() {
            aside.insert(key, value);
            message.insert("additional_kwargs", self.write(&aside)?);
        }
        Ok(())
    }

    /// What a typed message asks for.
    fn change(self, mut message: Object) -> Result<Change, Refused> {
        let id = self.id(message.get("id"))?;
        if message.get("type").is_some_and(|kind| kind.text() == "\"remove\"") {
            return match id {
                Some(id) if id == REMOVE_ALL => Ok(Change::RemoveAll),
                Some(id) => Ok(Change::Remove { id }),
                None => Err(self.refuse(".id", "the id of the message to remove is missing")),
            };
        }
        let generated = id.is_none();
        let id = id.unwrap_or_else(|| Uuid::new_v4().to_string());
        message.insert("id", Raw::from(id.as_str()));
        Ok(Change::Put { id, generated, message: self.write(&message)? })
    }

    /// The id of a message. As on the reference, an integer stands for its digits and an empty
    /// string is an id like any other.
    fn id(self, sent: Option<&Raw>) -> Result<Option<String>, Refused> {
        let Some(sent) = sent.filter(|sent| !sent.is_null()) else {
            return Ok(None);
        };
        let digits = sent.text().strip_prefix('-').unwrap_or(sent.text());
        let id = if digits.bytes().all(|byte| byte.is_ascii_digit()) {
            sent.text().to_owned()
        } else {
            sent.parse().map_err(|_| self.refuse(".id", "an id is a string, an integer or null"))?
        };
        if id.len() > MAX_ID_BYTES {
            return Err(self.refuse(".id", &format!("an id has at most {MAX_ID_BYTES} bytes")));
        }
        Ok(Some(id))
    }

    fn parse<'a, T: Deserialize<'a>>(self, sent: &'a Raw) -> Result<T, Refused> {
        sent.parse().map_err(|_| self.refuse("", "not valid JSON"))
    }

    fn write(self, object: &Object) -> Result<Raw, Refused> {
        Raw::of(object).map_err(|_| self.refuse("", "not valid JSON"))
    }

    fn refuse(self, field: &str, why: &str) -> Refused {
        let place = self.place.map(|place| format!("[{place}]")).unwrap_or_default();
        Refused(format!("values.messages{place}{field}: {why}"))
    }
}

/// A message of nothing but a content.
fn conversational(kind: &str, content: Raw) -> Object {
    [("type".to_owned(), Raw::from(kind)), ("content".to_owned(), content)].into_iter().collect()
}

/// Takes a message out of `LangChain`'s serialised form,
/// `{"lc":1,"type":"constructor","id":[..., class],"kwargs":{...}}`. The class gives the type
/// unless the message names its own. Everything else comes back as it is.
fn opened(sent: Object) -> Object {
    let is = |key: &str, text: &str| sent.get(key).is_some_and(|value| value.text() == text);
    if !is("lc", "1") || !is("type", "\"constructor\"") {
        return sent;
    }
    let path = sent.get("id").and_then(|path| path.parse::<Vec<Raw>>().ok());
    let class = path.and_then(|path| path.last()?.parse::<String>().ok());
    let kind = class.as_deref().and_then(type_of_class);
    let kwargs = sent.get("kwargs").and_then(|kwargs| kwargs.parse::<Object>().ok());
    let (Some(kind), Some(mut kwargs)) = (kind, kwargs) else {
        return sent;
    };
    if kwargs.get("type").is_some_and(Raw::is_null) {
        kwargs.remove("type");
    }
    [("type".to_owned(), Raw::from(kind))].into_iter().chain(kwargs).collect()
}

fn type_of_role(role: &str) -> Option<&'static str> {
    Some(match role {
        "human" | "user" => "human",
        "ai" | "assistant" => "ai",
        "system" | "developer" => "system",
        "tool" => "tool",
        "function" => "function",
        "remove" => "remove",
        _ => return None,
    })
}

/// The reference takes roles as types, and the state that it keeps holds no chunks.
fn type_of_type(name: &str) -> Option<&'static str> {
    match name {
        "chat" => Some("chat"),
        _ if name.ends_with("MessageChunk") => type_of_class(name),
        _ => type_of_role(name),
    }
}

fn type_of_class(class: &str) -> Option<&'static str> {
    Some(match class {
        "HumanMessage" | "HumanMessageChunk" => "human",
        "AIMessage" | "AIMessageChunk" => "ai",
        "SystemMessage" | "SystemMessageChunk" => "system",
        "ToolMessage" | "ToolMessageChunk" => "tool",
        "FunctionMessage" | "FunctionMessageChunk" => "function",
        "ChatMessage" | "ChatMessageChunk" => "chat",
        "RemoveMessage" => "remove",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sent(text: &str) -> Result<Vec<Change>, Refused> {
        read(&Raw::from_text(text).unwrap())
    }

    /// The message that `text` becomes, without the id if that was generated.
    fn message(text: &str) -> String {
        let changes = sent(text).unwrap();
        let [Change::Put { id, generated, message }] = changes.as_slice() else {
            panic!("{text}: {changes:?}")
        };
        let mut object: Object = message.parse().unwrap();
        assert_eq!(object.get("id"), Some(&Raw::from(id.as_str())), "{text}");
        if *generated {
            assert!(Uuid::parse_str(id).is_ok_and(|id| id.get_version_num() == 4), "{text}");
            object.remove("id");
        }
        object.to_text()
    }

    #[test]
    fn typed_messages_come_back_as_they_were_sent() {
        for text in [
            r#"{"type":"human","content":"x","id":"1"}"#,
            r#"{"z":1.50,"id":"1","content":[{"type":"text","text":"ü"}],"type":"ai","a":1e2}"#,
            r#"{"content":null,"type":"ai"}"#,
            r#"{"type":"ai","tool_calls":[{"name":"f","args":{"x":[1,null]},"id":"c"}]}"#,
            r#"{"type":"ai","tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{\"a\": 1.50}"}}]}"#,
            r#"{"type":"chat","role":"bob","content":"x"}"#,
            r#"{"type":"human","role":"assistant","content":"x"}"#,
            r#"{"type":"my-own","role":"bob"}"#,
            r#"{"role":null,"type":"tool","content":"x","tool_call_id":"t","artifact":{"a":1}}"#,
            r#"{"type":"human","content":"x","additional_kwargs":null}"#,
            r#"{"type":"human","content":"x","id":""}"#,
            r#"{"type":"human","content":"x","id":"__remove_all__"}"#,
            r#"{"type":"human","content":"x","id":"é\"\\"}"#,
        ] {
            assert_eq!(message(text), text);
            assert_eq!(message(&format!("[{text}]")), text);
        }
    }

    #[test]
    fn what_is_no_typed_message_becomes_one() {
        let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
        let table = [
            (r#""h\u0069""#, r#"{"type":"human","content":"h\u0069"}"#),
            (r#"["hi"]"#, r#"{"type":"human","content":"hi"}"#),
            (r#"[["user","hi"]]"#, r#"{"type":"human","content":"hi"}"#),
            (r#"[["ai",[{"type":"text"}]]]"#, r#"{"type":"ai","content":[{"type":"text"}]}"#),
            (
                r#"[["developer","hi"]]"#,
                r#"{"type":"system","content":"hi","additional_kwargs":{"__openai_role__":"developer"}}"#,
            ),
            (r#"{"role":"user","content":"x"}"#, r#"{"type":"human","content":"x"}"#),
            (
                r#"{"content":"x","role":"assistant","tool_calls":[{"id":"c","function":{"name":"f","arguments":"{"}}]}"#,
                r#"{"content":"x","type":"ai","tool_calls":[{"id":"c","function":{"name":"f","arguments":"{"}}]}"#,
            ),
            (r#"{"type":null,"role":"ai","n":1.0}"#, r#"{"type":"ai","n":1.0}"#),
            (r#"{"role":"system"}"#, r#"{"type":"system"}"#),
            (r#"{"role":"tool","tool_call_id":"t"}"#, r#"{"type":"tool","tool_call_id":"t"}"#),
            (r#"{"role":"function","name":"f"}"#, r#"{"type":"function","name":"f"}"#),
            (
                r#"{"role":"developer","additional_kwargs":{"k":1.0},"x":1}"#,
                r#"{"type":"system","additional_kwargs":{"k":1.0,"__openai_role__":"developer"},"x":1}"#,
            ),
            (
                r#"{"type":"message","role":"assistant","additional_kwargs":null}"#,
                r#"{"type":"ai","additional_kwargs":{"type":"message"}}"#,
            ),
            (r#"{"type":"user","content":"x"}"#, r#"{"type":"human","content":"x"}"#),
            (
                r#"{"type":"developer"}"#,
                r#"{"type":"system","additional_kwargs":{"__openai_role__":"developer"}}"#,
            ),
            (r#"{"type":"AIMessageChunk","id":"9"}"#, r#"{"type":"ai","id":"9"}"#),
            (
                r#"{"lc":1,"type":"constructor","id":["langchain","HumanMessage"],"kwargs":{"content":"x","id":"9","n":1.0}}"#,
                r#"{"type":"human","content":"x","id":"9","n":1.0}"#,
            ),
            (
                r#"{"lc":1,"type":"constructor","id":["ChatMessage"],"kwargs":{"role":"bob"}}"#,
                r#"{"type":"chat","role":"bob"}"#,
            ),
            (
                r#"{"lc":1,"type":"constructor","id":["HumanMessage"],"kwargs":{"x":1,"type":"ai"}}"#,
                r#"{"type":"ai","x":1}"#,
            ),
            (
                r#"{"lc":1,"type":"constructor","id":["AIMessageChunk"],"kwargs":{"type":null}}"#,
                r#"{"type":"ai"}"#,
            ),
            (r#"{"type":"ai","id":null}"#, r#"{"type":"ai"}"#),
            (r#"{"id":5,"type":"ai"}"#, r#"{"id":"5","type":"ai"}"#),
            (&format!(r#"{{"role":"ai","c":{deep}}}"#), &format!(r#"{{"type":"ai","c":{deep}}}"#)),
        ];
        for (text, expected) in table {
            assert_eq!(message(text), expected, "{text}");
        }
    }

    #[test]
    fn a_list_of_two_strings_is_two_messages() {
        assert_eq!(sent(r#"["user","hi"]"#).unwrap().len(), 2);
        assert_eq!(sent("[]").unwrap(), []);
    }

    #[test]
    fn removals_are_told_apart() {
        let remove = |id: &str| Ok(vec![Change::Remove { id: id.into() }]);
        assert_eq!(sent(r#"{"type":"remove","id":"1"}"#), remove("1"));
        assert_eq!(sent(r#"{"type":"remove","id":1,"content":""}"#), remove("1"));
        assert_eq!(sent(r#"{"role":"remove","id":""}"#), remove(""));
        assert_eq!(
            sent(
                r#"{"lc":1,"type":"constructor","id":["RemoveMessage"],"kwargs":{"id":"\u0061"}}"#
            ),
            remove("a")
        );
        let all = r#"[{"type":"remove","id":"__remove_all__"}]"#;
        assert_eq!(sent(all), Ok(vec![Change::RemoveAll]));
    }

    #[test]
    fn what_cannot_be_a_message_is_refused_by_name() {
        let long = format!(r#"["x",{{"type":"ai","id":"{}"}}]"#, "é".repeat(513));
        for (text, start) in [
            ("null", "values.messages: a message is an object"),
            ("1", "values.messages: a message"),
            ("true", "values.messages: a message"),
            ("{}", "values.messages: a message needs"),
            (r#"["x",null]"#, "values.messages[1]: a message is an object"),
            (r#"[{"content":"x"}]"#, "values.messages[0]: a message needs"),
            (r#"[{"type":null,"role":null}]"#, "values.messages[0]: a message needs"),
            (r#"[{"type":1}]"#, "values.messages[0].type: "),
            (r#"[{"role":"bob"}]"#, "values.messages[0].role: "),
            (r#"[{"role":1}]"#, "values.messages[0].role: "),
            ("[[]]", "values.messages[0]: a list"),
            (r#"[["user","hi","x"]]"#, "values.messages[0]: a list"),
            (r#"[["user",1]]"#, "values.messages[0][1]: "),
            (r#"[["tool","x"]]"#, "values.messages[0][0]: "),
            (r#"[["remove","x"]]"#, "values.messages[0][0]: "),
            (r#"[[["user","a"],["user","b"]]]"#, "values.messages[0][0]: "),
            (r#"[{"type":"ai","id":1.5}]"#, "values.messages[0].id: an id is"),
            (r#"[{"type":"ai","id":true}]"#, "values.messages[0].id: an id is"),
            (r#"[{"type":"ai","id":["a"]}]"#, "values.messages[0].id: an id is"),
            (&long, "values.messages[1].id: an id has at most 1024 bytes"),
            (r#"[{"type":"remove"}]"#, "values.messages[0].id: the id of"),
            (r#"[{"role":"remove","id":null}]"#, "values.messages[0].id: the id of"),
            (
                r#"{"lc":1,"type":"constructor","id":["Foo"],"kwargs":{}}"#,
                "values.messages.id: an id is",
            ),
            (
                r#"[{"role":"developer","additional_kwargs":1}]"#,
                "values.messages[0].additional_kwargs: ",
            ),
        ] {
            let refused = sent(text).unwrap_err().to_string();
            assert!(refused.starts_with(start), "{text}: {refused}");
        }
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let word = prop::sample::select(vec![
            "type",
            "role",
            "id",
            "content",
            "kwargs",
            "lc",
            "user",
            "ai",
            "remove",
            "developer",
            "constructor",
            "HumanMessage",
            "additional_kwargs",
            "__remove_all__",
            "chat",
            "x",
        ]);
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            (0..3_i64).prop_map(Into::into),
            any::<f64>().prop_map(Into::into),
            word.clone().prop_map(Into::into),
            ".*".prop_map(serde_json::Value::from),
        ];
        leaf.prop_recursive(4, 40, 6, move |inner| {
            let key = prop_oneof![word.clone().prop_map(str::to_owned), ".*"];
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(serde_json::Value::from),
                prop::collection::vec((key, inner), 0..6)
                    .prop_map(|entries| serde_json::Value::Object(entries.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_json_breaks_reading(value in json()) {
            for change in read(&Raw::of(&value).unwrap()).into_iter().flatten() {
                let Change::Put { id, message, .. } = change else { continue };
                let message: Object = message.parse().unwrap();
                prop_assert_eq!(message.get("id").unwrap(), &Raw::from(id.as_str()));
                prop_assert!(message.get("type").unwrap().parse::<String>().is_ok());
            }
        }

        #[test]
        fn other_fields_of_a_message_keep_their_text_and_order(
            before in prop::collection::vec((".*", json()), 0..5),
            digits in "-?[1-9][0-9]{0,30}(\\.[0-9]{1,30})?",
            after in prop::collection::vec((".*", json()), 0..5),
            by_role in any::<bool>(),
        ) {
            let (key, name) = if by_role { ("role", "assistant") } else { ("type", "ai") };
            let is_other = |key: &str| !["type", "role", "id", "lc"].contains(&key);
            let fields = before
                .into_iter()
                .filter(|(key, _)| is_other(key))
                .map(|(key, value)| (key, Raw::of(&value).unwrap()))
                .chain([(key.to_owned(), Raw::from(name))])
                .chain([("digits".to_owned(), Raw::from_text(&digits).unwrap())])
                .chain(after.iter().filter(|(key, _)| is_other(key)).map(|(key, value)| {
                    (key.clone(), Raw::of(value).unwrap())
                }));
            let sent: Object = fields.collect();
            let expected: Object = sent
                .clone()
                .into_iter()
                .map(|(field, value)| if field == key { ("type".to_owned(), Raw::from("ai")) } else { (field, value) })
                .collect();
            prop_assert_eq!(message(&sent.to_text()), expected.to_text());
        }
    }
}
