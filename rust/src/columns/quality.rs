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

pub fn write(out: &mut Writer, rows: &[Row]) {
    let present: Vec<u8> = rows.iter().map(|row| u8::from(is_present(row))).collect();
    out.bytes(&present);
    let mut qualities = Vec::new();
    let mut lengths = Vec::new();
    for row in rows.iter().filter(|row| is_present(row)) {
        lengths.push(row.length);
        append(&mut qualities, row.qualities, row.flag);
    }
    let general = codecs::compress(&qualities, out.effort());
    let mixed = mixing::if_smaller(&qualities, &lengths, out.effort(), general.len());
    out.varint(if mixed.is_some() { MIXING } else { GENERAL });
    out.coded(qualities.len(), &mixed.unwrap_or(general));
}

fn is_present(row: &Row) -> bool {
    row.qualities.iter().any(|&quality| quality != MISSING)
}

/// Append in the order in which the bases were sequenced.
fn append(out: &mut Vec<u8>, qualities: &[u8], flag: u16) {
    let start = out.len();
    out.extend_from_slice(qualities);
    if flag & REVERSE != 0 {
        out[start..].reverse();
    }
}

/// The qualities of all records in their order, `length` bytes a record, as BAM stores them.
pub fn read(input: &mut Reader, core: &Core) -> Result<Vec<u8>> {
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
    Ok(place(core, &present, &sequenced))
}

fn place(core: &Core, present: &[u8], mut sequenced: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(sequenced.len());
    for (record, &has) in present.iter().enumerate() {
        let length = core.length[record] as usize;
        if has == 1 {
            let (qualities, rest) = sequenced.split_at(length);
            append(&mut out, qualities, core.flag[record]);
            sequenced = rest;
        } else {
            out.resize(out.len() + length, MISSING);
        }
    }
    out
}
