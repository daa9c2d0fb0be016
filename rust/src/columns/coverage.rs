//! The positions that the reads of a tile cover, numbered without gaps.
//!
//! A tile may span far more of a contig than its reads cover (spliced reads, sparse data, several contigs), so
//! consensus and reference are arrays over covered positions only.

use super::{aligns, consumes_reference, Core, DELETION};

/// Longer deletions are not covered: nothing is known of the reference under them.
const LONGEST_DELETION: u32 = 10_000;

/// Half-open interval of one contig, whose first position has the number `number`.
struct Segment {
    tid: i32,
    start: i64,
    end: i64,
    number: usize,
}

/// A numbering of the covered positions.
pub struct Coverage {
    segments: Vec<Segment>,
    /// How many positions are covered.
    pub len: usize,
}

pub fn is_covered(op: u32) -> bool {
    aligns(op) || op & 15 == DELETION && op >> 4 <= LONGEST_DELETION
}

impl Coverage {
    /// None where the tile covers more than `limit` positions.
    pub fn of(core: &Core, aligned: &[bool], limit: usize) -> Option<Self> {
        let mut spans = Vec::with_capacity(core.count());
        for record in (0..core.count()).filter(|&record| aligned[record]) {
            push_spans(core, record, &mut spans);
        }
        spans.sort_unstable_by_key(|&(tid, start, _)| (tid, start));
        let mut coverage = Self { segments: Vec::new(), len: 0 };
        for (tid, start, end) in spans {
            coverage.extend(tid, start, end);
        }
        (coverage.len <= limit).then_some(coverage)
    }

    fn extend(&mut self, tid: i32, start: i64, end: i64) {
        match self.segments.last_mut() {
            Some(last) if last.tid == tid && last.end >= start => {
                self.len += (end - last.end).max(0) as usize;
                last.end = last.end.max(end);
            }
            _ => {
                self.segments.push(Segment { tid, start, end, number: self.len });
                self.len += (end - start) as usize;
            }
        }
    }

    /// The number of a covered position.
    pub fn number(&self, tid: i32, pos: i64) -> usize {
        let after =
            self.segments.partition_point(|segment| (segment.tid, segment.start) <= (tid, pos));
        let segment = &self.segments[after - 1];
        segment.number + (pos - segment.start) as usize
    }
}

/// The covered runs of one record, joined where they touch.
fn push_spans(core: &Core, record: usize, spans: &mut Vec<(i32, i64, i64)>) {
    let (mut pos, mut start) = (i64::from(core.pos[record]), None);
    for &op in core.cigar(record).iter().filter(|&&op| consumes_reference(op)) {
        if is_covered(op) {
            start.get_or_insert(pos);
        } else if let Some(start) = start.take() {
            spans.push((core.tid[record], start, pos));
        }
        pos += i64::from(op >> 4);
    }
    if let Some(start) = start {
        spans.push((core.tid[record], start, pos));
    }
}
