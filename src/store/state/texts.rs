//! Arrays of texts, parsed without a copy of each.

use sqlx::error::BoxDynError;
use sqlx::postgres::{PgTypeInfo, PgValueRef};
use sqlx::{Decode, Postgres, Type};

/// The items of a `text[]` of one dimension, as they are in the row.
#[derive(Debug, Default)]
pub(super) struct Texts<'r>(pub(super) Vec<Option<&'r str>>);

impl Type<Postgres> for Texts<'_> {
    fn type_info() -> PgTypeInfo {
        <Vec<String> as Type<Postgres>>::type_info()
    }
}

/// Parses the binary form: the number of dimensions, a flag, the type, length and first index of
/// the dimension, then each item after its length.
impl<'r> Decode<'r, Postgres> for Texts<'r> {
    fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
        let mut reader = Reader(value.as_bytes()?);
        let dimensions = reader.number()?;
        reader.take(8)?;
        if dimensions == 0 {
            return Ok(Texts::default());
        }
        if dimensions != 1 {
            return Err("an array of several dimensions".into());
        }
        let length = usize::try_from(reader.number()?)?;
        reader.take(4)?;
        let item = |_| match usize::try_from(reader.number()?) {
            Ok(bytes) => Ok(Some(std::str::from_utf8(reader.take(bytes)?)?)),
            // A length of -1 means null.
            Err(_) => Ok(None),
        };
        (0..length).map(item).collect::<Result<_, BoxDynError>>().map(Texts)
    }
}

struct Reader<'r>(&'r [u8]);

impl<'r> Reader<'r> {
    fn take(&mut self, bytes: usize) -> Result<&'r [u8], BoxDynError> {
        let (taken, rest) = self.0.split_at_checked(bytes).ok_or("an array that ends early")?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self) -> Result<i32, BoxDynError> {
        Ok(i32::from_be_bytes(self.take(4)?.try_into()?))
    }
}
