//! Record batches as tab-separated values and as JSON lines.

use std::io::Write;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, Int64Type, UInt16Type, UInt8Type};
use arrow_array::{Array, RecordBatch};
use arrow_schema::DataType;

/// Rows with tabs between values; null is empty, tab and backslash are written `\t` and `\\`.
pub fn tsv(batch: &RecordBatch) -> Vec<u8> {
    let mut out = Vec::new();
    for row in 0..batch.num_rows() {
        for (at, column) in batch.columns().iter().enumerate() {
            if at > 0 {
                out.push(b'\t');
            }
            write_value(column.as_ref(), row, &mut out, escape_tabs);
        }
        out.push(b'\n');
    }
    out
}

/// An object a line; nulls are left out.
pub fn json(batch: &RecordBatch) -> Vec<u8> {
    let mut out = Vec::new();
    for row in 0..batch.num_rows() {
        let mut separator = b'{';
        for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
            if column.is_valid(row) {
                out.push(separator);
                separator = b',';
                write_string(field.name(), &mut out);
                out.push(b':');
                write_value(column.as_ref(), row, &mut out, write_string);
            }
        }
        out.extend_from_slice(if separator == b'{' { b"{}\n" } else { b"}\n" });
    }
    out
}

fn write_value(column: &dyn Array, row: usize, out: &mut Vec<u8>, text: fn(&str, &mut Vec<u8>)) {
    if column.is_null(row) {
        return;
    }
    match column.data_type() {
        DataType::UInt8 => display(out, column.as_primitive::<UInt8Type>().value(row)),
        DataType::UInt16 => display(out, column.as_primitive::<UInt16Type>().value(row)),
        DataType::Int32 => display(out, column.as_primitive::<Int32Type>().value(row)),
        DataType::Int64 => display(out, column.as_primitive::<Int64Type>().value(row)),
        DataType::Float64 => write_float(column.as_primitive::<Float64Type>().value(row), out),
        _ => text(column.as_string::<i32>().value(row), out),
    }
}

/// JSON has no infinities and no NaN.
fn write_float(value: f64, out: &mut Vec<u8>) {
    if value.is_finite() {
        display(out, value);
    } else {
        out.extend_from_slice(b"null");
    }
}

fn display(out: &mut Vec<u8>, value: impl std::fmt::Display) {
    // Writing to a vector cannot fail.
    let _ = write!(out, "{value}");
}

fn escape_tabs(text: &str, out: &mut Vec<u8>) {
    for byte in text.bytes() {
        match byte {
            b'\t' => out.extend_from_slice(b"\\t"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\\' => out.extend_from_slice(b"\\\\"),
            other => out.push(other),
        }
    }
}

fn write_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\t' => out.extend_from_slice(b"\\t"),
            0..=0x1f => {
                let _ = write!(out, "\\u{byte:04x}");
            }
            other => out.push(other),
        }
    }
    out.push(b'"');
}
