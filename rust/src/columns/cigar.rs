//! CIGAR operations.
//!
//! A shape for each record: 0 is one M over all of SEQ, else twice the number of operations, plus one where
//! the length of the first M, = or X follows from the length of SEQ and is left out.

use super::position::narrow;
use super::{aligns, consumes_query, ints, Core};
use crate::error::{corrupt, Result};
use crate::stream::{Reader, Writer};

pub fn write(out: &mut Writer, core: &Core) {
    let (mut shapes, mut codes, mut lengths) = (Vec::new(), Vec::new(), Vec::new());
    for record in 0..core.count() {
        let cigar = core.cigar(record);
        let length = core.length[record];
        if length > 0 && cigar == [length << 4] {
            shapes.push(0);
            continue;
        }
        let implied = implied_op(cigar, length);
        shapes.push(2 * cigar.len() as i64 + i64::from(implied.is_some()) + 1);
        codes.extend(cigar.iter().map(|&op| op as u8 & 15));
        let stored = cigar.iter().enumerate().filter(|&(at, _)| Some(at) != implied);
        lengths.extend(stored.map(|(_, &op)| i64::from(op >> 4)));
    }
    ints::write(out, &shapes);
    out.bytes(&codes);
    ints::write(out, &lengths);
    out.varint(lengths.len() as u64);
}

/// The operation whose length follows from the length of SEQ.
fn implied_op(cigar: &[u32], length: u32) -> Option<usize> {
    let query = cigar.iter().filter(|&&op| consumes_query(op)).map(|&op| u64::from(op >> 4));
    let fits = length > 0 && query.sum::<u64>() == u64::from(length);
    cigar.iter().position(|&op| aligns(op)).filter(|_| fits)
}

pub fn read(input: &mut Reader, core: &mut Core) -> Result<()> {
    let shapes = ints::read(input, core.count())?;
    let codes = input.bytes()?;
    let implied = shapes.iter().filter(|&&shape| shape > 0 && shape & 1 == 0).count();
    let count = codes.len().checked_sub(implied).ok_or_else(mismatch)?;
    let lengths = narrow::<u32>(ints::read(input, count)?)?;
    if input.varint()? != lengths.len() as u64 {
        return Err(mismatch());
    }
    let mut source = Source { codes: &codes, lengths: &lengths };
    core.op_start.push(0);
    for (record, shape) in shapes.into_iter().enumerate() {
        source.record(shape, core.length[record], &mut core.ops)?;
        core.op_start.push(u32::try_from(core.ops.len()).map_err(|_| mismatch())?);
    }
    Ok(())
}

fn mismatch() -> crate::error::Error {
    corrupt("the CIGAR columns do not fit together")
}

struct Source<'a> {
    codes: &'a [u8],
    lengths: &'a [u32],
}

impl Source<'_> {
    fn record(&mut self, shape: i64, length: u32, ops: &mut Vec<u32>) -> Result<()> {
        if shape == 0 {
            ops.push(length << 4);
            return Ok(());
        }
        let count = usize::try_from((shape - 1) / 2).map_err(|_| mismatch())?;
        let (codes, rest) = self.codes.split_at_checked(count).ok_or_else(mismatch)?;
        self.codes = rest;
        let implied = (shape & 1 == 0).then(|| codes.iter().position(|&code| aligns(code.into())));
        let implied = implied.map(|at| at.ok_or_else(mismatch)).transpose()?;
        let start = ops.len();
        for (at, &code) in codes.iter().enumerate() {
            let length = if Some(at) == implied { 0 } else { self.length()? };
            ops.push(length << 4 | u32::from(code & 15));
        }
        implied.map_or(Ok(()), |at| fill(&mut ops[start..], at, length))
    }

    fn length(&mut self) -> Result<u32> {
        let (&length, rest) = self.lengths.split_first().ok_or_else(mismatch)?;
        self.lengths = rest;
        Ok(length)
    }
}

/// Give operation `at` the length that makes the query `length` long.
fn fill(cigar: &mut [u32], at: usize, length: u32) -> Result<()> {
    let others: u64 =
        cigar.iter().filter(|&&op| consumes_query(op)).map(|&op| u64::from(op >> 4)).sum();
    let missing = u64::from(length).checked_sub(others).ok_or_else(mismatch)?;
    cigar[at] |= (missing as u32) << 4;
    Ok(())
}
