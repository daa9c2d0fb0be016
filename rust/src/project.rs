//! Records with some of their fields and tags left out, as htsget clients ask for.

use crate::error::Result;
use crate::record::{bin_of, iterate, Record, FIXED};

/// Bits of `Projection::fields`, in the order of the columns of SAM.
const QNAME: u16 = 1;
const FLAG: u16 = 1 << 1;
const RNAME: u16 = 1 << 2;
const POS: u16 = 1 << 3;
const MAPQ: u16 = 1 << 4;
const CIGAR: u16 = 1 << 5;
const RNEXT: u16 = 1 << 6;
const PNEXT: u16 = 1 << 7;
const TLEN: u16 = 1 << 8;
const SEQ: u16 = 1 << 9;
const QUAL: u16 = 1 << 10;

/// What to keep.
pub struct Projection {
    /// Others get the value that stands for none: `*`, 0, for MAPQ 255.
    pub fields: u16,
    /// Only these tags; all where there is none.
    pub tags: Option<Vec<[u8; 2]>>,
    /// Not these tags.
    pub without: Vec<[u8; 2]>,
}

/// The records of a stream, cut down. QUAL without SEQ is not to be had in BAM: then SEQ stays too.
pub fn project(records: &[u8], projection: &Projection) -> Result<Vec<u8>> {
    let mut out = Vec::with_capacity(records.len());
    iterate(records).try_for_each(|record| projection.append(&record?, &mut out))?;
    Ok(out)
}

impl Projection {
    fn keeps(&self, fields: u16) -> bool {
        self.fields & fields != 0
    }

    fn takes(&self, tag: [u8; 2]) -> bool {
        let wanted = self.tags.as_ref().is_none_or(|tags| tags.contains(&tag));
        wanted && !self.without.contains(&tag)
    }

    fn append(&self, record: &Record, out: &mut Vec<u8>) -> Result<()> {
        let start = out.len();
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&record.bytes()[..FIXED]);
        out.extend_from_slice(if self.keeps(QNAME) { record.raw_name() } else { b"*\0" });
        if self.keeps(CIGAR) {
            out.extend_from_slice(record.raw_cigar().0);
        }
        if self.keeps(SEQ | QUAL) {
            out.extend_from_slice(record.sequence());
        }
        if self.keeps(QUAL) {
            out.extend_from_slice(record.qualities());
        } else if self.keeps(SEQ) {
            out.resize(out.len() + record.bases(), 0xff);
        }
        // The tag that holds a long CIGAR is part of it.
        let long_cigar = record.long_cigar().map(|(tag, _)| tag);
        for tag in record.tags() {
            let tag = tag?;
            let is_cigar = long_cigar == Some(tag);
            if if is_cigar { self.keeps(CIGAR) } else { self.takes(tag.name) } {
                out.extend_from_slice(tag.bytes);
            }
        }
        self.blank(record, &mut out[start..]);
        Ok(())
    }

    /// Mend the fixed fields of a record, `block_size` first.
    fn blank(&self, record: &Record, out: &mut [u8]) {
        let size = (out.len() - 4) as u32;
        out[..4].copy_from_slice(&size.to_le_bytes());
        let fixed = &mut out[4..4 + FIXED];
        let mut put = |field: u16, at: usize, value: &[u8]| {
            if !self.keeps(field) {
                fixed[at..at + value.len()].copy_from_slice(value);
            }
        };
        let none = (-1i32).to_le_bytes();
        put(RNAME, 0, &none);
        put(POS, 4, &none);
        put(QNAME, 8, &[2]);
        put(MAPQ, 9, &[255]);
        put(CIGAR, 12, &[0; 2]);
        put(FLAG, 14, &[0; 2]);
        put(SEQ | QUAL, 16, &[0; 4]);
        put(RNEXT, 20, &none);
        put(PNEXT, 24, &none);
        put(TLEN, 28, &[0; 4]);
        let pos = if self.keeps(POS) { i64::from(record.pos()) } else { -1 };
        let span = if self.keeps(CIGAR) { record.span() } else { 1 };
        fixed[10..12].copy_from_slice(&bin_of(pos, pos + span).to_le_bytes());
    }
}
