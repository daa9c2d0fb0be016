//! Which records a query wants, and what of them.

use crate::columns::Core;

/// Region and flag filters, with the meaning that they have in `samtools view`.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Contig of the intervals; -1 for unplaced records; None for all records.
    pub tid: Option<i32>,
    /// Sorted and disjoint, 0-based half-open.
    pub intervals: Vec<(i64, i64)>,
    pub require: u16,
    pub exclude: u16,
    /// Leave out records that have all of these flags.
    pub exclude_all: u16,
    pub min_mapq: u8,
    /// Only these tags; all where there is none.
    pub tags: Option<Vec<[u8; 2]>>,
}

impl Selection {
    pub fn all() -> Self {
        Self::default()
    }

    /// Whether records keep a tag.
    pub fn keeps(&self, tag: [u8; 2]) -> bool {
        self.tags.as_ref().is_none_or(|tags| tags.contains(&tag))
    }

    pub fn takes(&self, core: &Core, record: usize) -> bool {
        self.takes_flags(core, record) && self.takes_place(core, record)
    }

    fn takes_flags(&self, core: &Core, record: usize) -> bool {
        let flag = core.flag[record];
        flag & self.require == self.require
            && flag & self.exclude == 0
            && (self.exclude_all == 0 || flag & self.exclude_all != self.exclude_all)
            && core.mapq[record] >= self.min_mapq
    }

    fn takes_place(&self, core: &Core, record: usize) -> bool {
        match self.tid {
            None => true,
            Some(-1) => core.tid[record] < 0,
            Some(tid) => {
                let (start, end) = (i64::from(core.pos[record]), core.end(record));
                let after = self.intervals.partition_point(|&(from, _)| from < end);
                core.tid[record] == tid && after > 0 && self.intervals[after - 1].1 > start
            }
        }
    }
}
