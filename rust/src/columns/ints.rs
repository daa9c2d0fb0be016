//! Integer columns: one coding for positions, lengths, counts and residuals.
//!
//! First byte the mode, then
//! * `BYTES`: zig-zag values below 255 as bytes; 255 announces the next of a list of varints;
//! * `PLANES`: `w` planes of bytes of the zig-zag values, lowest first;
//! * `DICTIONARY`: up to 255 distinct values (varints) and an index byte each.

use std::collections::HashMap;

use crate::error::{corrupt, Result};
use crate::stream::{get_varint, put_varint, unzigzag, zigzag, Reader, Writer};

const BYTES: u64 = 0;
const PLANES: u64 = 1;
const DICTIONARY: u64 = 2;
const ESCAPE: u64 = 255;

/// Append a column of integers.
pub fn write(out: &mut Writer, values: &[i64]) {
    let coded: Vec<u64> = values.iter().map(|&value| zigzag(value)).collect();
    let wide = coded.iter().filter(|&&value| value >= ESCAPE).count();
    if wide == 0 {
        return write_bytes(out, &coded);
    }
    match dictionary(&coded) {
        Some((words, indexes)) => write_dictionary(out, &words, &indexes),
        None if wide * 4 > coded.len() => write_planes(out, &coded),
        None => write_bytes(out, &coded),
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

fn write_bytes(out: &mut Writer, coded: &[u64]) {
    let bytes: Vec<u8> = coded.iter().map(|&value| value.min(ESCAPE) as u8).collect();
    let mut wide = Vec::new();
    coded
        .iter()
        .filter(|&&value| value >= ESCAPE)
        .for_each(|&value| put_varint(&mut wide, value - ESCAPE));
    out.varint(BYTES);
    out.bytes(&bytes);
    out.bytes(&wide);
}

fn read_bytes(input: &mut Reader, count: usize) -> Result<Vec<u64>> {
    let bytes = input.exactly(count)?;
    let wide = input.bytes()?;
    let mut wide = wide.as_slice();
    let value = |byte: u8| match u64::from(byte) {
        ESCAPE => get_varint(&mut wide).map(|value| value.wrapping_add(ESCAPE)),
        small => Ok(small),
    };
    bytes.into_iter().map(value).collect()
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
    let (mut words, mut places) = (Vec::new(), HashMap::new());
    let mut indexes = Vec::with_capacity(coded.len());
    for &value in coded {
        let index = *places.entry(value).or_insert(words.len());
        if index == words.len() {
            words.push(value);
        }
        indexes.push(u8::try_from(index).ok().filter(|&index| index < 255)?);
    }
    (words.len() * 4 < coded.len()).then_some((words, indexes))
}

fn write_dictionary(out: &mut Writer, words: &[u64], indexes: &[u8]) {
    out.varint(DICTIONARY);
    out.varint(words.len() as u64);
    words.iter().for_each(|&word| out.varint(word));
    out.bytes(indexes);
}

fn read_dictionary(input: &mut Reader, count: usize) -> Result<Vec<u64>> {
    let words = (0..input.count(255)?).map(|_| input.varint()).collect::<Result<Vec<_>>>()?;
    let word = |index: u8| {
        words
            .get(usize::from(index))
            .copied()
            .ok_or_else(|| corrupt("a dictionary index is out of range"))
    };
    input.exactly(count)?.into_iter().map(word).collect()
}
