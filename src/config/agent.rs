//! The agent that runs are forwarded to.

use secrecy::SecretString;
use url::Url;

use super::values::{choice, http_url, one_of};
use super::{ConfigError, wrong};
use crate::agent::{Area, Options};

const AREAS: [(&str, Area); 4] = [
    ("assistants", Area::Assistants),
    ("store", Area::Store),
    ("crons", Area::Crons),
    ("cancel", Area::Cancel),
];

/// The settings of the agent, before they are checked together.
#[derive(clap::Args)]
pub(super) struct AgentArguments {
    /// Agent that runs are forwarded to: a LangGraph server or a service that speaks its runs
    /// protocol. Unset: runs are not served
    #[arg(long = "agent-url", env = "AGENT_URL")]
    #[arg(value_name = "URL", value_parser = http_url)]
    url: Option<Url>,

    /// Key that is sent to the agent as `x-api-key`, so that it can refuse requests that do not
    /// come from this server
    #[arg(long = "agent-api-key", env = "AGENT_API_KEY", hide_env_values = true)]
    #[arg(value_name = "KEY", value_parser = api_key)]
    api_key: Option<SecretString>,

    /// Whether the agent gets the caller's access token as `Authorization`: `true` or `false`
    #[arg(long = "agent-forward-token", env = "AGENT_FORWARD_TOKEN", default_value = "false")]
    #[arg(action = clap::ArgAction::Set)]
    #[arg(value_name = "BOOLEAN", value_parser = choice(&[("true", true), ("false", false)]))]
    forward_token: bool,

    /// Routes that are forwarded although they name no thread, separated by commas: `assistants`
    /// (writing them), `store`, `crons`, `cancel` (by status). Only for an agent that separates
    /// users by `X-Forwarded-User`. Unset: none
    #[arg(long = "agent-forward", env = "AGENT_FORWARD")]
    #[arg(value_name = "AREAS", value_parser = areas)]
    forward: Option<Areas>,

    /// Key in a run's metadata and configuration for the id of the run's user. It replaces a value
    /// that the client sends
    #[arg(long = "agent-owner-key", env = "AGENT_OWNER_KEY", default_value = "user_id")]
    #[arg(value_name = "KEY", value_parser = owner_key)]
    owner_key: String,
}

/// Parts of an agent's API. A separate type, because `clap` treats a `Vec` as several values.
#[derive(Debug, Clone)]
struct Areas(Vec<Area>);

impl AgentArguments {
    /// The agent, if there is one. `own` tells whether a URL is that of this server.
    pub(super) fn agent(self, own: impl Fn(&Url) -> bool) -> Result<Option<Options>, ConfigError> {
        let Some(url) = self.url else {
            return match (self.api_key, self.forward, self.forward_token) {
                (Some(_), ..) => Err(needs_url("AGENT_API_KEY")),
                (_, Some(_), _) => Err(needs_url("AGENT_FORWARD")),
                (.., true) => Err(needs_url("AGENT_FORWARD_TOKEN")),
                _ => Ok(None),
            };
        };
        if own(&url) {
            return Err(wrong("AGENT_URL", "must not be this server's own address"));
        }
        Ok(Some(Options {
            url,
            api_key: self.api_key,
            forward_token: self.forward_token,
            forward: self.forward.map(|Areas(areas)| areas).unwrap_or_default(),
            owner_key: self.owner_key,
        }))
    }
}

fn needs_url(setting: &'static str) -> ConfigError {
    wrong(setting, "must not be set without AGENT_URL")
}

fn api_key(text: &str) -> Result<SecretString, &'static str> {
    let key = text.trim();
    if key.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(SecretString::from(key))
    } else {
        Err("must be an API key, which has no spaces")
    }
}

fn areas(text: &str) -> Result<Areas, String> {
    let names: Vec<_> = AREAS.iter().map(|(name, _)| *name).collect();
    let area = |word: &str| {
        let known = AREAS.iter().find(|(name, _)| *name == word.trim());
        known
            .map(|(_, area)| *area)
            .ok_or_else(|| format!("must be a list of {}, separated by commas", one_of(&names)))
    };
    text.split(',').map(area).collect::<Result<_, _>>().map(Areas)
}

/// A key without another meaning to an agent.
fn owner_key(text: &str) -> Result<String, &'static str> {
    let key = text.trim();
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    let is_taken = key.starts_with("langgraph_")
        || ["thread_id", "run_id", "checkpoint_id", "checkpoint_ns", "checkpoint_map"]
            .contains(&key);
    if key.len() > 64 || !key.bytes().all(is_word) {
        Err("must be a key of at most 64 letters, digits, `_`, `-` and `.`")
    } else if is_taken {
        Err("must be a key that has no other meaning to an agent")
    } else {
        Ok(key.to_owned())
    }
}
