//! Contig, position, FLAG, MAPQ, length and the links between records of one template.

use super::{ints, Core, NONE, PAIRED};
use crate::error::{corrupt, Result};
use crate::stream::{unzigzag, zigzag, Reader, Writer};

pub fn write(out: &mut Writer, core: &Core) {
    write_contigs(out, core);
    write_positions(out, core);
    let distance =
        |at: usize| if core.next[at] == NONE { 0 } else { i64::from(core.next[at]) - at as i64 };
    ints::write(out, &(0..core.count()).map(distance).collect::<Vec<_>>());
    write_flags(out, core);
    out.bytes(&core.mapq);
    ints::write(out, &core.length.iter().map(|&length| i64::from(length)).collect::<Vec<_>>());
}

/// Read the columns that [`write`] wrote, for `count` records.
pub fn read(input: &mut Reader, count: usize) -> Result<Core> {
    let mut core = Core { tid: read_contigs(input, count)?, ..Core::default() };
    core.pos = read_positions(input, &core.tid)?;
    (core.next, core.previous) = read_links(input, count)?;
    core.flag = read_flags(input, &core.previous)?;
    core.mapq = input.exactly(count)?;
    let lengths = ints::read(input, count)?;
    core.length = narrow(lengths)?;
    Ok(core)
}

pub fn narrow<T: TryFrom<i64>>(values: Vec<i64>) -> Result<Vec<T>> {
    let narrow = |value| T::try_from(value).map_err(|_| corrupt("a value is out of range"));
    values.into_iter().map(narrow).collect()
}

fn write_contigs(out: &mut Writer, core: &Core) {
    let runs: Vec<&[i32]> = core.tid.chunk_by(|a, b| a == b).collect();
    out.varint(runs.len() as u64);
    for run in runs {
        out.varint(zigzag(run[0].into()));
        out.varint(run.len() as u64);
    }
}

fn read_contigs(input: &mut Reader, count: usize) -> Result<Vec<i32>> {
    let mut tids = Vec::with_capacity(count);
    for _ in 0..input.count(count)? {
        let tid = i32::try_from(unzigzag(input.varint()?))
            .map_err(|_| corrupt("a contig is out of range"))?;
        let length = input.count(count - tids.len())?;
        tids.resize(tids.len() + length, tid);
    }
    if tids.len() == count {
        Ok(tids)
    } else {
        Err(corrupt("the contigs do not cover the tile"))
    }
}

/// Each position as the distance from the one before it on the contig.
fn write_positions(out: &mut Writer, core: &Core) {
    let before = |at: usize| match at {
        0 => 0,
        at if core.tid[at] != core.tid[at - 1] => 0,
        at => i64::from(core.pos[at - 1]),
    };
    let steps: Vec<i64> =
        (0..core.count()).map(|at| i64::from(core.pos[at]) - before(at)).collect();
    ints::write(out, &steps);
}

fn read_positions(input: &mut Reader, tids: &[i32]) -> Result<Vec<i32>> {
    let mut position = 0i64;
    let steps = ints::read(input, tids.len())?;
    let absolute = steps.into_iter().enumerate().map(|(at, step)| {
        if at > 0 && tids[at] != tids[at - 1] {
            position = 0;
        }
        position = position.wrapping_add(step);
        position
    });
    narrow(absolute.collect())
}

fn read_links(input: &mut Reader, count: usize) -> Result<(Vec<u32>, Vec<u32>)> {
    let (mut next, mut previous) = (vec![NONE; count], vec![NONE; count]);
    for (at, distance) in ints::read(input, count)?.into_iter().enumerate() {
        if distance == 0 {
            continue;
        }
        let to = usize::try_from(distance).ok().and_then(|distance| at.checked_add(distance));
        let to = to.filter(|&to| to < count && previous[to] == NONE);
        let to = to.ok_or_else(|| corrupt("a template link is out of range"))?;
        next[at] = to as u32;
        previous[to] = at as u32;
    }
    Ok((next, previous))
}

/// FLAG of a record that follows one of `flag` in its template, if they are a plain pair.
fn predicted(flag: u16) -> u16 {
    if flag & PAIRED == 0 {
        return flag;
    }
    let keep = flag & !0xfc;
    let swapped = (flag & 0x54) << 1 | (flag & 0xa8) >> 1;
    keep | swapped
}

fn write_flags(out: &mut Writer, core: &Core) {
    let (mut heads, mut followers) = (Vec::new(), Vec::new());
    for (&flag, &previous) in core.flag.iter().zip(&core.previous) {
        match previous {
            NONE => heads.push(i64::from(flag)),
            at => followers.push(i64::from(flag ^ predicted(core.flag[at as usize]))),
        }
    }
    ints::write(out, &heads);
    ints::write(out, &followers);
}

fn read_flags(input: &mut Reader, previous: &[u32]) -> Result<Vec<u16>> {
    let heads = previous.iter().filter(|&&at| at == NONE).count();
    let mut head = narrow::<u16>(ints::read(input, heads)?)?.into_iter();
    let mut follower = narrow::<u16>(ints::read(input, previous.len() - heads)?)?.into_iter();
    let mut flags: Vec<u16> = Vec::with_capacity(previous.len());
    for &at in previous {
        flags.push(match at {
            NONE => head.next().unwrap_or(0),
            at => follower.next().unwrap_or(0) ^ predicted(flags[at as usize]),
        });
    }
    Ok(flags)
}
