//! One Arrow array for each column.

use std::io::Write;
use std::sync::Arc;

use arrow_array::builder::StringBuilder;
use arrow_array::{ArrayRef, Float64Array, Int32Array, Int64Array, StringArray, UInt16Array, UInt8Array};
use arrow_schema::DataType;

use super::record::Record;
use super::tags::{self, Tag};
use crate::error::{Error, Result};

/// Tags that the SAM specification and the common aligners define as integers.
const INTEGER_TAGS: &[&str] = &[
    "AM", "AS", "CM", "CP", "FI", "H0", "H1", "H2", "HI", "IH", "MQ", "NH", "NM", "OP", "PQ", "SM", "TC",
    "UQ", "XM", "XN", "XO", "XS", "X0", "X1", "YS", "ZS", "cm", "nn", "rl", "s1", "s2",
];

#[derive(Clone, Copy)]
pub enum Column {
    Name,
    Flag,
    Contig,
    Pos,
    End,
    Mapq,
    Cigar,
    MateContig,
    MatePos,
    TemplateLength,
    Sequence,
    Qualities,
    Tags,
    Tag { name: [u8; 2], kind: u8 },
}

impl Column {
    /// The column of that name: one of the fixed ones, or a tag (`NM`, `XY:i`, `XY:f`, `XY:Z`).
    pub fn parse(name: &str) -> Result<Self> {
        Ok(match name {
            "name" => Self::Name,
            "flag" => Self::Flag,
            "contig" => Self::Contig,
            "pos" => Self::Pos,
            "end" => Self::End,
            "mapq" => Self::Mapq,
            "cigar" => Self::Cigar,
            "mate_contig" => Self::MateContig,
            "mate_pos" => Self::MatePos,
            "template_length" => Self::TemplateLength,
            "sequence" => Self::Sequence,
            "qualities" => Self::Qualities,
            "tags" => Self::Tags,
            other => Self::parse_tag(other)?,
        })
    }

    fn parse_tag(text: &str) -> Result<Self> {
        let default = if INTEGER_TAGS.contains(&text) { "i" } else { "Z" };
        let (name, kind) = text.split_once(':').unwrap_or((text, default));
        match (name.as_bytes(), kind.as_bytes()) {
            (&[a, b], &[kind @ (b'i' | b'f' | b'Z')]) if a.is_ascii_alphabetic() && b.is_ascii_alphanumeric() => {
                Ok(Self::Tag { name: [a, b], kind })
            }
            _ => Err(Error::Input(format!("there is no column {text:?}"))),
        }
    }

    pub fn data_type(&self) -> DataType {
        match self {
            Self::Flag => DataType::UInt16,
            Self::Mapq => DataType::UInt8,
            Self::TemplateLength => DataType::Int32,
            Self::Pos | Self::End | Self::MatePos | Self::Tag { kind: b'i', .. } => DataType::Int64,
            Self::Tag { kind: b'f', .. } => DataType::Float64,
            _ => DataType::Utf8,
        }
    }

    pub fn build(&self, records: &[Record], contigs: &[String]) -> Result<ArrayRef> {
        let placed = |tid: i32, pos: i64| (tid >= 0 && pos >= 0).then_some(pos);
        Ok(match *self {
            Self::Flag => Arc::new(UInt16Array::from_iter_values(records.iter().map(Record::flag))),
            Self::Mapq => Arc::new(UInt8Array::from_iter_values(records.iter().map(Record::mapq))),
            Self::TemplateLength => {
                Arc::new(Int32Array::from_iter_values(records.iter().map(Record::template_length)))
            }
            Self::Pos => integers(records, |r| placed(r.tid(), r.pos().into())),
            Self::End => integers(records, |r| placed(r.tid(), r.pos().into()).map(|_| r.end())),
            Self::MatePos => integers(records, |r| placed(r.mate_tid(), r.mate_pos().into())),
            Self::Contig => contig_names(records, contigs, |r| r.tid()),
            Self::MateContig => contig_names(records, contigs, |r| r.mate_tid()),
            Self::Tag { name, kind } => tag_column(records, &name, kind)?,
            Self::Name => texts(records, |r, out| out.extend_from_slice(r.name())),
            Self::Cigar => texts(records, write_cigar),
            Self::Sequence => texts(records, |r, out| out.extend(r.bases())),
            Self::Qualities => texts(records, write_qualities),
            Self::Tags => tag_texts(records)?,
        })
    }
}

fn integers(records: &[Record], value: impl Fn(&Record) -> Option<i64>) -> ArrayRef {
    Arc::new(records.iter().map(value).collect::<Int64Array>())
}

fn contig_names(records: &[Record], contigs: &[String], tid: impl Fn(&Record) -> i32) -> ArrayRef {
    let name = |record: &Record| usize::try_from(tid(record)).ok().and_then(|tid| contigs.get(tid));
    Arc::new(records.iter().map(name).collect::<StringArray>())
}

/// Build a column of text, null where nothing or `*` is written.
fn texts(records: &[Record], write: impl Fn(&Record, &mut Vec<u8>)) -> ArrayRef {
    let mut column = StringBuilder::with_capacity(records.len(), 64 * records.len());
    let mut text = Vec::new();
    for record in records {
        text.clear();
        write(record, &mut text);
        column.append_option((!text.is_empty() && text != b"*").then(|| String::from_utf8_lossy(&text)));
    }
    Arc::new(column.finish())
}

fn write_cigar(record: &Record, out: &mut Vec<u8>) {
    for (length, letter) in record.operations() {
        // Writing to a vector cannot fail.
        let _ = write!(out, "{length}{}", char::from(letter));
    }
}

fn write_qualities(record: &Record, out: &mut Vec<u8>) {
    let qualities = record.qualities();
    if qualities.first() == Some(&0xff) {
        return;
    }
    let mut buffer = [0; 4];
    for &quality in qualities {
        let letter = char::from_u32(u32::from(quality) + 33).unwrap_or('~');
        out.extend_from_slice(letter.encode_utf8(&mut buffer).as_bytes());
    }
}

fn tag_texts(records: &[Record]) -> Result<ArrayRef> {
    let mut column = StringBuilder::with_capacity(records.len(), 64 * records.len());
    let mut text = Vec::new();
    for record in records {
        text.clear();
        write_tags(record, &mut text)?;
        column.append_value(String::from_utf8_lossy(&text));
    }
    Ok(Arc::new(column.finish()))
}

fn write_tags(record: &Record, out: &mut Vec<u8>) -> Result<()> {
    let hide = record.hides_cg();
    for tag in tags::tags(record.tags()) {
        let tag = tag?;
        if hide && &tag.name == b"CG" {
            continue;
        }
        if !out.is_empty() {
            out.push(b'\t');
        }
        tag.write(out);
    }
    Ok(())
}

fn tag_column(records: &[Record], name: &[u8; 2], kind: u8) -> Result<ArrayRef> {
    let found: Vec<Option<Tag>> =
        records.iter().map(|record| tags::find(record.tags(), name)).collect::<Result<_>>()?;
    let numbers = found.iter().flatten();
    match kind {
        b'i' => match numbers.clone().find(|tag| tag.integer().is_none()) {
            Some(tag) => Err(not_a(tag, "an integer")),
            None => Ok(Arc::new(found.iter().map(|tag| (*tag)?.integer()).collect::<Int64Array>())),
        },
        b'f' => match numbers.clone().find(|tag| tag.float().is_none()) {
            Some(tag) => Err(not_a(tag, "a number")),
            None => Ok(Arc::new(found.iter().map(|tag| (*tag)?.float()).collect::<Float64Array>())),
        },
        _ => Ok(Arc::new(found.iter().map(|tag| tag.as_ref().map(tag_text)).collect::<StringArray>())),
    }
}

fn tag_text(tag: &Tag) -> String {
    let mut text = Vec::new();
    tag.write_value(&mut text);
    String::from_utf8_lossy(&text).into_owned()
}

fn not_a(tag: &Tag, what: &str) -> Error {
    let name = String::from_utf8_lossy(&tag.name).into_owned();
    Error::Input(format!("tag {name} of a record is {:?}, not {what}; ask for {name}:Z", tag_text(tag)))
}
