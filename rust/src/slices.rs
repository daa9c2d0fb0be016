//! Slices: some hundred consecutive records of a tile, for who wants to begin or end within it.
//!
//! A tile of placed records on one contig is cut into slices where it has more than one of them.
//! See section 10 of `docs/reference/format.md`.

use crate::error::{corrupt, Result};
use crate::record::{iterate, Record};
use crate::stream::{get_varint, put_varint, unzigzag, zigzag};

/// A slice ends with so many records,
const READS: u32 = 1024;
/// or with the record that brings it to so many bytes.
const BYTES: u64 = 512 << 10;

/// What lies in a slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice {
    pub reads: u32,
    /// Position of the first record.
    pub pos: i32,
    /// Largest end of the records.
    pub reach: i64,
    /// Length of the record stream.
    pub bytes: u64,
}

impl Slice {
    fn begin(record: &Record) -> Self {
        Self { reads: 0, pos: record.pos(), reach: i64::MIN, bytes: 0 }
    }

    fn add(&mut self, record: &Record) {
        self.reads += 1;
        self.reach = self.reach.max(record.end());
        self.bytes += 4 + record.bytes().len() as u64;
    }
}

/// The slices of a tile; none where it is in one piece.
pub fn of(records: &[u8]) -> Result<Vec<Slice>> {
    let mut contigs = iterate(records).map_while(Result::ok).map(|record| record.tid());
    let first = contigs.next().unwrap_or(-1);
    if first < 0 || contigs.any(|contig| contig != first) {
        return Ok(Vec::new());
    }
    let slices = cut(records, |slice| slice.reads >= READS || slice.bytes >= BYTES)?;
    Ok(if slices.len() > 1 { slices } else { Vec::new() })
}

/// What lies in slices of so many records each.
pub fn measured(records: &[u8], reads: &[u32]) -> Result<Vec<Slice>> {
    let mut reads = reads.iter();
    let mut left = reads.next().copied();
    cut(records, |slice| {
        let ends = left == Some(slice.reads);
        if ends {
            left = reads.next().copied();
        }
        ends
    })
}

fn cut(records: &[u8], mut ends: impl FnMut(&Slice) -> bool) -> Result<Vec<Slice>> {
    let mut slices = Vec::new();
    let mut open = None;
    for record in iterate(records) {
        let record = record?;
        let slice = open.get_or_insert_with(|| Slice::begin(&record));
        slice.add(&record);
        if ends(slice) {
            slices.extend(open.take());
        }
    }
    slices.extend(open);
    Ok(slices)
}

/// The slices of all tiles of a dataset, in its order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    slices: Vec<Slice>,
    /// Where the slices of each tile end.
    ends: Vec<usize>,
}

impl Table {
    /// Append the slices of the next tile.
    pub fn add(&mut self, slices: &[Slice]) {
        self.slices.extend_from_slice(slices);
        self.ends.push(self.slices.len());
    }

    /// Number of tiles.
    pub fn tiles(&self) -> usize {
        self.ends.len()
    }

    /// Whether no tile has slices.
    pub fn is_empty(&self) -> bool {
        self.slices.is_empty()
    }

    /// The slices of a tile; none of one that is not known.
    pub fn of(&self, tile: usize) -> &[Slice] {
        let Some(&end) = self.ends.get(tile) else { return &[] };
        &self.slices[tile.checked_sub(1).map_or(0, |before| self.ends[before])..end]
    }

    fn all(&self) -> impl Iterator<Item = &[Slice]> {
        (0..self.tiles()).map(|tile| self.of(tile))
    }

    /// Varints: number of tiles, for each the number of its slices; then, of all slices, how many records it has; how far
    /// it begins after the one before in its tile (the first after 0); how far it reaches from there; its bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_varint(&mut out, self.tiles() as u64);
        self.all().for_each(|slices| put_varint(&mut out, slices.len() as u64));
        self.slices.iter().for_each(|slice| put_varint(&mut out, slice.reads.into()));
        for slices in self.all() {
            let mut before = 0;
            for slice in slices {
                put_varint(&mut out, zigzag(i64::from(slice.pos) - before));
                before = slice.pos.into();
            }
        }
        let reaches = self.slices.iter().map(|slice| slice.reach - i64::from(slice.pos));
        reaches.for_each(|reach| put_varint(&mut out, zigzag(reach)));
        self.slices.iter().for_each(|slice| put_varint(&mut out, slice.bytes));
        out
    }

    pub fn from_bytes(mut data: &[u8]) -> Result<Self> {
        let input = &mut data;
        let mut table = Self::default();
        let mut end = 0usize;
        for _ in 0..count(input)? {
            end = count(input)?.checked_add(end).ok_or_else(damaged)?;
            table.ends.push(end);
        }
        if end.saturating_mul(4) > input.len() {
            return Err(damaged());
        }
        table.slices = vec![Slice { reads: 0, pos: 0, reach: 0, bytes: 0 }; end];
        for slice in &mut table.slices {
            slice.reads = get_varint(input)?.try_into().map_err(|_| damaged())?;
        }
        let mut start = 0;
        for &end in &table.ends {
            let mut before = 0i64;
            for slice in &mut table.slices[start..end] {
                before = before.wrapping_add(unzigzag(get_varint(input)?));
                slice.pos = before.try_into().map_err(|_| damaged())?;
            }
            start = end;
        }
        for slice in &mut table.slices {
            slice.reach = i64::from(slice.pos).wrapping_add(unzigzag(get_varint(input)?));
        }
        for slice in &mut table.slices {
            slice.bytes = get_varint(input)?;
        }
        if input.is_empty() {
            Ok(table)
        } else {
            Err(damaged())
        }
    }
}

fn damaged() -> crate::error::Error {
    corrupt("the table of slices is damaged")
}

/// Read a count of things that each take at least a byte of what follows.
fn count(input: &mut &[u8]) -> Result<usize> {
    let value = get_varint(input)?;
    usize::try_from(value).ok().filter(|&count| count <= input.len()).ok_or_else(damaged)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let slice = |pos, reach, bytes| Slice { reads: 2, pos, reach, bytes };
        let mut table = Table::default();
        table.add(&[]);
        table.add(&[slice(7, 300, 1 << 20), slice(7, 90_000, 5), slice(400, 401, 70_000)]);
        table.add(&[slice(-1, 0, 40), slice(i32::MAX, 1 << 31, 50)]);
        table.add(&[]);
        table
    }

    #[test]
    fn a_table_comes_back() {
        for table in [Table::default(), table()] {
            assert_eq!(Table::from_bytes(&table.to_bytes()).unwrap(), table);
        }
        assert_eq!([0, 1, 2, 3, 4].map(|tile| table().of(tile).len()), [0, 3, 2, 0, 0]);
    }

    #[test]
    fn damage_is_an_error_or_another_table_but_never_a_panic() {
        let bytes = table().to_bytes();
        for at in 0..bytes.len() {
            assert!(Table::from_bytes(&bytes[..at]).is_err());
            for bit in 0..8 {
                let mut bad = bytes.clone();
                bad[at] ^= 1 << bit;
                let _ = Table::from_bytes(&bad);
            }
        }
        assert!(Table::from_bytes(&[bytes, vec![0]].concat()).is_err());
    }
}
