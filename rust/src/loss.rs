//! Loss that the user asked for by name: coarser qualities, tags and names left out.

use crate::error::{Error, Result};
use crate::record::{iterate, Record, FIXED};

/// How qualities are made coarser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Qualities {
    /// The eight bins of Illumina's white paper "Reducing whole-genome data storage footprint" (2014).
    Bin8,
    /// 2, 12, 23 and 37, as NovaSeq instruments report.
    Bin4,
}

impl Qualities {
    pub fn named(name: &str) -> Result<Self> {
        match name {
            "bin8" => Ok(Self::Bin8),
            "bin4" => Ok(Self::Bin4),
            other => Err(Error::input(format!("no way to make qualities coarser is called {other:?}"))),
        }
    }

    fn apply(self, quality: u8) -> u8 {
        match (self, quality) {
            (_, 0xff) => 0xff,
            (Self::Bin8, 0..=1) => quality,
            (Self::Bin8, 2..=9) => 6,
            (Self::Bin8, 10..=19) => 15,
            (Self::Bin8, 20..=24) => 22,
            (Self::Bin8, 25..=29) => 27,
            (Self::Bin8, 30..=34) => 33,
            (Self::Bin8, 35..=39) => 37,
            (Self::Bin8, _) => 40,
            (Self::Bin4, 0..=6) => 2,
            (Self::Bin4, 7..=17) => 12,
            (Self::Bin4, 18..=29) => 23,
            (Self::Bin4, _) => 37,
        }
    }
}

/// What may be lost; nothing by default.
#[derive(Clone, Debug, Default)]
pub struct Loss {
    pub qualities: Option<Qualities>,
    pub tags: Vec<[u8; 2]>,
    pub names: bool,
}

/// The records with what may be lost left out; None where nothing may be.
pub fn apply(records: &[u8], loss: &Loss) -> Result<Option<Vec<u8>>> {
    if loss.qualities.is_none() && loss.tags.is_empty() && !loss.names {
        return Ok(None);
    }
    let mut out = Vec::with_capacity(records.len());
    for record in iterate(records) {
        append(&record?, loss, &mut out)?;
    }
    Ok(Some(out))
}

fn append(record: &Record, loss: &Loss, out: &mut Vec<u8>) -> Result<()> {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&record.bytes()[..FIXED]);
    let name: &[u8] = if loss.names { b"*\0" } else { record.raw_name() };
    out[start + 4 + 8] = name.len() as u8;
    out.extend_from_slice(name);
    out.extend_from_slice(record.raw_cigar().0);
    out.extend_from_slice(record.sequence());
    let qualities = record.qualities().iter();
    match loss.qualities {
        Some(coarser) => out.extend(qualities.map(|&quality| coarser.apply(quality))),
        None => out.extend(qualities),
    }
    for tag in record.tags() {
        let tag = tag?;
        if !loss.tags.contains(&tag.name) {
            out.extend_from_slice(tag.bytes);
        }
    }
    let size = (out.len() - start - 4) as u32;
    out[start..start + 4].copy_from_slice(&size.to_le_bytes());
    Ok(())
}
