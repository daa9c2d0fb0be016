//! Genomic bins: where a record belongs, and the order of `samtools sort`.

use crate::error::{Error, Result};

fn cut_short() -> Error {
    Error::Input("a record stream is cut short".to_owned())
}

/// Fixed part of a BAM record with its `block_size`.
pub const FIXED: usize = 36;
const REVERSE: u16 = 0x10;

/// The fields of a record that decide on its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub tid: i32,
    pub pos: i32,
    pub reverse: bool,
}

impl Place {
    /// Read the place out of the first [`FIXED`] bytes of a record.
    pub fn of(record: &[u8]) -> Self {
        Self { tid: int(record, 4), pos: int(record, 8), reverse: flag(record) & REVERSE != 0 }
    }

    /// Key of `samtools sort`: contig (unplaced last), position, forward before reverse.
    pub fn key(self) -> u64 {
        let tid = u64::from(self.tid as u32 & 0x7fff_ffff);
        let pos = u64::from((self.pos as u32).wrapping_add(1));
        tid << 33 | pos << 1 | u64::from(self.reverse)
    }
}

fn int(record: &[u8], at: usize) -> i32 {
    i32::from_le_bytes([record[at], record[at + 1], record[at + 2], record[at + 3]])
}

fn flag(record: &[u8]) -> u16 {
    u16::from_le_bytes([record[18], record[19]])
}

/// Records of a stream, each with its `block_size`.
pub struct RecordIter<'a> {
    rest: &'a [u8],
}

pub fn records(data: &[u8]) -> RecordIter<'_> {
    RecordIter { rest: data }
}

impl<'a> Iterator for RecordIter<'a> {
    type Item = Result<&'a [u8]>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let record = first_record(self.rest);
        let length = record.as_ref().map_or(self.rest.len(), |record| record.len());
        self.rest = &self.rest[length..];
        Some(record)
    }
}

/// The record at the start of `data`, with its `block_size`.
pub fn first_record(data: &[u8]) -> Result<&[u8]> {
    record_size(data).and_then(|size| data.get(..size)).ok_or_else(cut_short)
}

/// Length of the record at the start of `data` with its `block_size`; None if that cannot be.
pub fn record_size(data: &[u8]) -> Option<usize> {
    let size = u32::from_le_bytes(data.get(..4)?.try_into().ok()?) as usize + 4;
    (size >= FIXED).then_some(size)
}

/// The bins of a genome: `width` bases of a contig each; neighbouring short contigs share one.
/// The last bin holds the unplaced records.
#[derive(Clone, Debug)]
pub struct Bins {
    contigs: Vec<Contig>,
    width: u32,
    count: u32,
}

#[derive(Clone, Debug)]
struct Contig {
    name: String,
    length: u32,
    first_bin: u32,
    bins: u32,
}

impl Bins {
    pub fn new(contigs: &[(String, u32)], width: u32) -> Self {
        let width = width.max(1);
        let mut bins = Self { contigs: Vec::with_capacity(contigs.len()), width, count: 0 };
        let mut room = 0;
        for (name, length) in contigs {
            let shared = *length <= room;
            room = if shared { room - length } else { width.saturating_sub(*length) };
            bins.push(name, *length, shared);
        }
        bins.count += 1;
        bins
    }

    fn push(&mut self, name: &str, length: u32, shared: bool) {
        let bins = length.div_ceil(self.width).max(1);
        let first_bin = self.count - u32::from(shared);
        self.count = first_bin + bins;
        self.contigs.push(Contig { name: name.to_owned(), length, first_bin, bins });
    }

    pub fn count(&self) -> u32 {
        self.count
    }

    pub fn unplaced(&self) -> u32 {
        self.count - 1
    }

    pub fn of(&self, place: Place) -> Result<u32> {
        if place.tid < 0 {
            return Ok(self.unplaced());
        }
        let contig = self.contig(place.tid)?;
        Ok(contig.first_bin + self.step(contig, place.pos))
    }

    /// First and last-but-one coordinate of the bin of a placed record on its contig.
    pub fn range(&self, place: Place) -> Result<(u32, u32)> {
        if place.tid < 0 {
            return Ok((0, 0));
        }
        let contig = self.contig(place.tid)?;
        let step = self.step(contig, place.pos);
        let start = step * self.width;
        let end = start.saturating_add(self.width);
        let last = step + 1 == contig.bins;
        Ok((start, if last { contig.length.max(place.pos.max(0) as u32 + 1) } else { end }))
    }

    fn contig(&self, tid: i32) -> Result<&Contig> {
        self.contigs.get(tid as usize).ok_or_else(|| {
            Error::Input(format!(
                "a record lies on contig number {tid}, which the header does not have"
            ))
        })
    }

    fn step(&self, contig: &Contig, pos: i32) -> u32 {
        (pos.max(0) as u32 / self.width).min(contig.bins - 1)
    }

    /// `contig:position` as people write it.
    pub fn spell(&self, place: Place) -> String {
        match self.contig(place.tid) {
            Ok(contig) => format!("{}:{}", contig.name, i64::from(place.pos) + 1),
            Err(_) => "*".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(tid: i32, pos: i32, reverse: bool) -> Place {
        Place { tid, pos, reverse }
    }

    #[test]
    fn keys_order_as_samtools_sort() {
        let order = [
            place(0, -1, true),
            place(0, 0, false),
            place(0, 0, true),
            place(0, i32::MAX, false),
            place(1, 0, false),
            place(-1, -1, false),
        ];
        assert!(order.windows(2).all(|pair| pair[0].key() < pair[1].key()));
    }

    #[test]
    fn short_contigs_share_a_bin() {
        let contigs = [("a", 250), ("b", 40), ("c", 60), ("d", 1), ("e", 0), ("f", 101)];
        let contigs: Vec<_> = contigs.iter().map(|&(name, len)| (name.to_owned(), len)).collect();
        let bins = Bins::new(&contigs, 100);
        let of = |tid, pos| bins.of(place(tid, pos, false)).unwrap();
        assert_eq!([of(0, 0), of(0, 99), of(0, 100), of(0, 9999)], [0, 0, 1, 2]);
        assert_eq!([of(1, 5), of(2, 5), of(3, 0), of(4, 0)], [3, 3, 4, 4]);
        assert_eq!([of(5, 0), of(5, 100), of(-1, -1)], [5, 6, 7]);
        assert_eq!(bins.count(), 8);
        assert!(bins.of(place(6, 0, false)).is_err());
        assert_eq!(bins.range(place(0, 120, false)).unwrap(), (100, 200));
        assert_eq!(bins.range(place(0, 220, false)).unwrap(), (200, 250));
    }
}
