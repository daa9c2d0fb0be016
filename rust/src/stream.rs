//! A section of a tile: coded streams one after the other, closed by a checksum.
//!
//! Stream: raw length, coded length (LEB128 varints), coded bytes. The order of the streams is fixed by the
//! code that writes and reads the columns. A section ends with the XXH3-64 of all before it.

use xxhash_rust::xxh3::xxh3_64;

use crate::codecs::{self, Effort};
use crate::error::{corrupt, Result};

const CHECKSUM: usize = 8;

/// Raw bytes that a section may decode to: a floor, and so many for each stored byte.
const BUDGET_FLOOR: usize = 64 << 20;
const BUDGET_PER_BYTE: usize = 4096;

/// Collects the streams of a section.
pub struct Writer {
    out: Vec<u8>,
    effort: Effort,
}

impl Writer {
    pub fn new(effort: Effort) -> Self {
        Self { out: Vec::new(), effort }
    }

    pub fn effort(&self) -> Effort {
        self.effort
    }

    pub fn size(&self) -> usize {
        self.out.len()
    }

    pub fn varint(&mut self, value: u64) {
        put_varint(&mut self.out, value);
    }

    /// Append a stream in the best general coding.
    pub fn bytes(&mut self, raw: &[u8]) {
        self.coded(raw.len(), &codecs::compress(raw, self.effort));
    }

    /// Append a stream that was coded elsewhere.
    pub fn coded(&mut self, raw_length: usize, coded: &[u8]) {
        self.varint(raw_length as u64);
        self.varint(coded.len() as u64);
        self.out.extend_from_slice(coded);
    }

    /// Append streams of another writer.
    pub fn raw(&mut self, streams: &[u8]) {
        self.out.extend_from_slice(streams);
    }

    /// The streams without a checksum.
    pub fn into_streams(self) -> Vec<u8> {
        self.out
    }

    /// The streams and their checksum.
    pub fn finish(mut self) -> Vec<u8> {
        let checksum = xxh3_64(&self.out);
        self.out.extend_from_slice(&checksum.to_le_bytes());
        self.out
    }
}

/// Reads the streams of a section in the order in which they were written.
pub struct Reader<'a> {
    data: &'a [u8],
    budget: usize,
}

impl<'a> Reader<'a> {
    /// Check the checksum of a section and open it.
    pub fn new(section: &'a [u8]) -> Result<Self> {
        let split = section.len().checked_sub(CHECKSUM);
        let (data, checksum) =
            section.split_at(split.ok_or_else(|| corrupt("a section is cut short"))?);
        if xxh3_64(data).to_le_bytes() != checksum {
            return Err(corrupt("a section fails its checksum"));
        }
        Ok(Self { data, budget: BUDGET_FLOOR + BUDGET_PER_BYTE * data.len() })
    }

    pub fn varint(&mut self) -> Result<u64> {
        get_varint(&mut self.data)
    }

    /// Read a count, and refuse one over `limit`.
    pub fn count(&mut self, limit: usize) -> Result<usize> {
        let value = usize::try_from(self.varint()?).unwrap_or(usize::MAX);
        if value > limit {
            return Err(corrupt("a count is over its limit"));
        }
        Ok(value)
    }

    /// The next stream: its raw length and its coded bytes.
    pub fn coded(&mut self) -> Result<(usize, &'a [u8])> {
        let raw_length = self.count(self.budget)?;
        self.budget -= raw_length;
        let length = self.count(usize::MAX)?;
        let split = self.data.split_at_checked(length);
        let (coded, rest) = split.ok_or_else(|| corrupt("a stream is cut short"))?;
        self.data = rest;
        Ok((raw_length, coded))
    }

    pub fn bytes(&mut self) -> Result<Vec<u8>> {
        let (raw_length, coded) = self.coded()?;
        codecs::decompress(coded, raw_length)
    }

    /// Read a stream that must have `length` bytes.
    pub fn exactly(&mut self, length: usize) -> Result<Vec<u8>> {
        let raw = self.bytes()?;
        if raw.len() == length {
            Ok(raw)
        } else {
            Err(corrupt("a column has the wrong length"))
        }
    }

    pub fn skip(&mut self) -> Result<()> {
        self.coded().map(|_| ())
    }
}

pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub fn get_varint(data: &mut &[u8]) -> Result<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = data.split_first().ok_or_else(|| corrupt("a varint is cut short"))?;
        *data = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(corrupt("a varint is too long"))
}

pub fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

pub fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}
