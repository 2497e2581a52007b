//! The body of a run: the fields that this server reads, and the body that the agent gets.
//!
//! A run's user comes from the credentials and its thread from the path, never from the body. An
//! agent may trust the body, so statements about either in the body are corrected or removed.

use url::Url;
use uuid::Uuid;

use crate::authn::is_loopback;
use crate::http::{Error, parse_uuid};
use crate::json::{Members, Object, Raw, excerpt};

/// The body of a run, parsed in place.
#[derive(Debug)]
pub(super) struct RunBody<'a> {
    members: Members<'a>,
    /// The metadata of the run.
    pub(super) metadata: Object,
    /// Whether a missing thread is to be created.
    pub(super) makes_thread: bool,
    /// The graph or assistant to run.
    pub(super) assistant_id: Option<String>,
}

/// The owner and the thread of a run, for the agent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Whose<'a> {
    /// The key of the owner.
    pub(super) key: &'a str,
    /// The user.
    pub(super) user: &'a str,
    /// The thread.
    pub(super) thread_id: Option<Uuid>,
}

impl<'a> RunBody<'a> {
    /// Parses an object, for the agent at this address.
    pub(super) fn read(text: &'a str, agent: &Url) -> Result<RunBody<'a>, Error> {
        let members = object("request body", text)?;
        let text = |key: &str| {
            let value = members.get(key).filter(|value| *value != "null");
            value.and_then(|value| serde_json::from_str::<String>(value).ok())
        };
        let makes_thread = match (members.get("if_not_exists"), text("if_not_exists").as_deref()) {
            (None, _) | (_, Some("reject")) => false,
            (_, Some("create")) => true,
            _ => return Err(Error::Invalid("if_not_exists: must be reject or create".into())),
        };
        let assistant_id = text("assistant_id");
        if let Some(webhook) = text("webhook") {
            refuse_own_routes(&webhook, agent)?;
        }
        let metadata = match members.get("metadata").filter(|value| *value != "null") {
            None => Object::default(),
            Some(value) => serde_json::from_str(value)
                .map_err(|_| Error::Invalid("metadata: expected an object".into()))?,
        };
        Ok(RunBody { members, metadata, makes_thread, assistant_id })
    }

    /// The keys to add to the metadata of the thread if it does not have them.
    pub(super) fn of_thread(&self) -> Object {
        let Some(assistant_id) = &self.assistant_id else { return Object::default() };
        let graph_id = Some("graph_id").filter(|_| parse_uuid(assistant_id).is_none());
        let keys = graph_id.into_iter().chain(["assistant_id"]);
        keys.map(|key| (key.to_owned(), Raw::from(assistant_id.as_str()))).collect()
    }

    /// The body for the agent, with this metadata and user.
    pub(super) fn for_agent(mut self, whose: Whose<'_>) -> Result<String, Error> {
        self.tell(whose, true)?;
        // The agent has its own threads and may lack this one, which was found to be the user's.
        if whose.thread_id.is_some() {
            self.members.set("if_not_exists", "\"create\"");
        }
        Ok(self.members.to_text())
    }

    /// The same for the parameters of a command, which has no field for creating threads. The
    /// parameters of a command that starts no run get only corrections.
    pub(super) fn params_for_agent(
        mut self,
        whose: Whose<'_>,
        begins: bool,
    ) -> Result<String, Error> {
        self.tell(whose, begins)?;
        Ok(self.members.to_text())
    }

    /// Replaces the client's statements about the user and the thread. `always`: adds the correct
    /// ones even if the client made none.
    fn tell(&mut self, whose: Whose<'_>, always: bool) -> Result<(), Error> {
        let thread_id = whose.thread_id.map(|id| Raw::from(id.to_string().as_str()).into_text());
        let thread_id = thread_id.as_deref();
        let config = configuration(&self.members, &whose, thread_id, always)?;
        let checkpoint = told(&self.members, "checkpoint", &whose, thread_id, false)?;
        let context = told(&self.members, "context", &whose, thread_id, false)?;
        for (key, text) in [("config", config), ("checkpoint", checkpoint), ("context", context)] {
            if let Some(text) = text {
                self.members.set(key, text);
            }
        }
        if always || self.members.get("metadata").is_some() {
            let mut metadata = std::mem::take(&mut self.metadata);
            metadata.insert(whose.key, Raw::from(whose.user));
            self.members.set("metadata", metadata.to_text());
        }
        name_thread(&mut self.members, thread_id);
        Ok(())
    }
}

/// Replaces a thread id in the body, or null, by `thread_id`. `None`: removes it.
fn name_thread(members: &mut Members<'_>, thread_id: Option<&str>) {
    for key in ["thread_id", "threadId"] {
        if members.take(key).is_some()
            && let Some(thread_id) = thread_id
        {
            members.set(key, thread_id.to_owned());
        }
    }
}

fn object<'a>(name: &str, text: &'a str) -> Result<Members<'a>, Error> {
    if !text.trim_start().starts_with('{') {
        return Err(Error::Invalid(format!("{name}: expected an object")));
    }
    let error = |error: serde_json::Error| {
        Error::Invalid(format!("{name}: {}", excerpt(&error.to_string())))
    };
    Members::read(text).map_err(error)
}

/// The `config` of a run.
fn configuration(
    run: &Members<'_>,
    whose: &Whose<'_>,
    thread_id: Option<&str>,
    always: bool,
) -> Result<Option<String>, Error> {
    let sent = run.get("config").filter(|value| *value != "null");
    let mut config = sent.map(|text| object("config", text)).transpose()?.unwrap_or_default();
    // LangGraph refuses a run that has both `context` and `configurable`.
    let has_context = run.get("context").is_some_and(|value| value != "null");
    let is_told = always && (!has_context || config.get("configurable").is_some());
    let configurable = told(&config, "configurable", whose, thread_id, is_told)?;
    let metadata = told(&config, "metadata", whose, thread_id, false)?;
    for (key, text) in [("configurable", configurable), ("metadata", metadata)] {
        if let Some(text) = text {
            config.set(key, text);
        }
    }
    Ok((!config.is_empty() || sent.is_some()).then(|| config.to_text()))
}

/// An object of a run without the client's statements about the user and the thread. `always`: adds
/// the correct ones even if the client made none.
fn told(
    parent: &Members<'_>,
    name: &str,
    whose: &Whose<'_>,
    thread_id: Option<&str>,
    always: bool,
) -> Result<Option<String>, Error> {
    let sent = parent.get(name).filter(|value| *value != "null");
    if sent.is_none() && !always {
        return Ok(None);
    }
    let sent = sent.map(|text| object(name, text)).transpose()?.unwrap_or_default();
    let mut members: Members<'_> =
        sent.into_iter().filter(|(key, _)| !key.starts_with("langgraph_auth_")).collect();
    name_thread(&mut members, thread_id);
    if always || members.get(whose.key).is_some() {
        members.set(whose.key.to_owned(), Raw::from(whose.user).into_text());
    }
    Ok(Some(members.to_text()))
}

/// Refuses a webhook by which the agent would call its own routes, without the checks of this
/// server.
fn refuse_own_routes(webhook: &str, agent: &Url) -> Result<(), Error> {
    let url = Url::parse(webhook).ok();
    let is_elsewhere = url.is_some_and(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.host() != agent.host()
            && url.host().is_some_and(|host| !is_loopback(&host))
    });
    if is_elsewhere {
        return Ok(());
    }
    Err(Error::Invalid("webhook: must be an http:// or https:// URL of another machine".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<RunBody<'_>, Error> {
        RunBody::read(text, &Url::parse("http://agent:8123/x").unwrap())
    }

    const THREAD: Uuid = Uuid::from_u128(0x0195_e6f0_0000_7000_8000_0000_0000_000a);

    fn told(text: &str, thread_id: Option<Uuid>) -> String {
        let whose = Whose { key: "user_id", user: "ada", thread_id };
        let body = text.replace("$T", &THREAD.to_string());
        read(&body).unwrap().for_agent(whose).unwrap().replace(&THREAD.to_string(), "$T")
    }

    #[test]
    fn the_owner_and_the_thread_are_those_of_the_request() {
        let create = r#""if_not_exists":"create""#;
        for (sent, expected) in [
            (
                r#"{"input":{"a": 1.50}}"#,
                r#"{"input":{"a":1.50},"config":{"configurable":{"user_id":"ada"}},"metadata":{"user_id":"ada"},$C}"#,
            ),
            (
                r#"{"config":{"configurable":{"user_id":"bob","langgraph_auth_user_id":"bob","thread_id":null,"x":1}}}"#,
                r#"{"config":{"configurable":{"user_id":"ada","x":1,"thread_id":"$T"}},"metadata":{"user_id":"ada"},$C}"#,
            ),
            (
                r#"{"context":{"user_id":"bob"},"metadata":{"user_id":"bob","k":2}}"#,
                r#"{"context":{"user_id":"ada"},"metadata":{"user_id":"ada","k":2},$C}"#,
            ),
            (
                r#"{"config":{"metadata":{"user_id":"bob"}},"checkpoint":{"thread_id":"{$T}"}}"#,
                r#"{"config":{"metadata":{"user_id":"ada"},"configurable":{"user_id":"ada"}},"checkpoint":{"thread_id":"$T"},"metadata":{"user_id":"ada"},$C}"#,
            ),
        ] {
            assert_eq!(told(sent, Some(THREAD)), expected.replace("$C", create), "{sent}");
        }
        assert_eq!(
            told(r#"{"config":{"configurable":{"thread_id":null}}}"#, None),
            r#"{"config":{"configurable":{"user_id":"ada"}},"metadata":{"user_id":"ada"}}"#
        );
    }

    #[test]
    fn what_is_no_object_and_a_webhook_to_the_agent_itself_are_refused() {
        for text in [
            r#"{"config":[]}"#,
            r#"{"config":{"configurable":"x"}}"#,
            r#"{"metadata":1}"#,
            r#"{"checkpoint":"x"}"#,
            r#"{"if_not_exists":null}"#,
            r#"{"webhook":"/threads/x/runs"}"#,
            r#"{"webhook":"http://127.1:8123/"}"#,
            r#"{"webhook":"http://[::1]/"}"#,
            r#"{"webhook":"http://AGENT:8123/threads"}"#,
        ] {
            let whose = Whose { key: "user_id", user: "ada", thread_id: None };
            let read = read(text).and_then(|body| body.for_agent(whose));
            assert!(read.is_err(), "{text}");
        }
        assert!(read(r#"{"webhook":"https://hooks.example/x"}"#).is_ok());
    }
}
