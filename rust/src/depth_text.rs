//! Depth as text: lines of contig, 1-based position and depth, as `samtools depth` prints them.
//!
//! A genome has three billion lines, so this is where the time goes. Lines are written into memory that nobody has
//! set to zero before, wherever possible in pieces of constant size.

use std::mem::MaybeUninit;
use std::ops::Range;

use crate::depth::{counted, Run};

type Byte = MaybeUninit<u8>;

impl Run {
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
    ///
    /// Returns how many bytes at the beginning of `out` were written.
    pub fn write_text(
        &self,
        contig: &str,
        start: i64,
        end: i64,
        zeros: bool,
        out: &mut [Byte],
    ) -> usize {
        let mut line = Line::new(contig, start.max(self.start) as u64 + 1);
        let mut at = 0;
        for &depth in self.slice(start, end) {
            if zeros || depth > 0 {
                at += line.put(counted(depth), &mut out[at..]);
            }
            line.advance();
        }
        at
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
fn digits(value: u64) -> usize {
    value.checked_ilog10().unwrap_or(0) as usize + 1
}

/// Heads are copied so many bytes at once where there is room: far faster than just what they have.
const STEP: usize = 32;

/// Contig and position of a line. The position is counted up in place; its last digit, which changes with each line,
/// is kept apart, so that what is copied was written long before.
struct Line {
    /// The head up to the tab behind the position, and at least `STEP` bytes more.
    head: Vec<Byte>,
    /// Where the digits of the position begin and end.
    digits: Range<usize>,
    position: u64,
    last: u8,
}

impl Line {
    fn new(contig: &str, position: u64) -> Self {
        let text = format!("{contig}\t{position}\t");
        let digits = contig.len() + 1..text.len() - 1;
        let mut head: Vec<Byte> = text.bytes().map(Byte::new).collect();
        head.resize(head.len() + STEP, Byte::new(0));
        Self { head, digits, position, last: b'0' + (position % 10) as u8 }
    }

    /// Write the line to the start of `out`; returns its length.
    #[inline]
    fn put(&self, depth: u32, out: &mut [Byte]) -> usize {
        let head = self.digits.end + 1;
        match (out.first_chunk_mut::<STEP>(), self.head.first_chunk::<STEP>()) {
            (Some(wide), Some(text)) if head <= STEP => *wide = *text,
            _ => copy(&self.head[..head], out),
        }
        out[head - 2] = Byte::new(self.last);
        head + put_depth(depth, &mut out[head..])
    }

    #[inline]
    fn advance(&mut self) {
        self.position += 1;
        if self.last != b'9' {
            self.last += 1;
        } else {
            self.carry();
        }
    }

    /// Write the position anew, behind the contig.
    #[cold]
    fn carry(&mut self) {
        self.last = b'0';
        self.digits.end = self.digits.start + digits(self.position);
        self.head.resize(self.digits.end + 1 + STEP, Byte::new(0));
        self.head[self.digits.end] = Byte::new(b'\t');
        let mut rest = self.position;
        for place in self.head[self.digits.clone()].iter_mut().rev() {
            *place = Byte::new(b'0' + (rest % 10) as u8);
            rest /= 10;
        }
    }
}

/// The ends of lines, of depths below `SHALLOW`: text and line break, and how long they are. Looked up, as to
/// branch by the number of digits is to guess wrong often where the depth is about ten.
static ENDS: [([Byte; 4], u8); SHALLOW] = ends();
const SHALLOW: usize = 1000;

const fn ends() -> [([Byte; 4], u8); SHALLOW] {
    let mut ends = [([Byte::new(b'\n'); 4], 0); SHALLOW];
    let mut depth = 0;
    while depth < SHALLOW {
        let digits = 1 + (depth > 9) as usize + (depth > 99) as usize;
        let (mut at, mut rest) = (digits, depth);
        while at > 0 {
            at -= 1;
            ends[depth].0[at] = Byte::new(b'0' + (rest % 10) as u8);
            rest /= 10;
        }
        ends[depth].1 = digits as u8 + 1;
        depth += 1;
    }
    ends
}

/// Write a number and a line break; returns their length.
#[inline]
fn put_depth(depth: u32, out: &mut [Byte]) -> usize {
    match (ENDS.get(depth as usize), out.first_chunk_mut::<4>()) {
        (Some((text, length)), Some(wide)) => {
            *wide = *text;
            usize::from(*length)
        }
        _ => put_number(depth, out),
    }
}

/// The same for deep places, and for the end of the memory.
#[cold]
#[inline(never)]
fn put_number(depth: u32, out: &mut [Byte]) -> usize {
    let text = format!("{depth}\n");
    for (byte, place) in text.bytes().zip(&mut out[..text.len()]) {
        *place = Byte::new(byte);
    }
    text.len()
}

/// Apart, lest the compiler make one copy of unknown length of both kinds.
#[cold]
#[inline(never)]
fn copy(head: &[Byte], out: &mut [Byte]) {
    out[..head.len()].copy_from_slice(head);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(run: &Run, contig: &str, start: i64, end: i64, zeros: bool) -> String {
        let mut out = vec![Byte::new(0); run.text_size(contig, start, end, zeros)];
        assert_eq!(run.write_text(contig, start, end, zeros, &mut out), out.len());
        // SAFETY: all bytes were set when `out` was made.
        out.iter().map(|byte| char::from(unsafe { byte.assume_init() })).collect()
    }

    fn expected(run: &Run, contig: &str, start: i64, end: i64, zeros: bool) -> String {
        let depths = (run.start..).zip(&run.depths);
        let depths =
            depths.filter(|(at, &depth)| (start..end).contains(at) && (zeros || depth > 0));
        depths.map(|(at, &depth)| format!("{contig}\t{}\t{}\n", at + 1, counted(depth))).collect()
    }

    #[test]
    fn lines_are_those_of_a_plain_formatter() {
        // Depths of all widths, gaps (u32::MAX), and positions that gain digits.
        let depth = |at: u32| match at % 7 {
            0 => 0,
            1 => u32::MAX,
            2 => at % 12,
            3 => u32::MAX - 1,
            _ => at.wrapping_mul(2_654_435_761) >> (at % 32),
        };
        for (first, contig) in
            [(0, "c"), (95, "chr20"), (999_990, "HLA:A*01:01"), (9, &"n".repeat(40))]
        {
            let run = Run { start: first, depths: (0..2500).map(depth).collect() };
            for (start, end) in
                [(0, i64::MAX), (first + 7, first + 31), (first + 8, first + 9), (5, 5)]
            {
                for zeros in [false, true] {
                    let wanted = expected(&run, contig, start, end, zeros);
                    assert_eq!(text(&run, contig, start, end, zeros), wanted);
                }
            }
        }
    }
}
