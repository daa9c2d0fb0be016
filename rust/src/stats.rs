//! Counts over records, as `samtools flagstat` and `idxstats` give them, and some histograms.

use std::collections::BTreeMap;

use crate::columns::{aligns, Core, Row, NOT_PRIMARY, PAIRED, READ1, READ2, UNMAPPED};
use crate::error::{corrupt, Result};
use crate::stream::{get_varint, put_varint, unzigzag, zigzag};

const PROPER: u16 = 0x2;
const MATE_UNMAPPED: u16 = 0x8;
const SECONDARY: u16 = 0x100;
const QC_FAIL: u16 = 0x200;
const DUPLICATE: u16 = 0x400;
/// Template lengths at least this are counted together.
const LONGEST_INSERT: i32 = 2_000;

/// The lines of flagstat, in the order in which samtools prints them.
pub const FLAGSTAT: [&str; 16] = [
    "total",
    "primary",
    "secondary",
    "supplementary",
    "duplicates",
    "primary_duplicates",
    "mapped",
    "primary_mapped",
    "paired",
    "read1",
    "read2",
    "properly_paired",
    "both_mapped",
    "singletons",
    "mate_on_other_contig",
    "mate_on_other_contig_mapq5",
];

/// What `idxstats` gives of a contig, and the bases aligned to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OfContig {
    pub mapped: u64,
    pub unmapped: u64,
    pub aligned_bases: u64,
}

/// Sums over records; sums of sums are sums.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// By line of [`FLAGSTAT`]: records that passed quality control, and those that failed.
    pub flagstat: [[u64; 2]; 16],
    pub bases: u64,
    pub contigs: BTreeMap<i32, OfContig>,
    /// Records by MAPQ.
    pub mapq: BTreeMap<i32, u64>,
    /// Properly paired first reads by absolute template length.
    pub insert_size: BTreeMap<i32, u64>,
    /// Records by the length of SEQ, in steps of about an eighth above 512.
    pub length: BTreeMap<i32, u64>,
    pub longest: u64,
}

impl Stats {
    pub fn of(core: &Core, rows: &[Row]) -> Self {
        let mut stats = Self::default();
        for (record, row) in rows.iter().enumerate() {
            stats.count_flags(row);
            stats.count_place(core, record);
            stats.bases += u64::from(row.length);
            stats.longest = stats.longest.max(row.length.into());
            *stats.length.entry(length_step(row.length)).or_default() += 1;
            *stats.mapq.entry(row.mapq.into()).or_default() += 1;
            if row.flag & (PROPER | READ1 | NOT_PRIMARY) == PROPER | READ1 {
                let size = row.template_length.saturating_abs().min(LONGEST_INSERT);
                *stats.insert_size.entry(size).or_default() += 1;
            }
        }
        stats
    }

    fn count_flags(&mut self, row: &Row) {
        let has = |flag| row.flag & flag != 0;
        let (mapped, mate_mapped) = (!has(UNMAPPED), !has(MATE_UNMAPPED));
        let primary = !has(NOT_PRIMARY);
        let paired = primary && has(PAIRED);
        let elsewhere = paired && mapped && mate_mapped && row.mate_tid != row.tid;
        let holds = [
            true,
            primary,
            has(SECONDARY),
            !has(SECONDARY) && !primary,
            has(DUPLICATE),
            primary && has(DUPLICATE),
            mapped,
            primary && mapped,
            paired,
            paired && has(READ1),
            paired && has(READ2),
            paired && has(PROPER) && mapped,
            paired && mapped && mate_mapped,
            paired && mapped && !mate_mapped,
            elsewhere,
            elsewhere && row.mapq >= 5,
        ];
        let failed = usize::from(has(QC_FAIL));
        for (counts, holds) in self.flagstat.iter_mut().zip(holds) {
            counts[failed] += u64::from(holds);
        }
    }

    fn count_place(&mut self, core: &Core, record: usize) {
        let contig = self.contigs.entry(core.tid[record]).or_default();
        if core.flag[record] & UNMAPPED != 0 {
            contig.unmapped += 1;
            return;
        }
        contig.mapped += 1;
        let aligned = core.cigar(record).iter().filter(|&&op| aligns(op));
        contig.aligned_bases += aligned.map(|&op| u64::from(op >> 4)).sum::<u64>();
    }

    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.flagstat.iter_mut().zip(other.flagstat) {
            mine[0] += theirs[0];
            mine[1] += theirs[1];
        }
        self.bases += other.bases;
        self.longest = self.longest.max(other.longest);
        for (&tid, theirs) in &other.contigs {
            let mine = self.contigs.entry(tid).or_default();
            mine.mapped += theirs.mapped;
            mine.unmapped += theirs.unmapped;
            mine.aligned_bases += theirs.aligned_bases;
        }
        for (mine, theirs) in self.histograms_mut().into_iter().zip(other.histograms()) {
            theirs.iter().for_each(|(&value, &count)| *mine.entry(value).or_default() += count);
        }
    }

    fn histograms(&self) -> [&BTreeMap<i32, u64>; 3] {
        [&self.mapq, &self.insert_size, &self.length]
    }

    fn histograms_mut(&mut self) -> [&mut BTreeMap<i32, u64>; 3] {
        [&mut self.mapq, &mut self.insert_size, &mut self.length]
    }

    /// Varints, in the order of the fields; keys of maps as differences.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.flagstat.iter().flatten().for_each(|&count| put_varint(&mut out, count));
        put_varint(&mut out, self.bases);
        put_varint(&mut out, self.longest);
        put_varint(&mut out, self.contigs.len() as u64);
        let mut before = 0;
        for (&tid, contig) in &self.contigs {
            put_varint(
                &mut out,
                zigzag(i64::from(tid) - std::mem::replace(&mut before, tid.into())),
            );
            let counts = [contig.mapped, contig.unmapped, contig.aligned_bases];
            counts.iter().for_each(|&count| put_varint(&mut out, count));
        }
        self.histograms().iter().for_each(|histogram| put_histogram(&mut out, histogram));
        out
    }

    pub fn from_bytes(mut data: &[u8]) -> Result<Self> {
        let input = &mut data;
        let mut stats = Self::default();
        for count in stats.flagstat.iter_mut().flatten() {
            *count = get_varint(input)?;
        }
        stats.bases = get_varint(input)?;
        stats.longest = get_varint(input)?;
        let mut tid = 0;
        for _ in 0..get_varint(input)? {
            tid = next_key(tid, input)?;
            let contig = OfContig {
                mapped: get_varint(input)?,
                unmapped: get_varint(input)?,
                aligned_bases: get_varint(input)?,
            };
            stats.contigs.insert(tid, contig);
        }
        for histogram in stats.histograms_mut() {
            *histogram = get_histogram(input)?;
        }
        Ok(stats)
    }
}

/// Lengths up to 512 as they are, longer ones rounded down to three significant bits.
fn length_step(length: u32) -> i32 {
    let shift = (32 - length.leading_zeros()).saturating_sub(4);
    let step = if length <= 512 { length } else { length >> shift << shift };
    step.min(i32::MAX as u32) as i32
}

fn put_histogram(out: &mut Vec<u8>, histogram: &BTreeMap<i32, u64>) {
    put_varint(out, histogram.len() as u64);
    let mut before = 0;
    for (&value, &count) in histogram {
        put_varint(out, zigzag(i64::from(value) - std::mem::replace(&mut before, value.into())));
        put_varint(out, count);
    }
}

fn get_histogram(input: &mut &[u8]) -> Result<BTreeMap<i32, u64>> {
    let (mut histogram, mut value) = (BTreeMap::new(), 0);
    for _ in 0..get_varint(input)? {
        value = next_key(value, input)?;
        histogram.insert(value, get_varint(input)?);
    }
    Ok(histogram)
}

fn next_key(before: i32, input: &mut &[u8]) -> Result<i32> {
    let key = i64::from(before).checked_add(unzigzag(get_varint(input)?));
    key.and_then(|key| i32::try_from(key).ok()).ok_or_else(|| corrupt("the statistics are damaged"))
}
