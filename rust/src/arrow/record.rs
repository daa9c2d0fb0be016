//! A view of one BAM record of a record stream.

use crate::error::{Error, Result};

const FIXED: usize = 32;
const CIGAR_LETTERS: &[u8; 16] = b"MIDNSHP=X???????";
const BASES: &[u8; 16] = b"=ACMGRSVTWYHKDBN";

/// One record, without its `block_size`. The parts lie inside the record; this is checked once.
#[derive(Clone, Copy)]
pub struct Record<'a> {
    data: &'a [u8],
    cigar: usize,
    bases: usize,
    qualities: usize,
    tags: usize,
}

/// The records of a record stream.
pub fn records(stream: &[u8]) -> Records<'_> {
    Records { stream }
}

pub struct Records<'a> {
    stream: &'a [u8],
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.stream.is_empty() {
            return None;
        }
        let record = self.split();
        if record.is_err() {
            self.stream = &[];
        }
        Some(record)
    }
}

impl<'a> Records<'a> {
    fn split(&mut self) -> Result<Record<'a>> {
        let (size, rest) = self.stream.split_first_chunk::<4>().ok_or_else(cut)?;
        let size = u32::from_le_bytes(*size) as usize;
        let data = rest.get(..size).ok_or_else(cut)?;
        self.stream = &rest[size..];
        Record::new(data)
    }
}

fn cut() -> Error {
    Error::corrupt("a record is cut short")
}

/// The records of contig `tid` that overlap any of the sorted, disjoint intervals.
pub fn overlapping(stream: &[u8], tid: i32, intervals: &[(i64, i64)]) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    for record in records(stream) {
        let record = record?;
        let (start, end) = (i64::from(record.pos()), record.end());
        let next = intervals.partition_point(|interval| interval.1 <= start);
        if record.tid() == tid && intervals.get(next).is_some_and(|interval| interval.0 < end) {
            out.extend_from_slice(&(record.data.len() as u32).to_le_bytes());
            out.extend_from_slice(record.data);
        }
    }
    Ok(out)
}

impl<'a> Record<'a> {
    fn new(data: &'a [u8]) -> Result<Self> {
        if data.len() < FIXED {
            return Err(cut());
        }
        let mut record = Self { data, cigar: 0, bases: 0, qualities: 0, tags: 0 };
        record.cigar = FIXED + usize::from(data[8]);
        record.bases = record.cigar + 4 * usize::from(u16::from_le_bytes([data[12], data[13]]));
        record.qualities = record.bases + record.length().div_ceil(2);
        record.tags = record.qualities + record.length();
        (record.tags <= data.len()).then_some(record).ok_or_else(cut)
    }

    fn int(&self, at: usize) -> i32 {
        i32::from_le_bytes([self.data[at], self.data[at + 1], self.data[at + 2], self.data[at + 3]])
    }

    pub fn tid(&self) -> i32 {
        self.int(0)
    }

    pub fn pos(&self) -> i32 {
        self.int(4)
    }

    pub fn mapq(&self) -> u8 {
        self.data[9]
    }

    pub fn flag(&self) -> u16 {
        u16::from_le_bytes([self.data[14], self.data[15]])
    }

    /// Number of bases.
    pub fn length(&self) -> usize {
        self.int(16) as u32 as usize
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

    /// The name without its NUL.
    pub fn name(&self) -> &'a [u8] {
        let name = &self.data[FIXED..self.cigar];
        name.strip_suffix(&[0]).unwrap_or(name)
    }

    /// Bytes of the CIGAR: those of the CG tag where the record has more operations than fit.
    pub fn cigar(&self) -> &'a [u8] {
        self.long_cigar().unwrap_or(&self.data[self.cigar..self.bases])
    }

    /// Whether the CIGAR field is the stand-in `<length>S<span>N` for one in the CG tag.
    fn long_cigar(&self) -> Option<&'a [u8]> {
        let stand_in = &self.data[self.cigar..self.bases];
        let op = |at: usize| stand_in.get(at).map(|byte| byte & 15);
        if stand_in.len() != 8 || op(0) != Some(4) || op(4) != Some(3) {
            return None;
        }
        let tag = super::tags::find(self.tags(), b"CG").ok().flatten()?;
        (tag.kind == b'B' && tag.value.first() == Some(&b'I')).then(|| &tag.value[5..])
    }

    /// Operations of the CIGAR as (length, letter).
    pub fn operations(&self) -> impl Iterator<Item = (u32, u8)> + 'a {
        self.cigar().chunks_exact(4).map(|op| {
            let op = u32::from_le_bytes([op[0], op[1], op[2], op[3]]);
            (op >> 4, CIGAR_LETTERS[(op & 15) as usize])
        })
    }

    /// End of the alignment on the contig, exclusive; a read without one covers a base.
    pub fn end(&self) -> i64 {
        let span: i64 = self
            .operations()
            .filter(|(_, letter)| b"MDN=X".contains(letter))
            .map(|(length, _)| i64::from(length))
            .sum();
        let mapped = self.flag() & 4 == 0;
        i64::from(self.pos()) + if mapped { span.max(1) } else { 1 }
    }

    pub fn bases(&self) -> impl Iterator<Item = u8> + 'a {
        let packed = &self.data[self.bases..self.qualities];
        let pair = |byte: &u8| [BASES[usize::from(byte >> 4)], BASES[usize::from(byte & 15)]];
        packed.iter().flat_map(pair).take(self.length())
    }

    pub fn qualities(&self) -> &'a [u8] {
        &self.data[self.qualities..self.tags]
    }

    pub fn tags(&self) -> &'a [u8] {
        &self.data[self.tags..]
    }

    /// Whether CG belongs to the CIGAR and is no tag of its own.
    pub fn hides_cg(&self) -> bool {
        self.long_cigar().is_some()
    }
}
