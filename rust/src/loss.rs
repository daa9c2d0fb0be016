//! Loss that the user asked for by name: coarser qualities, tags and names left out.

mod crumble;
mod names;

use crate::columns::{rows, Core, Row};
use crate::error::{Error, Result};
use crate::record::{iterate, Record, FIXED};

/// How qualities are made coarser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Qualities {
    /// The eight bins of Illumina's white paper "Reducing whole-genome data storage footprint" (2014).
    Bin8,
    /// 2, 12, 23 and 37, as NovaSeq instruments report.
    Bin4,
    /// Where the pileup leaves no doubt, 40 for what agrees with it; all others keep their values.
    Crumble,
}

impl Qualities {
    pub fn named(name: &str) -> Result<Self> {
        match name {
            "bin8" => Ok(Self::Bin8),
            "bin4" => Ok(Self::Bin4),
            "crumble" => Ok(Self::Crumble),
            other => {
                Err(Error::input(format!("no way to make qualities coarser is called {other:?}")))
            }
        }
    }

    /// The qualities of all rows, one after the other.
    fn apply(self, core: &Core, rows: &[Row]) -> Vec<u8> {
        let each = |bin: fn(u8) -> u8| {
            rows.iter().flat_map(|row| row.qualities).map(|&q| bin(q)).collect()
        };
        match self {
            Self::Bin8 => each(bin8),
            Self::Bin4 => each(bin4),
            Self::Crumble => crumble::qualities(core, rows),
        }
    }
}

fn bin8(quality: u8) -> u8 {
    match quality {
        0..=1 | 0xff => quality,
        2..=9 => 6,
        10..=19 => 15,
        20..=24 => 22,
        25..=29 => 27,
        30..=34 => 33,
        35..=39 => 37,
        _ => 40,
    }
}

fn bin4(quality: u8) -> u8 {
    match quality {
        0xff => quality,
        0..=6 => 2,
        7..=17 => 12,
        18..=29 => 23,
        _ => 37,
    }
}

/// What may be lost; nothing by default.
#[derive(Clone, Debug, Default)]
pub struct Loss {
    pub qualities: Option<Qualities>,
    pub tags: Vec<[u8; 2]>,
    pub names: bool,
}

/// The records of a tile with what may be lost left out; None where nothing may be.
pub fn apply(records: &[u8], loss: &Loss) -> Result<Option<Vec<u8>>> {
    if loss.qualities.is_none() && loss.tags.is_empty() && !loss.names {
        return Ok(None);
    }
    let rows = rows(records)?;
    let core = Core::from_rows(&rows);
    let coarser = loss.qualities.map(|qualities| qualities.apply(&core, &rows));
    let names = loss.names.then(|| names::shortened(records, &core, &rows));
    let (mut out, mut from) = (Vec::with_capacity(records.len()), 0);
    for (at, record) in iterate(records).enumerate() {
        let record = record?;
        let to = from + record.bases();
        let qualities = coarser.as_ref().map_or(record.qualities(), |coarser| &coarser[from..to]);
        let name = names.as_ref().map_or(record.name(), |names| &names[at]);
        append(&record, name, qualities, &loss.tags, &mut out)?;
        from = to;
    }
    Ok(Some(out))
}

fn append(
    record: &Record,
    name: &[u8],
    qualities: &[u8],
    without: &[[u8; 2]],
    out: &mut Vec<u8>,
) -> Result<()> {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&record.bytes()[..FIXED]);
    out[start + 4 + 8] = name.len() as u8 + 1;
    out.extend_from_slice(name);
    out.push(0);
    out.extend_from_slice(record.raw_cigar().0);
    out.extend_from_slice(record.sequence());
    out.extend_from_slice(qualities);
    for tag in record.tags() {
        let tag = tag?;
        if !without.contains(&tag.name) {
            out.extend_from_slice(tag.bytes);
        }
    }
    let size = (out.len() - start - 4) as u32;
    out[start..start + 4].copy_from_slice(&size.to_le_bytes());
    Ok(())
}
