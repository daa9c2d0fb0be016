//! What tags can be derived from the other columns.
//!
//! The writer compares each tag with what is derived here and stores what differs; so a derivation may guess, but writer and
//! reader must guess alike.

use super::md::{describe, Summary};
use super::quality::Qualities;
use super::sequence::Sequences;
use super::{Core, NONE, REVERSE, UNMAPPED};
use crate::cigar::SOFT_CLIP;
use crate::error::Result;

const HARD_CLIP: u32 = 5;

/// Where a tag comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Source {
    Md,
    EditDistance,
    Mismatches,
    Gaps,
    GapBases,
    BwaScore,
    MateMapq,
    MateCigar,
    /// Sum of the mate's qualities of at least 15 (`ms` of samtools fixmate and biobambam).
    MateScore,
    /// Unclipped 5' end of the mate (`mc` of biobambam).
    MateCoordinate,
}

impl Source {
    pub fn of_integer(name: [u8; 2]) -> Option<Self> {
        Some(match &name {
            b"NM" => Self::EditDistance,
            b"XM" => Self::Mismatches,
            b"XO" => Self::Gaps,
            b"XG" => Self::GapBases,
            b"AS" => Self::BwaScore,
            b"MQ" => Self::MateMapq,
            b"ms" => Self::MateScore,
            b"mc" => Self::MateCoordinate,
            _ => return None,
        })
    }

    pub fn of_text(name: [u8; 2]) -> Option<Self> {
        match &name {
            b"MD" => Some(Self::Md),
            b"MC" => Some(Self::MateCigar),
            _ => None,
        }
    }
}

/// Derives tags of the records of a tile.
pub struct Derived<'a> {
    core: &'a Core,
    mates: &'a [u32],
    sequences: &'a Sequences,
    qualities: &'a Qualities,
    /// The bases of the record `unpacked`.
    bases: Vec<u8>,
    unpacked: u32,
    md: Vec<u8>,
    mate_cigar: Vec<u8>,
    /// The record that `summary` and `md` are of.
    described: u32,
    summary: Option<Summary>,
}

impl<'a> Derived<'a> {
    pub fn new(
        core: &'a Core,
        mates: &'a [u32],
        sequences: &'a Sequences,
        qualities: &'a Qualities,
    ) -> Self {
        Self {
            core,
            mates,
            sequences,
            qualities,
            bases: Vec::new(),
            unpacked: NONE,
            md: Vec::new(),
            mate_cigar: Vec::new(),
            described: NONE,
            summary: None,
        }
    }

    /// The bases of a record.
    pub fn bases(&mut self, record: usize) -> Result<&[u8]> {
        if self.unpacked != record as u32 {
            self.unpacked = NONE;
            self.bases.clear();
            self.sequences.append(self.core, record, &mut self.bases)?;
            self.unpacked = record as u32;
        }
        Ok(&self.bases)
    }

    /// The value of an integer tag; 0 where nothing can be said.
    pub fn integer(&mut self, source: Source, record: usize) -> i64 {
        match source {
            Source::MateMapq => self.mate(record).map_or(0, |mate| self.core.mapq[mate].into()),
            Source::MateScore => self.mate(record).map_or(0, |mate| self.score(mate)),
            Source::MateCoordinate => self.mate(record).map_or(0, |mate| self.five_prime(mate)),
            _ => self.describe(record).map_or(0, |summary| match source {
                Source::EditDistance => summary.edit_distance(),
                Source::Mismatches => summary.mismatches,
                Source::Gaps => summary.gaps,
                Source::GapBases => summary.gap_bases,
                _ => summary.bwa_score(),
            }),
        }
    }

    /// The value of a text tag, without NUL; None where nothing can be said.
    pub fn text(&mut self, source: Source, record: usize) -> Option<&[u8]> {
        if source == Source::Md {
            return self.describe(record).map(|_| self.md.as_slice());
        }
        let mate = self.mate(record)?;
        self.mate_cigar.clear();
        format_cigar(self.core.cigar(mate), &mut self.mate_cigar);
        Some(&self.mate_cigar)
    }

    fn mate(&self, record: usize) -> Option<usize> {
        Some(self.mates[record]).filter(|&mate| mate != NONE).map(|mate| mate as usize)
    }

    fn describe(&mut self, record: usize) -> Option<Summary> {
        if self.described != record as u32 {
            self.described = record as u32;
            let known = self.sequences.aligned[record] && self.bases(record).is_ok();
            self.summary = known
                .then(|| describe(self.core, self.sequences, record, &self.bases, &mut self.md))
                .flatten();
        }
        self.summary
    }

    fn score(&self, record: usize) -> i64 {
        // Runs whose sum fits into 16 bits, of which a register adds many at once.
        self.qualities.of(record).chunks(256).map(|run| i64::from(sum_of_good(run))).sum()
    }

    /// 1-based. Reverse: the end and the clips behind it; forward: the start less the clips before it.
    fn five_prime(&self, record: usize) -> i64 {
        let cigar = self.core.cigar(record);
        let is_clip = |op: &&u32| matches!(**op & 15, SOFT_CLIP | HARD_CLIP);
        let length = |op: &u32| i64::from(op >> 4);
        if self.core.flag[record] & UNMAPPED != 0 {
            0
        } else if self.core.flag[record] & REVERSE != 0 {
            self.core.end(record) + cigar.iter().rev().take_while(is_clip).map(length).sum::<i64>()
        } else {
            i64::from(self.core.pos[record]) + 1
                - cigar.iter().take_while(is_clip).map(length).sum::<i64>()
        }
    }
}

/// Sum of the qualities of at least 15, of 256 at most.
fn sum_of_good(qualities: &[u8]) -> u16 {
    let counted = |&quality: &u8| if (15..0xff).contains(&quality) { quality } else { 0 };
    qualities.iter().map(|quality| u16::from(counted(quality))).sum()
}

/// CIGAR as SAM text, `*` where there is none.
pub fn format_cigar(cigar: &[u32], out: &mut Vec<u8>) {
    if cigar.is_empty() {
        out.push(b'*');
    }
    for &op in cigar {
        super::md::put_number((op >> 4) as usize, out);
        out.push(b"MIDNSHP=X???????"[(op & 15) as usize]);
    }
}
