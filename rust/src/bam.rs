//! BAM: header, splitting into records, checks, and the canonical form.
//!
//! Canonical is what htslib writes: `bin` follows from position and CIGAR; a CIGAR of more than
//! 65,535 operations lies in a `CG` tag behind the others, with a placeholder in its place; a
//! shorter one does not lie in `CG`.

use crate::cigar::{Cigar, SKIP, SOFT_CLIP};
use crate::digest;
use crate::error::{quote, Error, Result};
use crate::header::{Contig, Header};
use crate::record::{check, split_block, Record, Records, FIXED, UNMAPPED};
use crate::tags::Tag;

const MAGIC: &[u8; 4] = b"BAM\x01";
/// What an operation of a placeholder can hold.
const LONGEST: u64 = 1 << 28;

/// Read the header at the start of `data`; None if it is not whole. Also tells its length.
pub fn bam_header(data: &[u8]) -> Result<Option<(Header, usize)>> {
    if !MAGIC.starts_with(&data[..data.len().min(4)]) {
        return Err(Error::input("not BAM: the magic number is missing"));
    }
    let Some((text, dictionary, rest)) = split_header(data.get(4..).unwrap_or(&[]))? else {
        return Ok(None);
    };
    // Some writers end the text with NULs.
    let length = text.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    let header = Header::new(&text[..length], Some(dictionary))?;
    Ok(Some((header, data.len() - rest.len())))
}

type HeaderParts<'a> = (&'a [u8], Vec<Contig>, &'a [u8]);

fn split_header(data: &[u8]) -> Result<Option<HeaderParts<'_>>> {
    let Some((text, rest)) = split_block(data) else {
        return Ok(None);
    };
    let Some((count, mut rest)) = rest.split_first_chunk::<4>() else {
        return Ok(None);
    };
    let count = i32::from_le_bytes(*count);
    if count < 0 {
        return Err(Error::input(format!("BAM header: {count} contigs")));
    }
    let mut contigs = Vec::new();
    for _ in 0..count {
        let Some((name, after)) = split_block(rest) else {
            return Ok(None);
        };
        let Some((length, after)) = after.split_first_chunk::<4>() else {
            return Ok(None);
        };
        let length = u64::from(u32::from_le_bytes(*length));
        contigs.push(Contig { name: contig_name(name)?, length });
        rest = after;
    }
    Ok(Some((text, contigs, rest)))
}

fn contig_name(name: &[u8]) -> Result<String> {
    let name = name.strip_suffix(b"\0").unwrap_or(name);
    let text = std::str::from_utf8(name);
    text.map(str::to_owned)
        .map_err(|_| Error::input(format!("contig name {} is not UTF-8", quote(name))))
}

/// Write magic, text and contigs.
pub fn bam_header_bytes(header: &Header) -> Result<Vec<u8>> {
    let size =
        |size: usize| i32::try_from(size).map_err(|_| Error::input("header too long for BAM"));
    let mut out = MAGIC.to_vec();
    out.extend(size(header.text().len())?.to_le_bytes());
    out.extend(header.text());
    out.extend(size(header.contigs().len())?.to_le_bytes());
    for contig in header.contigs() {
        out.extend(size(contig.name.len() + 1)?.to_le_bytes());
        out.extend(contig.name.as_bytes());
        out.push(0);
        // Longer contigs are clipped, as in htslib: BAM has no room for them.
        out.extend(u32::try_from(contig.length).unwrap_or(u32::MAX).to_le_bytes());
    }
    Ok(out)
}

/// Length of the whole records at the start of `data`.
pub fn bam_complete(data: &[u8]) -> Result<usize> {
    let mut rest = data;
    loop {
        if let Some(size) = rest.first_chunk::<4>() {
            let size = u32::from_le_bytes(*size);
            if (size as usize) < FIXED || size > i32::MAX as u32 {
                return Err(Error::input(format!("a BAM record claims to have {size} bytes")));
            }
        }
        match split_block(rest) {
            Some((_, after)) => rest = after,
            None => return Ok(data.len() - rest.len()),
        }
    }
}

/// Check whole records field by field and bring them into canonical form. `first_record` is the
/// number of the first one in its file, for messages.
pub fn parse_bam(data: &[u8], header: &Header, first_record: u64) -> Result<Records> {
    let mut records = Records { data: Vec::with_capacity(data.len()), ..Records::default() };
    let contigs = header.contigs().len();
    let mut rest = data;
    while !rest.is_empty() {
        let number = first_record + records.count;
        let (block, after) =
            split_block(rest).ok_or_else(|| Error::input(format!("record {number}: cut short")))?;
        let digest = push_canonical(block, contigs, &mut records.data)
            .map_err(|error| error.within(&place(number, block)))?;
        records.digest = records.digest.wrapping_add(digest);
        records.count += 1;
        rest = after;
    }
    Ok(records)
}

fn place(number: u64, block: &[u8]) -> String {
    match Record::new(block) {
        Ok(record) => format!("record {number}, read {}", quote(record.name())),
        Err(_) => format!("record {number}"),
    }
}

fn push_canonical(block: &[u8], contigs: usize, out: &mut Vec<u8>) -> Result<u128> {
    let terminated;
    let mut record = Record::new(block)?;
    if record.raw_name().last().is_some_and(|&last| last != 0) {
        terminated = terminate_name(&record)?;
        record = Record::new(&terminated)?;
    }
    check(&record, contigs)?;
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(record.bytes());
    seal(out, start)
}

/// Add the NUL that some writers forget, as htslib does.
fn terminate_name(record: &Record) -> Result<Vec<u8>> {
    let length = record.raw_name().len();
    let mut bytes = record.bytes().to_vec();
    bytes[8] = bytes[8].checked_add(1).ok_or_else(|| Error::input("read name too long"))?;
    bytes.insert(FIXED + length, 0);
    Ok(bytes)
}

/// Make the record at the end of `out`, from the `block_size` at `start`, canonical; return its
/// digest.
pub fn seal(out: &mut Vec<u8>, start: usize) -> Result<u128> {
    let record = Record::new(&out[start + 4..])?;
    if let Some((tag, cigar)) = record.long_cigar() {
        let moved = with_cigar(&record, &tag, cigar)?;
        out.truncate(start + 4);
        out.extend_from_slice(&moved);
    }
    let size = i32::try_from(out.len() - start - 4).map_err(|_| Error::input("record too long"))?;
    out[start..start + 4].copy_from_slice(&size.to_le_bytes());
    digest::seal(&mut out[start + 4..])
}

/// Write a record whose CIGAR was found in `tag` with that CIGAR in its canonical place.
fn with_cigar(record: &Record, tag: &Tag, cigar: Cigar) -> Result<Vec<u8>> {
    cigar.check()?;
    if record.bases() > 0
        && record.flag() & UNMAPPED == 0
        && cigar.query_length() != record.bases() as i64
    {
        return Err(Error::input("the CIGAR in tag CG does not cover SEQ"));
    }
    let long = cigar.len() > usize::from(u16::MAX);
    let mut out = record.bytes()[..FIXED].to_vec();
    let operations = if long { 2 } else { cigar.len() as u16 };
    out[12..14].copy_from_slice(&operations.to_le_bytes());
    out.extend_from_slice(record.raw_name());
    let start = out.len();
    out.extend_from_slice(cigar.0);
    out.extend_from_slice(record.sequence());
    out.extend_from_slice(record.qualities());
    for other in record.tags().map_while(Result::ok) {
        if !std::ptr::eq(other.bytes, tag.bytes) {
            out.extend_from_slice(other.bytes);
        }
    }
    if long {
        move_long_cigar(&mut out, start, cigar.len(), record.bases())?;
    }
    Ok(out)
}

/// Move the CIGAR at `start` to a `CG` tag at the end of `out`, and leave a placeholder.
pub fn move_long_cigar(
    out: &mut Vec<u8>,
    start: usize,
    operations: usize,
    bases: usize,
) -> Result<()> {
    let end = start + 4 * operations;
    let covered = Cigar(&out[start..end]).reference_length() as u64;
    if covered >= LONGEST || bases as u64 >= LONGEST {
        return Err(Error::input(
            "too long an alignment for a BAM record of more than 65,535 CIGAR operations",
        ));
    }
    let clip = (bases as u32) << 4 | SOFT_CLIP;
    let skip = (covered as u32) << 4 | SKIP;
    let placeholder = clip.to_le_bytes().into_iter().chain(skip.to_le_bytes());
    let cigar: Vec<u8> = out.splice(start..end, placeholder).collect();
    out.extend_from_slice(b"CGBI");
    out.extend_from_slice(&(operations as u32).to_le_bytes());
    out.extend_from_slice(&cigar);
    Ok(())
}

#[cfg(test)]
#[path = "bam_tests.rs"]
mod tests;
