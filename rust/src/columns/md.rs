//! MD and NM: the reference is rebuilt out of them, and they are computed from it.
//!
//! MD is "the distinct string of matched and mismatched bases" of the SAM optional fields specification; what
//! counts as a mismatch follows `samtools calmd`: an N never matches, `=` always does.

use super::sequence::{differing, Sequences, N};
use super::{aligns, Core, DELETION};

const LETTERS: &[u8; 16] = b"=ACMGRSVTWYHKDBN";
const INSERTION: u32 = 1;

/// The 4-bit code of an upper-case letter of the reference.
fn code_of(letter: u8) -> Option<u8> {
    LETTERS[1..].iter().position(|&other| other == letter).map(|at| at as u8 + 1)
}

/// Put into `all.reference` what the MD of one aligned record says of it.
pub fn learn(core: &Core, all: &mut Sequences, record: usize, md: &[u8]) {
    let places: Vec<_> = all.places(core, record).collect();
    let bases = all.start[record]..all.start[record + 1];
    let mut md = Cursor { rest: md, run: 0 };
    for place in places {
        let slots = place.number..place.number + place.length();
        let known = if aligns(place.op) {
            let bases = &all.codes[bases.clone()][place.query..place.query + place.length()];
            md.aligned(bases, &mut all.reference[slots])
        } else if place.op & 15 == DELETION && super::coverage::is_covered(place.op) {
            md.deleted(&mut all.reference[slots])
        } else {
            Some(())
        };
        if known.is_none() {
            return;
        }
    }
}

/// Reads an MD string along an alignment; None where it does not fit.
struct Cursor<'a> {
    rest: &'a [u8],
    /// Matches still to come before the next letter.
    run: usize,
}

impl Cursor<'_> {
    fn refill(&mut self) {
        while let Some((&digit @ b'0'..=b'9', rest)) = self.rest.split_first() {
            self.run = self.run.saturating_mul(10).saturating_add(usize::from(digit - b'0'));
            self.rest = rest;
        }
    }

    fn letter(&mut self) -> Option<u8> {
        let (&letter, rest) = self.rest.split_first()?;
        self.rest = rest;
        code_of(letter)
    }

    fn aligned(&mut self, bases: &[u8], reference: &mut [u8]) -> Option<()> {
        let mut at = 0;
        while at < bases.len() {
            if self.run == 0 {
                self.refill();
            }
            if self.run == 0 {
                reference[at] = self.letter()?;
                at += 1;
                continue;
            }
            let run = self.run.min(bases.len() - at);
            copy_known(&bases[at..at + run], &mut reference[at..at + run]);
            self.run -= run;
            at += run;
        }
        Some(())
    }

    fn deleted(&mut self, reference: &mut [u8]) -> Option<()> {
        if self.run == 0 {
            self.refill();
        }
        let (b'^', rest) = self.rest.split_first()? else { return None };
        self.rest = rest;
        for slot in reference {
            *slot = self.letter()?;
        }
        Some(())
    }
}

fn copy_known(bases: &[u8], reference: &mut [u8]) {
    if bases.contains(&0) {
        reference
            .iter_mut()
            .zip(bases)
            .filter(|(_, &base)| base != 0)
            .for_each(|(slot, &base)| *slot = base);
    } else {
        reference.copy_from_slice(bases);
    }
}

/// What an alignment amounts to.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub struct Summary {
    pub aligned: i64,
    pub mismatches: i64,
    pub gaps: i64,
    pub gap_bases: i64,
}

impl Summary {
    pub fn edit_distance(&self) -> i64 {
        self.mismatches + self.gap_bases
    }

    /// The score of `bwa mem` with its default penalties: match 1, mismatch 4, gap 6 + length.
    pub fn bwa_score(&self) -> i64 {
        self.aligned - 5 * self.mismatches - 6 * self.gaps - self.gap_bases
    }
}

/// Compare an aligned record of some `bases` with the reference and write its MD to `md`. None where a long
/// deletion hides the reference.
pub fn describe(
    core: &Core,
    all: &Sequences,
    record: usize,
    bases: &[u8],
    md: &mut Vec<u8>,
) -> Option<Summary> {
    md.clear();
    let (mut summary, mut run) = (Summary::default(), 0usize);
    for place in all.places(core, record) {
        match place.op & 15 {
            op if aligns(op) => {
                let bases = &bases[place.query..place.query + place.length()];
                let reference = &all.reference[place.number..place.number + place.length()];
                summary.aligned += place.length() as i64;
                summary.mismatches += matches(bases, reference, &mut run, md);
            }
            op @ (INSERTION | DELETION) => {
                summary.gaps += 1;
                summary.gap_bases += place.length() as i64;
                if op == DELETION {
                    if !super::coverage::is_covered(place.op) {
                        return None;
                    }
                    number(&mut run, md);
                    md.push(b'^');
                    let reference = &all.reference[place.number..place.number + place.length()];
                    md.extend(reference.iter().map(|&code| LETTERS[usize::from(code & 15)]));
                }
            }
            _ => {}
        }
    }
    number(&mut run, md);
    Some(summary)
}

fn number(run: &mut usize, md: &mut Vec<u8>) {
    put_number(*run, md);
    *run = 0;
}

pub fn put_number(mut value: usize, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Write the mismatches of one run; returns how many there are.
fn matches(bases: &[u8], reference: &[u8], run: &mut usize, md: &mut Vec<u8>) -> i64 {
    let (mut from, mut count) = (0, 0);
    let mut mismatch = |at: usize| {
        *run += at - from;
        number(run, md);
        md.push(LETTERS[usize::from(reference[at] & 15)]);
        from = at + 1;
        count += 1;
    };
    if memchr::memchr(N, reference).is_some() {
        let differ = |&at: &usize| bases[at] != 0 && (bases[at] != reference[at] || bases[at] == N);
        (0..bases.len()).filter(differ).for_each(&mut mismatch);
    } else {
        differing(bases, reference).filter(|&at| bases[at] != 0).for_each(&mut mismatch);
    }
    *run += bases.len() - from;
    count
}
