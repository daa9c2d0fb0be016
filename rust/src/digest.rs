//! Digests of records that do not depend on their order, nor on `bin`.

use xxhash_rust::xxh3::xxh3_128;

use crate::error::Result;
use crate::record::{bin_of, iterate, Record, BIN};

/// Sum modulo 2^128 of the XXH3-128 of each record of a stream, without `block_size` and with
/// zero for `bin`, which follows from the other fields.
pub fn multiset(stream: &[u8]) -> Result<u128> {
    let mut scratch = Vec::new();
    let mut sum = 0u128;
    for record in iterate(stream) {
        scratch.clear();
        scratch.extend_from_slice(record?.bytes());
        scratch[BIN..BIN + 2].fill(0);
        sum = sum.wrapping_add(xxh3_128(&scratch));
    }
    Ok(sum)
}

/// Set `bin` of a record (without `block_size`) and return its digest.
pub fn seal(record: &mut [u8]) -> Result<u128> {
    let view = Record::new(record)?;
    let bin = bin_of(i64::from(view.pos()), view.end());
    record[BIN..BIN + 2].fill(0);
    let digest = xxh3_128(record);
    record[BIN..BIN + 2].copy_from_slice(&bin.to_le_bytes());
    Ok(digest)
}
