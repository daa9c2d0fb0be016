//! A tile: some thousand consecutive records, coded column by column, decodable on its own.
//!
//! Two sections: *core* has what tells where records lie and which they are; *rest* has all else, coded
//! with the help of the core. See `docs/reference/format.md`.

use crate::cigar::{SKIP, SOFT_CLIP};
use crate::codecs::Effort;
use crate::columns::derive::Derived;
use crate::columns::sequence::{self, Sequences};
use crate::columns::tags::Collected;
use crate::columns::{cigar, mate, md, name, position, quality, rows, tags, Core, Row};
use crate::error::{corrupt, Error, Result};
use crate::loss::{self, Loss};
use crate::record::{bin_of, iterate};
use crate::select::Selection;
use crate::stats::Stats;
use crate::stream::{Reader, Writer};

/// No tile has more records.
const MAX_READS: usize = 1 << 20;

/// How to code a tile.
#[derive(Clone, Debug)]
pub struct Options {
    pub effort: Effort,
    pub loss: Loss,
}

/// What the index keeps of a tile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    pub reads: u32,
    /// Length of the record stream.
    pub bytes: u64,
    pub first_tid: i32,
    pub first_pos: i32,
    pub last_tid: i32,
    /// Largest end of the records on the last contig.
    pub reach: i64,
    /// Where in the record stream the records of each contig after the first begin.
    pub starts: Vec<(i32, u64)>,
}

/// A coded tile.
pub struct Tile {
    pub core: Vec<u8>,
    pub rest: Vec<u8>,
    pub extent: Extent,
    /// Sum of the digests of the records as they came.
    pub digest_in: u128,
    /// The same of the records as they are stored, which differ where loss was asked for.
    pub digest: u128,
    pub stats: Stats,
    pub column_sizes: Vec<(String, usize)>,
}

/// Code a record stream, and prove that it decodes to the same bytes.
pub fn encode(records: &[u8], options: &Options) -> Result<Tile> {
    let digest_in = crate::digest::multiset(records)?;
    let lossy = loss::apply(records, &options.loss)?;
    let records = lossy.as_deref().unwrap_or(records);
    let mut tile = code(records, options.effort)?;
    if decode(&tile.core, &tile.rest, &Selection::all(), i32::MAX)? != records {
        return Err(Error::Corrupt(
            "a tile does not decode to the records it was made of".to_owned(),
        ));
    }
    tile.digest_in = digest_in;
    tile.digest = if lossy.is_some() { crate::digest::multiset(records)? } else { digest_in };
    Ok(tile)
}

fn code(records: &[u8], effort: Effort) -> Result<Tile> {
    let rows = rows(records)?;
    if rows.is_empty() || rows.len() > MAX_READS {
        return Err(Error::Input(format!("a tile cannot have {} records", rows.len())));
    }
    let core = Core::from_rows(&rows);
    let mut sizes = Sizes::default();
    let head = code_core(&core, effort, &mut sizes);
    let rest = code_rest(&core, &rows, effort, &mut sizes)?;
    Ok(Tile {
        core: head,
        rest,
        extent: extent(&core, records)?,
        digest_in: 0,
        digest: 0,
        stats: Stats::of(&core, &rows),
        column_sizes: sizes.list,
    })
}

#[derive(Default)]
struct Sizes {
    list: Vec<(String, usize)>,
    before: usize,
}

impl Sizes {
    fn mark(&mut self, column: &str, out: &Writer) {
        self.list.push((column.to_owned(), out.size() - self.before));
        self.before = out.size();
    }
}

/// The core is what most questions read, so it is always quick to decode, except in `small`.
fn code_core(core: &Core, effort: Effort, sizes: &mut Sizes) -> Vec<u8> {
    let mut out = Writer::new(if effort == Effort::Small { effort } else { Effort::Fast });
    out.varint(core.count() as u64);
    position::write(&mut out, core);
    sizes.mark("position", &out);
    cigar::write(&mut out, core);
    sizes.mark("cigar", &out);
    sizes.before = 0;
    out.finish()
}

fn code_rest(core: &Core, rows: &[Row], effort: Effort, sizes: &mut Sizes) -> Result<Vec<u8>> {
    let mut out = Writer::new(effort);
    let mates = core.mates();
    mate::write(&mut out, core, &mates, rows);
    sizes.mark("mate", &out);
    name::write(&mut out, core, rows);
    sizes.mark("name", &out);
    let mut sequences = Sequences::from_rows(core, rows);
    let tags = Collected::new(rows)?;
    learn_reference(core, &tags, &mut sequences);
    sequence::write(&mut out, core, &sequences);
    sizes.mark("sequence", &out);
    quality::write(&mut out, rows);
    sizes.mark("quality", &out);
    let qualities = rows.iter().map(|row| row.qualities).collect::<Vec<_>>().concat();
    let mut derived = Derived::new(core, &mates, &sequences, &qualities);
    let before = out.size();
    let of_tags = tags::write(&mut out, &tags, &mut derived);
    let counted: usize = of_tags.iter().map(|(_, size)| size).sum();
    sizes.list.push(("tags".to_owned(), out.size() - before - counted));
    sizes.list.extend(
        of_tags.into_iter().map(|(tag, size)| (String::from_utf8_lossy(&tag).into_owned(), size)),
    );
    Ok(out.finish())
}

fn learn_reference(core: &Core, tags: &Collected, sequences: &mut Sequences) {
    for (record, value) in tags.text(*b"MD") {
        if sequences.aligned[record] {
            md::learn(core, sequences, record, value);
        }
    }
}

fn extent(core: &Core, records: &[u8]) -> Result<Extent> {
    let last = core.count() - 1;
    let on_last = (0..core.count()).rev().take_while(|&at| core.tid[at] == core.tid[last]);
    Ok(Extent {
        reads: core.count() as u32,
        bytes: records.len() as u64,
        first_tid: core.tid[0],
        first_pos: core.pos[0],
        last_tid: core.tid[last],
        reach: on_last.map(|at| core.end(at)).max().unwrap_or(0),
        starts: starts(records)?,
    })
}

fn starts(records: &[u8]) -> Result<Vec<(i32, u64)>> {
    let mut starts = Vec::new();
    let (mut before, mut at) = (None, 0);
    for record in iterate(records) {
        let record = record?;
        if before.replace(record.tid()).is_some_and(|tid| tid != record.tid()) {
            starts.push((record.tid(), at));
        }
        at += 4 + record.bytes().len() as u64;
    }
    Ok(starts)
}

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

/// The selected records of a tile as a record stream. Contig numbers must be below `contigs`.
pub fn decode(core: &[u8], rest: &[u8], selection: &Selection, contigs: i32) -> Result<Vec<u8>> {
    let core = decode_core(core)?;
    check_contigs(core.tid.iter().copied(), contigs)?;
    let taken: Vec<bool> = (0..core.count()).map(|record| selection.takes(&core, record)).collect();
    if !taken.contains(&true) {
        return Reader::new(rest).map(|_| Vec::new());
    }
    let mut input = Reader::new(rest)?;
    let mates = core.mates();
    let mate_fields = mate::read(&mut input, &core, &mates)?;
    check_contigs(mate_fields.iter().map(|mate| mate.tid), contigs)?;
    let names = name::read(&mut input, &core)?;
    let sequences = sequence::read(&mut input, &core)?;
    let qualities = quality::read(&mut input, &core)?;
    let mut tags = tags::read(&mut input, core.count())?;
    let mut derived = Derived::new(&core, &mates, &sequences, &qualities);
    let mut out = Vec::new();
    for (record, taken) in taken.into_iter().enumerate() {
        let start = out.len();
        let fields =
            Fields { core: &core, record, mate: mate_fields[record], name: names.get(record) };
        fields.append_head(&mut out)?;
        sequence::pack(sequences.bases(record), &mut out);
        out.extend_from_slice(&qualities[sequences.start[record]..sequences.start[record + 1]]);
        tags.append(record, &mut derived, &mut out)?;
        fields.append_long_cigar(&mut out);
        if taken {
            close_record(&mut out, start)?;
        } else {
            out.truncate(start);
        }
    }
    Ok(out)
}

fn check_contigs(mut tids: impl Iterator<Item = i32>, contigs: i32) -> Result<()> {
    match tids.find(|&tid| tid < -1 || tid >= contigs) {
        Some(tid) => Err(Error::corrupt(format!("a record is on contig {tid} of {contigs}"))),
        None => Ok(()),
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
