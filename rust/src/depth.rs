//! Depth of a contig, position by position.

use crate::columns::Core;
use crate::error::Result;
use crate::record::{iterate, Record};

/// Which reads count.
#[derive(Clone, Copy)]
pub struct Filter {
    pub require: u16,
    pub exclude: u16,
    pub min_mapq: u8,
}

impl Filter {
    pub fn keeps(&self, flag: u16, mapq: u8) -> bool {
        flag & self.require == self.require && flag & self.exclude == 0 && mapq >= self.min_mapq
    }
}

/// The records of contig `tid` that begin at `first` or later and overlap any of the sorted, disjoint intervals.
pub fn overlapping(
    stream: &[u8],
    tid: i32,
    intervals: &[(i64, i64)],
    first: i64,
) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    for record in iterate(stream) {
        let record = record?;
        let begins = i64::from(record.pos()) >= first;
        if record.tid() == tid && begins && overlaps(&record, intervals) {
            out.extend_from_slice(&(record.bytes().len() as u32).to_le_bytes());
            out.extend_from_slice(record.bytes());
        }
    }
    Ok(out)
}

fn overlaps(record: &Record, intervals: &[(i64, i64)]) -> bool {
    let start = i64::from(record.pos());
    let next = intervals.partition_point(|interval| interval.1 <= start);
    intervals.get(next).is_some_and(|interval| interval.0 < record.end())
}

/// Stretches of aligned bases (M, =, X), 0-based half-open, of the alignments of a tile.
#[derive(Default)]
pub struct Blocks {
    blocks: Vec<(i32, i32)>,
    /// Deletions and introns: covered, but without depth.
    gaps: Vec<(i32, i32)>,
    first: Option<i32>,
    /// Where the last of them ends.
    end: i32,
}

impl Blocks {
    /// Append those of one alignment. `cigar` holds BAM operations.
    pub fn push(&mut self, pos: i32, cigar: impl IntoIterator<Item = u32>) {
        let mut at = pos;
        self.first.get_or_insert(pos);
        for op in cigar {
            let next = at.saturating_add((op >> 4) as i32);
            match op & 15 {
                0 | 7 | 8 => {
                    self.blocks.push((at, next));
                    at = next;
                }
                2 | 3 => {
                    self.gaps.push((at, next));
                    at = next;
                }
                _ => {}
            }
        }
        if at == pos {
            // As for htslib, what spans nothing covers a position.
            at = pos.saturating_add(1);
            self.gaps.push((pos, at));
        }
        self.end = self.end.max(at);
    }

    /// Position of the first alignment: none of a later tile begins before it.
    pub fn first(&self) -> Option<i32> {
        self.first
    }

    /// Those of the alignments of contig `tid` in a core section.
    pub fn of_core(core: &Core, tid: i32, filter: Filter) -> Self {
        let mut blocks = Self::default();
        let wanted =
            |&at: &usize| core.tid[at] == tid && filter.keeps(core.flag[at], core.mapq[at]);
        for at in (0..core.count()).filter(wanted) {
            blocks.push(core.pos[at], core.cigar(at).iter().copied());
        }
        blocks
    }
}

/// Depth of [start, end) of a contig, from alignments in order of position.
///
/// What lies before the position of the last alignment is final and can be taken.
pub struct Depth {
    base: i64,
    end: i64,
    /// Depth before `base`.
    current: i32,
    /// How the depth changes at each position from `base` on.
    steps: Vec<i32>,
    /// Gaps that reach beyond `base`.
    gaps: Vec<(i64, i64)>,
    known: i64,
}

impl Depth {
    pub fn new(start: i64, end: i64) -> Self {
        Self { base: start, end, current: 0, steps: Vec::new(), gaps: Vec::new(), known: start }
    }

    /// Count the blocks of one tile.
    pub fn add(&mut self, blocks: &Blocks) {
        self.make_room(blocks.blocks.iter().map(|block| block.1).max());
        for &(from, to) in &blocks.blocks {
            if let Some((from, to)) = self.within(from, to) {
                self.steps[(from - self.base) as usize] += 1;
                self.steps[(to - self.base) as usize] -= 1;
            }
        }
        for &(from, to) in &blocks.gaps {
            self.gaps.extend(self.within(from, to));
        }
        self.known = self.known.max(blocks.end.into()).min(self.end);
    }

    /// Have a step for each position up to where the last block ends.
    fn make_room(&mut self, end: Option<i32>) {
        let known = end.map_or(self.base, i64::from).min(self.end) - self.base;
        if known >= self.steps.len() as i64 {
            self.steps.resize(known as usize + 1, 0);
        }
    }

    fn within(&self, from: i32, to: i32) -> Option<(i64, i64)> {
        let (from, to) = (i64::from(from).max(self.base), i64::from(to).min(self.end));
        (from < to).then_some((from, to))
    }

    /// Where the alignments that were added end.
    pub fn known(&self) -> i64 {
        self.known.max(self.base)
    }

    /// Take the depths up to `until`; no later alignment may begin before it.
    pub fn take(&mut self, until: i64) -> Run {
        let until = until.clamp(self.base, self.end);
        let length = (until - self.base) as usize;
        let mut depths = Vec::with_capacity(length);
        let known = length.min(self.steps.len());
        depths.extend(self.steps[..known].iter().map(|step| {
            self.current += step;
            self.current as u32
        }));
        depths.resize(length, self.current as u32);
        self.steps.drain(..known);
        self.mark_gaps(until, &mut depths);
        Run { start: std::mem::replace(&mut self.base, until), depths }
    }

    /// Mark what only gaps cover, up to `until`, and keep the gaps that reach beyond.
    fn mark_gaps(&mut self, until: i64, depths: &mut [u32]) {
        self.gaps.sort_unstable();
        let mut marked = self.base;
        for &(from, to) in &self.gaps {
            let (from, to) = (from.max(marked), to.min(until));
            if from < to {
                let covered = &mut depths[(from - self.base) as usize..(to - self.base) as usize];
                covered
                    .iter_mut()
                    .filter(|depth| **depth == 0)
                    .for_each(|depth| *depth = ONLY_GAPS);
                marked = to;
            }
        }
        self.gaps.retain(|gap| gap.1 > until);
    }
}

/// The depth of a position that only gaps cover: nothing, but `samtools depth` prints it.
const ONLY_GAPS: u32 = u32::MAX;

/// The depth that is printed.
pub fn counted(depth: u32) -> u32 {
    if depth == ONLY_GAPS {
        0
    } else {
        depth
    }
}

/// Depths of consecutive positions.
pub struct Run {
    pub start: i64,
    pub depths: Vec<u32>,
}

impl Run {
    pub fn end(&self) -> i64 {
        self.start + self.depths.len() as i64
    }

    /// The depths of [start, end), as far as they are here.
    pub fn slice(&self, start: i64, end: i64) -> &[u32] {
        let from = start.clamp(self.start, self.end()) - self.start;
        let to = end.clamp(self.start, self.end()) - self.start;
        self.depths.get(from as usize..to as usize).unwrap_or(&[])
    }

    /// Sum of the depths of [start, end).
    pub fn sum(&self, start: i64, end: i64) -> u64 {
        self.slice(start, end).iter().map(|&depth| u64::from(counted(depth))).sum()
    }
}

/// Sums of depth over intervals, which may overlap; runs come in order.
pub struct Windows {
    intervals: Vec<(i64, i64)>,
    order: Vec<usize>,
    sums: Vec<u64>,
    first: usize,
}

impl Windows {
    pub fn new(intervals: Vec<(i64, i64)>) -> Self {
        let mut order: Vec<usize> = (0..intervals.len()).collect();
        order.sort_by_key(|&at| intervals[at]);
        let sums = vec![0; intervals.len()];
        Self { intervals, order, sums, first: 0 }
    }

    /// Cut [start, end) into windows of `size` positions.
    pub fn fixed(start: i64, end: i64, size: i64) -> Self {
        let mut intervals = Vec::new();
        let mut at = start;
        while at < end {
            let next = (at + size).min(end);
            intervals.push((at, next));
            at = next;
        }
        Self::new(intervals)
    }

    pub fn add(&mut self, run: &Run) {
        while self.order.get(self.first).is_some_and(|&at| self.intervals[at].1 <= run.start) {
            self.first += 1;
        }
        for &at in &self.order[self.first..] {
            let (start, end) = self.intervals[at];
            if start >= run.end() {
                break;
            }
            self.sums[at] += run.sum(start, end);
        }
    }

    /// Lines `contig, start, end, mean` (0-based half-open), in the order given.
    pub fn text(&self, contig: &str) -> Vec<u8> {
        use std::io::Write;
        let mut out = Vec::new();
        for (&(start, end), &sum) in self.intervals.iter().zip(&self.sums) {
            let mean = if end > start { sum as f64 / (end - start) as f64 } else { 0.0 };
            // Writing to a vector cannot fail.
            let _ = writeln!(out, "{contig}\t{start}\t{end}\t{mean:.2}");
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(run: &Run) -> Vec<(i64, u32)> {
        (run.start..).zip(run.depths.iter().map(|&depth| counted(depth))).collect()
    }

    fn blocks(pos: i32, cigar: &[u32]) -> Blocks {
        let mut blocks = Blocks::default();
        blocks.push(pos, cigar.iter().copied());
        blocks
    }

    #[test]
    fn deletions_do_not_count() {
        let mut depth = Depth::new(0, 20);
        depth.add(&blocks(2, &[2 << 4, 3 << 4 | 2, 2 << 4]));
        let run = depth.take(10);
        assert_eq!(run.depths, [0, 0, 1, 1, ONLY_GAPS, ONLY_GAPS, ONLY_GAPS, 1, 1, 0]);
        assert_eq!(depth.known(), 10);
    }

    #[test]
    fn gaps_and_blocks_go_on_in_the_next_stretch() {
        let mut depth = Depth::new(0, 40);
        depth.add(&blocks(2, &[4 << 4, 20 << 4 | 3, 2 << 4]));
        depth.add(&blocks(8, &[4 << 4]));
        let first = depth.take(10);
        depth.add(&blocks(15, &[4 << 4, 9 << 4 | 3, 1 << 4]));
        let mut depths = first.depths;
        depths.extend(depth.take(40).depths);
        let expected = (0..40).map(|at| match at {
            2..6 | 8..12 | 15..19 | 26..29 => 1,
            6..8 | 12..15 | 19..26 => ONLY_GAPS,
            _ => 0,
        });
        assert_eq!(depths, expected.collect::<Vec<_>>());
    }

    #[test]
    fn only_the_interval_counts() {
        let mut depth = Depth::new(8, 12);
        depth.add(&blocks(0, &[100 << 4]));
        assert_eq!(shown(&depth.take(9)), [(8, 1)]);
        assert_eq!(depth.known(), 12);
        assert_eq!(shown(&depth.take(100)), [(9, 1), (10, 1), (11, 1)]);
    }

    #[test]
    fn windows_may_overlap() {
        let mut depth = Depth::new(0, 10);
        depth.add(&blocks(0, &[10 << 4]));
        let mut windows = Windows::new(vec![(5, 9), (0, 10), (0, 2)]);
        windows.add(&depth.take(3));
        windows.add(&depth.take(10));
        assert_eq!(windows.text("c"), b"c\t5\t9\t1.00\nc\t0\t10\t1.00\nc\t0\t2\t1.00\n");
    }
}
