//! CIGAR operations as BAM packs them: length << 4 | operation.

use crate::error::{Error, Result};

pub const LETTERS: &[u8; 10] = b"MIDNSHP=XB";
pub const SOFT_CLIP: u32 = 4;
pub const SKIP: u32 = 3;

/// Two bits an operation: consumes query (1), consumes reference (2).
const CONSUMES: [u8; 16] = [3, 1, 2, 2, 1, 0, 0, 3, 3, 0, 0, 0, 0, 0, 0, 0];

/// Packed operations, unaligned and little-endian as they lie in a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cigar<'a>(pub &'a [u8]);

impl<'a> Cigar<'a> {
    pub fn len(self) -> usize {
        self.0.len() / 4
    }

    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The packed operations in order.
    pub fn iter(self) -> impl Iterator<Item = u32> + 'a {
        self.0.chunks_exact(4).map(|op| u32::from_le_bytes([op[0], op[1], op[2], op[3]]))
    }

    pub fn query_length(self) -> i64 {
        self.consumed(1)
    }

    pub fn reference_length(self) -> i64 {
        self.consumed(2)
    }

    fn consumed(self, by: u8) -> i64 {
        let takes = |op: u32| CONSUMES[(op & 15) as usize] & by != 0;
        self.iter().map(|op| if takes(op) { i64::from(op >> 4) } else { 0 }).sum()
    }

    pub fn check(self) -> Result<()> {
        match self.iter().find(|op| op & 15 >= LETTERS.len() as u32) {
            Some(op) => Err(Error::input(format!("CIGAR: {} is no operation", op & 15))),
            None => Ok(()),
        }
    }
}
