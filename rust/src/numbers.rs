//! Numbers of SAM text: parsing with limits, and printing as C does.

use std::io::Write;

pub type Parsed<T> = Result<T, &'static str>;

const NO_NUMBER: &str = "is not a number";
const RANGE: &str = "is outside the allowed range";

/// Parse decimal digits, with a `+` before them at most.
#[inline]
pub fn unsigned(text: &[u8], largest: u64) -> Parsed<u64> {
    let digits = text.strip_prefix(b"+").unwrap_or(text);
    if digits.is_empty() {
        return Err(NO_NUMBER);
    }
    let mut value = 0u64;
    for &byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return Err(NO_NUMBER);
        }
        // Saturates far above every limit that is asked for.
        value = value.saturating_mul(10).saturating_add(u64::from(digit));
    }
    if value > largest {
        Err(RANGE)
    } else {
        Ok(value)
    }
}

/// Parse a number that may be negative, down to `-largest - 1`.
#[inline]
pub fn signed(text: &[u8], largest: u64) -> Parsed<i64> {
    match text.strip_prefix(b"-") {
        Some([b'+', ..]) => Err(NO_NUMBER),
        Some(digits) => unsigned(digits, largest + 1).map(|value| (value as i64).wrapping_neg()),
        None => unsigned(text, largest).map(|value| value as i64),
    }
}

/// Parse FLAG: decimal, 0x hexadecimal or 0 octal.
#[inline]
pub fn flag(text: &[u8]) -> Parsed<u16> {
    match text {
        [b'1'..=b'9', ..] | [b'0'] => unsigned(text, 0xffff).map(|value| value as u16),
        [b'0', b'x' | b'X', digits @ ..] => radix(digits, 16),
        [b'0', digits @ ..] => radix(digits, 8),
        _ => Err(NO_NUMBER),
    }
}

fn radix(digits: &[u8], radix: u32) -> Parsed<u16> {
    let text = std::str::from_utf8(digits).map_err(|_| NO_NUMBER)?;
    if text.starts_with('+') {
        return Err(NO_NUMBER);
    }
    u16::from_str_radix(text, radix).map_err(|error| match error.kind() {
        std::num::IntErrorKind::PosOverflow => RANGE,
        _ => NO_NUMBER,
    })
}

/// Parse as strtod does. Narrowing to 32 bits is left to the caller, as in C.
pub fn float(text: &[u8]) -> Parsed<f64> {
    let text = std::str::from_utf8(text).map_err(|_| NO_NUMBER)?;
    text.parse().map_err(|_| NO_NUMBER)
}

/// Append decimal digits.
#[inline]
pub fn push_unsigned(out: &mut Vec<u8>, value: u64) {
    if value < 10 {
        return out.push(b'0' + value as u8);
    }
    let mut buffer = [0u8; 20];
    let mut at = buffer.len();
    let mut rest = value;
    while rest > 0 {
        at -= 1;
        buffer[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    out.extend_from_slice(&buffer[at..]);
}

#[inline]
pub fn push_signed(out: &mut Vec<u8>, value: i64) {
    if value < 0 {
        out.push(b'-');
    }
    push_unsigned(out, value.unsigned_abs());
}

/// Append as C's `%g` does.
pub fn push_general(out: &mut Vec<u8>, value: f64) {
    if value.is_sign_negative() {
        out.push(b'-');
    }
    let value = value.abs();
    if value.is_nan() || value.is_infinite() {
        return out.extend_from_slice(if value.is_nan() { b"nan" } else { b"inf" });
    }
    let (digits, exponent) = six_digits(value);
    if (-4..6).contains(&exponent) {
        push_fixed(out, digits, (5 - exponent) as usize);
    } else {
        push_fixed(out, digits, 5);
        let sign = if exponent < 0 { '-' } else { '+' };
        let _ = write!(out, "e{sign}{:02}", exponent.unsigned_abs());
    }
}

/// Append an element of a float array: htslib has its own rounding there, in binary.
pub fn push_array_float(out: &mut Vec<u8>, value: f64) {
    let size = value.abs();
    if !(0.0001..=999_999.0).contains(&size) {
        return push_general(out, value);
    }
    if value < 0.0 {
        out.push(b'-');
    }
    let bounds = [0.001, 0.01, 0.1, 1.0, 10.0, 100.0, 1e3, 1e4, 1e5];
    let place = bounds.iter().position(|&bound| size < bound).unwrap_or(bounds.len());
    let decimals = 9 - place;
    let scaled = (size * 10f64.powi(decimals as i32)).round_ties_even();
    push_fixed(out, scaled as u64, decimals);
}

/// The six significant digits as an integer, and the decimal exponent of the first.
fn six_digits(value: f64) -> (u64, i32) {
    let text = format!("{value:.5e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let digits = digits.bytes().filter(u8::is_ascii_digit);
    let digits = digits.fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    (digits, exponent.parse().unwrap_or(0))
}

/// Append `digits / 10^decimals` without trailing zeros.
fn push_fixed(out: &mut Vec<u8>, digits: u64, decimals: usize) {
    let scale = 10u64.pow(decimals as u32);
    push_unsigned(out, digits / scale);
    if digits % scale != 0 {
        let start = out.len();
        let _ = write!(out, ".{:0decimals$}", digits % scale);
        let kept = out[start..].iter().rposition(|&byte| byte != b'0').unwrap_or(0);
        out.truncate(start + kept + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn general(value: f64) -> String {
        let mut out = Vec::new();
        push_general(&mut out, value);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn like_c() {
        let pairs = [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (100000.0, "100000"),
            (1e6, "1e+06"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (2.71999501, "2.72"),
            (999999.5, "1e+06"),
            (1.5e-45, "1.5e-45"),
            (f64::INFINITY, "inf"),
            (-1234567.0, "-1.23457e+06"),
        ];
        for (value, text) in pairs {
            assert_eq!(general(value), text);
        }
    }

    #[test]
    fn limits() {
        assert_eq!(signed(b"-128", 127), Ok(-128));
        assert_eq!(signed(b"-129", 127), Err(RANGE));
        assert_eq!(unsigned(b"99999999999999999999999", 255), Err(RANGE));
        assert_eq!(signed(b"-", 127), Err(NO_NUMBER));
        assert_eq!(signed(b"-+1", 127), Err(NO_NUMBER));
        assert_eq!(unsigned(b"", 255), Err(NO_NUMBER));
        assert_eq!(flag(b"0x10"), Ok(16));
        assert_eq!(flag(b"010"), Ok(8));
        assert_eq!(flag(b"65536"), Err(RANGE));
        assert!(flag(b"").is_err() && flag(b"0x").is_err() && flag(b"-1").is_err());
    }
}
