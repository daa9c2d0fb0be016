//! Optional fields of a SAM line into tags of a BAM record, in the types that htslib picks.

use memchr::memchr;

use crate::numbers::{float, signed, unsigned, Parsed};
use crate::sam::{fault, Checked};

const TAG: &str = "tag";

/// Append the tags of what follows QUAL. A single tab at the end of the line is let pass.
pub fn push_tags(rest: Option<&[u8]>, out: &mut Vec<u8>) -> Checked<()> {
    let mut rest = rest.unwrap_or(&[]);
    while !rest.is_empty() {
        let end = memchr(b'\t', rest).unwrap_or(rest.len());
        push_tag(&rest[..end], out)?;
        rest = rest.get(end + 1..).unwrap_or(&[]);
    }
    Ok(())
}

fn push_tag(text: &[u8], out: &mut Vec<u8>) -> Checked<()> {
    let [first @ b'!'..=b'~', second @ b'!'..=b'~', b':', kind, b':', value @ ..] = text else {
        return fault(TAG, text, "is not of the form TAG:TYPE:VALUE");
    };
    out.extend_from_slice(&[*first, *second]);
    let pushed = match kind {
        b'i' | b'I' => push_integer(value, out),
        b'Z' | b'H' => push_string(*kind, value, out),
        b'A' => push_character(value, out),
        b'f' => float(value).map(|value| {
            out.push(b'f');
            out.extend_from_slice(&(value as f32).to_le_bytes());
        }),
        // Not of the specification, but read and written by htslib.
        b'd' => float(value).map(|value| {
            out.push(b'd');
            out.extend_from_slice(&value.to_le_bytes());
        }),
        b'B' => push_array(value, out),
        _ => Err("has an unknown type"),
    };
    pushed.or_else(|problem| fault(TAG, text, problem))
}

fn push_character(value: &[u8], out: &mut Vec<u8>) -> Parsed<()> {
    let [character @ 10..=127] = value else {
        return Err("must hold one character");
    };
    out.extend_from_slice(&[b'A', *character]);
    Ok(())
}

fn push_string(kind: u8, value: &[u8], out: &mut Vec<u8>) -> Parsed<()> {
    if memchr(0, value).is_some() {
        return Err("holds a NUL");
    }
    if kind == b'H' && value.len() % 2 != 0 {
        return Err("has an odd number of hexadecimal digits");
    }
    out.push(kind);
    out.extend_from_slice(value);
    out.push(0);
    Ok(())
}

/// Append in the smallest type: unsigned ones, but for text that begins with a minus.
fn push_integer(text: &[u8], out: &mut Vec<u8>) -> Parsed<()> {
    if text.first() == Some(&b'-') {
        let value = signed(text, i32::MAX as u64)?;
        push_element(if value >= -128 { b'c' } else if value >= -32768 { b's' } else { b'i' }, value, true, out);
    } else {
        let value = unsigned(text, u64::from(u32::MAX))?;
        push_element(if value <= 255 { b'C' } else if value <= 65535 { b'S' } else { b'I' }, value as i64, true, out);
    }
    Ok(())
}

fn push_element(kind: u8, value: i64, typed: bool, out: &mut Vec<u8>) {
    if typed {
        out.push(kind);
    }
    let bytes = value.to_le_bytes();
    match kind {
        b'c' | b'C' => out.push(bytes[0]),
        b's' | b'S' => out.extend_from_slice(&bytes[..2]),
        _ => out.extend_from_slice(&bytes[..4]),
    }
}

fn push_array(value: &[u8], out: &mut Vec<u8>) -> Parsed<()> {
    let (kind, elements) = match value {
        [kind] => (*kind, None),
        [kind, b',', elements @ ..] => (*kind, Some(elements)),
        _ => return Err("must hold an element type, then numbers after commas"),
    };
    let start = out.len();
    if push_elements(kind, elements, out)? {
        return Ok(());
    }
    // A value does not fit the stated type. As htslib does, take the smallest that holds all.
    out.truncate(start);
    let kind = wider_type(elements)?;
    if push_elements(kind, elements, out)? { Ok(()) } else { Err("is outside the allowed range") }
}

fn split(elements: Option<&[u8]>) -> impl Iterator<Item = &[u8]> {
    elements.into_iter().flat_map(|elements| elements.split(|&byte| byte == b','))
}

/// Append a whole array; false if a value is outside of its type.
fn push_elements(kind: u8, elements: Option<&[u8]>, out: &mut Vec<u8>) -> Parsed<bool> {
    out.extend_from_slice(&[b'B', kind, 0, 0, 0, 0]);
    let count_at = out.len() - 4;
    let mut count = 0u32;
    for text in split(elements) {
        if kind == b'f' {
            out.extend_from_slice(&(float(text)? as f32).to_le_bytes());
        } else {
            let value = signed(text, i64::MAX as u64)?;
            if !allowed(kind, value, text)? {
                return Ok(false);
            }
            push_element(kind, value, false, out);
        }
        count += 1;
    }
    if !matches!(kind, b'c' | b'C' | b's' | b'S' | b'i' | b'I' | b'f') {
        return Err("has an unknown element type");
    }
    out[count_at..count_at + 4].copy_from_slice(&count.to_le_bytes());
    Ok(true)
}

fn allowed(kind: u8, value: i64, text: &[u8]) -> Parsed<bool> {
    let fits = match kind {
        b'c' => i8::try_from(value).is_ok(),
        b'C' => u8::try_from(value).is_ok(),
        b's' => i16::try_from(value).is_ok(),
        b'S' => u16::try_from(value).is_ok(),
        b'i' => i32::try_from(value).is_ok(),
        b'I' => u32::try_from(value).is_ok(),
        _ => return Err("has an unknown element type"),
    };
    // htslib lets no minus into unsigned arrays, not even that of -0.
    Ok(fits && !(kind.is_ascii_uppercase() && text.first() == Some(&b'-')))
}

fn wider_type(elements: Option<&[u8]>) -> Parsed<u8> {
    let (mut least, mut most) = (0, 0);
    for text in split(elements) {
        let value = signed(text, i64::MAX as u64)?;
        (least, most) = (value.min(least), value.max(most));
    }
    // 255 takes two bytes, as in htslib.
    let kinds = [
        (b'c', -128, 127), (b's', -32768, 32767), (b'i', i32::MIN.into(), i32::MAX.into()),
        (b'C', 0, 254), (b'S', 0, 65535), (b'I', 0, u32::MAX.into()),
    ];
    let kinds = if least < 0 { &kinds[..3] } else { &kinds[3..] };
    let kind = kinds.iter().find(|&&(_, low, high)| low <= least && most <= high);
    kind.map(|&(kind, ..)| kind).ok_or("is outside the allowed range")
}
