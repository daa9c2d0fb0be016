//! RNEXT, PNEXT and TLEN: what they would be by the pair, and the residuals.

use super::{ints, Core, Row, NONE, PAIRED, READ1, REVERSE, UNMAPPED};
use crate::error::{corrupt, Result};
use crate::stream::{Reader, Writer};

/// Contig, position and template length, as `RNEXT`, `PNEXT`, `TLEN` of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mate {
    pub tid: i32,
    pub pos: i32,
    pub template_length: i32,
}

/// Residuals of records whose mate is in the tile, and of the others.
pub fn write(out: &mut Writer, core: &Core, mates: &[u32], rows: &[Row]) {
    for with_mate in [true, false] {
        let chosen = || (0..rows.len()).filter(|&at| (mates[at] != NONE) == with_mate);
        let place: Vec<Mate> = chosen().map(|at| predicted_place(core, mates[at], at)).collect();
        let given = || chosen().map(|at| &rows[at]);
        let minus = |given: i32, predicted: i32| i64::from(given) - i64::from(predicted);
        ints::write(
            out,
            &given().zip(&place).map(|(row, p)| minus(row.mate_tid, p.tid)).collect::<Vec<_>>(),
        );
        ints::write(
            out,
            &given().zip(&place).map(|(row, p)| minus(row.mate_pos, p.pos)).collect::<Vec<_>>(),
        );
        let length = |at: usize| {
            let row = &rows[at];
            minus(
                row.template_length,
                predicted_length(core, mates[at], at, row.mate_tid, row.mate_pos),
            )
        };
        ints::write(out, &chosen().map(length).collect::<Vec<_>>());
    }
}

pub fn read(input: &mut Reader, core: &Core, mates: &[u32]) -> Result<Vec<Mate>> {
    let mut all = vec![Mate { tid: -1, pos: -1, template_length: 0 }; core.count()];
    for with_mate in [true, false] {
        let chosen: Vec<usize> =
            (0..mates.len()).filter(|&at| (mates[at] != NONE) == with_mate).collect();
        let tids = ints::read(input, chosen.len())?;
        let positions = ints::read(input, chosen.len())?;
        let lengths = ints::read(input, chosen.len())?;
        for (slot, &at) in chosen.iter().enumerate() {
            let place = predicted_place(core, mates[at], at);
            let (tid, pos) = (plus(place.tid, tids[slot])?, plus(place.pos, positions[slot])?);
            let length = predicted_length(core, mates[at], at, tid, pos);
            all[at] = Mate { tid, pos, template_length: plus(length, lengths[slot])? };
        }
    }
    Ok(all)
}

fn plus(predicted: i32, residual: i64) -> Result<i32> {
    let value =
        i64::from(predicted).checked_add(residual).and_then(|value| i32::try_from(value).ok());
    value.ok_or_else(|| corrupt("a mate field is out of range"))
}

fn predicted_place(core: &Core, mate: u32, at: usize) -> Mate {
    let (tid, pos) = match mate {
        NONE if core.flag[at] & PAIRED == 0 => (-1, -1),
        NONE => (core.tid[at], core.pos[at]),
        mate => (core.tid[mate as usize], core.pos[mate as usize]),
    };
    Mate { tid, pos, template_length: 0 }
}

/// SAMv1 §1.4: from the leftmost to the rightmost base, plus for the leftmost read; at equal start plus for
/// the first of the pair. Without the mate, its end is guessed from the length of this read.
fn predicted_length(core: &Core, mate: u32, at: usize, mate_tid: i32, mate_pos: i32) -> i32 {
    let (pos, end) = (i64::from(core.pos[at]), core.end(at));
    let length = match mate {
        _ if core.flag[at] & UNMAPPED != 0 || core.tid[at] != mate_tid || core.tid[at] < 0 => 0,
        NONE if core.flag[at] & PAIRED == 0 => 0,
        NONE if core.flag[at] & REVERSE != 0 => i64::from(mate_pos) - end,
        NONE => i64::from(mate_pos) + i64::from(core.length[at]) - pos,
        mate if core.flag[mate as usize] & UNMAPPED != 0 => 0,
        mate => pair_length(core, at, mate as usize, pos, end),
    };
    i32::try_from(length).unwrap_or(0)
}

fn pair_length(core: &Core, at: usize, mate: usize, pos: i64, end: i64) -> i64 {
    let mate_pos = i64::from(core.pos[mate]);
    let length = end.max(core.end(mate)) - pos.min(mate_pos);
    let leftmost = pos < mate_pos || pos == mate_pos && core.flag[at] & READ1 != 0;
    if leftmost {
        length
    } else {
        -length
    }
}
