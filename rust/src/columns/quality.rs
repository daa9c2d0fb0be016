//! Base qualities, in the order of sequencing.

use super::{Core, Row, REVERSE};
use crate::codecs::{self, Effort};
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
    if out.effort() == Effort::Small && !qualities.is_empty() {
        out.varint(MIXING);
        out.coded(qualities.len(), &mixing::compress(&qualities, &lengths));
    } else {
        out.varint(GENERAL);
        out.bytes(&qualities);
    }
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
    let mode = input.varint()?;
    let (size, coded) = input.coded()?;
    if lengths.iter().map(|&length| u64::from(length)).sum::<u64>() != size as u64 {
        return Err(corrupt("the qualities do not fit the lengths"));
    }
    let sequenced = match mode {
        GENERAL => codecs::decompress(coded, size)?,
        MIXING => mixing::decompress(coded, size, &lengths)?,
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
