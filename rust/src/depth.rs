//! Depth of a contig, position by position.

use std::collections::VecDeque;

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
            self.gaps.push((pos, pos.saturating_add(1)));
        }
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
/// `steps` holds how the depth changes at each position from `base` on; what lies before the position of
/// the last alignment is final and can be taken.
pub struct Depth {
    base: i64,
    end: i64,
    current: [i32; 2],
    /// Changes of depth, and of the number of gaps.
    steps: VecDeque<[i32; 2]>,
}

impl Depth {
    pub fn new(start: i64, end: i64) -> Self {
        Self { base: start, end, current: [0; 2], steps: VecDeque::new() }
    }

    /// Count the blocks of one tile.
    pub fn add(&mut self, blocks: &Blocks) {
        for &(from, to) in &blocks.blocks {
            self.cover(from.into(), to.into(), 0);
        }
        for &(from, to) in &blocks.gaps {
            self.cover(from.into(), to.into(), 1);
        }
    }

    fn cover(&mut self, from: i64, to: i64, what: usize) {
        let (from, to) = (from.max(self.base), to.min(self.end));
        if from >= to {
            return;
        }
        self.step(from, what, 1);
        self.step(to, what, -1);
    }

    fn step(&mut self, at: i64, what: usize, by: i32) {
        let index = (at - self.base) as usize;
        if index >= self.steps.len() {
            self.steps.resize(index + 1, [0; 2]);
        }
        self.steps[index][what] += by;
    }

    /// Where the alignments that were added end.
    pub fn known(&self) -> i64 {
        self.base + self.steps.len().saturating_sub(1) as i64
    }

    /// Take the depths up to `until`; no later alignment may begin before it.
    pub fn take(&mut self, until: i64) -> Run {
        let until = until.clamp(self.base, self.end);
        let length = (until - self.base) as usize;
        let start = self.base;
        let mut depths = Vec::with_capacity(length);
        let known = length.min(self.steps.len());
        for [depth, gaps] in self.steps.drain(..known) {
            self.current[0] += depth;
            self.current[1] += gaps;
            depths.push(shown(self.current));
        }
        depths.resize(length, shown(self.current));
        self.base = until;
        Run { start, depths }
    }
}

/// The depth of a position that only gaps cover: nothing, but `samtools depth` prints it.
const ONLY_GAPS: u32 = u32::MAX;

fn shown([depth, gaps]: [i32; 2]) -> u32 {
    if depth == 0 && gaps > 0 {
        ONLY_GAPS
    } else {
        depth as u32
    }
}

fn counted(depth: u32) -> u32 {
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

    fn slice(&self, start: i64, end: i64) -> &[u32] {
        let from = start.clamp(self.start, self.end()) - self.start;
        let to = end.clamp(self.start, self.end()) - self.start;
        self.depths.get(from as usize..to as usize).unwrap_or(&[])
    }

    /// How long [`Run::write_text`] makes the lines.
    pub fn text_size(&self, contig: &str, start: i64, end: i64, zeros: bool) -> usize {
        let mut rest = self.slice(start, end);
        let mut position = start.max(self.start) as u64 + 1;
        let mut size = 0;
        while !rest.is_empty() {
            // Positions of as many digits.
            let width = digits(position);
            let until = 10u64.saturating_pow(width as u32) - position;
            let (now, later) = rest.split_at(rest.len().min(until as usize));
            size += lines_size(now, contig.len() + width + 3, zeros);
            position += now.len() as u64;
            rest = later;
        }
        size
    }

    /// Write lines `contig, 1-based position, depth` of [start, end), with or without zeros.
    pub fn write_text(&self, contig: &str, start: i64, end: i64, zeros: bool, out: &mut [u8]) {
        let mut line = Line::new(contig, start.max(self.start) as u64 + 1);
        let mut at = 0;
        for &depth in self.slice(start, end) {
            if zeros || depth > 0 {
                at += line.put(counted(depth), &mut out[at..]);
            }
            line.advance();
        }
    }

    /// Sum of the depths of [start, end).
    pub fn sum(&self, start: i64, end: i64) -> u64 {
        self.slice(start, end).iter().map(|&depth| u64::from(counted(depth))).sum()
    }
}

/// Bytes of lines that have `fixed` beside the digits of the depth. Without branches, so that it is done for many
/// depths at once.
fn lines_size(depths: &[u32], fixed: usize, zeros: bool) -> usize {
    let most = depths.iter().map(|&depth| counted(depth)).max().unwrap_or(0);
    let lines = if zeros { depths.len() } else { count_if(depths, |depth| depth > 0) };
    let mut size = lines * (fixed + 1);
    let mut bound = 10;
    while most >= bound {
        size += count_if(depths, |depth| counted(depth) >= bound);
        match bound.checked_mul(10) {
            Some(next) => bound = next,
            None => break,
        }
    }
    size
}

fn count_if(depths: &[u32], is: impl Fn(u32) -> bool) -> usize {
    depths.iter().map(|&depth| usize::from(is(depth))).sum()
}

/// Digits of a number.
#[inline]
fn digits(value: u64) -> usize {
    match value {
        0..=9 => 1,
        10..=99 => 2,
        value => value.ilog10() as usize + 1,
    }
}

/// Heads are copied so many bytes at once where there is room: far faster than just what they have.
const STEP: usize = 32;

/// Contig and position of a line. The position is counted up in place; its last digit, which changes with each line,
/// is kept apart, so that what is copied was written long before.
struct Line {
    /// The head up to the tab behind the position, and at least `STEP` bytes more.
    head: Vec<u8>,
    /// Where the digits of the position begin and end.
    digits: std::ops::Range<usize>,
    last: u8,
}

impl Line {
    fn new(contig: &str, position: u64) -> Self {
        let start = contig.len() + 1;
        let mut head = format!("{contig}\t{position}\t").into_bytes();
        let digits = start..head.len() - 1;
        let last = head[digits.end - 1];
        head.resize(head.len() + 2 * STEP, 0);
        Self { head, digits, last }
    }

    /// Write the line to the start of `out`; returns its length.
    #[inline]
    fn put(&self, depth: u32, out: &mut [u8]) -> usize {
        let head = self.digits.end + 1;
        match (out.first_chunk_mut::<STEP>(), self.head.first_chunk::<STEP>()) {
            (Some(wide), Some(text)) if head <= STEP => *wide = *text,
            _ => copy(&self.head[..head], out),
        }
        out[head - 2] = self.last;
        head + put_depth(depth, &mut out[head..])
    }

    #[inline]
    fn advance(&mut self) {
        if self.last != b'9' {
            self.last += 1;
        } else {
            self.carry();
        }
    }

    #[cold]
    fn carry(&mut self) {
        self.last = b'0';
        for at in (self.digits.start..self.digits.end - 1).rev() {
            if self.head[at] != b'9' {
                self.head[at] += 1;
                return;
            }
            self.head[at] = b'0';
        }
        self.head.insert(self.digits.start, b'1');
        self.digits.end += 1;
    }
}

/// Write a number and a line break; returns their length. Nearly all depths have one digit or two.
#[inline]
fn put_depth(depth: u32, out: &mut [u8]) -> usize {
    let digit = |value: u32| b'0' + (value % 10) as u8;
    match depth {
        0..=9 => out[..2].copy_from_slice(&[digit(depth), b'\n']),
        10..=99 => out[..3].copy_from_slice(&[digit(depth / 10), digit(depth), b'\n']),
        _ => return put_deep(depth, out),
    }
    2 + usize::from(depth > 9)
}

fn put_deep(depth: u32, out: &mut [u8]) -> usize {
    let end = digits(depth.into());
    let mut rest = depth;
    for place in out[..end].iter_mut().rev() {
        *place = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    out[end] = b'\n';
    end + 1
}

/// Apart, lest the compiler make one copy of unknown length of both kinds.
#[cold]
#[inline(never)]
fn copy(head: &[u8], out: &mut [u8]) {
    out[..head.len()].copy_from_slice(head);
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

    fn text(run: Run, start: i64, end: i64, zeros: bool) -> Vec<u8> {
        let mut out = vec![0; run.text_size("c", start, end, zeros)];
        run.write_text("c", start, end, zeros, &mut out);
        out
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
        let text = text(depth.take(20), 0, 20, false);
        assert_eq!(text, b"c\t3\t1\nc\t4\t1\nc\t5\t0\nc\t6\t0\nc\t7\t0\nc\t8\t1\nc\t9\t1\n");
    }

    #[test]
    fn positions_count_up() {
        let mut depth = Depth::new(8, 12);
        depth.add(&blocks(0, &[100 << 4]));
        let mut lines = text(depth.take(9), 0, 100, true);
        lines.extend(text(depth.take(100), 0, 100, true));
        assert_eq!(lines, b"c\t9\t1\nc\t10\t1\nc\t11\t1\nc\t12\t1\n");
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
