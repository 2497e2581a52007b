//! MessagePack as JSON text, as the reference server shows it.
//!
//! The Python serializer puts what MessagePack has no form for into extensions: a list of module,
//! class and the parts. The third item is what is shown.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rmp::Marker;

use super::numpy;
use super::stored::{MAX_DECODED, MAX_DEPTH, Unreadable};
use crate::json::Raw;

/// Extension codes of the Python serializer.
mod code {
    /// A class that takes one argument.
    pub(super) const ONE_ARGUMENT: i8 = 0;
    /// The last one of a class and its parts.
    pub(super) const PYDANTIC_V2: i8 = 5;
    /// An array of numpy.
    pub(super) const NUMPY: i8 = 6;
    /// A snapshot of a delta channel.
    pub(super) const DELTA_SNAPSHOT: i8 = 7;
}

/// The JSON text of one value, which must take all of the bytes.
pub(super) fn to_json(bytes: &[u8]) -> Result<Raw, Unreadable> {
    let mut out = String::with_capacity(bytes.len() + bytes.len() / 4);
    let mut reader = Reader { rest: bytes };
    reader.value(&mut out, 0)?;
    if !reader.rest.is_empty() {
        return Err(Unreadable::Malformed);
    }
    Ok(Raw::stored(out))
}

/// What is left to read.
pub(super) struct Reader<'a> {
    pub(super) rest: &'a [u8],
}

/// A value that has no others in it, or the head of one that has.
enum Item<'a> {
    Nil,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Single(f32),
    Text(&'a [u8]),
    Bytes(&'a [u8]),
    List(usize),
    Map(usize),
    Extension(i8, &'a [u8]),
}

impl<'a> Reader<'a> {
    fn take(&mut self, bytes: usize) -> Result<&'a [u8], Unreadable> {
        let (taken, rest) = self.rest.split_at_checked(bytes).ok_or(Unreadable::Malformed)?;
        self.rest = rest;
        Ok(taken)
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], Unreadable> {
        self.take(N)?.try_into().map_err(|_| Unreadable::Malformed)
    }

    /// A length in one, two or four bytes.
    fn length(&mut self, bytes: usize) -> Result<usize, Unreadable> {
        let number = self.take(bytes)?.iter().fold(0_u32, |sum, byte| sum << 8 | u32::from(*byte));
        usize::try_from(number).map_err(|_| Unreadable::TooLarge)
    }

    fn extension(&mut self, length: usize) -> Result<Item<'a>, Unreadable> {
        let [code] = self.fixed()?;
        Ok(Item::Extension(i8::from_be_bytes([code]), self.take(length)?))
    }

    fn item(&mut self) -> Result<Item<'a>, Unreadable> {
        let [byte] = self.fixed()?;
        Ok(match Marker::from_u8(byte) {
            Marker::Null => Item::Nil,
            Marker::False => Item::Bool(false),
            Marker::True => Item::Bool(true),
            Marker::FixPos(number) => Item::Unsigned(number.into()),
            Marker::FixNeg(number) => Item::Signed(number.into()),
            Marker::U8 => Item::Unsigned(u8::from_be_bytes(self.fixed()?).into()),
            Marker::U16 => Item::Unsigned(u16::from_be_bytes(self.fixed()?).into()),
            Marker::U32 => Item::Unsigned(u32::from_be_bytes(self.fixed()?).into()),
            Marker::U64 => Item::Unsigned(u64::from_be_bytes(self.fixed()?)),
            Marker::I8 => Item::Signed(i8::from_be_bytes(self.fixed()?).into()),
            Marker::I16 => Item::Signed(i16::from_be_bytes(self.fixed()?).into()),
            Marker::I32 => Item::Signed(i32::from_be_bytes(self.fixed()?).into()),
            Marker::I64 => Item::Signed(i64::from_be_bytes(self.fixed()?)),
            Marker::F32 => Item::Single(f32::from_be_bytes(self.fixed()?)),
            Marker::F64 => Item::Float(f64::from_be_bytes(self.fixed()?)),
            Marker::FixStr(length) => Item::Text(self.take(length.into())?),
            Marker::Str8 => Item::Text(self.counted(1)?),
            Marker::Str16 => Item::Text(self.counted(2)?),
            Marker::Str32 => Item::Text(self.counted(4)?),
            Marker::Bin8 => Item::Bytes(self.counted(1)?),
            Marker::Bin16 => Item::Bytes(self.counted(2)?),
            Marker::Bin32 => Item::Bytes(self.counted(4)?),
            Marker::FixArray(length) => Item::List(length.into()),
            Marker::Array16 => Item::List(self.length(2)?),
            Marker::Array32 => Item::List(self.length(4)?),
            Marker::FixMap(length) => Item::Map(length.into()),
            Marker::Map16 => Item::Map(self.length(2)?),
            Marker::Map32 => Item::Map(self.length(4)?),
            Marker::FixExt1 => self.extension(1)?,
            Marker::FixExt2 => self.extension(2)?,
            Marker::FixExt4 => self.extension(4)?,
            Marker::FixExt8 => self.extension(8)?,
            Marker::FixExt16 => self.extension(16)?,
            Marker::Ext8 => self.counted_extension(1)?,
            Marker::Ext16 => self.counted_extension(2)?,
            Marker::Ext32 => self.counted_extension(4)?,
            Marker::Reserved => return Err(Unreadable::Malformed),
        })
    }

    fn counted(&mut self, bytes: usize) -> Result<&'a [u8], Unreadable> {
        let length = self.length(bytes)?;
        self.take(length)
    }

    fn counted_extension(&mut self, bytes: usize) -> Result<Item<'a>, Unreadable> {
        let length = self.length(bytes)?;
        self.extension(length)
    }

    /// The number of items of a list that begins here.
    pub(super) fn list(&mut self) -> Result<usize, Unreadable> {
        match self.item()? {
            Item::List(length) => Ok(length),
            _ => Err(Unreadable::Malformed),
        }
    }

    /// A text or bytes that begin here.
    pub(super) fn bytes(&mut self) -> Result<&'a [u8], Unreadable> {
        match self.item()? {
            Item::Text(bytes) | Item::Bytes(bytes) => Ok(bytes),
            _ => Err(Unreadable::Malformed),
        }
    }

    /// A number of items that begins here.
    pub(super) fn count(&mut self) -> Result<usize, Unreadable> {
        match self.item()? {
            Item::Unsigned(number) => usize::try_from(number).map_err(|_| Unreadable::TooLarge),
            _ => Err(Unreadable::Malformed),
        }
    }

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

    /// Writes a key, which is a text in JSON whatever it was.
    fn key(&mut self, out: &mut String, depth: usize) -> Result<(), Unreadable> {
        let start = out.len();
        self.value(out, depth)?;
        let is_text = out.get(start..).is_some_and(|key| key.starts_with('"'));
        if !is_text {
            let key = out.split_off(start);
            text(out, &key);
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
            // What is no number is null, as in all JSON of the reference server.
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
                    Ok(value) => text(out, value),
                    Err(_) => text(out, &String::from_utf8_lossy(bytes)),
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

/// Writes what an extension stands for.
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

/// Puts the hyphens into a UUID, which was stored as 32 digits.
fn hyphenate(out: &mut String, start: usize) {
    let digits = out.get(start..).unwrap_or_default().trim_matches('"');
    if let (32, Ok(id)) = (digits.len(), uuid::Uuid::try_parse(digits)) {
        out.truncate(start);
        let _ = write!(out, "\"{id}\"");
    }
}

/// Writes a JSON string. U+0000 becomes U+FFFD, as on the reference server: `jsonb` cannot hold it.
pub(super) fn text(out: &mut String, value: &str) {
    out.push('"');
    let mut plain = 0;
    for (index, byte) in value.bytes().enumerate() {
        let escape = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0x08 => "\\b",
            0x0C => "\\f",
            0 => "\u{FFFD}",
            1..=0x1F => "",
            _ => continue,
        };
        // An escaped byte is a whole character.
        out.push_str(value.get(plain..index).unwrap_or_default());
        if escape.is_empty() {
            let _ = write!(out, "\\u{byte:04x}");
        } else {
            out.push_str(escape);
        }
        plain = index + 1;
    }
    out.push_str(value.get(plain..).unwrap_or_default());
    out.push('"');
}
