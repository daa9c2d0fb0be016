//! A view of one BAM record, and of a stream of them. Coordinates are 0-based half-open.

use crate::cigar::{Cigar, SOFT_CLIP};
use crate::error::{quote, Error, Result};
use crate::tags::{Tag, Tags};

/// Bytes of the fixed fields, without `block_size`.
pub const FIXED: usize = 32;
/// Where the two bytes of `bin` lie, without `block_size`.
pub const BIN: usize = 10;
pub const UNMAPPED: u16 = 4;

/// A parsed record stream in canonical form.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Records {
    pub data: Vec<u8>,
    pub count: u64,
    /// Sum modulo 2^128 of the digests of the records.
    pub digest: u128,
}

/// One BAM record, without its `block_size`. All parts lie within `data`; tags are checked when
/// they are iterated.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    data: &'a [u8],
    cigar: usize,
    sequence: usize,
    qualities: usize,
    tags: usize,
}

impl<'a> Record<'a> {
    /// Check that the fixed fields, and the parts that they give lengths of, are there.
    pub fn new(data: &'a [u8]) -> Result<Self> {
        if data.len() < FIXED {
            return Err(Error::input(format!("a record of {} bytes is too short", data.len())));
        }
        let bases = u32::from_le_bytes([data[16], data[17], data[18], data[19]]) as usize;
        let cigar = FIXED + usize::from(data[8]);
        let sequence = cigar + 4 * usize::from(u16::from_le_bytes([data[12], data[13]]));
        let qualities = sequence + bases.div_ceil(2);
        let tags = qualities + bases;
        if bases > i32::MAX as usize || tags > data.len() {
            return Err(Error::input("lengths of name, CIGAR or sequence exceed the record"));
        }
        Ok(Record { data, cigar, sequence, qualities, tags })
    }

    /// The record, without `block_size`.
    pub fn bytes(&self) -> &'a [u8] {
        self.data
    }

    /// Contig number, -1 for none.
    pub fn tid(&self) -> i32 {
        self.int(0)
    }

    pub fn pos(&self) -> i32 {
        self.int(4)
    }

    pub fn mapq(&self) -> u8 {
        self.data[9]
    }

    pub fn bin(&self) -> u16 {
        self.short(BIN)
    }

    pub fn flag(&self) -> u16 {
        self.short(14)
    }

    /// Number of bases; 0 for SEQ `*`.
    pub fn bases(&self) -> usize {
        self.tags - self.qualities
    }

    pub fn mate_tid(&self) -> i32 {
        self.int(20)
    }

    pub fn mate_pos(&self) -> i32 {
        self.int(24)
    }

    pub fn template_length(&self) -> i32 {
        self.int(28)
    }

    /// The name with its NUL, as it lies in the record.
    pub fn raw_name(&self) -> &'a [u8] {
        &self.data[FIXED..self.cigar]
    }

    pub fn name(&self) -> &'a [u8] {
        let name = self.raw_name();
        &name[..memchr::memchr(0, name).unwrap_or(name.len())]
    }

    /// The CIGAR as it lies in the record: the placeholder where the real one is in `CG`.
    pub fn raw_cigar(&self) -> Cigar<'a> {
        Cigar(&self.data[self.cigar..self.sequence])
    }

    /// The CIGAR, taken from the `CG` tag where it is kept there.
    pub fn cigar(&self) -> Cigar<'a> {
        self.long_cigar().map_or(self.raw_cigar(), |(_, cigar)| cigar)
    }

    /// The `CG` tag and the CIGAR in it, under the conditions on which htslib restores it.
    pub fn long_cigar(&self) -> Option<(Tag<'a>, Cigar<'a>)> {
        let placeholder = (self.bases() as u32) << 4 | SOFT_CLIP;
        if self.raw_cigar().iter().next() != Some(placeholder) || self.tid() < 0 || self.pos() < 0 {
            return None;
        }
        let tag = self.tags().map_while(Result::ok).find(|tag| tag.name == *b"CG")?;
        let (kind, elements) = tag.array()?;
        let cigar = Cigar(elements);
        let fits = cigar.len() >= self.raw_cigar().len() && cigar.len() < 1 << 29;
        (matches!(kind, b'i' | b'I') && fits).then_some((tag, cigar))
    }

    /// Bases, two a byte, the first in the high bits.
    pub fn sequence(&self) -> &'a [u8] {
        &self.data[self.sequence..self.qualities]
    }

    /// Phred values, one a base; the first is 255 where there are none.
    pub fn qualities(&self) -> &'a [u8] {
        &self.data[self.qualities..self.tags]
    }

    pub fn tag_bytes(&self) -> &'a [u8] {
        &self.data[self.tags..]
    }

    pub fn tags(&self) -> Tags<'a> {
        Tags::new(self.tag_bytes())
    }

    /// Bases of the reference covered; at least 1, and 1 for unmapped reads, as in htslib.
    pub fn span(&self) -> i64 {
        if self.flag() & UNMAPPED != 0 {
            return 1;
        }
        self.cigar().reference_length().max(1)
    }

    /// End on the reference, exclusive.
    pub fn end(&self) -> i64 {
        i64::from(self.pos()) + self.span()
    }

    fn int(&self, at: usize) -> i32 {
        let bytes = self.data[at..at + 4].try_into();
        i32::from_le_bytes(bytes.expect("four bytes"))
    }

    fn short(&self, at: usize) -> u16 {
        u16::from_le_bytes([self.data[at], self.data[at + 1]])
    }
}

/// The smallest bin of the BAI scheme that holds [start, end) (SAMv1 5.3).
pub fn bin_of(start: i64, end: i64) -> u16 {
    let last = end - 1;
    let levels = [(14, 4681), (17, 585), (20, 73), (23, 9), (26, 1)];
    let level = levels.into_iter().find(|(shift, _)| start >> shift == last >> shift);
    // Truncated beyond 2^29, as htslib does.
    level.map_or(0, |(shift, first)| (first + (start >> shift)) as u16)
}

/// Iterate over the records of a stream. Ends after the first error.
pub fn iterate(stream: &[u8]) -> Stream<'_> {
    Stream { rest: stream, number: 0 }
}

#[derive(Debug, Clone)]
pub struct Stream<'a> {
    rest: &'a [u8],
    number: u64,
}

impl<'a> Iterator for Stream<'a> {
    type Item = Result<Record<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let rest = std::mem::take(&mut self.rest);
        let place = || format!("record {} of a stream", self.number);
        let Some((block, rest)) = split_block(rest) else {
            return Some(Err(Error::input("cut short").within(&place())));
        };
        let record = Record::new(block).map_err(|error| error.within(&place()));
        self.rest = if record.is_ok() { rest } else { &[] };
        self.number += 1;
        Some(record)
    }
}

/// Split a record without its `block_size` off `data`; None if it is not whole.
pub fn split_block(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let (size, rest) = data.split_first_chunk::<4>()?;
    let size = u32::from_le_bytes(*size) as usize;
    (size <= rest.len()).then(|| rest.split_at(size))
}

/// Check field by field, against a header of `contigs` contigs.
pub fn check(record: &Record, contigs: usize) -> Result<()> {
    check_name(record.raw_name())?;
    check_contig("refID", record.tid(), contigs)?;
    check_contig("next_refID", record.mate_tid(), contigs)?;
    // Real files hold any number for next_pos, and htslib lets it pass.
    if record.pos() < -1 {
        return Err(Error::input(format!("pos is {}", record.pos())));
    }
    record.tags().try_for_each(|tag| tag.map(|_| ()))?;
    let cigar = record.cigar();
    cigar.check()?;
    let mapped = record.flag() & UNMAPPED == 0 && !cigar.is_empty();
    if mapped && record.bases() > 0 && cigar.query_length() != record.bases() as i64 {
        return Err(Error::input(format!(
            "CIGAR covers {} bases, SEQ has {}",
            cigar.query_length(),
            record.bases()
        )));
    }
    Ok(())
}

fn check_name(name: &[u8]) -> Result<()> {
    match name.split_last() {
        Some((0, name)) if !name.contains(&0) => Ok(()),
        _ => Err(Error::input(format!("read name {} does not end with its NUL", quote(name)))),
    }
}

fn check_contig(field: &str, tid: i32, contigs: usize) -> Result<()> {
    if tid == -1 || usize::try_from(tid).is_ok_and(|tid| tid < contigs) {
        return Ok(());
    }
    Err(Error::input(format!("{field} is {tid}, in a header of {contigs} contigs")))
}
