//! Read names, once a template.

use std::collections::HashMap;

use super::{Core, Row, NONE};
use crate::error::{corrupt, Result};
use crate::stream::{Reader, Writer};

/// Link records of one name: for each record the next one and the previous one of its name.
pub fn chains(rows: &[Row]) -> (Vec<u32>, Vec<u32>) {
    let (mut next, mut previous) = (vec![NONE; rows.len()], vec![NONE; rows.len()]);
    let mut last: HashMap<&[u8], u32, Hasher> = HashMap::with_capacity_and_hasher(rows.len(), Hasher::default());
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

pub fn write(out: &mut Writer, core: &Core, rows: &[Row]) {
    let mut names = Vec::new();
    for (row, _) in rows.iter().zip(&core.previous).filter(|(_, &previous)| previous == NONE) {
        names.extend_from_slice(row.name);
        names.push(0);
    }
    out.names(&names);
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
    let data = input.bytes()?;
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
