//! Bases: differences from the consensus of the tile, and bases that lie on no position.
//!
//! Bases are handled as the 4-bit codes of BAM, one a byte ("=ACMGRSVTWYHKDBN").

use super::coverage::{is_covered, Coverage};
use super::{aligns, consumes_query, consumes_reference, ints, Core, Row};
use crate::error::{corrupt, Result};
use crate::stream::{Reader, Writer};

/// The 4-bit code of N.
pub const N: u8 = 15;
const CODES: [u8; 4] = [1, 2, 4, 8];
/// A, C, G, T as 0..4, N as 4, others from 5.
const INDEX: [u8; 16] = [5, 0, 1, 6, 2, 7, 8, 9, 3, 10, 11, 12, 13, 14, 15, 4];
const OF_INDEX: [u8; 16] = [1, 2, 4, 8, 15, 0, 3, 5, 6, 7, 9, 10, 11, 12, 13, 14];
const MAX_COVERED: usize = 1 << 27;

/// The bases of a tile and what they lie on.
pub struct Sequences {
    /// All bases, record after record, where a tile is made; where it is read they are `stored`.
    pub codes: Vec<u8>,
    stored: Option<Stored>,
    /// Where the bases of each record begin; one entry more than records.
    pub start: Vec<usize>,
    pub aligned: Vec<bool>,
    /// Whether there is a consensus; not where the tile covers too many positions.
    laid_out: bool,
    pub coverage: Coverage,
    /// The most frequent base of A, C, G, T at each covered position.
    pub consensus: Vec<u8>,
    /// The reference where MD tells it, else the consensus.
    pub reference: Vec<u8>,
}

/// A CIGAR operation of an aligned read, and where it lies.
pub struct Place {
    pub op: u32,
    /// First base in the read.
    pub query: usize,
    /// Number of the first position, where the operation is covered.
    pub number: usize,
}

impl Place {
    pub fn length(&self) -> usize {
        (self.op >> 4) as usize
    }
}

impl Sequences {
    /// The bases of a record of a tile that is made.
    pub fn bases(&self, record: usize) -> &[u8] {
        &self.codes[self.start[record]..self.start[record + 1]]
    }

    /// Append the bases of a record.
    pub fn append(&self, core: &Core, record: usize, out: &mut Vec<u8>) -> Result<()> {
        match &self.stored {
            Some(stored) => stored.append(core, self, record, out),
            None => {
                out.extend_from_slice(self.bases(record));
                Ok(())
            }
        }
    }

    /// Unpack the bases of all rows and find their consensus.
    pub fn from_rows(core: &Core, rows: &[Row]) -> Self {
        let mut codes = Vec::with_capacity(core.length.iter().map(|&length| length as usize).sum());
        rows.iter().for_each(|row| unpack(row.bases, row.length as usize, &mut codes));
        let mut all = Self::laid_out(core, codes).unwrap_or_else(|| Self::unaligned(core, rows));
        all.consensus = all.majority(core);
        all.reference = all.consensus.clone();
        all
    }

    fn laid_out(core: &Core, codes: Vec<u8>) -> Option<Self> {
        let aligned: Vec<bool> = (0..core.count()).map(|record| core.is_aligned(record)).collect();
        let coverage = Coverage::of(core, &aligned, MAX_COVERED)?;
        Some(Self { laid_out: true, ..Self::empty(core, codes, aligned, coverage) })
    }

    fn empty(core: &Core, codes: Vec<u8>, aligned: Vec<bool>, coverage: Coverage) -> Self {
        let mut start = vec![0];
        start.extend(core.length.iter().scan(0, |sum, &length| {
            *sum += length as usize;
            Some(*sum)
        }));
        Self {
            codes,
            stored: None,
            start,
            aligned,
            laid_out: false,
            coverage,
            consensus: vec![],
            reference: vec![],
        }
    }

    /// A tile that covers too much: every base is stored as it is.
    fn unaligned(core: &Core, rows: &[Row]) -> Self {
        let mut codes = Vec::new();
        rows.iter().for_each(|row| unpack(row.bases, row.length as usize, &mut codes));
        let aligned = vec![false; core.count()];
        let coverage = Coverage::of(core, &aligned, 0).expect("nothing is covered");
        Self::empty(core, codes, aligned, coverage)
    }

    /// Where each operation of an aligned record lies.
    pub fn places<'a>(&'a self, core: &'a Core, record: usize) -> impl Iterator<Item = Place> + 'a {
        let (mut pos, mut query, mut known) = (i64::from(core.pos[record]), 0, None);
        core.cigar(record).iter().map(move |&op| {
            if !is_covered(op) && consumes_reference(op) {
                known = None;
            }
            let number = match known {
                _ if !is_covered(op) || op >> 4 == 0 => 0,
                Some(number) => number,
                None => self.coverage.number(core.tid[record], pos),
            };
            let place = Place { op, query, number };
            let length = (op >> 4) as usize;
            if consumes_reference(op) {
                pos += length as i64;
                if is_covered(op) && length > 0 {
                    known = Some(number + length);
                }
            }
            if consumes_query(op) {
                query += length;
            }
            place
        })
    }

    fn majority(&self, core: &Core) -> Vec<u8> {
        let mut counts = vec![[0u16; 4]; self.coverage.len];
        for record in (0..core.count()).filter(|&record| self.aligned[record]) {
            let bases = self.bases(record);
            for place in self.places(core, record).filter(|place| aligns(place.op)) {
                let end = place.query + place.length();
                count(&mut counts[place.number..], &bases[place.query..end]);
            }
        }
        counts.iter().map(most_frequent).collect()
    }
}

fn count(counts: &mut [[u16; 4]], bases: &[u8]) {
    for (counts, &code) in counts.iter_mut().zip(bases) {
        if let Some(count) = counts.get_mut(usize::from(INDEX[usize::from(code & 15)])) {
            *count = count.saturating_add(1);
        }
    }
}

fn most_frequent(counts: &[u16; 4]) -> u8 {
    let mut best = 0;
    for base in 1..4 {
        if counts[base] > counts[best] {
            best = base;
        }
    }
    CODES[best]
}

/// The two codes of each packed byte.
static PAIRS: [[u8; 2]; 256] = {
    let mut pairs = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        pairs[byte] = [(byte >> 4) as u8, byte as u8 & 15];
        byte += 1;
    }
    pairs
};

/// Unpack `length` bases of two a byte.
pub fn unpack(packed: &[u8], length: usize, out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + 2 * packed.len(), 0);
    for (pair, &byte) in out[start..].chunks_exact_mut(2).zip(packed) {
        pair.copy_from_slice(&PAIRS[usize::from(byte)]);
    }
    out.truncate(start + length);
}

/// Pack bases two a byte.
pub fn pack(codes: &[u8], out: &mut Vec<u8>) {
    let pairs = codes.chunks_exact(2);
    let last = pairs.remainder().first().map(|&code| code << 4);
    out.extend(pairs.map(|pair| pair[0] << 4 | pair[1]));
    out.extend(last);
}

/// What differs from the consensus in one tile.
#[derive(Default)]
struct Differences {
    /// Differences in each aligned record.
    counts: Vec<i64>,
    /// Aligned bases since the difference before it in the record.
    gaps: Vec<i64>,
    /// Which base instead: 0..3 the next of A, C, G, T after the consensus, else 3 + index.
    bases: Vec<u8>,
    /// Bases of insertions, clips and unaligned records.
    loose: Vec<u8>,
}

pub fn write(out: &mut Writer, core: &Core, all: &Sequences) {
    let mut found = Differences::default();
    for record in 0..core.count() {
        found.record(core, all, record);
    }
    out.varint(all.laid_out.into());
    write_consensus(out, &all.consensus);
    write_reference(out, all);
    ints::write(out, &found.counts);
    out.varint(found.gaps.len() as u64);
    ints::write(out, &found.gaps);
    out.bytes(&found.bases);
    out.bytes(&found.loose);
}

impl Differences {
    fn record(&mut self, core: &Core, all: &Sequences, record: usize) {
        let bases = all.bases(record);
        if !all.aligned[record] {
            self.loose(bases);
            return;
        }
        let (before, mut since) = (self.gaps.len(), 0);
        for place in all.places(core, record).filter(|place| consumes_query(place.op)) {
            let bases = &bases[place.query..place.query + place.length()];
            if aligns(place.op) {
                since = self.compare(bases, &all.consensus[place.number..], since);
            } else {
                self.loose(bases);
            }
        }
        self.counts.push((self.gaps.len() - before) as i64);
    }

    fn loose(&mut self, bases: &[u8]) {
        self.loose.extend(bases.iter().map(|&code| INDEX[usize::from(code & 15)]));
    }

    /// Note the differences of a run; returns the bases since the last of them.
    fn compare(&mut self, bases: &[u8], consensus: &[u8], since: i64) -> i64 {
        let mut from = -since;
        for at in differing(bases, &consensus[..bases.len()]) {
            self.gaps.push(at as i64 - from);
            self.bases.push(substitution(bases[at], consensus[at]));
            from = at as i64 + 1;
        }
        bases.len() as i64 - from
    }
}

/// Where two equally long slices differ.
pub fn differing<'a>(a: &'a [u8], b: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    const STEP: usize = 32;
    let steps = a.chunks(STEP).zip(b.chunks(STEP)).enumerate().filter(|(_, (a, b))| a != b);
    steps.flat_map(|(step, (a, b))| {
        let differ = a.iter().zip(b).enumerate().filter(|(_, (a, b))| a != b);
        differ.map(move |(at, _)| step * STEP + at)
    })
}

fn substitution(base: u8, consensus: u8) -> u8 {
    let (base, consensus) = (INDEX[usize::from(base & 15)], INDEX[usize::from(consensus & 15)]);
    if base < 4 {
        (base + 3 - consensus) & 3
    } else {
        base - 1
    }
}

fn substituted(code: u8, consensus: u8) -> Result<u8> {
    let index = match code {
        0..3 => (INDEX[usize::from(consensus & 15)] + code + 1) & 3,
        code => code + 1,
    };
    OF_INDEX.get(usize::from(index)).copied().ok_or_else(|| corrupt("no such base"))
}

/// Two bits a position.
fn write_consensus(out: &mut Writer, consensus: &[u8]) {
    let packed: Vec<u8> = consensus
        .chunks(4)
        .map(|four| {
            four.iter()
                .enumerate()
                .fold(0, |byte, (at, &code)| byte | INDEX[usize::from(code)] << (2 * at))
        })
        .collect();
    out.bytes(&packed);
}

fn read_consensus(input: &mut Reader, length: usize) -> Result<Vec<u8>> {
    let packed = input.exactly(length.div_ceil(4))?;
    let mut codes: Vec<u8> = Vec::with_capacity(packed.len() * 4);
    for byte in packed {
        codes.extend([0, 2, 4, 6].map(|shift| CODES[usize::from(byte >> shift & 3)]));
    }
    codes.truncate(length);
    Ok(codes)
}

/// The reference as its differences from the consensus.
fn write_reference(out: &mut Writer, all: &Sequences) {
    let places: Vec<usize> = differing(&all.reference, &all.consensus).collect();
    let before = std::iter::once(0).chain(places.iter().map(|&at| at + 1));
    let gaps: Vec<i64> =
        places.iter().zip(before).map(|(&at, before)| (at - before) as i64).collect();
    out.varint(places.len() as u64);
    ints::write(out, &gaps);
    out.bytes(&places.iter().map(|&at| all.reference[at]).collect::<Vec<_>>());
}

fn read_reference(input: &mut Reader, consensus: &[u8]) -> Result<Vec<u8>> {
    let mut reference = consensus.to_vec();
    let count = input.count(consensus.len())?;
    let gaps = ints::read(input, count)?;
    let mut next = 0usize;
    for (gap, code) in gaps.into_iter().zip(input.exactly(count)?) {
        let at = usize::try_from(gap).ok().and_then(|gap| next.checked_add(gap));
        let place = at
            .and_then(|at| reference.get_mut(at))
            .ok_or_else(|| corrupt("a reference base lies outside"))?;
        *place = code & 15;
        next = at.unwrap_or(next) + 1;
    }
    Ok(reference)
}

/// Read the bases of all records.
pub fn read(input: &mut Reader, core: &Core) -> Result<Sequences> {
    let total: usize = core.length.iter().map(|&length| length as usize).sum();
    let covered = input.count(1)? == 1;
    let codes = Vec::new();
    let mut all = if covered {
        Sequences::laid_out(core, codes)
            .ok_or_else(|| corrupt("a tile covers too many positions"))?
    } else {
        let aligned = vec![false; core.count()];
        let coverage =
            Coverage::of(core, &aligned, 0).ok_or_else(|| corrupt("nothing is covered"))?;
        Sequences::empty(core, codes, aligned, coverage)
    };
    all.consensus = read_consensus(input, all.coverage.len)?;
    all.reference = read_reference(input, &all.consensus)?;
    let counts = ints::read(input, all.aligned.iter().filter(|&&is| is).count())?;
    let differences = input.count(total)?;
    let gaps = ints::read(input, differences)?;
    let (bases, loose) = (input.exactly(differences)?, input.bytes()?);
    all.stored = Some(Stored { start: starts(core, &all, &counts), gaps, bases, loose });
    Ok(all)
}

/// Where the differences and the loose bases of each record begin.
fn starts(core: &Core, all: &Sequences, counts: &[i64]) -> Vec<(usize, usize)> {
    let mut counts = counts.iter();
    let (mut differences, mut loose) = (0usize, 0);
    let mut starts = Vec::with_capacity(core.count() + 1);
    starts.push((0, 0));
    for record in 0..core.count() {
        if all.aligned[record] {
            let count = counts.next().and_then(|&count| usize::try_from(count).ok());
            differences = differences.saturating_add(count.unwrap_or(usize::MAX));
            let ops = core.cigar(record).iter().filter(|&&op| consumes_query(op) && !aligns(op));
            loose += ops.map(|&op| (op >> 4) as usize).sum::<usize>();
        } else {
            loose += core.length[record] as usize;
        }
        starts.push((differences, loose));
    }
    starts
}

/// The bases of a tile as they are stored, of which each record is made where it is wanted.
pub struct Stored {
    gaps: Vec<i64>,
    bases: Vec<u8>,
    loose: Vec<u8>,
    /// Where the differences and the loose bases of each record begin; one entry more than records.
    start: Vec<(usize, usize)>,
}

impl Stored {
    fn append(&self, core: &Core, all: &Sequences, record: usize, out: &mut Vec<u8>) -> Result<()> {
        let (from, to) = (self.start[record], self.start[record + 1]);
        let loose = self.loose.get(from.1..to.1).ok_or_else(|| corrupt("bases are missing"))?;
        let mut loose = loose.iter().map(|&index| OF_INDEX[usize::from(index & 15)]);
        if !all.aligned[record] {
            out.extend(loose);
            return Ok(());
        }
        let start = out.len();
        for place in all.places(core, record).filter(|place| consumes_query(place.op)) {
            if aligns(place.op) {
                out.extend_from_slice(&all.consensus[place.number..place.number + place.length()]);
            } else {
                out.extend(loose.by_ref().take(place.length()));
            }
        }
        self.change(core, all, record, &mut out[start..])
    }

    /// Put in what differs from the consensus.
    fn change(&self, core: &Core, all: &Sequences, record: usize, read: &mut [u8]) -> Result<()> {
        let outside = || corrupt("a difference lies outside its read");
        let range = self.start[record].0..self.start[record + 1].0;
        let gaps = self.gaps.get(range.clone()).ok_or_else(outside)?;
        let mut runs = all.places(core, record).filter(|place| aligns(place.op));
        let (mut run, mut offset) = (None, 0usize);
        for (&gap, &base) in gaps.iter().zip(&self.bases[range]) {
            let gap = usize::try_from(gap).map_err(|_| outside())?;
            offset = offset.checked_add(gap).ok_or_else(outside)?;
            let mut at = run.take().or_else(|| runs.next()).ok_or_else(outside)?;
            while offset >= at.length() {
                offset -= at.length();
                at = runs.next().ok_or_else(outside)?;
            }
            let code = &mut read[at.query + offset];
            *code = substituted(base, *code)?;
            offset += 1;
            run = Some(at);
        }
        Ok(())
    }
}
