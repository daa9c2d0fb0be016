//! The columns of a tile. Each file writes and reads one group of them.
//!
//! [`Row`] borrows the fields of one record; [`Core`] holds the columns that everything else is derived
//! from. Writer and reader derive from the same `Core`, so a prediction cannot differ between them.

pub mod cigar;
pub mod coverage;
pub mod derive;
pub mod fields;
pub mod ints;
pub mod lattice;
pub mod mate;
pub mod md;
pub mod name;
pub mod position;
pub mod quality;
pub mod sequence;
pub mod strings;
pub mod tags;

use crate::cigar::Cigar;
use crate::error::Result;
use crate::record::{iterate, Record};

pub const PAIRED: u16 = 0x1;
pub const UNMAPPED: u16 = 0x4;
pub const REVERSE: u16 = 0x10;
pub const READ1: u16 = 0x40;
pub const READ2: u16 = 0x80;
/// Secondary or supplementary.
pub const NOT_PRIMARY: u16 = 0x900;

/// CIGAR operation codes in the order of "MIDNSHP=X".
pub const DELETION: u32 = 2;
const CONSUMES_QUERY: u32 = 0b1_1001_0011;
const CONSUMES_REFERENCE: u32 = 0b1_1000_1101;
const ALIGNS: u32 = 0b1_1000_0001;

pub fn consumes_query(op: u32) -> bool {
    CONSUMES_QUERY >> (op & 15) & 1 == 1
}

pub fn consumes_reference(op: u32) -> bool {
    CONSUMES_REFERENCE >> (op & 15) & 1 == 1
}

/// M, = or X.
pub fn aligns(op: u32) -> bool {
    ALIGNS >> (op & 15) & 1 == 1
}

/// No record: the end of a chain, or no mate.
pub const NONE: u32 = u32::MAX;

/// The fields of one BAM record, the long CIGAR of a `CG` tag put in its place.
pub struct Row<'a> {
    pub tid: i32,
    pub pos: i32,
    pub mapq: u8,
    pub flag: u16,
    pub mate_tid: i32,
    pub mate_pos: i32,
    pub template_length: i32,
    pub name: &'a [u8],
    pub cigar: Cigar<'a>,
    pub length: u32,
    /// Two bases a byte.
    pub bases: &'a [u8],
    pub qualities: &'a [u8],
    pub tags: &'a [u8],
}

impl<'a> Row<'a> {
    fn new(record: &Record<'a>) -> Self {
        let mut row = Self {
            tid: record.tid(),
            pos: record.pos(),
            mapq: record.mapq(),
            flag: record.flag(),
            mate_tid: record.mate_tid(),
            mate_pos: record.mate_pos(),
            template_length: record.template_length(),
            name: record.name(),
            cigar: record.raw_cigar(),
            length: record.bases() as u32,
            bases: record.sequence(),
            qualities: record.qualities(),
            tags: record.tag_bytes(),
        };
        row.restore_long_cigar(record);
        row
    }

    /// Take a CIGAR that BAM cannot count out of the `CG` tag, which is last in canonical form. Shorter ones
    /// stay as they are.
    fn restore_long_cigar(&mut self, record: &Record<'a>) {
        let Some((tag, cigar)) = record.long_cigar() else { return };
        let is_last = self.tags.ends_with(tag.bytes) && tag.kind == b'B' && tag.value[0] == b'I';
        if cigar.len() > usize::from(u16::MAX) && is_last {
            self.cigar = cigar;
            self.tags = &self.tags[..self.tags.len() - tag.bytes.len()];
        }
    }
}

/// Split a record stream into rows.
pub fn rows(records: &[u8]) -> Result<Vec<Row<'_>>> {
    iterate(records).map(|record| record.map(|record| Row::new(&record))).collect()
}

/// The columns of the core section: one entry a record.
#[derive(Default, Debug, PartialEq)]
pub struct Core {
    pub tid: Vec<i32>,
    pub pos: Vec<i32>,
    pub flag: Vec<u16>,
    pub mapq: Vec<u8>,
    /// Bases in SEQ, 0 for `*`.
    pub length: Vec<u32>,
    /// All CIGAR operations, `length << 4 | code`.
    pub ops: Vec<u32>,
    /// Where the operations of each record begin in `ops`; one entry more than records.
    pub op_start: Vec<u32>,
    /// The next record of the same template, or [`NONE`].
    pub next: Vec<u32>,
    /// The previous record of the same template, or [`NONE`].
    pub previous: Vec<u32>,
}

impl Core {
    pub fn from_rows(rows: &[Row]) -> Self {
        let mut core = Self { op_start: vec![0], ..Self::default() };
        for row in rows {
            core.tid.push(row.tid);
            core.pos.push(row.pos);
            core.flag.push(row.flag);
            core.mapq.push(row.mapq);
            core.length.push(row.length);
            core.ops.extend(row.cigar.iter());
            core.op_start.push(core.ops.len() as u32);
        }
        (core.next, core.previous) = name::chains(rows);
        core
    }

    pub fn count(&self) -> usize {
        self.pos.len()
    }

    pub fn cigar(&self, record: usize) -> &[u32] {
        &self.ops[self.op_start[record] as usize..self.op_start[record + 1] as usize]
    }

    /// Bases of the contig that the CIGAR spans.
    pub fn span(&self, record: usize) -> i64 {
        let lengths = self.cigar(record).iter().filter(|&&op| consumes_reference(op));
        lengths.map(|&op| i64::from(op >> 4)).sum()
    }

    /// End of the record (exclusive): at least one base, and one for unmapped records, as in htslib.
    pub fn end(&self, record: usize) -> i64 {
        let mapped = self.flag[record] & UNMAPPED == 0;
        i64::from(self.pos[record]) + if mapped { self.span(record).max(1) } else { 1 }
    }

    /// Whether SEQ lies on the contig as the CIGAR says.
    pub fn is_aligned(&self, record: usize) -> bool {
        let query = self.cigar(record).iter().filter(|&&op| consumes_query(op));
        self.tid[record] >= 0
            && self.pos[record] >= 0
            && self.length[record] > 0
            && query.map(|&op| u64::from(op >> 4)).sum::<u64>() == u64::from(self.length[record])
    }

    /// For each record the primary record of the other read of its template, or [`NONE`].
    pub fn mates(&self) -> Vec<u32> {
        let mut mates = vec![NONE; self.count()];
        for head in 0..self.count() {
            if self.previous[head] == NONE && self.next[head] != NONE {
                self.mates_of_chain(head as u32, &mut mates);
            }
        }
        mates
    }

    fn mates_of_chain(&self, head: u32, mates: &mut [u32]) {
        let after = |&at: &u32| Some(self.next[at as usize]).filter(|&next| next != NONE);
        let chain = || std::iter::successors(Some(head), after);
        let flag = |at: u32| self.flag[at as usize];
        let primary = |read: u16| {
            chain()
                .find(|&at| flag(at) & NOT_PRIMARY == 0 && flag(at) & (READ1 | READ2) == read)
                .unwrap_or(NONE)
        };
        let (first, second) = (primary(READ1), primary(READ2));
        for at in chain() {
            mates[at as usize] = match flag(at) & (READ1 | READ2) {
                READ1 => second,
                READ2 => first,
                _ => NONE,
            };
        }
    }
}
