//! The records of a tile, put together from its columns.

use std::ops::Range;

use crate::cigar::{SKIP, SOFT_CLIP};
use crate::columns::derive::Derived;
use crate::columns::name::Names;
use crate::columns::quality::{self, Qualities};
use crate::columns::sequence::{self, Sequences};
use crate::columns::tags::{Cursor, Tags};
use crate::columns::{cigar, mate, name, position, tags, Core};
use crate::error::{corrupt, Error, Result};
use crate::record::bin_of;
use crate::select::Selection;
use crate::stream::Reader;
use crate::tile::MAX_READS;

/// About what a record has beside bases and qualities.
const USUAL: usize = 192;

/// Decode a core section.
pub fn decode_core(section: &[u8]) -> Result<Core> {
    let mut input = Reader::new(section)?;
    let count = input.count(MAX_READS)?;
    let mut core = position::read(&mut input, count)?;
    cigar::read(&mut input, &mut core)?;
    Ok(core)
}

/// Number of selected records.
pub fn count(core: &[u8], selection: &Selection) -> Result<usize> {
    let core = decode_core(core)?;
    Ok((0..core.count()).filter(|&record| selection.takes(&core, record)).count())
}

/// Where the first of the selected records begins.
pub fn first_position(core: &[u8], selection: &Selection) -> Result<Option<i32>> {
    let core = decode_core(core)?;
    let first = (0..core.count()).find(|&record| selection.takes(&core, record));
    Ok(first.map(|record| core.pos[record]))
}

/// The selected records of a tile as a record stream. Contig numbers must be below `contigs`.
pub fn decode(core: &[u8], rest: &[u8], selection: &Selection, contigs: i32) -> Result<Vec<u8>> {
    let core = decode_core(core)?;
    check_contigs(core.tid.iter().copied(), contigs)?;
    let taken: Vec<bool> = (0..core.count()).map(|record| selection.takes(&core, record)).collect();
    if !taken.contains(&true) {
        return Reader::new(rest).map(|_| Vec::new());
    }
    let columns = Columns::read(core, rest, selection, contigs)?;
    let chosen = (0..taken.len()).filter(|&record| taken[record]);
    let mut out = Vec::with_capacity(columns.estimate(chosen));
    columns.append(0..taken.len(), |record| taken[record], &mut columns.tags.cursor(), &mut out)?;
    Ok(out)
}

fn check_contigs(mut tids: impl Iterator<Item = i32>, contigs: i32) -> Result<()> {
    match tids.find(|&tid| tid < -1 || tid >= contigs) {
        Some(tid) => Err(Error::corrupt(format!("a record is on contig {tid} of {contigs}"))),
        None => Ok(()),
    }
}

/// A tile whose columns are decoded, and whose records are put together where they are asked for.
pub struct Decoded {
    columns: Columns,
    cursor: Cursor,
    /// The record at which the cursor stands.
    next: usize,
}

impl Decoded {
    pub fn new(core: &[u8], rest: &[u8], contigs: i32) -> Result<Self> {
        let core = decode_core(core)?;
        check_contigs(core.tid.iter().copied(), contigs)?;
        let columns = Columns::read(core, rest, &Selection::all(), contigs)?;
        Ok(Self { cursor: columns.tags.cursor(), columns, next: 0 })
    }

    /// Some of the records, as a record stream; fewer where the tile has no more.
    pub fn records(&mut self, records: Range<usize>) -> Result<Vec<u8>> {
        let count = self.columns.core.count();
        let (start, end) = (records.start.min(count), records.end.min(count));
        let (from, mut cursor) = match self.next <= start {
            true => (self.next, self.cursor.clone()),
            false => (0, self.columns.tags.cursor()),
        };
        (from..start).try_for_each(|record| self.columns.tags.skip(record, &mut cursor))?;
        let mut out = Vec::with_capacity(self.columns.estimate(start..end));
        self.columns.append(start..end, |_| true, &mut cursor, &mut out)?;
        (self.cursor, self.next) = (cursor, end);
        Ok(out)
    }
}

/// The columns of a tile.
struct Columns {
    core: Core,
    mates: Vec<u32>,
    mate_fields: Vec<mate::Mate>,
    names: Names,
    sequences: Sequences,
    qualities: Qualities,
    tags: Tags,
}

impl Columns {
    fn read(core: Core, rest: &[u8], selection: &Selection, contigs: i32) -> Result<Self> {
        let mut input = Reader::new(rest)?;
        let mates = core.mates();
        let mate_fields = mate::read(&mut input, &core, &mates)?;
        check_contigs(mate_fields.iter().map(|mate| mate.tid), contigs)?;
        let names = name::read(&mut input, &core)?;
        let sequences = sequence::read(&mut input, &core)?;
        let qualities = quality::read(&mut input, &core)?;
        let tags = tags::read(&mut input, core.count(), |tag| selection.keeps(tag))?;
        Ok(Self { core, mates, mate_fields, names, sequences, qualities, tags })
    }

    /// About how many bytes some records have.
    fn estimate(&self, records: impl Iterator<Item = usize>) -> usize {
        records.map(|record| USUAL + self.core.length[record] as usize * 3 / 2).sum()
    }

    /// Append those of the next records that are taken; `cursor` stands at the first of the range, and after it
    /// at its end.
    fn append(
        &self,
        records: Range<usize>,
        taken: impl Fn(usize) -> bool,
        cursor: &mut Cursor,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let mut derived = Derived::new(&self.core, &self.mates, &self.sequences, &self.qualities);
        for record in records {
            if taken(record) {
                self.append_one(record, cursor, &mut derived, out)?;
            } else {
                self.tags.skip(record, cursor)?;
            }
        }
        Ok(())
    }

    fn append_one(
        &self,
        record: usize,
        cursor: &mut Cursor,
        derived: &mut Derived,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let start = out.len();
        let (core, mate) = (&self.core, self.mate_fields[record]);
        let fields = Fields { core, record, mate, name: self.names.get(record) };
        fields.append_head(out)?;
        sequence::pack(derived.bases(record)?, out);
        self.qualities.append(core, record, out);
        self.tags.append(record, cursor, derived, out)?;
        fields.append_long_cigar(out);
        close_record(out, start)
    }
}

fn close_record(out: &mut [u8], start: usize) -> Result<()> {
    let size = u32::try_from(out.len() - start - 4).map_err(|_| corrupt("a record is too long"))?;
    out[start..start + 4].copy_from_slice(&size.to_le_bytes());
    Ok(())
}

struct Fields<'a> {
    core: &'a Core,
    record: usize,
    mate: mate::Mate,
    name: &'a [u8],
}

impl Fields<'_> {
    /// Everything before the bases, with a place for `block_size`.
    fn append_head(&self, out: &mut Vec<u8>) -> Result<()> {
        let (core, at) = (self.core, self.record);
        let cigar = core.cigar(at);
        let length = core.length[at] as i32;
        let placeholder = [core.length[at] << 4 | SOFT_CLIP, (core.span(at) as u32) << 4 | SKIP];
        let ops = if self.has_long_cigar() { &placeholder[..] } else { cigar };
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&core.tid[at].to_le_bytes());
        out.extend_from_slice(&core.pos[at].to_le_bytes());
        out.push(self.name.len() as u8 + 1);
        out.push(core.mapq[at]);
        out.extend_from_slice(&bin_of(core.pos[at].into(), core.end(at)).to_le_bytes());
        out.extend_from_slice(&(ops.len() as u16).to_le_bytes());
        out.extend_from_slice(&core.flag[at].to_le_bytes());
        out.extend_from_slice(&length.to_le_bytes());
        for field in [self.mate.tid, self.mate.pos, self.mate.template_length] {
            out.extend_from_slice(&field.to_le_bytes());
        }
        out.extend_from_slice(self.name);
        out.push(0);
        ops.iter().for_each(|op| out.extend_from_slice(&op.to_le_bytes()));
        Ok(())
    }

    fn has_long_cigar(&self) -> bool {
        self.core.cigar(self.record).len() > usize::from(u16::MAX)
    }

    /// More operations than BAM can count lie in a tag (SAMv1 §4.2.2).
    fn append_long_cigar(&self, out: &mut Vec<u8>) {
        if self.has_long_cigar() {
            let cigar = self.core.cigar(self.record);
            out.extend_from_slice(b"CGBI");
            out.extend_from_slice(&(cigar.len() as u32).to_le_bytes());
            cigar.iter().for_each(|op| out.extend_from_slice(&op.to_le_bytes()));
        }
    }
}
