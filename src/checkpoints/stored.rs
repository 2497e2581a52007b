//! One stored value: its type and its bytes.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::cipher::AesKey;
use super::unreadable::{MAX_DECODED, Unreadable};
use super::{json, msgpack};
use crate::json::Raw;

/// The JSON text of a stored value. `None`: it has none.
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
