//! Names without meaning for templates that lie whole in one tile.

use xxhash_rust::xxh3::xxh3_64;

use crate::columns::{Core, Row, NONE, NOT_PRIMARY, PAIRED};

/// The name of each record: `<hash of the tile>.<number>` where all records of the template are in the tile, the
/// given name where others may lie elsewhere, for they could not be told to belong together otherwise.
pub fn shortened(records: &[u8], core: &Core, rows: &[Row]) -> Vec<Vec<u8>> {
    let mates = core.mates();
    let tile = xxh3_64(records);
    let mut names: Vec<Vec<u8>> = Vec::with_capacity(rows.len());
    let mut number = 0;
    for (at, row) in rows.iter().enumerate() {
        let previous = core.previous[at];
        names.push(if previous != NONE {
            names[previous as usize].clone()
        } else if is_whole(core, rows, &mates, at) {
            number += 1;
            format!("{tile:016x}.{number}").into_bytes()
        } else {
            row.name.to_vec()
        });
    }
    names
}

fn is_whole(core: &Core, rows: &[Row], mates: &[u32], head: usize) -> bool {
    let next = core.next[head];
    let alone = |at: usize| core.flag[at] & NOT_PRIMARY == 0 && !has_supplement(&rows[at]);
    if core.flag[head] & PAIRED == 0 {
        return next == NONE && alone(head);
    }
    next != NONE
        && mates[head] == next
        && core.next[next as usize] == NONE
        && alone(head)
        && alone(next as usize)
}

fn has_supplement(row: &Row) -> bool {
    crate::tags::Tags::new(row.tags).map_while(Result::ok).any(|tag| tag.name == *b"SA")
}
