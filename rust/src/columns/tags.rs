//! Tags: a dictionary of tag lists (names, types and their order) and a column for each tag.
//!
//! A list is four bytes a tag: the two letters, the BAM type, and the element type of an array. Integers of all
//! widths of a tag share a column, because the list keeps the width.

use std::collections::HashMap;

use xxhash_rust::xxh3::Xxh3DefaultBuilder;

use super::derive::{Derived, Source};
use super::{ints, strings, Row};
use crate::error::{corrupt, Error, Result};
use crate::stream::{zigzag, Reader, Writer};
use crate::tags::{self, element_size, fixed_size};

/// Two letters, class (`i` for all integers), element type of arrays.
type Key = [u8; 4];

/// One tag of a record; the value of an array without its element type and count.
struct Tag<'a> {
    key: Key,
    value: &'a [u8],
}

impl<'a> Tag<'a> {
    fn new(tag: tags::Tag<'a>) -> Self {
        let (element, value) = tag.array().unwrap_or((0, tag.value));
        Self { key: [tag.name[0], tag.name[1], tag.kind, element], value }
    }
}

fn column_of(key: Key) -> Key {
    match key[2] {
        b'c' | b'C' | b's' | b'S' | b'i' | b'I' => [key[0], key[1], b'i', 0],
        _ => key,
    }
}

fn integer(kind: u8, value: &[u8]) -> i64 {
    match (kind, value) {
        (b'c', &[a]) => i64::from(a as i8),
        (b's', &[a, b]) => i64::from(i16::from_le_bytes([a, b])),
        (b'i', &[a, b, c, d]) => i64::from(i32::from_le_bytes([a, b, c, d])),
        _ => value.iter().rev().fold(0, |sum, &byte| sum << 8 | i64::from(byte)),
    }
}

/// The values of one tag over a tile, and the records that they are of.
#[derive(Default)]
struct Column<'a> {
    records: Vec<u32>,
    integers: Vec<i64>,
    values: Vec<&'a [u8]>,
}

/// The tags of a tile, by list and by column, both in order of first appearance.
#[derive(Default)]
pub struct Collected<'a> {
    lists: Vec<Vec<u8>>,
    list_of: Vec<i64>,
    keys: Vec<Key>,
    columns: Vec<Column<'a>>,
    /// For each list the column of each of its tags.
    columns_of: Vec<Vec<usize>>,
}

impl<'a> Collected<'a> {
    /// Collect the tags of all rows.
    pub fn new(rows: &[Row<'a>]) -> Result<Self> {
        let mut all = Self::default();
        let mut known: HashMap<Vec<u8>, usize, Xxh3DefaultBuilder> = HashMap::default();
        let (mut list, mut tags) = (Vec::new(), Vec::new());
        for (record, row) in rows.iter().enumerate() {
            split(row, record, &mut list, &mut tags)?;
            let number = match known.get(&list) {
                Some(&number) => number,
                None => {
                    known.insert(list.clone(), all.lists.len());
                    all.add_list(&list)
                }
            };
            all.list_of.push(number as i64);
            for (tag, &column) in tags.iter().zip(&all.columns_of[number]) {
                all.columns[column].push(record, tag);
            }
        }
        Ok(all)
    }

    /// The text values of a tag, and the records that they are of.
    pub fn text(&self, name: [u8; 2]) -> impl Iterator<Item = (usize, &'a [u8])> + '_ {
        let columns = self.keys.iter().zip(&self.columns);
        let of_name = columns.filter(move |(key, _)| key[..3] == [name[0], name[1], b'Z']);
        of_name.flat_map(|(_, column)| {
            column.records.iter().map(|&record| record as usize).zip(column.values.iter().copied())
        })
    }

    fn add_list(&mut self, list: &[u8]) -> usize {
        let columns = columns_of(list, &mut self.keys);
        self.columns.resize_with(self.keys.len(), Column::default);
        self.columns_of.push(columns);
        self.lists.push(list.to_vec());
        self.lists.len() - 1
    }
}

/// The columns of the tags of one list; new ones are added to `keys`.
fn columns_of(list: &[u8], keys: &mut Vec<Key>) -> Vec<usize> {
    let mut place = |key: Key| {
        keys.iter().position(|&other| other == key).unwrap_or_else(|| {
            keys.push(key);
            keys.len() - 1
        })
    };
    list.chunks_exact(4).map(|key| place(column_of([key[0], key[1], key[2], key[3]]))).collect()
}

fn split<'a>(
    row: &Row<'a>,
    record: usize,
    list: &mut Vec<u8>,
    tags: &mut Vec<Tag<'a>>,
) -> Result<()> {
    list.clear();
    tags.clear();
    for tag in tags::Tags::new(row.tags) {
        let tag =
            Tag::new(tag.map_err(|error| error.within(&format!("record {record} of a tile")))?);
        list.extend(tag.key);
        tags.push(tag);
    }
    Ok(())
}

impl<'a> Column<'a> {
    fn push(&mut self, record: usize, tag: &Tag<'a>) {
        self.records.push(record as u32);
        if column_of(tag.key)[2] == b'i' {
            self.integers.push(integer(tag.key[2], tag.value));
        } else {
            self.values.push(tag.value);
        }
    }

    fn write(&self, out: &mut Writer, key: Key, derived: &mut Derived) {
        match key[2] {
            b'i' => self.write_integers(out, key, derived),
            b'Z' | b'H' => self.write_text(out, key, derived),
            b'B' => {
                let size = element_size(key[3]).unwrap_or(1);
                ints::write(
                    out,
                    &self
                        .values
                        .iter()
                        .map(|value| (value.len() / size) as i64)
                        .collect::<Vec<_>>(),
                );
                write_planes(out, &self.values.concat(), size);
            }
            kind => write_planes(out, &self.values.concat(), fixed_size(kind).unwrap_or(1)),
        }
    }

    /// As residuals of what the tag is derived to be, if that is cheaper.
    fn write_integers(&self, out: &mut Writer, key: Key, derived: &mut Derived) {
        let source = Source::of_integer([key[0], key[1]]);
        let residuals = source.map(|source| {
            let residual = |(&value, &record): (&i64, &u32)| {
                value.wrapping_sub(derived.integer(source, record as usize))
            };
            self.integers.iter().zip(&self.records).map(residual).collect::<Vec<_>>()
        });
        let residuals = residuals.filter(|residuals| cost(residuals) < cost(&self.integers));
        out.varint(u64::from(residuals.is_some()));
        ints::write(out, residuals.as_ref().unwrap_or(&self.integers));
    }

    /// The values that are not what the tag is derived to be.
    fn write_text(&self, out: &mut Writer, key: Key, derived: &mut Derived) {
        let Some(source) = Source::of_text([key[0], key[1]]) else {
            return strings::write(out, &self.values);
        };
        let mut exact = Vec::with_capacity(self.values.len());
        for (&value, &record) in self.values.iter().zip(&self.records) {
            exact.push(u8::from(derived.text(source, record as usize) == Some(value)));
        }
        out.bytes(&exact);
        let others = self.values.iter().zip(&exact).filter(|(_, &exact)| exact == 0);
        strings::write(out, &others.map(|(&value, _)| value).collect::<Vec<_>>());
    }
}

/// About how many bits integers take.
fn cost(values: &[i64]) -> u64 {
    values.iter().map(|&value| u64::from(64 - zigzag(value).leading_zeros())).sum()
}

fn write_planes(out: &mut Writer, data: &[u8], width: usize) {
    out.varint((data.len() / width) as u64);
    for plane in 0..width {
        out.bytes(&data.iter().skip(plane).step_by(width).copied().collect::<Vec<_>>());
    }
}

fn read_planes(input: &mut Reader, width: usize) -> Result<Vec<u8>> {
    let count =
        usize::try_from(input.varint()?).map_err(|_| corrupt("a tag column is too long"))?;
    let planes = (0..width).map(|_| input.exactly(count)).collect::<Result<Vec<_>>>()?;
    Ok((0..count).flat_map(|at| planes.iter().map(move |plane| plane[at])).collect())
}

fn skip_planes(input: &mut Reader, width: usize) -> Result<()> {
    input.varint()?;
    (0..width).try_for_each(|_| input.skip())
}

/// Write the tags of all rows; returns the bytes that each tag took.
pub fn write(out: &mut Writer, all: &Collected, derived: &mut Derived) -> Vec<([u8; 2], usize)> {
    ints::write(out, &all.list_of);
    out.varint(all.lists.len() as u64);
    ints::write(out, &all.lists.iter().map(|list| list.len() as i64).collect::<Vec<_>>());
    out.bytes(&all.lists.concat());
    let mut sizes = Vec::new();
    for (column, &key) in all.columns.iter().zip(&all.keys) {
        let before = out.size();
        column.write(out, key, derived);
        sizes.push(([key[0], key[1]], out.size() - before));
    }
    sizes
}

enum Values {
    Integers { values: Vec<i64>, source: Option<Source> },
    Text { exact: Vec<u8>, source: Option<Source>, others: strings::Strings },
    Arrays { counts: Vec<i64>, data: Vec<u8> },
    Fixed(Vec<u8>),
}

/// The tags of a tile, which are given back record after record. Columns that nobody wants are not there.
pub struct Tags {
    lists: Vec<Vec<u8>>,
    list_of: Vec<usize>,
    columns_of: Vec<Vec<usize>>,
    columns: Vec<Option<Values>>,
}

/// How far the tags of a tile have been given back.
#[derive(Clone)]
pub struct Cursor {
    columns: Vec<Place>,
}

/// Where in a column the next value is.
#[derive(Clone, Copy, Default)]
struct Place {
    /// Its number.
    at: usize,
    /// Where it begins, in a column of arrays; its number among those not derived, in one of text.
    inner: usize,
}

fn mismatch() -> Error {
    corrupt("the tag columns do not fit together")
}

/// Read those tags of `count` records that are kept.
pub fn read(input: &mut Reader, count: usize, keeps: impl Fn([u8; 2]) -> bool) -> Result<Tags> {
    let list_of = ints::read(input, count)?;
    let number = input.count(count)?;
    let lengths = ints::read(input, number)?;
    let lists = split_lists(&lengths, &input.bytes()?)?;
    let list_of: Vec<usize> = list_of.into_iter().map(|list| list as usize).collect();
    if list_of.iter().any(|&list| list >= lists.len()) {
        return Err(mismatch());
    }
    let mut keys = Vec::new();
    let columns_of: Vec<Vec<usize>> =
        lists.iter().map(|list| columns_of(list, &mut keys)).collect();
    let mut counts = vec![0usize; keys.len()];
    list_of.iter().flat_map(|&list| &columns_of[list]).for_each(|&column| counts[column] += 1);
    let read_one = |(&key, count): (&Key, usize)| {
        if keeps([key[0], key[1]]) {
            Values::read(input, key, count).map(Some)
        } else {
            Values::skip(input, key).map(|()| None)
        }
    };
    let columns = keys.iter().zip(counts).map(read_one).collect::<Result<Vec<_>>>()?;
    Ok(Tags { lists, list_of, columns_of, columns })
}

fn split_lists(lengths: &[i64], mut data: &[u8]) -> Result<Vec<Vec<u8>>> {
    let mut lists = Vec::with_capacity(lengths.len());
    for &length in lengths {
        let length = usize::try_from(length).ok().filter(|length| length % 4 == 0);
        let (list, rest) =
            length.and_then(|length| data.split_at_checked(length)).ok_or_else(mismatch)?;
        let valid = |key: &[u8]| match key[2] {
            b'Z' | b'H' => true,
            b'B' => element_size(key[3]).is_some(),
            kind => fixed_size(kind).is_some(),
        };
        if !list.chunks_exact(4).all(valid) {
            return Err(mismatch());
        }
        lists.push(list.to_vec());
        data = rest;
    }
    Ok(lists)
}

impl Values {
    fn read(input: &mut Reader, key: Key, count: usize) -> Result<Self> {
        let name = [key[0], key[1]];
        Ok(match key[2] {
            b'i' => {
                let derived = input.count(1)? == 1;
                let source = Source::of_integer(name).filter(|_| derived);
                Values::Integers { values: ints::read(input, count)?, source }
            }
            b'Z' | b'H' => {
                let source = Source::of_text(name);
                let exact = source.map_or(Ok(vec![0; count]), |_| input.exactly(count))?;
                let others = exact.iter().filter(|&&exact| exact == 0).count();
                Values::Text { exact, source, others: strings::read(input, others)? }
            }
            b'B' => {
                let counts = ints::read(input, count)?;
                let data = read_planes(input, element_size(key[3]).unwrap_or(1))?;
                Values::Arrays { counts, data }
            }
            kind => {
                let size = fixed_size(kind).unwrap_or(1);
                let data = read_planes(input, size)?;
                if data.len() != count * size {
                    return Err(mismatch());
                }
                Values::Fixed(data)
            }
        })
    }

    fn skip(input: &mut Reader, key: Key) -> Result<()> {
        match key[2] {
            b'i' => {
                input.count(1)?;
                ints::skip(input)
            }
            b'Z' | b'H' => {
                if Source::of_text([key[0], key[1]]).is_some() {
                    input.skip()?;
                }
                strings::skip(input)
            }
            b'B' => {
                ints::skip(input)?;
                skip_planes(input, element_size(key[3]).unwrap_or(1))
            }
            kind => skip_planes(input, fixed_size(kind).unwrap_or(1)),
        }
    }

    /// Append the value at `place`, which is of record `record`, and return the place after it.
    fn append(
        &self,
        kind: &[u8],
        place: Place,
        record: usize,
        derived: &mut Derived,
        out: &mut Vec<u8>,
    ) -> Result<Place> {
        let (Place { at, inner }, after) = (place, self.after(kind, place)?);
        match self {
            Values::Integers { values, source } => {
                let base = source.map_or(0, |source| derived.integer(source, record));
                let value = values[at].wrapping_add(base).to_le_bytes();
                out.extend_from_slice(&value[..fixed_size(kind[0]).unwrap_or(4)]);
            }
            Values::Text { exact, source, others } => {
                if exact[at] == 0 {
                    out.extend_from_slice(others.get(inner).ok_or_else(mismatch)?);
                } else {
                    let value = source.and_then(|source| derived.text(source, record));
                    out.extend_from_slice(value.ok_or_else(mismatch)?);
                }
                out.push(0);
            }
            Values::Arrays { counts, data } => {
                out.push(kind[1]);
                out.extend_from_slice(&(counts[at] as u32).to_le_bytes());
                out.extend_from_slice(data.get(inner..after.inner).ok_or_else(mismatch)?);
            }
            Values::Fixed(data) => {
                let size = fixed_size(kind[0]).unwrap_or(1);
                out.extend_from_slice(&data[at * size..(at + 1) * size]);
            }
        }
        Ok(after)
    }

    /// The place after another.
    fn after(&self, kind: &[u8], Place { at, inner }: Place) -> Result<Place> {
        let length = match self {
            Values::Text { exact, .. } => usize::from(exact[at] == 0),
            Values::Arrays { counts, .. } => {
                let count = u32::try_from(counts[at]).map_err(|_| mismatch())?;
                count as usize * element_size(kind[1]).unwrap_or(1)
            }
            _ => 0,
        };
        Ok(Place { at: at + 1, inner: inner + length })
    }
}

impl Tags {
    /// Where the tags of the first record are.
    pub fn cursor(&self) -> Cursor {
        Cursor { columns: vec![Place::default(); self.columns.len()] }
    }

    /// Append the tags of the record at which the cursor stands, and go on to the next.
    pub fn append(
        &self,
        record: usize,
        cursor: &mut Cursor,
        derived: &mut Derived,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        for (key, column) in self.of(record) {
            let Some(values) = &self.columns[column] else { continue };
            out.extend_from_slice(&key[..3]);
            let place = &mut cursor.columns[column];
            *place = values.append(&key[2..], *place, record, derived, out)?;
        }
        Ok(())
    }

    /// Go on to the next record.
    pub fn skip(&self, record: usize, cursor: &mut Cursor) -> Result<()> {
        for (key, column) in self.of(record) {
            let Some(values) = &self.columns[column] else { continue };
            let place = &mut cursor.columns[column];
            *place = values.after(&key[2..], *place)?;
        }
        Ok(())
    }

    /// The keys and columns of the tags of a record.
    fn of(&self, record: usize) -> impl Iterator<Item = (&[u8], usize)> {
        let list = self.list_of[record];
        self.lists[list].chunks_exact(4).zip(self.columns_of[list].iter().copied())
    }
}
