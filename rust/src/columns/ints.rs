//! Integer columns: one coding for positions, lengths, counts and residuals.
//!
//! First byte the mode, then
//! * `BYTES`: zig-zag values below 255 as bytes; 255 announces the next of a list of varints;
//! * `PLANES`: `w` planes of bytes of the zig-zag values, lowest first;
//! * `DICTIONARY`: up to 255 distinct values (varints) and an index byte each.

use crate::error::{corrupt, Result};
use crate::stream::{get_varint, put_varint, unzigzag, zigzag, Reader, Writer};

const BYTES: u64 = 0;
const PLANES: u64 = 1;
const DICTIONARY: u64 = 2;
const ESCAPE: u64 = 255;

/// Append a column of integers.
pub fn write(out: &mut Writer, values: &[i64]) {
    let coded: Vec<u64> = values.iter().map(|&value| zigzag(value)).collect();
    let wide = coded.iter().map(|&value| usize::from(value >= ESCAPE)).sum::<usize>();
    if wide == 0 {
        return write_bytes(out, &coded, wide);
    }
    match dictionary(&coded) {
        Some((words, indexes)) => write_dictionary(out, &words, &indexes),
        None if wide * 4 > coded.len() => write_planes(out, &coded),
        None => write_bytes(out, &coded, wide),
    }
}

/// Read a column of `count` integers.
pub fn read(input: &mut Reader, count: usize) -> Result<Vec<i64>> {
    let coded = match input.varint()? {
        BYTES => read_bytes(input, count)?,
        PLANES => read_planes(input, count)?,
        DICTIONARY => read_dictionary(input, count)?,
        _ => return Err(corrupt("unknown integer coding")),
    };
    Ok(coded.into_iter().map(unzigzag).collect())
}

/// Pass over a column.
pub fn skip(input: &mut Reader) -> Result<()> {
    match input.varint()? {
        BYTES => (0..2).try_for_each(|_| input.skip()),
        PLANES => (0..input.count(8)?).try_for_each(|_| input.skip()),
        DICTIONARY => {
            (0..input.count(255)?).try_for_each(|_| input.varint().map(|_| ()))?;
            input.skip()
        }
        _ => Err(corrupt("unknown integer coding")),
    }
}

fn write_bytes(out: &mut Writer, coded: &[u64], wide: usize) {
    let bytes: Vec<u8> = coded.iter().map(|&value| value.min(ESCAPE) as u8).collect();
    let mut escaped = Vec::new();
    let wide_values = coded.iter().filter(|&&value| value >= ESCAPE).take(wide);
    wide_values.for_each(|&value| put_varint(&mut escaped, value - ESCAPE));
    out.varint(BYTES);
    out.bytes(&bytes);
    out.bytes(&escaped);
}

fn read_bytes(input: &mut Reader, count: usize) -> Result<Vec<u64>> {
    let bytes = input.exactly(count)?;
    let wide = input.bytes()?;
    let mut wide = wide.as_slice();
    let mut coded: Vec<u64> = bytes.into_iter().map(u64::from).collect();
    for value in coded.iter_mut().filter(|value| **value == ESCAPE) {
        *value = get_varint(&mut wide)?.wrapping_add(ESCAPE);
    }
    Ok(coded)
}

fn write_planes(out: &mut Writer, coded: &[u64]) {
    let largest = coded.iter().copied().max().unwrap_or(0);
    let planes = 8 - largest.leading_zeros() / 8;
    out.varint(PLANES);
    out.varint(planes.into());
    for plane in 0..planes {
        let bytes: Vec<u8> = coded.iter().map(|value| (value >> (8 * plane)) as u8).collect();
        out.bytes(&bytes);
    }
}

fn read_planes(input: &mut Reader, count: usize) -> Result<Vec<u64>> {
    let mut coded = vec![0u64; count];
    for plane in 0..input.count(8)? {
        let bytes = input.exactly(count)?;
        coded
            .iter_mut()
            .zip(bytes)
            .for_each(|(value, byte)| *value |= u64::from(byte) << (8 * plane));
    }
    Ok(coded)
}

/// The distinct values by first appearance and the index of each value, if a byte can hold it.
fn dictionary(coded: &[u64]) -> Option<(Vec<u64>, Vec<u8>)> {
    let mut words = Words { list: Vec::new(), slots: [NO_WORD; SLOTS] };
    let mut indexes = Vec::with_capacity(coded.len());
    for &value in coded {
        indexes.push(words.index(value)?);
    }
    (words.list.len() * 4 < coded.len()).then_some((words.list, indexes))
}

const SLOTS: usize = 1024;
const NO_WORD: u8 = 255;

/// Up to 255 words, found by open addressing.
struct Words {
    list: Vec<u64>,
    slots: [u8; SLOTS],
}

impl Words {
    fn index(&mut self, value: u64) -> Option<u8> {
        let mut slot = (value.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 54) as usize;
        while self.slots[slot] != NO_WORD {
            if self.list[usize::from(self.slots[slot])] == value {
                return Some(self.slots[slot]);
            }
            slot = (slot + 1) % SLOTS;
        }
        let index = u8::try_from(self.list.len()).ok().filter(|&index| index < NO_WORD)?;
        self.slots[slot] = index;
        self.list.push(value);
        Some(index)
    }
}

fn write_dictionary(out: &mut Writer, words: &[u64], indexes: &[u8]) {
    out.varint(DICTIONARY);
    out.varint(words.len() as u64);
    words.iter().for_each(|&word| out.varint(word));
    out.bytes(indexes);
}

fn read_dictionary(input: &mut Reader, count: usize) -> Result<Vec<u64>> {
    let words = (0..input.count(255)?).map(|_| input.varint()).collect::<Result<Vec<_>>>()?;
    let indexes = input.exactly(count)?;
    if indexes.iter().any(|&index| usize::from(index) >= words.len()) {
        return Err(corrupt("a dictionary index is out of range"));
    }
    Ok(indexes.into_iter().map(|index| words[usize::from(index)]).collect())
}
