//! The index of a dataset: contigs, chunks and tiles, and where each tile lies.
//!
//! Numbers are varints, differences zig-zag. Tiles are in dataset order, so what is nearly the same in
//! neighbours is written column by column and compresses well.

use crate::error::{corrupt, Result};
use crate::stream::{get_varint, put_varint, unzigzag, zigzag};
use crate::tile::Extent;

const LIMIT: u64 = 1 << 32;

/// A tile and the lengths of its sections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    pub extent: Extent,
    pub core_length: u64,
    pub rest_length: u64,
}

/// A chunk: one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Range of positions that its name tells.
    pub start: u64,
    pub end: u64,
    /// XXH3-64 of the object.
    pub digest: u64,
    pub tiles: std::ops::Range<usize>,
}

/// Where a tile lies in the object of its chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub chunk: usize,
    pub tile: usize,
    pub reads: u32,
    pub core: (u64, u64),
    pub rest: (u64, u64),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Index {
    pub contigs: Vec<(String, u64)>,
    pub chunks: Vec<Chunk>,
    pub tiles: Vec<Entry>,
}

impl Index {
    pub fn add_chunk(&mut self, start: u64, end: u64, digest: u64, tiles: &[Entry]) {
        let first = self.tiles.len();
        self.tiles.extend_from_slice(tiles);
        self.chunks.push(Chunk { start, end, digest, tiles: first..self.tiles.len() });
    }

    /// The tiles of a chunk, with their ranges: all cores come first.
    pub fn places(&self, chunk: usize) -> Vec<Place> {
        let tiles = &self.tiles[self.chunks[chunk].tiles.clone()];
        let mut core = 0;
        let mut rest = tiles.iter().map(|tile| tile.core_length).sum();
        let place = |(tile, entry): (usize, &Entry)| {
            let place = Place {
                chunk,
                tile,
                reads: entry.extent.reads,
                core: (core, entry.core_length),
                rest: (rest, entry.rest_length),
            };
            core += entry.core_length;
            rest += entry.rest_length;
            place
        };
        tiles.iter().enumerate().map(place).collect()
    }

    /// Bytes of the object of a chunk.
    pub fn size(&self, chunk: usize) -> u64 {
        let tiles = &self.tiles[self.chunks[chunk].tiles.clone()];
        tiles.iter().map(|tile| tile.core_length + tile.rest_length).sum()
    }

    /// The tiles that can hold records of contig `tid` that overlap [start, end). `tid` -1: unplaced ones.
    pub fn overlapping(&self, tid: i32, start: i64, end: i64) -> Vec<Place> {
        let mut found = Vec::new();
        for (number, chunk) in self.chunks.iter().enumerate() {
            let tiles = &self.tiles[chunk.tiles.clone()];
            let wanted: Vec<bool> =
                tiles.iter().map(|tile| overlaps(&tile.extent, tid, start, end)).collect();
            if wanted.contains(&true) {
                found.extend(self.places(number).into_iter().filter(|place| wanted[place.tile]));
            }
        }
        found
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_varint(&mut out, self.contigs.len() as u64);
        for (name, length) in &self.contigs {
            put_varint(&mut out, name.len() as u64);
            out.extend_from_slice(name.as_bytes());
            put_varint(&mut out, *length);
        }
        put_varint(&mut out, self.chunks.len() as u64);
        for chunk in &self.chunks {
            let numbers = [chunk.start, chunk.end - chunk.start, chunk.tiles.len() as u64];
            numbers.iter().for_each(|&value| put_varint(&mut out, value));
            out.extend_from_slice(&chunk.digest.to_le_bytes());
        }
        for column in COLUMNS {
            let mut before = 0i64;
            for tile in &self.tiles {
                let value = column.get(tile);
                put_varint(
                    &mut out,
                    zigzag(value.wrapping_sub(std::mem::replace(&mut before, value))),
                );
            }
        }
        out
    }

    pub fn from_bytes(mut data: &[u8]) -> Result<Self> {
        let input = &mut data;
        let mut index = Self { contigs: read_contigs(input)?, ..Self::default() };
        let mut tiles = 0usize;
        for _ in 0..count(input)? {
            let (start, span) = (get_varint(input)?, get_varint(input)?);
            let of_chunk = count(input)?;
            let (digest, rest) = input.split_first_chunk::<8>().ok_or_else(damaged)?;
            *input = rest;
            let end = start.checked_add(span).ok_or_else(damaged)?;
            index.chunks.push(Chunk {
                start,
                end,
                digest: u64::from_le_bytes(*digest),
                tiles: tiles..tiles + of_chunk,
            });
            tiles += of_chunk;
        }
        if tiles.saturating_mul(COLUMNS.len()) > input.len() {
            return Err(damaged());
        }
        index.tiles = read_tiles(input, tiles)?;
        if !input.is_empty() || !index.is_sound() {
            return Err(damaged());
        }
        Ok(index)
    }

    fn is_sound(&self) -> bool {
        let contigs = -1..self.contigs.len() as i32;
        self.tiles.iter().all(|tile| {
            let extent = &tile.extent;
            contigs.contains(&extent.first_tid)
                && contigs.contains(&extent.last_tid)
                && tile.core_length < LIMIT
                && tile.rest_length < LIMIT
        })
    }
}

fn damaged() -> crate::error::Error {
    corrupt("the index is damaged")
}

/// In dataset order unplaced records come last.
fn rank(tid: i32) -> u32 {
    tid as u32
}

fn overlaps(extent: &Extent, tid: i32, start: i64, end: i64) -> bool {
    let (first, last) = (rank(extent.first_tid), rank(extent.last_tid));
    let wanted = rank(tid);
    let begins = wanted > first || wanted == first && i64::from(extent.first_pos) < end;
    let reaches = wanted < last || wanted == last && extent.reach > start;
    tid < 0 && last == wanted || begins && reaches
}

/// Read a count of things that each take at least a byte of what follows.
fn count(input: &mut &[u8]) -> Result<usize> {
    let value = get_varint(input)?;
    usize::try_from(value).ok().filter(|&count| count <= input.len()).ok_or_else(damaged)
}

fn read_contigs(input: &mut &[u8]) -> Result<Vec<(String, u64)>> {
    let mut contigs = Vec::new();
    for _ in 0..count(input)? {
        let length = count(input)?;
        let (name, rest) = input.split_at(length);
        *input = rest;
        let name = std::str::from_utf8(name).map_err(|_| damaged())?;
        contigs.push((name.to_owned(), get_varint(input)?));
    }
    Ok(contigs)
}

/// The columns of the tile table, in the order in which they are written.
#[derive(Clone, Copy)]
enum Column {
    Reads,
    FirstTid,
    FirstPos,
    Contigs,
    Reach,
    CoreLength,
    RestLength,
}

const COLUMNS: [Column; 7] = [
    Column::Reads,
    Column::FirstTid,
    Column::FirstPos,
    Column::Contigs,
    Column::Reach,
    Column::CoreLength,
    Column::RestLength,
];

impl Column {
    fn get(self, tile: &Entry) -> i64 {
        let extent = &tile.extent;
        match self {
            Self::Reads => extent.reads.into(),
            Self::FirstTid => extent.first_tid.into(),
            Self::FirstPos => extent.first_pos.into(),
            Self::Contigs => i64::from(extent.last_tid) - i64::from(extent.first_tid),
            Self::Reach => extent.reach - i64::from(extent.first_pos),
            Self::CoreLength => tile.core_length as i64,
            Self::RestLength => tile.rest_length as i64,
        }
    }

    fn set(self, tile: &mut Entry, value: i64) -> Option<()> {
        let extent = &mut tile.extent;
        match self {
            Self::Reads => extent.reads = value.try_into().ok()?,
            Self::FirstTid => extent.first_tid = value.try_into().ok()?,
            Self::FirstPos => extent.first_pos = value.try_into().ok()?,
            Self::Contigs => {
                extent.last_tid = value.checked_add(extent.first_tid.into())?.try_into().ok()?
            }
            Self::Reach => extent.reach = value.checked_add(extent.first_pos.into())?,
            Self::CoreLength => tile.core_length = value.try_into().ok()?,
            Self::RestLength => tile.rest_length = value.try_into().ok()?,
        }
        Some(())
    }
}

fn read_tiles(input: &mut &[u8], count: usize) -> Result<Vec<Entry>> {
    let mut tiles =
        vec![Entry { extent: Extent::default(), core_length: 0, rest_length: 0 }; count];
    for column in COLUMNS {
        let mut value = 0i64;
        for tile in &mut tiles {
            value = value.wrapping_add(unzigzag(get_varint(input)?));
            column.set(tile, value).ok_or_else(damaged)?;
        }
    }
    Ok(tiles)
}
