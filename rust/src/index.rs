//! The index of a dataset: contigs, chunks and tiles, and where each tile lies.
//!
//! Numbers are varints, differences zig-zag. Tiles are in dataset order, so what is nearly the same in
//! neighbours is written column by column and compresses well.
//!
//! The tiles of a contig may lie in a *table*, an object of its own: then the index has of its chunks all
//! but their tiles, until `load` brings them. Whoever asks for tiles that are not loaded gets `None`.

use std::sync::OnceLock;

use crate::error::{corrupt, Result};
use crate::stream::{get_varint, put_varint, unzigzag, zigzag};
use crate::tile::Extent;

const LIMIT: u64 = 1 << 32;

/// A tile and the lengths of its sections.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// The number of the table that holds its tiles; none if the index itself does.
    table: Option<usize>,
    tiles: OnceLock<Vec<Entry>>,
}

/// The tiles of the chunks that hold records of one contig alone, in an object of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Table {
    pub tid: i32,
    /// Length and XXH3-64 of the object.
    pub size: u64,
    pub digest: u64,
}

/// Where a tile lies in the object of its chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub chunk: usize,
    pub tile: usize,
    pub reads: u32,
    /// Length of the record stream.
    pub bytes: u64,
    pub core: (u64, u64),
    pub rest: (u64, u64),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Index {
    pub contigs: Vec<(String, u64)>,
    pub chunks: Vec<Chunk>,
    /// In dataset order.
    pub tables: Vec<Table>,
}

impl Index {
    /// Append a chunk of at least one tile.
    pub fn add_chunk(&mut self, start: u64, end: u64, digest: u64, tiles: &[Entry]) {
        let tiles = OnceLock::from(tiles.to_vec());
        self.chunks.push(Chunk { start, end, digest, table: None, tiles });
    }

    /// The tiles of a chunk, if they are loaded.
    pub fn tiles(&self, chunk: usize) -> Option<&[Entry]> {
        self.chunks[chunk].tiles.get().map(Vec::as_slice)
    }

    /// The contigs of the first and of the last record of a chunk.
    pub fn tids(&self, chunk: usize) -> (i32, i32) {
        let of_table = self.chunks[chunk].table.map(|table| self.tables[table].tid);
        match (of_table, self.tiles(chunk)) {
            (Some(tid), _) => (tid, tid),
            (None, Some([first, .., last])) => (first.extent.first_tid, last.extent.last_tid),
            (None, Some([tile])) => (tile.extent.first_tid, tile.extent.last_tid),
            (None, _) => (-1, -1),
        }
    }

    /// The tiles of a chunk, with their ranges: all cores come first.
    pub fn places(&self, chunk: usize) -> Option<Vec<Place>> {
        let tiles = self.tiles(chunk)?;
        let mut core = 0;
        let mut rest = tiles.iter().map(|tile| tile.core_length).sum();
        let place = |(tile, entry): (usize, &Entry)| {
            let place = Place {
                chunk,
                tile,
                reads: entry.extent.reads,
                bytes: entry.extent.bytes,
                core: (core, entry.core_length),
                rest: (rest, entry.rest_length),
            };
            core += entry.core_length;
            rest += entry.rest_length;
            place
        };
        Some(tiles.iter().enumerate().map(place).collect())
    }

    /// Bytes of the object of a chunk.
    pub fn size(&self, chunk: usize) -> Option<u64> {
        let tiles = self.tiles(chunk)?;
        Some(tiles.iter().map(|tile| tile.core_length + tile.rest_length).sum())
    }

    /// The tiles that can hold records of contig `tid` that overlap [start, end). `tid` -1: unplaced ones.
    pub fn overlapping(&self, tid: i32, start: i64, end: i64) -> Option<Vec<Place>> {
        let mut found = Vec::new();
        for (number, chunk) in self.chunks.iter().enumerate() {
            if chunk.table.is_some_and(|table| self.tables[table].tid != tid) {
                continue;
            }
            let tiles = self.tiles(number)?.iter();
            let wanted: Vec<bool> =
                tiles.map(|tile| overlaps(&tile.extent, tid, start, end)).collect();
            if wanted.contains(&true) {
                found.extend(self.places(number)?.into_iter().filter(|place| wanted[place.tile]));
            }
        }
        Some(found)
    }

    /// How many tiles each contig has in chunks that hold nothing else and are in no table, in
    /// dataset order.
    pub fn tiles_alone(&self) -> Vec<(i32, usize)> {
        let mut counts: Vec<(i32, usize)> = Vec::new();
        for (number, chunk) in self.chunks.iter().enumerate() {
            let (tid, last) = self.tids(number);
            let tiles = chunk.tiles.get().map_or(0, Vec::len);
            match counts.last_mut() {
                _ if tid != last || chunk.table.is_some() => {}
                Some((before, count)) if *before == tid => *count += tiles,
                _ => counts.push((tid, tiles)),
            }
        }
        counts
    }

    /// The chunks that `tiles_alone` counts for a contig.
    fn alone(&self, tid: i32) -> Vec<usize> {
        let of_contig =
            |&chunk: &usize| self.chunks[chunk].table.is_none() && self.tids(chunk) == (tid, tid);
        (0..self.chunks.len()).filter(of_contig).collect()
    }

    /// The bytes of a table of the tiles of a contig.
    pub fn table(&self, tid: i32) -> Vec<u8> {
        let mut out = Vec::new();
        let chunks = self.alone(tid);
        let tiles: Vec<&[Entry]> = chunks.iter().filter_map(|&chunk| self.tiles(chunk)).collect();
        tiles.iter().for_each(|tiles| put_varint(&mut out, tiles.len() as u64));
        put_tiles(&mut out, &tiles.concat());
        out
    }

    /// Leave the tiles of a contig, which stay loaded, to a table. Contigs come in dataset order.
    pub fn move_out(&mut self, table: Table) {
        for chunk in self.alone(table.tid) {
            self.chunks[chunk].table = Some(self.tables.len());
        }
        self.tables.push(table);
    }

    fn chunks_of(&self, table: usize) -> impl Iterator<Item = &Chunk> {
        self.chunks.iter().filter(move |chunk| chunk.table == Some(table))
    }

    /// Whether the tiles of a table are loaded.
    pub fn is_loaded(&self, table: usize) -> bool {
        self.chunks_of(table).all(|chunk| chunk.tiles.get().is_some())
    }

    /// Take the tiles of a contig from the bytes of its table.
    pub fn load(&self, tid: i32, mut data: &[u8]) -> Result<()> {
        let input = &mut data;
        let table = self.tables.iter().position(|table| table.tid == tid).ok_or_else(damaged)?;
        let counts = self.chunks_of(table).map(|_| count(input)).collect::<Result<Vec<_>>>()?;
        let mut tiles = read_tiles(input, counts.iter().sum())?.into_iter();
        let of_contig = |tile: &Entry| (tile.extent.first_tid, tile.extent.last_tid) == (tid, tid);
        if !input.is_empty()
            || counts.contains(&0)
            || !tiles.as_slice().iter().all(|tile| of_contig(tile) && self.is_sound(tile))
        {
            return Err(damaged());
        }
        for (chunk, count) in self.chunks_of(table).zip(counts) {
            let of_chunk = tiles.by_ref().take(count).collect();
            chunk.tiles.get_or_init(|| of_chunk);
        }
        Ok(())
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
        let mut tiles = Vec::new();
        for chunk in &self.chunks {
            let held = chunk.tiles.get().filter(|_| chunk.table.is_none());
            let held = held.map_or(&[] as &[Entry], Vec::as_slice);
            let numbers = [chunk.start, chunk.end - chunk.start, held.len() as u64];
            numbers.iter().for_each(|&value| put_varint(&mut out, value));
            out.extend_from_slice(&chunk.digest.to_le_bytes());
            tiles.extend_from_slice(held);
        }
        put_tiles(&mut out, &tiles);
        for (number, table) in self.tables.iter().enumerate() {
            let chunks = self.chunks_of(number).count() as u64;
            let numbers = [zigzag(table.tid.into()), chunks, table.size];
            numbers.iter().for_each(|&value| put_varint(&mut out, value));
            out.extend_from_slice(&table.digest.to_le_bytes());
        }
        out
    }

    pub fn from_bytes(mut data: &[u8]) -> Result<Self> {
        let input = &mut data;
        let mut index = Self { contigs: read_contigs(input)?, ..Self::default() };
        let mut counts = Vec::new();
        for _ in 0..count(input)? {
            let (start, span) = (get_varint(input)?, get_varint(input)?);
            counts.push(count(input)?);
            let digest = read_digest(input)?;
            let end = start.checked_add(span).ok_or_else(damaged)?;
            let tiles = OnceLock::new();
            index.chunks.push(Chunk { start, end, digest, table: None, tiles });
        }
        let mut tiles = read_tiles(input, counts.iter().sum())?.into_iter();
        if !tiles.as_slice().iter().all(|tile| index.is_sound(tile)) {
            return Err(damaged());
        }
        let mut of_tables = Vec::new();
        for (chunk, count) in index.chunks.iter_mut().zip(counts) {
            if count == 0 {
                of_tables.push(chunk);
            } else {
                chunk.tiles = OnceLock::from(tiles.by_ref().take(count).collect::<Vec<_>>());
            }
        }
        index.tables = read_tables(input, index.contigs.len(), of_tables)?;
        Ok(index)
    }

    fn is_sound(&self, tile: &Entry) -> bool {
        is_contig(tile.extent.first_tid, self.contigs.len())
            && is_contig(tile.extent.last_tid, self.contigs.len())
            && tile.core_length < LIMIT
            && tile.rest_length < LIMIT
            && tile.extent.bytes < LIMIT
    }
}

fn is_contig(tid: i32, contigs: usize) -> bool {
    (-1..contigs as i32).contains(&tid)
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

fn read_digest(input: &mut &[u8]) -> Result<u64> {
    let (digest, rest) = input.split_first_chunk::<8>().ok_or_else(damaged)?;
    *input = rest;
    Ok(u64::from_le_bytes(*digest))
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
    Bytes,
}

const COLUMNS: [Column; 8] = [
    Column::Reads,
    Column::FirstTid,
    Column::FirstPos,
    Column::Contigs,
    Column::Reach,
    Column::CoreLength,
    Column::RestLength,
    Column::Bytes,
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
            Self::Bytes => extent.bytes as i64,
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
            Self::Bytes => extent.bytes = value.try_into().ok()?,
        }
        Some(())
    }
}

fn put_tiles(out: &mut Vec<u8>, tiles: &[Entry]) {
    for column in COLUMNS {
        let mut before = 0i64;
        for tile in tiles {
            let value = column.get(tile);
            put_varint(out, zigzag(value.wrapping_sub(std::mem::replace(&mut before, value))));
        }
    }
    tiles.iter().filter(|tile| spans(&tile.extent)).for_each(|tile| put_starts(out, &tile.extent));
}

/// Whether a tile holds records of several contigs.
fn spans(extent: &Extent) -> bool {
    extent.first_tid != extent.last_tid
}

fn put_starts(out: &mut Vec<u8>, extent: &Extent) {
    put_varint(out, extent.starts.len() as u64);
    let mut before = (extent.first_tid, 0);
    for &(tid, offset) in &extent.starts {
        put_varint(out, u64::from(rank(tid).wrapping_sub(rank(before.0))));
        put_varint(out, offset - before.1);
        before = (tid, offset);
    }
}

/// Contigs and offsets ascend, to the last contig and within the record stream.
fn read_starts(input: &mut &[u8], extent: &mut Extent) -> Result<()> {
    let mut before = (rank(extent.first_tid), 0u64);
    for _ in 0..count(input)? {
        let (contigs, bytes) = (get_varint(input)?, get_varint(input)?);
        let tid = u64::from(before.0).checked_add(contigs).and_then(|tid| u32::try_from(tid).ok());
        let offset = before.1.checked_add(bytes).filter(|&offset| offset < extent.bytes);
        let (Some(tid), Some(offset)) = (tid, offset) else { return Err(damaged()) };
        if contigs == 0 || bytes == 0 {
            return Err(damaged());
        }
        before = (tid, offset);
        extent.starts.push((tid as i32, offset));
    }
    if before.0 == rank(extent.last_tid) {
        Ok(())
    } else {
        Err(damaged())
    }
}

fn read_tiles(input: &mut &[u8], count: usize) -> Result<Vec<Entry>> {
    if count.saturating_mul(COLUMNS.len()) > input.len() {
        return Err(damaged());
    }
    let mut tiles =
        vec![Entry { extent: Extent::default(), core_length: 0, rest_length: 0 }; count];
    for column in COLUMNS {
        let mut value = 0i64;
        for tile in &mut tiles {
            value = value.wrapping_add(unzigzag(get_varint(input)?));
            column.set(tile, value).ok_or_else(damaged)?;
        }
    }
    for tile in tiles.iter_mut().filter(|tile| spans(&tile.extent)) {
        read_starts(input, &mut tile.extent)?;
    }
    Ok(tiles)
}

/// Read the tables, which are in dataset order, up to the end; each takes the next of `chunks`.
fn read_tables(input: &mut &[u8], contigs: usize, chunks: Vec<&mut Chunk>) -> Result<Vec<Table>> {
    let mut tables: Vec<Table> = Vec::new();
    let mut chunks = chunks.into_iter();
    while !input.is_empty() {
        let tid = i32::try_from(unzigzag(get_varint(input)?)).map_err(|_| damaged())?;
        let (count, size) = (get_varint(input)?, get_varint(input)?);
        let digest = read_digest(input)?;
        let ordered = tables.last().is_none_or(|before| rank(before.tid) < rank(tid));
        if !ordered
            || !is_contig(tid, contigs)
            || !(1..=chunks.len() as u64).contains(&count)
            || size >= LIMIT
        {
            return Err(damaged());
        }
        for chunk in chunks.by_ref().take(count as usize) {
            chunk.table = Some(tables.len());
        }
        tables.push(Table { tid, size, digest });
    }
    if chunks.len() > 0 {
        return Err(damaged());
    }
    Ok(tables)
}
