//! Indexes whose tiles lie in tables: the same answers, none without the tables, no panic on forged ones.

use crate::error::Result;
use crate::index::{Entry, Index, Table};
use crate::tile::Extent;
use crate::tile_tests::Random;

const CONTIGS: usize = 4;

/// Chunks of some tiles on some contigs, the last of unplaced records.
fn made(random: &mut Random) -> Index {
    let contigs = (0..CONTIGS).map(|number| (format!("c{number}"), 1 << 30)).collect();
    let mut index = Index { contigs, ..Index::default() };
    let mut place = (0i32, 0i32);
    for number in 0..random.below(30) {
        let tiles: Vec<Entry> = (0..=random.below(4)).map(|_| tile(random, &mut place)).collect();
        index.add_chunk(number << 20, (number + 1) << 20, random.below(u64::MAX), &tiles);
    }
    let extent = Extent { reads: 1, bytes: 40, ..unplaced() };
    index.add_chunk(0, 1, 5, &[Entry { extent, core_length: 9, rest_length: 8 }]);
    index
}

fn unplaced() -> Extent {
    Extent { first_tid: -1, first_pos: -1, last_tid: -1, ..Extent::default() }
}

fn tile(random: &mut Random, place: &mut (i32, i32)) -> Entry {
    let (first_tid, first_pos) = *place;
    place.1 += random.below(100_000) as i32;
    if random.below(20) == 0 && place.0 + 1 < CONTIGS as i32 {
        *place = (place.0 + 1, 0);
    }
    let (last_tid, reach) = (place.0, i64::from(place.1) + 500);
    let (reads, bytes) = (1 + random.below(9) as u32, 40 + random.below(4 << 20));
    let starts = if first_tid < last_tid { vec![(last_tid, 1 + random.below(39))] } else { vec![] };
    let extent = Extent { reads, bytes, first_tid, first_pos, last_tid, reach, starts };
    Entry { extent, core_length: random.below(99_999), rest_length: random.below(999_999) }
}

/// Move some contigs out; return their tables.
fn split(index: &mut Index, random: &mut Random) -> Vec<(i32, Vec<u8>)> {
    let mut tables = Vec::new();
    for (tid, tiles) in index.tiles_alone() {
        assert!(tiles > 0);
        if random.below(2) == 0 {
            let table = index.table(tid);
            index.move_out(Table { tid, size: table.len() as u64, digest: tables.len() as u64 });
            tables.push((tid, table));
        }
    }
    tables
}

type Answer = (Vec<Entry>, u64, (i32, i32));

/// What there is of each chunk.
fn answers(index: &Index) -> Option<Vec<Answer>> {
    let one = |chunk| Some((index.tiles(chunk)?.to_vec(), index.size(chunk)?, index.tids(chunk)));
    (0..index.chunks.len()).map(one).collect()
}

#[test]
fn split_indexes_come_back() {
    let mut random = Random(3);
    for _ in 0..500 {
        let whole = made(&mut random);
        assert_eq!(Index::from_bytes(&whole.to_bytes()).unwrap(), whole);
        let mut written = whole.clone();
        let tables = split(&mut written, &mut random);
        assert_eq!(answers(&written), answers(&whole), "what was moved out stays loaded");
        let read = Index::from_bytes(&written.to_bytes()).unwrap();
        assert_eq!(read.tables, written.tables);
        assert_eq!(read.to_bytes(), written.to_bytes());
        for (number, (tid, table)) in tables.iter().enumerate() {
            assert!(!read.is_loaded(number));
            assert_eq!(read.overlapping(*tid, 0, i64::MAX), None);
            read.load(*tid, table).unwrap();
            assert_eq!(read.overlapping(*tid, 0, 9_999), whole.overlapping(*tid, 0, 9_999));
        }
        assert_eq!(read, written);
    }
}

#[test]
fn what_is_not_loaded_is_not_nothing() {
    let mut random = Random(4);
    for _ in 0..200 {
        let whole = made(&mut random);
        let mut written = whole.clone();
        let tables = split(&mut written, &mut random);
        let read = Index::from_bytes(&written.to_bytes()).unwrap();
        for tid in -1..CONTIGS as i32 {
            let found = read.overlapping(tid, 0, i64::MAX);
            let outside = tables.iter().any(|(other, _)| *other == tid);
            let expected = whole.overlapping(tid, 0, i64::MAX);
            assert_eq!(found, if outside { None } else { expected });
        }
        for chunk in 0..whole.chunks.len() {
            assert_eq!(read.tids(chunk), whole.tids(chunk));
            let loaded = read.tiles(chunk).is_some();
            assert_eq!(read.places(chunk).is_some(), loaded);
            assert_eq!(read.size(chunk).is_some(), loaded);
        }
    }
}

#[test]
fn tables_of_another_contig_are_damaged() {
    let mut random = Random(5);
    let mut index = made(&mut random);
    while index.tiles_alone().len() < 3 {
        index = made(&mut random);
    }
    let (one, two) = (index.tiles_alone()[0].0, index.tiles_alone()[1].0);
    let tables = [index.table(one), index.table(two)];
    for tid in [one, two] {
        index.move_out(Table { tid, size: 1, digest: 1 });
    }
    let read = Index::from_bytes(&index.to_bytes()).unwrap();
    assert!(read.load(one, &tables[1]).is_err() && read.load(two, &tables[0]).is_err());
    assert!(read.load(one, &[]).is_err());
    assert!(read.load(9, &tables[0]).is_err());
    assert!(!read.is_loaded(0) && !read.is_loaded(1));
}

fn rounds() -> usize {
    std::env::var("FUZZ_ROUNDS").map_or(20_000, |rounds| rounds.parse().unwrap())
}

fn spoilt(bytes: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bad = bytes.to_vec();
    for _ in 0..=random.below(3) {
        let at = random.below(bad.len() as u64) as usize;
        match random.below(4) {
            0 => bad.truncate(at + 1),
            1 => bad.insert(at, random.below(256) as u8),
            _ => bad[at] = random.below(256) as u8,
        }
    }
    bad
}

/// Ask for everything; an index that was read never panics.
fn used(index: &Index) -> Result<()> {
    for tid in -1..CONTIGS as i32 {
        index.overlapping(tid, 0, 1000);
    }
    for chunk in 0..index.chunks.len() {
        let places = index.places(chunk).unwrap_or_default();
        assert!(places.len() <= index.tiles(chunk).map_or(0, <[Entry]>::len));
        index.size(chunk);
        index.tids(chunk);
    }
    Index::from_bytes(&index.to_bytes()).map(|_| ())
}

#[test]
fn forged_indexes_and_tables_never_panic() {
    let mut random = Random(9);
    let (mut index, mut tables) = (Index::default(), Vec::new());
    while tables.len() < 2 {
        index = made(&mut random);
        tables = split(&mut index, &mut random);
    }
    let bytes = index.to_bytes();
    for _ in 0..rounds() {
        if let Ok(read) = Index::from_bytes(&spoilt(&bytes, &mut random)) {
            for (tid, table) in &tables {
                let _ = read.load(*tid, table);
            }
            used(&read).unwrap();
        }
        let read = Index::from_bytes(&bytes).unwrap();
        for (number, (tid, table)) in tables.iter().enumerate() {
            let done = read.load(*tid, &spoilt(table, &mut random));
            assert_eq!(done.is_ok(), read.is_loaded(number), "all of a table or nothing");
        }
        used(&read).unwrap();
    }
}
