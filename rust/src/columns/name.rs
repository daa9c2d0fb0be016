//! Read names, once a template.

use std::collections::HashMap;

use super::{fields, Core, Row, NONE};
use crate::codecs::{self, Effort};
use crate::error::{corrupt, Result};
use crate::stream::{Reader, Writer};

/// Link records of one name: for each record the next one and the previous one of its name.
pub fn chains(rows: &[Row]) -> (Vec<u32>, Vec<u32>) {
    let (mut next, mut previous) = (vec![NONE; rows.len()], vec![NONE; rows.len()]);
    let mut last: HashMap<&[u8], u32, Hasher> =
        HashMap::with_capacity_and_hasher(rows.len(), Hasher::default());
    for (at, row) in rows.iter().enumerate() {
        if row.name == b"*" {
            continue;
        }
        if let Some(before) = last.insert(row.name, at as u32) {
            next[before as usize] = at as u32;
            previous[at] = before;
        }
    }
    (next, previous)
}

type Hasher = xxhash_rust::xxh3::Xxh3DefaultBuilder;

const GENERAL: u64 = 0;
const FIELDS: u64 = 1;

pub fn write(out: &mut Writer, core: &Core, rows: &[Row]) {
    let heads = rows.iter().zip(&core.previous).filter(|(_, &previous)| previous == NONE);
    let names: Vec<&[u8]> = heads.map(|(row, _)| row.name).collect();
    let fields = fields::write(&names, out.effort());
    if let (Some(fields), true) = (&fields, out.effort() != Effort::Small) {
        out.varint(FIELDS);
        return out.raw(fields);
    }
    let joined: Vec<u8> = names.iter().flat_map(|name| name.iter().copied().chain([0])).collect();
    let general = codecs::compress_names(&joined, out.effort());
    match fields.filter(|fields| fields.len() < general.len()) {
        Some(fields) => {
            out.varint(FIELDS);
            out.raw(&fields);
        }
        None => {
            out.varint(GENERAL);
            out.coded(joined.len(), &general);
        }
    }
}

/// The names of a tile: the name of each record as a range of one buffer.
pub struct Names {
    data: Vec<u8>,
    range: Vec<(u32, u32)>,
}

impl Names {
    /// The name of a record, without a NUL.
    pub fn get(&self, record: usize) -> &[u8] {
        let (start, end) = self.range[record];
        &self.data[start as usize..end as usize]
    }
}

pub fn read(input: &mut Reader, core: &Core) -> Result<Names> {
    let heads = core.previous.iter().filter(|&&previous| previous == NONE).count();
    let data = match input.varint()? {
        GENERAL => input.bytes()?,
        FIELDS => fields::read(input, heads)?,
        _ => return Err(corrupt("unknown coding of names")),
    };
    let mut ends = memchr::memchr_iter(0, &data);
    let mut range: Vec<(u32, u32)> = Vec::with_capacity(core.count());
    let mut start = 0;
    for &previous in &core.previous {
        if previous != NONE {
            range.push(range[previous as usize]);
            continue;
        }
        let end = ends.next().filter(|end| end - start < 255);
        let end = end.ok_or_else(|| corrupt("a read name is missing or too long"))?;
        range.push((start as u32, end as u32));
        start = end + 1;
    }
    Ok(Names { data, range })
}
