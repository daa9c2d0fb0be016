//! Typed tags of a BAM record as text and numbers.

use std::io::Write;

use crate::error::{Error, Result};

/// One tag: name, type letter and the bytes of its value (strings without NUL).
#[derive(Clone, Copy)]
pub struct Tag<'a> {
    pub name: [u8; 2],
    pub kind: u8,
    pub value: &'a [u8],
}

/// Iterate over the tags of a record.
pub fn tags(data: &[u8]) -> Tags<'_> {
    Tags { data }
}

/// The tag of that name, if the record has it.
pub fn find<'a>(data: &'a [u8], name: &[u8; 2]) -> Result<Option<Tag<'a>>> {
    tags(data).find(|tag| !matches!(tag, Ok(tag) if &tag.name != name)).transpose()
}

pub struct Tags<'a> {
    data: &'a [u8],
}

impl<'a> Iterator for Tags<'a> {
    type Item = Result<Tag<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.data.is_empty() {
            return None;
        }
        let tag = self.split();
        if tag.is_none() {
            self.data = &[];
        }
        Some(tag.ok_or_else(bad))
    }
}

fn bad() -> Error {
    Error::corrupt("the tags of a record are damaged")
}

impl<'a> Tags<'a> {
    fn split(&mut self) -> Option<Tag<'a>> {
        let (&[a, b, kind], rest) = self.data.split_first_chunk::<3>()?;
        let (length, skip) = value_length(kind, rest)?;
        let value = rest.get(..length)?;
        self.data = rest.get(length + skip..)?;
        Some(Tag { name: [a, b], kind, value })
    }
}

/// Length of a value, and of what closes it.
fn value_length(kind: u8, rest: &[u8]) -> Option<(usize, usize)> {
    match kind {
        b'Z' | b'H' => Some((memchr::memchr(0, rest)?, 1)),
        b'B' => {
            let (&[of, a, b, c, d], _) = rest.split_first_chunk::<5>()?;
            let count = u32::from_le_bytes([a, b, c, d]) as usize;
            Some((count.checked_mul(width(of)?)?.checked_add(5)?, 0))
        }
        kind => Some((width(kind)?, 0)),
    }
}

fn width(kind: u8) -> Option<usize> {
    match kind {
        b'A' | b'c' | b'C' => Some(1),
        b's' | b'S' => Some(2),
        b'i' | b'I' | b'f' => Some(4),
        _ => None,
    }
}

/// The integer that the bytes hold under a type letter.
fn integer(kind: u8, bytes: &[u8]) -> Option<i64> {
    match (kind, bytes) {
        (b'c', &[a]) => Some((a as i8).into()),
        (b'C', &[a]) => Some(a.into()),
        (b's', &[a, b]) => Some(i16::from_le_bytes([a, b]).into()),
        (b'S', &[a, b]) => Some(u16::from_le_bytes([a, b]).into()),
        (b'i', &[a, b, c, d]) => Some(i32::from_le_bytes([a, b, c, d]).into()),
        (b'I', &[a, b, c, d]) => Some(u32::from_le_bytes([a, b, c, d]).into()),
        _ => None,
    }
}

impl Tag<'_> {
    pub fn integer(&self) -> Option<i64> {
        integer(self.kind, self.value)
    }

    pub fn float(&self) -> Option<f64> {
        match (self.kind, self.value) {
            (b'f', &[a, b, c, d]) => Some(f32::from_le_bytes([a, b, c, d]).into()),
            _ => self.integer().map(|value| value as f64),
        }
    }

    /// Append the value as SAM text.
    pub fn write_value(&self, out: &mut Vec<u8>) {
        match self.kind {
            b'A' | b'Z' | b'H' => out.extend_from_slice(self.value),
            b'B' => write_array(self.value, out),
            kind => write_number(kind, self.value, out),
        }
    }

    /// Append `NM:i:5`.
    pub fn write(&self, out: &mut Vec<u8>) {
        let letter = if width(self.kind).is_some_and(|_| !b"Af".contains(&self.kind)) { b'i' } else { self.kind };
        out.extend_from_slice(&[self.name[0], self.name[1], b':', letter, b':']);
        self.write_value(out);
    }
}

fn write_array(value: &[u8], out: &mut Vec<u8>) {
    let of = value[0];
    out.push(of);
    for item in value[5..].chunks_exact(width(of).unwrap_or(1)) {
        out.push(b',');
        write_number(of, item, out);
    }
}

fn write_number(kind: u8, bytes: &[u8], out: &mut Vec<u8>) {
    match (integer(kind, bytes), bytes) {
        (Some(value), _) => display(out, value),
        (None, &[a, b, c, d]) => write_float(f32::from_le_bytes([a, b, c, d]), out),
        _ => {}
    }
}

/// As `%g` of C, in which SAM writes floats.
fn write_float(value: f32, out: &mut Vec<u8>) {
    if !value.is_finite() || value == 0.0 {
        return display(out, if value.is_nan() { "nan".to_owned() } else { value.to_string() });
    }
    let text = format!("{value:.5e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let power: i32 = exponent.parse().unwrap_or(0);
    if (-4..6).contains(&power) {
        return out.extend_from_slice(trim(&format!("{value:.*}", (5 - power) as usize)).as_bytes());
    }
    let sign = if power < 0 { '-' } else { '+' };
    display(out, format_args!("{}e{sign}{:02}", trim(digits), power.abs()));
}

fn trim(digits: &str) -> &str {
    if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { digits }
}

fn display(out: &mut Vec<u8>, value: impl std::fmt::Display) {
    // Writing to a vector cannot fail.
    let _ = write!(out, "{value}");
}
