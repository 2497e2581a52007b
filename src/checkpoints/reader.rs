//! Reads MessagePack, item by item.

use rmp::Marker;

use super::unreadable::Unreadable;

/// The unread bytes.
pub(super) struct Reader<'a> {
    pub(super) rest: &'a [u8],
}

/// A value without nested values, or the head of a value with nested ones.
pub(super) enum Item<'a> {
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

    /// The next value, or its head if it has nested values.
    pub(super) fn item(&mut self) -> Result<Item<'a>, Unreadable> {
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

    /// The number of items of the list at this position.
    pub(super) fn list(&mut self) -> Result<usize, Unreadable> {
        match self.item()? {
            Item::List(length) => Ok(length),
            _ => Err(Unreadable::Malformed),
        }
    }

    /// The text or bytes at this position.
    pub(super) fn bytes(&mut self) -> Result<&'a [u8], Unreadable> {
        match self.item()? {
            Item::Text(bytes) | Item::Bytes(bytes) => Ok(bytes),
            _ => Err(Unreadable::Malformed),
        }
    }

    /// The number of items that is stored at this position.
    pub(super) fn count(&mut self) -> Result<usize, Unreadable> {
        match self.item()? {
            Item::Unsigned(number) => usize::try_from(number).map_err(|_| Unreadable::TooLarge),
            _ => Err(Unreadable::Malformed),
        }
    }
}
