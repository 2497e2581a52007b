//! Settings for threads of agents that write with LangGraph's own checkpointers.

use clap::Args;

use super::values::text;
use super::{ConfigError, Database};
use crate::checkpoints::AesKey;

/// How agents' values are read.
#[derive(Args)]
pub(super) struct CheckpointArguments {
    /// Key of agents' encrypted values, 16, 24 or 32 bytes: the key of LangGraph's
    /// `EncryptedSerializer`
    #[arg(long, env = "LANGGRAPH_AES_KEY", hide_env_values = true)]
    #[arg(value_name = "KEY", value_parser = aes_key)]
    pub(super) langgraph_aes_key: Option<AesKey>,
}

/// The command line of `attach`, before validation.
#[derive(Args)]
pub(super) struct AttachArguments {
    /// Schema of the agent's tables
    #[arg(long, value_name = "SCHEMA", default_value = "public", value_parser = text)]
    schema: String,

    /// Key in the metadata of checkpoints for the id of a thread's owner, as in the sign-in. Runs
    /// that are forwarded to the agent use the same key
    #[arg(long, env = "AGENT_OWNER_KEY", value_name = "KEY", default_value = "user_id")]
    #[arg(value_parser = text)]
    owner_key: String,
}

/// Tables to attach.
#[derive(Debug, Clone)]
pub struct Attach {
    /// The database that contains them.
    pub database: Database,
    /// Their schema.
    pub schema: String,
    /// The key in the metadata of checkpoints for the id of the owner.
    pub owner_key: String,
    /// The key of encrypted values.
    pub aes_key: Option<AesKey>,
}

impl AttachArguments {
    pub(super) fn attach(
        self,
        database: Result<Database, ConfigError>,
        aes_key: Option<AesKey>,
    ) -> Result<Attach, ConfigError> {
        let AttachArguments { schema, owner_key } = self;
        Ok(Attach { database: database?, schema, owner_key, aes_key })
    }
}

fn aes_key(text: &str) -> Result<AesKey, &'static str> {
    AesKey::new(text.as_bytes()).ok_or("must be 16, 24 or 32 bytes")
}
