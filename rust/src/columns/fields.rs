//! Names of one make, field by field: `A00132:53:HFHJKDSXX:1:1101:1416:1000`.
//!
//! Names qualify if they all have the same separators; each field is then a column of numbers or of text. Numbers are
//! written in the smallest of several ways; the two last ones as points of the flow cell's lattice where they are.

use super::{ints, lattice, strings};
use crate::codecs::Effort;
use crate::error::{corrupt, Result};
use crate::stream::{Reader, Writer};

const MOST_FIELDS: usize = 32;

const TEXT: u64 = 0;
const PLAIN: u64 = 1;
/// Each number less the one before it.
const STEPS: u64 = 2;
/// Hundreds and the rest apart, as in the numbers of flow cell tiles.
const HUNDREDS: u64 = 3;
/// This field and the next one are cluster coordinates.
const LATTICE: u64 = 4;

fn is_separator(byte: u8) -> bool {
    matches!(byte, b':' | b'.' | b'_' | b'/' | b'#' | b'-')
}

/// Separators and fields of all names; None where the names are not of one make.
struct Split<'a> {
    separators: Vec<u8>,
    columns: Vec<Vec<&'a [u8]>>,
}

impl<'a> Split<'a> {
    fn of(names: &[&'a [u8]]) -> Option<Self> {
        let separators: Vec<u8> =
            names.first()?.iter().copied().filter(|&byte| is_separator(byte)).collect();
        if separators.is_empty() || separators.len() >= MOST_FIELDS {
            return None;
        }
        let mut columns = vec![Vec::with_capacity(names.len()); separators.len() + 1];
        for name in names {
            if !name
                .iter()
                .copied()
                .filter(|&byte| is_separator(byte))
                .eq(separators.iter().copied())
            {
                return None;
            }
            let fields = name.split(|&byte| is_separator(byte));
            columns.iter_mut().zip(fields).for_each(|(column, field)| column.push(field));
        }
        Some(Self { separators, columns })
    }
}

/// The numbers of a column, if each is written as a number would be printed.
fn numbers(column: &[&[u8]]) -> Option<Vec<i64>> {
    column.iter().map(|field| number(field)).collect()
}

fn number(field: &[u8]) -> Option<i64> {
    let plain = matches!(field, [b'0'] | [b'1'..=b'9', ..]) && field.len() <= 18;
    if !plain || !field.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(field.iter().fold(0, |value, digit| value * 10 + i64::from(digit - b'0')))
}

/// Write names; None where they are not of one make.
pub fn write(names: &[&[u8]], effort: Effort) -> Option<Vec<u8>> {
    let Split { separators, columns } = Split::of(names)?;
    let values: Vec<Option<Vec<i64>>> = columns.iter().map(|column| numbers(column)).collect();
    let mut out = Writer::new(effort);
    out.bytes(&separators);
    let mut at = 0;
    while at < columns.len() {
        let points = match (&values[at], values.get(at + 1)) {
            (Some(x), Some(Some(y))) if at + 2 == columns.len() => write_points(x, y, effort),
            _ => None,
        };
        if let Some(points) = points {
            out.raw(&points);
            break;
        }
        match &values[at] {
            Some(values) => write_numbers(&mut out, values, effort),
            None => {
                out.varint(TEXT);
                strings::write(&mut out, &columns[at]);
            }
        }
        at += 1;
    }
    Some(out.into_streams())
}

fn write_points(x: &[i64], y: &[i64], effort: Effort) -> Option<Vec<u8>> {
    let mut out = Writer::new(effort);
    out.varint(LATTICE);
    lattice::write(&mut out, x, y).then(|| out.into_streams())
}

fn write_numbers(out: &mut Writer, values: &[i64], effort: Effort) {
    let steps = || {
        std::iter::once(values[0]).chain(values.windows(2).map(|pair| pair[1] - pair[0])).collect()
    };
    let ways = [
        (PLAIN, vec![values.to_vec()]),
        (STEPS, vec![steps()]),
        (
            HUNDREDS,
            vec![
                values.iter().map(|v| v / 100).collect(),
                values.iter().map(|v| v % 100).collect(),
            ],
        ),
    ];
    let coded = ways.into_iter().map(|(way, columns)| {
        let mut out = Writer::new(effort);
        out.varint(way);
        columns.iter().for_each(|column: &Vec<i64>| ints::write(&mut out, column));
        out.into_streams()
    });
    out.raw(&coded.min_by_key(Vec::len).unwrap_or_default());
}

/// A column of fields.
enum Column {
    Text(strings::Strings),
    Numbers(Vec<i64>),
}

/// Read `count` names, each with a NUL behind it.
pub fn read(input: &mut Reader, count: usize) -> Result<Vec<u8>> {
    let separators = input.bytes()?;
    if separators.len() >= MOST_FIELDS {
        return Err(corrupt("a name has too many fields"));
    }
    let mut columns = Vec::new();
    while columns.len() <= separators.len() {
        read_column(input, count, &mut columns)?;
    }
    let mut out = Vec::new();
    for name in 0..count {
        for (column, separator) in columns.iter().zip(separators.iter().chain([&0])) {
            match column {
                Column::Text(text) => out.extend_from_slice(text.get(name).unwrap_or_default()),
                Column::Numbers(values) => put_number(values[name], &mut out)?,
            }
            out.push(*separator);
        }
    }
    Ok(out)
}

fn put_number(value: i64, out: &mut Vec<u8>) -> Result<()> {
    let value = usize::try_from(value).map_err(|_| corrupt("a field of a name is negative"))?;
    super::md::put_number(value, out);
    Ok(())
}

fn read_column(input: &mut Reader, count: usize, columns: &mut Vec<Column>) -> Result<()> {
    let values = match input.varint()? {
        TEXT => {
            columns.push(Column::Text(strings::read(input, count)?));
            return Ok(());
        }
        PLAIN => ints::read(input, count)?,
        STEPS => sums(ints::read(input, count)?),
        HUNDREDS => {
            let (hundreds, rest) = (ints::read(input, count)?, ints::read(input, count)?);
            hundreds
                .into_iter()
                .zip(rest)
                .map(|(a, b)| a.wrapping_mul(100).wrapping_add(b))
                .collect()
        }
        LATTICE => {
            columns.extend(lattice::read(input, count)?.map(Column::Numbers));
            return Ok(());
        }
        _ => return Err(corrupt("unknown coding of a field of names")),
    };
    columns.push(Column::Numbers(values));
    Ok(())
}

fn sums(mut steps: Vec<i64>) -> Vec<i64> {
    let mut sum = 0i64;
    steps.iter_mut().for_each(|step| {
        sum = sum.wrapping_add(*step);
        *step = sum;
    });
    steps
}
