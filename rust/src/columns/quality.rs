//! Base qualities, in the order of sequencing.

use super::{Core, Row, REVERSE};
use crate::codecs;
use crate::error::{corrupt, Result};
use crate::mixing;
use crate::stream::{Reader, Writer};

const GENERAL: u64 = 0;
const MIXING: u64 = 1;

/// QUAL `*` in BAM.
const MISSING: u8 = 0xff;

/// The qualities of a tile as they were sequenced: of all records that have some, one after the other.
pub struct Qualities {
    sequenced: Vec<u8>,
    /// Where those of each record begin; one entry more than records.
    start: Vec<usize>,
}

impl Qualities {
    pub fn from_rows(rows: &[Row]) -> Self {
        let mut sequenced = Vec::with_capacity(rows.iter().map(|row| row.qualities.len()).sum());
        let mut start = vec![0];
        for row in rows {
            if is_present(row) {
                append(&mut sequenced, row.qualities, row.flag);
            }
            start.push(sequenced.len());
        }
        Self { sequenced, start }
    }

    /// Those of a record, in the order of sequencing; empty where it has none.
    pub fn of(&self, record: usize) -> &[u8] {
        &self.sequenced[self.start[record]..self.start[record + 1]]
    }

    /// Append those of a record as BAM stores them.
    pub fn append(&self, core: &Core, record: usize, out: &mut Vec<u8>) {
        let qualities = self.of(record);
        append(out, qualities, core.flag[record]);
        out.resize(out.len() + core.length[record] as usize - qualities.len(), MISSING);
    }

    fn lengths(&self) -> impl Iterator<Item = usize> + '_ {
        self.start.windows(2).map(|pair| pair[1] - pair[0])
    }
}

pub fn write(out: &mut Writer, rows: &[Row], qualities: &Qualities) {
    let present: Vec<u8> = rows.iter().map(|row| u8::from(is_present(row))).collect();
    out.bytes(&present);
    let pairs = qualities.lengths().zip(&present).filter(|(_, &has)| has == 1);
    let lengths: Vec<u32> = pairs.map(|(length, _)| length as u32).collect();
    let sequenced = &qualities.sequenced;
    let general = codecs::compress(sequenced, out.effort());
    let mixed = mixing::if_smaller(sequenced, &lengths, out.effort(), general.len());
    out.varint(if mixed.is_some() { MIXING } else { GENERAL });
    out.coded(sequenced.len(), &mixed.unwrap_or(general));
}

fn is_present(row: &Row) -> bool {
    row.qualities.iter().any(|&quality| quality != MISSING)
}

/// Append in the other of the two orders, of sequencing and of the contig, where they differ.
fn append(out: &mut Vec<u8>, qualities: &[u8], flag: u16) {
    let start = out.len();
    out.extend_from_slice(qualities);
    if flag & REVERSE != 0 {
        out[start..].reverse();
    }
}

pub fn read(input: &mut Reader, core: &Core) -> Result<Qualities> {
    let present = input.exactly(core.count())?;
    let lengths: Vec<u32> = core
        .length
        .iter()
        .zip(&present)
        .filter(|(_, &has)| has == 1)
        .map(|(&length, _)| length)
        .collect();
    let sequenced = match input.varint()? {
        GENERAL => input.exactly(lengths.iter().map(|&length| length as usize).sum())?,
        MIXING => mixing::read(input, &lengths)?,
        _ => return Err(corrupt("unknown quality coding")),
    };
    let ends = core.length.iter().zip(&present).scan(0, |end, (&length, &has)| {
        *end += if has == 1 { length as usize } else { 0 };
        Some(*end)
    });
    Ok(Qualities { sequenced, start: std::iter::once(0).chain(ends).collect() })
}
