//! A tile: some thousand consecutive records, coded column by column, decodable on its own.
//!
//! Two sections: *core* has what tells where records lie and which they are; *rest* has all else, coded
//! with the help of the core. See `docs/reference/format.md`.

use crate::codecs::Effort;
use crate::columns::derive::Derived;
use crate::columns::quality::{self, Qualities};
use crate::columns::sequence::{self, Sequences};
use crate::columns::tags::Collected;
use crate::columns::{cigar, mate, md, name, position, rows, tags, Core, Row};
use crate::decode::decode;
use crate::error::{Error, Result};
use crate::loss::{self, Loss};
use crate::record::iterate;
use crate::select::Selection;
use crate::slices::{self, Slice};
use crate::stats::Stats;
use crate::stream::Writer;

/// No tile has more records.
pub const MAX_READS: usize = 1 << 20;

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
    pub slices: Vec<Slice>,
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
        slices: slices::of(records)?,
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
    let qualities = Qualities::from_rows(rows);
    quality::write(&mut out, rows, &qualities);
    sizes.mark("quality", &out);
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
