//! Records as SAM text, byte for byte as samtools writes it.

use crate::cigar::LETTERS;
use crate::error::{Error, Result};
use crate::header::Header;
use crate::numbers::{push_array_float, push_general, push_signed, push_unsigned};
use crate::record::{iterate, Record};
use crate::sequence::push_letters;
use crate::tags::{element_size, Tag};

/// Format a record stream as alignment lines.
pub fn format_sam(records: &[u8], header: &Header) -> Result<Vec<u8>> {
    // About what short reads take; others let it grow.
    let mut out = Vec::with_capacity(records.len() * 2);
    for record in iterate(records) {
        push_record(&record?, header, &mut out)?;
    }
    Ok(out)
}

fn push_record(record: &Record, header: &Header, out: &mut Vec<u8>) -> Result<()> {
    push_text(record.name(), out);
    push_number(i64::from(record.flag()), out);
    push_text(contig(record.tid(), header)?, out);
    push_number(i64::from(record.pos()) + 1, out);
    push_number(i64::from(record.mapq()), out);
    push_cigar(record, out);
    push_mate(record, header, out)?;
    push_bases(record, out);
    push_tags(record, out)?;
    out.push(b'\n');
    Ok(())
}

#[inline]
fn push_text(text: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(text);
    out.push(b'\t');
}

#[inline]
fn push_number(number: i64, out: &mut Vec<u8>) {
    push_signed(out, number);
    out.push(b'\t');
}

fn contig(tid: i32, header: &Header) -> Result<&[u8]> {
    let Ok(number) = usize::try_from(tid) else {
        return Ok(b"*");
    };
    let contig = header.contigs().get(number);
    let contig = contig.ok_or_else(|| {
        Error::input(format!("a record is on contig {tid}, which the header lacks"))
    })?;
    Ok(contig.name.as_bytes())
}

fn push_cigar(record: &Record, out: &mut Vec<u8>) {
    let cigar = record.cigar();
    if cigar.is_empty() {
        out.push(b'*');
    }
    for op in cigar.iter() {
        push_unsigned(out, u64::from(op >> 4));
        out.push(LETTERS.get((op & 15) as usize).copied().unwrap_or(b'?'));
    }
    out.push(b'\t');
}

fn push_mate(record: &Record, header: &Header, out: &mut Vec<u8>) -> Result<()> {
    let tid = record.mate_tid();
    let same = tid >= 0 && tid == record.tid();
    push_text(if same { b"=" } else { contig(tid, header)? }, out);
    push_number(i64::from(record.mate_pos()) + 1, out);
    push_number(i64::from(record.template_length()), out);
    Ok(())
}

fn push_bases(record: &Record, out: &mut Vec<u8>) {
    let qualities = record.qualities();
    if qualities.is_empty() {
        return out.extend_from_slice(b"*\t*");
    }
    push_letters(record.sequence(), qualities.len(), out);
    out.push(b'\t');
    if qualities[0] == 0xff {
        return out.push(b'*');
    }
    out.extend(qualities.iter().map(|quality| quality.wrapping_add(b'!')));
}

/// Append all tags, each after a tab.
pub fn push_tags(record: &Record, out: &mut Vec<u8>) -> Result<()> {
    let moved = record.long_cigar().map(|(tag, _)| tag.bytes.as_ptr());
    for tag in record.tags() {
        let tag = tag?;
        if moved != Some(tag.bytes.as_ptr()) {
            push_tag(&tag, out);
        }
    }
    Ok(())
}

fn push_tag(tag: &Tag, out: &mut Vec<u8>) {
    let kind =
        if matches!(tag.kind, b'c' | b'C' | b's' | b'S' | b'i' | b'I') { b'i' } else { tag.kind };
    out.extend_from_slice(&[b'\t', tag.name[0], tag.name[1], b':', kind, b':']);
    push_value(tag, out);
}

/// Append the value of a tag.
pub fn push_value(tag: &Tag, out: &mut Vec<u8>) {
    match tag.kind {
        b'Z' | b'H' | b'A' => out.extend_from_slice(tag.value),
        b'f' => push_general(out, f64::from(f32::from_le_bytes(bytes(tag.value)))),
        b'd' => push_general(out, f64::from_le_bytes(bytes(tag.value))),
        b'B' => push_array(tag, out),
        kind => push_signed(out, integer(kind, tag.value)),
    }
}

fn push_array(tag: &Tag, out: &mut Vec<u8>) {
    let Some((kind, elements)) = tag.array() else {
        return;
    };
    out.push(kind);
    for element in elements.chunks_exact(element_size(kind).unwrap_or(1)) {
        out.push(b',');
        match kind {
            b'f' => push_array_float(out, f64::from(f32::from_le_bytes(bytes(element)))),
            kind => push_signed(out, integer(kind, element)),
        }
    }
}

/// The number that a tag holds, if it is one.
pub fn number(tag: &Tag) -> Option<f64> {
    match tag.kind {
        b'f' => Some(f64::from(f32::from_le_bytes(bytes(tag.value)))),
        b'd' => Some(f64::from_le_bytes(bytes(tag.value))),
        b'A' | b'Z' | b'H' | b'B' => None,
        kind => Some(integer(kind, tag.value) as f64),
    }
}

/// The integer of a tag or array element; its size has been checked by the iterator over tags.
pub fn integer(kind: u8, value: &[u8]) -> i64 {
    match kind {
        b'c' => i64::from(bytes::<1>(value)[0] as i8),
        b'C' => i64::from(bytes::<1>(value)[0]),
        b's' => i64::from(i16::from_le_bytes(bytes(value))),
        b'S' => i64::from(u16::from_le_bytes(bytes(value))),
        b'i' => i64::from(i32::from_le_bytes(bytes(value))),
        _ => i64::from(u32::from_le_bytes(bytes(value))),
    }
}

#[inline]
fn bytes<const N: usize>(value: &[u8]) -> [u8; N] {
    value.first_chunk().copied().unwrap_or([0; N])
}
