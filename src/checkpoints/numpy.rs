//! numpy arrays: type, shape, order and bytes, shown as nested lists.

use std::fmt::Write as _;

use super::reader::Reader;
use super::unreadable::{MAX_DECODED, Unreadable};

/// Maximum number of dimensions, as in numpy.
const MAX_DIMENSIONS: usize = 64;

/// Maximum number of empty lists.
const MAX_EMPTY: usize = 65_536;

/// Writes the array at a reader's position.
pub(super) fn write(reader: &mut Reader<'_>, out: &mut String) -> Result<(), Unreadable> {
    if reader.list()? < 4 {
        return Err(Unreadable::Malformed);
    }
    let items = Items::of(reader.bytes()?)?;
    let dimensions = reader.list()?;
    if dimensions > MAX_DIMENSIONS {
        return Err(Unreadable::TooDeep);
    }
    let mut shape = Vec::with_capacity(dimensions);
    for _ in 0..dimensions {
        shape.push(reader.count()?);
    }
    let is_fortran = reader.bytes()? == b"F";
    let bytes = reader.bytes()?;
    let count = shape.iter().try_fold(items.size, |size, of| size.checked_mul(*of));
    if count != Some(bytes.len()) {
        return Err(Unreadable::Malformed);
    }
    // Empty lists need no input bytes, so their number must be limited.
    let lists = shape.iter().take_while(|of| **of > 0);
    if bytes.is_empty() && lists.fold(1, |lists: usize, of| lists.saturating_mul(*of)) > MAX_EMPTY {
        return Err(Unreadable::TooLarge);
    }
    let strides = strides(&shape, is_fortran);
    Array { items, bytes, shape: &shape, strides: &strides }.write(0, 0, out)
}

/// The distance between the items of each dimension, in items.
fn strides(shape: &[usize], is_fortran: bool) -> Vec<usize> {
    let mut strides = vec![1_usize; shape.len()];
    let mut step = 1_usize;
    let indexes: Vec<_> =
        if is_fortran { (0..shape.len()).collect() } else { (0..shape.len()).rev().collect() };
    for index in indexes {
        if let (Some(stride), Some(length)) = (strides.get_mut(index), shape.get(index)) {
            *stride = step;
            step = step.saturating_mul(*length);
        }
    }
    strides
}

/// The type of an array's items.
#[derive(Clone, Copy)]
struct Items {
    is_big_endian: bool,
    kind: u8,
    size: usize,
}

impl Items {
    /// Parses a type such as `<f8` or `|b1`.
    fn of(name: &[u8]) -> Result<Items, Unreadable> {
        let [order, kind, size @ ..] = name else { return Err(Unreadable::Array) };
        let size = std::str::from_utf8(size).ok().and_then(|size| size.parse().ok());
        let size = size.ok_or(Unreadable::Array)?;
        match (kind, size) {
            (b'b', 1) | (b'i' | b'u', 1 | 2 | 4 | 8) | (b'f', 4 | 8) => {
                Ok(Items { is_big_endian: *order == b'>', kind: *kind, size })
            }
            _ => Err(Unreadable::Array),
        }
    }

    fn write(self, bytes: &[u8], out: &mut String) -> Result<(), Unreadable> {
        let mut wide = [0; 8];
        let ordered: Vec<u8> =
            if self.is_big_endian { bytes.to_vec() } else { bytes.iter().rev().copied().collect() };
        let start = wide.len().saturating_sub(ordered.len());
        wide.get_mut(start..).ok_or(Unreadable::Array)?.copy_from_slice(&ordered);
        let number = u64::from_be_bytes(wide);
        let unused = u32::try_from(64 - 8 * self.size).map_err(|_| Unreadable::Array)?;
        let _ = match self.kind {
            b'b' => write!(out, "{}", number != 0),
            b'u' => write!(out, "{number}"),
            b'i' => write!(out, "{}", (number << unused).cast_signed() >> unused),
            _ => {
                let float = if self.size == 4 {
                    let low = u32::try_from(number).map_err(|_| Unreadable::Array)?;
                    serde_json::to_string(&f32::from_bits(low))
                } else {
                    serde_json::to_string(&f64::from_bits(number))
                };
                out.push_str(&float.unwrap_or_default());
                Ok(())
            }
        };
        Ok(())
    }
}

struct Array<'a> {
    items: Items,
    bytes: &'a [u8],
    shape: &'a [usize],
    strides: &'a [usize],
}

impl Array<'_> {
    fn write(&self, dimension: usize, place: usize, out: &mut String) -> Result<(), Unreadable> {
        if out.len() > MAX_DECODED {
            return Err(Unreadable::TooLarge);
        }
        let (Some(length), Some(stride)) = (self.shape.get(dimension), self.strides.get(dimension))
        else {
            let start = place * self.items.size;
            let item = self.bytes.get(start..start + self.items.size);
            return self.items.write(item.ok_or(Unreadable::Malformed)?, out);
        };
        out.push('[');
        for index in 0..*length {
            if index > 0 {
                out.push(',');
            }
            self.write(dimension + 1, place + index * stride, out)?;
        }
        out.push(']');
        Ok(())
    }
}
