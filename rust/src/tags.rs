//! Optional fields (tags) of a BAM record, with every length checked.

use crate::error::{quote, Error, Result};

/// One tag. `value` is the string without its NUL for Z and H, and begins with element type and
/// count for B.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tag<'a> {
    pub name: [u8; 2],
    pub kind: u8,
    pub value: &'a [u8],
    /// The whole tag as it lies in the record.
    pub bytes: &'a [u8],
}

impl<'a> Tag<'a> {
    /// Element type and packed elements of a B array.
    pub fn array(&self) -> Option<(u8, &'a [u8])> {
        (self.kind == b'B').then(|| (self.value[0], &self.value[5..]))
    }
}

/// Iterator over the tags of a record; ends after the first error.
#[derive(Debug, Clone)]
pub struct Tags<'a> {
    rest: &'a [u8],
}

impl<'a> Tags<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Tags { rest: bytes }
    }
}

impl<'a> Iterator for Tags<'a> {
    type Item = Result<Tag<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let bytes = std::mem::take(&mut self.rest);
        match split_tag(bytes) {
            Some((tag, rest)) => {
                self.rest = rest;
                Some(Ok(tag))
            }
            None => Some(Err(malformed(bytes))),
        }
    }
}

/// Size of a value of fixed size.
pub fn fixed_size(kind: u8) -> Option<usize> {
    match kind {
        b'A' | b'c' | b'C' => Some(1),
        b's' | b'S' => Some(2),
        b'i' | b'I' | b'f' => Some(4),
        // Not of the specification, but read and written by htslib.
        b'd' => Some(8),
        _ => None,
    }
}

/// Size of an element of a B array.
pub fn element_size(kind: u8) -> Option<usize> {
    fixed_size(kind).filter(|_| !matches!(kind, b'A' | b'd'))
}

fn split_tag(bytes: &[u8]) -> Option<(Tag<'_>, &[u8])> {
    let &[first, second, kind, ref rest @ ..] = bytes else {
        return None;
    };
    let (value, length) = match kind {
        b'Z' | b'H' => memchr::memchr(0, rest).map(|end| (&rest[..end], end + 1))?,
        b'B' => rest.get(..array_length(rest)?).map(|value| (value, value.len()))?,
        _ => rest.get(..fixed_size(kind)?).map(|value| (value, value.len()))?,
    };
    let (bytes, rest) = bytes.split_at(3 + length);
    Some((Tag { name: [first, second], kind, value, bytes }, rest))
}

fn array_length(rest: &[u8]) -> Option<usize> {
    let &[kind, a, b, c, d, ..] = rest else {
        return None;
    };
    let count = u32::from_le_bytes([a, b, c, d]) as usize;
    element_size(kind)?.checked_mul(count)?.checked_add(5)
}

fn malformed(bytes: &[u8]) -> Error {
    Error::input(format!("tag {} is malformed or cut short", quote(&bytes[..bytes.len().min(12)])))
}
