//! Optional fields of a SAM line into tags of a BAM record, in the types that htslib picks.

use memchr::memchr;

use crate::numbers::{float, signed, unsigned, Parsed};
use crate::sam::{fault, Checked};
use crate::tags::element_size;

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

/// Append in the smallest type: an unsigned one, but for text that begins with a minus.
fn push_integer(text: &[u8], out: &mut Vec<u8>) -> Parsed<()> {
    let (kind, value) = if text.first() == Some(&b'-') {
        let value = signed(text, i32::MAX as u64)?;
        (smallest(b"csi", value >= -128, value >= -32768), value)
    } else {
        let value = unsigned(text, u32::MAX.into())?;
        (smallest(b"CSI", value <= 255, value <= 65535), value as i64)
    };
    out.push(kind);
    push_element(kind, value, out);
    Ok(())
}

fn smallest(kinds: &[u8; 3], in_one_byte: bool, in_two: bool) -> u8 {
    match (in_one_byte, in_two) {
        (true, _) => kinds[0],
        (_, true) => kinds[1],
        _ => kinds[2],
    }
}

/// Append the low bytes of `value`, as many as its type has.
fn push_element(kind: u8, value: i64, out: &mut Vec<u8>) {
    let size = element_size(kind).unwrap_or(4);
    out.extend_from_slice(&value.to_le_bytes()[..size]);
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
    if push_elements(kind, elements, out)? {
        Ok(())
    } else {
        Err("is outside the allowed range")
    }
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
            push_element(kind, value, out);
        }
        count += 1;
    }
    if element_size(kind).is_none() {
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
        (b'c', -128, 127),
        (b's', -32768, 32767),
        (b'i', i32::MIN.into(), i32::MAX.into()),
        (b'C', 0, 254),
        (b'S', 0, 65535),
        (b'I', 0, u32::MAX.into()),
    ];
    let kinds = if least < 0 { &kinds[..3] } else { &kinds[3..] };
    let kind = kinds.iter().find(|&&(_, low, high)| low <= least && most <= high);
    kind.map(|&(kind, ..)| kind).ok_or("is outside the allowed range")
}
