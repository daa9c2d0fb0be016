//! Tiles against generated records, and against damage that has a right checksum.

use xxhash_rust::xxh3::xxh3_64;

use crate::codecs::Effort;
use crate::decode::{decode, Decoded};
use crate::header::Header;
use crate::loss::Loss;
use crate::project::{project, Projection};
use crate::record::{iterate, Record};
use crate::select::Selection;
use crate::slices;
use crate::tile::{encode, Options, Tile};

const EFFORTS: [Effort; 3] = [Effort::Fast, Effort::Balanced, Effort::Small];

/// Numbers without a pattern.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }

    fn letters(&mut self, from: &[u8], count: u64) -> String {
        (0..count).map(|_| from[self.below(from.len() as u64) as usize] as char).collect()
    }
}

/// Pairs, clips, gaps, mismatches and tags of all types, in coordinate order.
fn records(seed: u64, count: u64) -> Vec<u8> {
    let mut random = Random(seed);
    let mut text = String::new();
    for at in 0..count {
        let (pos, length) = (1 + at * 3, 40 + random.below(20));
        let cigar = match random.below(5) {
            0 => format!("5S{}M", length - 5),
            1 => format!("10M2D{}M", length - 10),
            2 => format!("10M3I{}M", length - 13),
            3 => format!("12M200N{}M", length - 12),
            _ => format!("{length}M"),
        };
        let flag = [99, 147, 83, 163, 0, 16, 4, 1024][random.below(8) as usize];
        let bases = random.letters(b"AAAACCCGGTN", length);
        let qualities = random.letters(b"!#5:FFFF", length);
        let name =
            format!("A1:2:H:1:11{:02}:{}:{}", random.below(9), 1000 + at / 2, random.below(3000));
        text += &format!(
            "{name}\t{flag}\tc\t{pos}\t{}\t{cigar}\t=\t{}\t{}\t{bases}\t{qualities}\tNM:i:{}\tMD:Z:{}\tXA:A:x\tXB:B:s,1,-2,{}\tXF:f:{}.5\tMC:Z:{length}M\n",
            random.below(61), pos + random.below(300), random.below(400), random.below(4), length, random.below(999), random.below(9),
        );
    }
    let header = Header::new(b"@SQ\tSN:c\tLN:100000\n", None).unwrap();
    crate::sam::parse_sam(text.as_bytes(), &header, 1).unwrap().data
}

fn coded(records: &[u8], effort: Effort) -> Tile {
    encode(records, &Options { effort, loss: Loss::default() }).unwrap()
}

#[test]
fn records_come_back() {
    for (seed, count) in [(1, 1), (2, 2), (3, 300), (4, 3_000)] {
        let records = records(seed, count);
        for effort in EFFORTS {
            let tile = coded(&records, effort);
            assert_eq!(tile.extent.reads as u64, count);
            assert!(
                decode(&tile.core, &tile.rest, &Selection::all(), i32::MAX).unwrap() == records
            );
        }
    }
}

#[test]
fn records_are_taken_without_the_others() {
    let records = records(8, 2_000);
    let passed = |record: &Record| record.mapq() >= 30;
    let wanted: Vec<u8> = iterate(&records)
        .map(Result::unwrap)
        .filter(passed)
        .flat_map(|record| {
            let size = (record.bytes().len() as u32).to_le_bytes();
            [size.to_vec(), record.bytes().to_vec()].concat()
        })
        .collect();
    let selection = Selection { min_mapq: 30, ..Selection::all() };
    for effort in EFFORTS {
        let tile = coded(&records, effort);
        assert!(decode(&tile.core, &tile.rest, &selection, i32::MAX).unwrap() == wanted);
    }
}

#[test]
fn tags_are_taken_without_the_others() {
    let records = records(9, 2_000);
    let every: [[u8; 2]; 6] = [*b"NM", *b"MD", *b"XA", *b"XB", *b"XF", *b"MC"];
    for effort in EFFORTS {
        let tile = coded(&records, effort);
        for chosen in 0..1 << every.len() {
            let tags = (0..every.len()).filter(|at| chosen >> at & 1 == 1).map(|at| every[at]);
            let tags = Some(tags.collect::<Vec<_>>());
            let selection = Selection { min_mapq: 30, tags: tags.clone(), ..Selection::all() };
            let found = decode(&tile.core, &tile.rest, &selection, i32::MAX).unwrap();
            let selection = Selection { tags: None, ..selection };
            let whole = decode(&tile.core, &tile.rest, &selection, i32::MAX).unwrap();
            let projection = Projection { fields: u16::MAX, tags, without: vec![] };
            assert!(found == project(&whole, &projection).unwrap());
        }
    }
}

#[test]
fn texts_that_are_derived_stand_among_others() {
    let header = Header::new(b"@SQ\tSN:c\tLN:100000\n", None).unwrap();
    let mut text = String::new();
    for at in 0..60 {
        let told = if at % 3 == 0 { format!("{at}M") } else { "10M".to_owned() };
        let (flag, other) = if at % 2 == 0 { (99, at + 2) } else { (147, at) };
        text += &format!(
            "r{}\t{flag}\tc\t{}\t60\t10M\t=\t{other}\t0\tACGTACGTAC\tFFFFFFFFFF\tMC:Z:{told}\n",
            at / 2,
            at + 1,
        );
    }
    let records = crate::sam::parse_sam(text.as_bytes(), &header, 1).unwrap().data;
    for effort in EFFORTS {
        let tile = coded(&records, effort);
        assert!(decode(&tile.core, &tile.rest, &Selection::all(), i32::MAX).unwrap() == records);
    }
}

#[test]
fn parts_of_a_tile_come_in_any_order() {
    let records = records(9, 3_000);
    let ends: Vec<usize> = iterate(&records)
        .scan(0, |end, record| {
            *end += 4 + record.unwrap().bytes().len();
            Some(*end)
        })
        .collect();
    let start = |at: usize| at.checked_sub(1).map_or(0, |before| ends[before]);
    let tile = coded(&records, Effort::Balanced);
    let mut decoded = Decoded::new(&tile.core, &tile.rest, i32::MAX).unwrap();
    let mut random = Random(3);
    for _ in 0..100 {
        let from = random.below(3_000) as usize;
        let to = from + random.below(3_000 - from as u64 + 1) as usize;
        assert!(decoded.records(from..to).unwrap() == records[start(from)..start(to)]);
    }
    assert!(decoded.records(2_990..9_000).unwrap() == records[start(2_990)..]);
    assert!(decoded.records(5_000..9_000).unwrap().is_empty());
}

#[test]
fn slices_are_runs_of_the_records() {
    for count in [5_000, 2_049] {
        let found = records(11, count);
        let slices = slices::of(&found).unwrap();
        assert_eq!(slices.len() as u64, count.div_ceil(1_024));
        let mut rest = iterate(&found);
        for slice in &slices {
            let part: Vec<Record> =
                rest.by_ref().take(slice.reads as usize).map(Result::unwrap).collect();
            assert_eq!(slice.reads as usize, part.len());
            assert_eq!(slice.pos, part[0].pos());
            assert_eq!(slice.reach, part.iter().map(Record::end).max().unwrap());
            let bytes: usize = part.iter().map(|record| 4 + record.bytes().len()).sum();
            assert_eq!(slice.bytes, bytes as u64);
        }
        assert!(rest.next().is_none());
        let reads: Vec<u32> = slices.iter().map(|slice| slice.reads).collect();
        assert_eq!(slices::measured(&found, &reads).unwrap(), slices);
        assert_ne!(slices::measured(&found, &[1_000]).unwrap(), slices);
    }
    assert!(slices::of(&records(11, 1_024)).unwrap().is_empty());
}

#[test]
fn slices_of_long_reads_are_half_a_mebibyte() {
    let bases = "ACGT".repeat(75_000);
    let text: String =
        (1..8).map(|at| format!("r{at}\t0\tc\t{at}\t9\t300000M\t*\t0\t0\t{bases}\t*\n")).collect();
    let header = Header::new(b"@SQ\tSN:c\tLN:900000\n", None).unwrap();
    let records = crate::sam::parse_sam(text.as_bytes(), &header, 1).unwrap().data;
    let reads: Vec<u32> = slices::of(&records).unwrap().iter().map(|slice| slice.reads).collect();
    assert_eq!(reads, [2, 2, 2, 1]);
}

#[test]
fn tiles_of_several_contigs_have_no_slices() {
    let elsewhere: Vec<u8> = iterate(&records(11, 5_000))
        .enumerate()
        .flat_map(|(at, record)| {
            let mut bytes = record.unwrap().bytes().to_vec();
            bytes[..4].copy_from_slice(&(at as i32 / 4_000).to_le_bytes());
            [(bytes.len() as u32).to_le_bytes().to_vec(), bytes].concat()
        })
        .collect();
    assert!(slices::of(&elsewhere).unwrap().is_empty());
}

#[test]
fn damage_is_found_by_the_checksum() {
    let tile = coded(&records(5, 200), Effort::Balanced);
    for at in 0..tile.rest.len() {
        let mut rest = tile.rest.clone();
        rest[at] ^= 1 << (at % 8);
        assert!(decode(&tile.core, &rest, &Selection::all(), i32::MAX).is_err());
    }
    for at in 0..tile.core.len() {
        let mut core = tile.core.clone();
        core[at] ^= 1 << (at % 8);
        assert!(decode(&core, &tile.rest, &Selection::all(), i32::MAX).is_err());
        assert!(decode(&tile.core[..at], &tile.rest, &Selection::all(), i32::MAX).is_err());
    }
}

/// Change bytes of a section and give it a right checksum.
fn forged(section: &[u8], random: &mut Random) -> Vec<u8> {
    let mut data = section[..section.len() - 8].to_vec();
    for _ in 0..1 + random.below(3) {
        let at = random.below(data.len() as u64) as usize;
        match random.below(4) {
            0 => data[at] = random.below(256) as u8,
            1 => data[at] ^= 1 << random.below(8),
            2 => data.truncate(at.max(1)),
            _ => data[at] = 0xff,
        }
    }
    let checksum = xxh3_64(&data);
    data.extend(checksum.to_le_bytes());
    data
}

#[test]
fn forged_sections_never_panic() {
    let mut random = Random(6);
    let rounds = std::env::var("FUZZ_ROUNDS").map_or(3_000, |rounds| rounds.parse().unwrap());
    for effort in EFFORTS {
        let tile = coded(&records(7, 120), effort);
        for _ in 0..rounds {
            let _ =
                decode(&forged(&tile.core, &mut random), &tile.rest, &Selection::all(), i32::MAX);
            let _ =
                decode(&tile.core, &forged(&tile.rest, &mut random), &Selection::all(), i32::MAX);
        }
    }
}

#[test]
fn forged_statistics_never_panic() {
    let tile = coded(&records(8, 50), Effort::Fast);
    let stats = tile.stats.to_bytes();
    assert_eq!(crate::stats::Stats::from_bytes(&stats).unwrap(), tile.stats);
    let mut random = Random(9);
    for _ in 0..20_000 {
        let mut bad = stats.clone();
        let at = random.below(bad.len() as u64) as usize;
        bad[at] = random.below(256) as u8;
        let _ = crate::stats::Stats::from_bytes(&bad);
    }
}
