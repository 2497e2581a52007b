//! Converts MessagePack to the JSON text of the reference server.
//!
//! The Python serializer stores objects without a MessagePack form as extensions: a list of module,
//! class and parts. The third item is shown.

use std::fmt::Write as _;

use super::numpy;
use super::reader::{Item, Reader};
use super::text::push_text;
use super::unreadable::{MAX_DECODED, MAX_DEPTH, Unreadable};
use crate::json::Raw;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

/// Extension codes of the Python serializer.
mod code {
    /// A class with one argument.
    pub(super) const ONE_ARGUMENT: i8 = 0;
    /// The last of the codes for a class and its parts.
    pub(super) const PYDANTIC_V2: i8 = 5;
    /// A numpy array.
    pub(super) const NUMPY: i8 = 6;
    /// A snapshot of a delta channel.
    pub(super) const DELTA_SNAPSHOT: i8 = 7;
}

/// The JSON text of one value, which must use all of the bytes.
pub(super) fn to_json(bytes: &[u8]) -> Result<Raw, Unreadable> {
    let mut out = String::with_capacity(bytes.len() + bytes.len() / 4);
    let mut reader = Reader { rest: bytes };
    reader.value(&mut out, 0)?;
    if !reader.rest.is_empty() {
        return Err(Unreadable::Malformed);
    }
    Ok(Raw::stored(out))
}

impl Reader<'_> {
    /// Writes the value that begins here.
    fn value(&mut self, out: &mut String, depth: usize) -> Result<(), Unreadable> {
        if depth > MAX_DEPTH {
            return Err(Unreadable::TooDeep);
        }
        if out.len() > MAX_DECODED {
            return Err(Unreadable::TooLarge);
        }
        match self.item()? {
            Item::List(length) => {
                out.push('[');
                for index in 0..length {
                    if index > 0 {
                        out.push(',');
                    }
                    self.value(out, depth + 1)?;
                }
                out.push(']');
            }
            Item::Map(length) => {
                out.push('{');
                for index in 0..length {
                    if index > 0 {
                        out.push(',');
                    }
                    self.key(out, depth + 1)?;
                    out.push(':');
                    self.value(out, depth + 1)?;
                }
                out.push('}');
            }
            Item::Extension(code, payload) => extension(code, payload, out, depth + 1)?,
            item => item.write(out),
        }
        Ok(())
    }

    /// Writes a key, which is always a string in JSON.
    fn key(&mut self, out: &mut String, depth: usize) -> Result<(), Unreadable> {
        let start = out.len();
        self.value(out, depth)?;
        let is_text = out.get(start..).is_some_and(|key| key.starts_with('"'));
        if !is_text {
            let key = out.split_off(start);
            push_text(out, &key);
        }
        Ok(())
    }
}

impl Item<'_> {
    fn write(self, out: &mut String) {
        // Writing to a text cannot fail.
        let _ = match self {
            Item::Bool(value) => write!(out, "{value}"),
            Item::Unsigned(number) => write!(out, "{number}"),
            Item::Signed(number) => write!(out, "{number}"),
            // NaN and infinities are null, as in all JSON of the reference server.
            Item::Float(number) => {
                out.push_str(&serde_json::to_string(&number).unwrap_or_default());
                Ok(())
            }
            Item::Single(number) => {
                out.push_str(&serde_json::to_string(&number).unwrap_or_default());
                Ok(())
            }
            Item::Text(bytes) => {
                match std::str::from_utf8(bytes) {
                    Ok(value) => push_text(out, value),
                    Err(_) => push_text(out, &String::from_utf8_lossy(bytes)),
                }
                Ok(())
            }
            Item::Bytes(bytes) => {
                out.push('"');
                BASE64_STANDARD.encode_string(bytes, out);
                out.push('"');
                Ok(())
            }
            Item::Nil | Item::List(_) | Item::Map(_) | Item::Extension(..) => {
                out.push_str("null");
                Ok(())
            }
        };
    }
}

/// Writes the value of an extension.
fn extension(code: i8, payload: &[u8], out: &mut String, depth: usize) -> Result<(), Unreadable> {
    let mut reader = Reader { rest: payload };
    match code {
        code::ONE_ARGUMENT..=code::PYDANTIC_V2 => {
            if reader.list()? < 3 {
                return Err(Unreadable::Malformed);
            }
            let (module, class) = (reader.bytes()?, reader.bytes()?);
            let start = out.len();
            reader.value(out, depth)?;
            if code == code::ONE_ARGUMENT && module == b"uuid" && class == b"UUID" {
                hyphenate(out, start);
            }
            Ok(())
        }
        code::NUMPY => numpy::write(&mut reader, out),
        code::DELTA_SNAPSHOT => reader.value(out, depth),
        other => Err(Unreadable::Extension(other)),
    }
}

/// Inserts the hyphens into a UUID that was stored as 32 digits.
fn hyphenate(out: &mut String, start: usize) {
    let digits = out.get(start..).unwrap_or_default().trim_matches('"');
    if let (32, Ok(id)) = (digits.len(), uuid::Uuid::try_parse(digits)) {
        out.truncate(start);
        let _ = write!(out, "\"{id}\"");
    }
}
