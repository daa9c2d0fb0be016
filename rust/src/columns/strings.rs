//! Text columns: values of Z and H tags.
//!
//! First byte the mode: a `DICTIONARY` of NUL-terminated words and an index byte each; `TERMINATED` values one after the
//! other; or lengths and `PLAIN` bytes.

use std::collections::HashMap;

use super::ints;
use crate::codecs;
use crate::error::{corrupt, Result};
use crate::mixing;
use crate::stream::{Reader, Writer};

const DICTIONARY: u64 = 0;
const TERMINATED: u64 = 1;
const PLAIN: u64 = 2;
/// As `PLAIN`, coded like qualities: such are the values of OQ, BD and BI.
const MIXED: u64 = 3;

/// Append a column of values without NUL.
pub fn write(out: &mut Writer, values: &[&[u8]]) {
    if let Some((words, indexes)) = dictionary(values) {
        out.varint(DICTIONARY);
        write_text(out, &terminated(&words));
        return out.bytes(&indexes);
    }
    let lengths: Vec<i64> = values.iter().map(|value| value.len() as i64).collect();
    let same_length = lengths.windows(2).all(|pair| pair[0] == pair[1]);
    let long = lengths.iter().sum::<i64>() > 64 * lengths.len() as i64;
    if same_length || long {
        write_plain(out, values, &lengths);
    } else {
        out.varint(TERMINATED);
        write_text(out, &terminated(values));
    }
}

fn write_plain(out: &mut Writer, values: &[&[u8]], lengths: &[i64]) {
    let joined = values.concat();
    let text = codecs::compress_text(&joined, out.effort());
    let records: Vec<u32> = lengths.iter().map(|&length| length as u32).collect();
    let mixed = mixing::if_smaller(&joined, &records, out.effort(), text.len());
    out.varint(if mixed.is_some() { MIXED } else { PLAIN });
    ints::write(out, lengths);
    out.coded(joined.len(), &mixed.unwrap_or(text));
}

fn write_text(out: &mut Writer, raw: &[u8]) {
    let coded = codecs::compress_text(raw, out.effort());
    out.coded(raw.len(), &coded);
}

fn terminated(values: &[&[u8]]) -> Vec<u8> {
    values.iter().flat_map(|value| value.iter().copied().chain([0])).collect()
}

fn dictionary<'a>(values: &[&'a [u8]]) -> Option<(Vec<&'a [u8]>, Vec<u8>)> {
    let (mut words, mut places) = (Vec::new(), HashMap::new());
    let mut indexes = Vec::with_capacity(values.len());
    for &value in values {
        let index = *places.entry(value).or_insert(words.len());
        if index == words.len() {
            words.push(value);
        }
        indexes.push(u8::try_from(index).ok()?);
    }
    (words.len() * 4 < values.len().max(5)).then_some((words, indexes))
}

/// The values of a text column.
pub struct Strings {
    data: Vec<u8>,
    range: Vec<(u32, u32)>,
}

impl Strings {
    pub fn get(&self, at: usize) -> Option<&[u8]> {
        let &(start, end) = self.range.get(at)?;
        Some(&self.data[start as usize..end as usize])
    }
}

/// Read a column of `count` values.
pub fn read(input: &mut Reader, count: usize) -> Result<Strings> {
    match input.varint()? {
        DICTIONARY => {
            let words = split(input.bytes()?)?;
            let word = |index: u8| words.range.get(usize::from(index)).copied();
            let range = input.exactly(count)?.into_iter().map(word).collect::<Option<_>>();
            Ok(Strings { range: range.ok_or_else(mismatch)?, data: words.data })
        }
        TERMINATED => split(input.bytes()?).and_then(|all| {
            if all.range.len() == count {
                Ok(all)
            } else {
                Err(mismatch())
            }
        }),
        PLAIN => plain(ints::read(input, count)?, input.bytes()?),
        MIXED => {
            let lengths = ints::read(input, count)?;
            let data = mixing::read(input, &super::position::narrow(lengths.clone())?)?;
            plain(lengths, data)
        }
        _ => Err(corrupt("unknown text coding")),
    }
}

/// Pass over a column.
pub fn skip(input: &mut Reader) -> Result<()> {
    match input.varint()? {
        DICTIONARY => (0..2).try_for_each(|_| input.skip()),
        TERMINATED => input.skip(),
        PLAIN | MIXED => {
            ints::skip(input)?;
            input.skip()
        }
        _ => Err(corrupt("unknown text coding")),
    }
}

fn mismatch() -> crate::error::Error {
    corrupt("a text column does not fit its records")
}

fn split(data: Vec<u8>) -> Result<Strings> {
    let mut start = 0;
    let range = memchr::memchr_iter(0, &data)
        .map(|end| (std::mem::replace(&mut start, end as u32 + 1), end as u32))
        .collect();
    if start as usize != data.len() {
        return Err(mismatch());
    }
    Ok(Strings { data, range })
}

fn plain(lengths: Vec<i64>, data: Vec<u8>) -> Result<Strings> {
    let mut end = 0usize;
    let mut range = Vec::with_capacity(lengths.len());
    for length in lengths {
        let start = end;
        let length = usize::try_from(length).map_err(|_| mismatch())?;
        end = end.checked_add(length).filter(|&end| end <= data.len()).ok_or_else(mismatch)?;
        range.push((start as u32, end as u32));
    }
    Ok(Strings { data, range })
}
