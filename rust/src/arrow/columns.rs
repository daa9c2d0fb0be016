//! One Arrow array for each column.

use std::sync::Arc;

use arrow_array::builder::StringBuilder;
use arrow_array::{
    ArrayRef, Float64Array, Int32Array, Int64Array, StringArray, UInt16Array, UInt8Array,
};
use arrow_schema::DataType;

use crate::cigar::LETTERS;
use crate::error::{Error, Result};
use crate::numbers::push_unsigned;
use crate::record::Record;
use crate::sam_format::{integer, number, push_tags, push_value};
use crate::sequence::push_letters;
use crate::tags::Tag;

/// Tags that the SAM specification and the common aligners define as integers.
const INTEGER_TAGS: &[&str] = &[
    "AM", "AS", "CM", "CP", "FI", "H0", "H1", "H2", "HI", "IH", "MQ", "NH", "NM", "OP", "PQ", "SM",
    "TC", "UQ", "XM", "XN", "XO", "XS", "X0", "X1", "YS", "ZS", "cm", "nn", "rl", "s1", "s2",
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
            (&[a, b], &[kind @ (b'i' | b'f' | b'Z')])
                if a.is_ascii_alphabetic() && b.is_ascii_alphanumeric() =>
            {
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
            Self::Flag => Arc::new(UInt16Array::from_iter_values(records.iter().map(|r| r.flag()))),
            Self::Mapq => Arc::new(UInt8Array::from_iter_values(records.iter().map(|r| r.mapq()))),
            Self::TemplateLength => {
                Arc::new(Int32Array::from_iter_values(records.iter().map(|r| r.template_length())))
            }
            Self::Pos => integers(records, |r| placed(r.tid(), r.pos().into())),
            Self::End => integers(records, |r| placed(r.tid(), r.pos().into()).map(|_| r.end())),
            Self::MatePos => integers(records, |r| placed(r.mate_tid(), r.mate_pos().into())),
            Self::Contig => contig_names(records, contigs, |r| r.tid()),
            Self::MateContig => contig_names(records, contigs, |r| r.mate_tid()),
            Self::Tag { name, kind } => tag_column(records, &name, kind)?,
            Self::Name => texts(records, |r, out| out.extend_from_slice(r.name())),
            Self::Cigar => texts(records, write_cigar),
            Self::Sequence => texts(records, |r, out| push_letters(r.sequence(), r.bases(), out)),
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
        column.append_option(
            (!text.is_empty() && text != b"*").then(|| String::from_utf8_lossy(&text)),
        );
    }
    Arc::new(column.finish())
}

fn write_cigar(record: &Record, out: &mut Vec<u8>) {
    for op in record.cigar().iter() {
        push_unsigned(out, u64::from(op >> 4));
        out.push(LETTERS.get((op & 15) as usize).copied().unwrap_or(b'?'));
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
        push_tags(record, &mut text)?;
        column.append_value(String::from_utf8_lossy(text.get(1..).unwrap_or(&[])));
    }
    Ok(Arc::new(column.finish()))
}

fn find<'a>(record: &Record<'a>, name: &[u8; 2]) -> Result<Option<Tag<'a>>> {
    record.tags().find(|tag| !matches!(tag, Ok(tag) if &tag.name != name)).transpose()
}

fn is_integer(tag: &Tag) -> bool {
    b"cCsSiI".contains(&tag.kind)
}

fn tag_column(records: &[Record], name: &[u8; 2], kind: u8) -> Result<ArrayRef> {
    let found: Vec<Option<Tag>> =
        records.iter().map(|record| find(record, name)).collect::<Result<_>>()?;
    let tags = || found.iter().map(Option::as_ref);
    let refuse = |bad: fn(&Tag) -> bool, what| match tags().flatten().find(|tag| bad(tag)) {
        Some(tag) => Err(not_a(tag, what)),
        None => Ok(()),
    };
    Ok(match kind {
        b'i' => {
            refuse(|tag| !is_integer(tag), "an integer")?;
            Arc::new(
                tags()
                    .map(|tag| tag.map(|tag| integer(tag.kind, tag.value)))
                    .collect::<Int64Array>(),
            )
        }
        b'f' => {
            refuse(|tag| number(tag).is_none(), "a number")?;
            Arc::new(tags().map(|tag| tag.and_then(number)).collect::<Float64Array>())
        }
        _ => Arc::new(tags().map(|tag| tag.map(tag_text)).collect::<StringArray>()),
    })
}

fn tag_text(tag: &Tag) -> String {
    let mut text = Vec::new();
    push_value(tag, &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

fn not_a(tag: &Tag, what: &str) -> Error {
    let name = String::from_utf8_lossy(&tag.name).into_owned();
    Error::Input(format!(
        "tag {name} of a record is {:?}, not {what}; ask for {name}:Z",
        tag_text(tag)
    ))
}
