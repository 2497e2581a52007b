//! One stored value: its type and its bytes.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::{AesKey, json, msgpack};
use crate::json::Raw;

/// Most levels of lists, maps and extensions in each other.
pub const MAX_DEPTH: usize = 512;

/// Most bytes of JSON that one value may become.
pub const MAX_DECODED: usize = 64 * 1024 * 1024;

/// Why a stored value cannot be shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It is a Python pickle, which is a program.
    #[error("a pickle, which only Python can read")]
    Pickle,
    /// It is encrypted, and there is no key.
    #[error("encrypted, and LANGGRAPH_AES_KEY is not set")]
    NoKey,
    /// It is encrypted with another key, or was changed.
    #[error("encrypted with another key than LANGGRAPH_AES_KEY")]
    WrongKey,
    /// A serializer that is not known.
    #[error("of the type {0}, which is not known")]
    Type(String),
    /// An extension of MessagePack that is not known.
    #[error("with an extension of MessagePack that is not known: {0}")]
    Extension(i8),
    /// An array of numpy whose items are no plain numbers.
    #[error("an array of numpy of a type that is not known")]
    Array,
    /// The bytes are not what the type says.
    #[error("damaged")]
    Malformed,
    /// More levels than [`MAX_DEPTH`].
    #[error("nested more than {MAX_DEPTH} levels deep")]
    TooDeep,
    /// More than [`MAX_DECODED`].
    #[error("larger than {MAX_DECODED} bytes")]
    TooLarge,
    /// A delta channel between two snapshots whose reducer is the agent's own.
    #[error("a delta channel whose reducer is not known")]
    Reducer,
    /// A delta channel of which a part is missing.
    #[error("a delta channel with a gap in its history")]
    Gap,
}

/// The JSON text of a stored value. `None`: there is none.
pub fn decode(r#type: &str, bytes: &[u8], key: Option<&AesKey>) -> Result<Option<Raw>, Unreadable> {
    if bytes.len() > MAX_DECODED {
        return Err(Unreadable::TooLarge);
    }
    if let Some((plain, cipher)) = r#type.split_once('+') {
        if cipher != "aes" {
            return Err(unknown(r#type));
        }
        let bytes = key.ok_or(Unreadable::NoKey)?.decrypt(bytes).ok_or(Unreadable::WrongKey)?;
        return decode_plain(plain, &bytes);
    }
    decode_plain(r#type, bytes)
}

fn decode_plain(r#type: &str, bytes: &[u8]) -> Result<Option<Raw>, Unreadable> {
    match r#type {
        "msgpack" => msgpack::to_json(bytes).map(Some),
        "json" => json::to_json(bytes),
        "null" => Ok(Some(Raw::default())),
        "empty" => Ok(None),
        "bytes" | "bytearray" => {
            Ok(Some(Raw::stored(format!("\"{}\"", BASE64_STANDARD.encode(bytes)))))
        }
        "pickle" => Err(Unreadable::Pickle),
        other => Err(unknown(other)),
    }
}

fn unknown(r#type: &str) -> Unreadable {
    Unreadable::Type(r#type.chars().filter(|c| !c.is_control()).take(40).collect())
}
