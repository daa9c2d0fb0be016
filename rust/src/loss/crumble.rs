//! Qualities that change no call: where the pileup leaves no doubt, they are made the same.
//!
//! After J. K. Bonfield et al., "Crumble: reference free lossy compression of sequence quality values" (2019), reduced
//! to its plainest rule.

use crate::columns::coverage::is_covered;
use crate::columns::sequence::Sequences;
use crate::columns::{aligns, Core, Row, DELETION};

/// Records that do not count: unmapped, secondary, failed, duplicate.
const NOT_COUNTED: u16 = 0x704;
const MIN_MAPQ: u8 = 20;
const MIN_DEPTH: u32 = 8;
const INSERTION: u32 = 1;
/// Positions this near to an indel keep their qualities.
const NEAR: usize = 5;
const AGREES: u8 = 40;
/// Bases that disagree get `DOUBTFUL` if their quality is below `DOUBT`.
const DOUBT: u8 = 20;
const DOUBTFUL: u8 = 5;

/// The qualities of all rows, one after the other.
pub fn qualities(core: &Core, rows: &[Row]) -> Vec<u8> {
    let all = Sequences::from_rows(core, rows);
    let sure = sure(core, &all);
    let mut qualities: Vec<u8> = rows.iter().map(|row| row.qualities).collect::<Vec<_>>().concat();
    for record in (0..core.count()).filter(|&record| all.aligned[record]) {
        let qualities = &mut qualities[all.start[record]..all.start[record + 1]];
        if qualities.first() == Some(&0xff) {
            continue;
        }
        for place in all.places(core, record).filter(|place| aligns(place.op)) {
            for at in 0..place.length() {
                let (query, position) = (place.query + at, place.number + at);
                if sure[position] {
                    let agrees = all.bases(record)[query] == all.consensus[position];
                    qualities[query] = coarser(agrees, qualities[query]);
                }
            }
        }
    }
    qualities
}

fn coarser(agrees: bool, quality: u8) -> u8 {
    match agrees {
        true => AGREES,
        false if quality < DOUBT => DOUBTFUL,
        false => quality,
    }
}

/// Covered positions at which at least 9 of 10 bases agree, away from indels.
fn sure(core: &Core, all: &Sequences) -> Vec<bool> {
    let mut agree = vec![[0u32; 2]; all.coverage.len];
    let mut near_indel = vec![false; all.coverage.len];
    let counts =
        |record: usize| core.flag[record] & NOT_COUNTED == 0 && core.mapq[record] >= MIN_MAPQ;
    for record in (0..core.count()).filter(|&record| all.aligned[record]) {
        let mut last = 0;
        for place in all.places(core, record) {
            if aligns(place.op) {
                let bases = &all.bases(record)[place.query..place.query + place.length()];
                if counts(record) {
                    tally(bases, &all.consensus[place.number..], &mut agree[place.number..]);
                }
                last = place.number + place.length();
            } else if matches!(place.op & 15, INSERTION | DELETION) {
                let end = last + if is_covered(place.op) { place.length() } else { 0 };
                let range = last.saturating_sub(NEAR)..(end + NEAR).min(near_indel.len());
                near_indel[range].fill(true);
            }
        }
    }
    let is_sure = |([agree, all], near): (&[u32; 2], bool)| {
        *all >= MIN_DEPTH && agree * 10 >= all * 9 && !near
    };
    agree.iter().zip(near_indel).map(is_sure).collect()
}

fn tally(bases: &[u8], consensus: &[u8], counts: &mut [[u32; 2]]) {
    for ((base, consensus), count) in bases.iter().zip(consensus).zip(counts) {
        count[0] += u32::from(base == consensus);
        count[1] += 1;
    }
}
