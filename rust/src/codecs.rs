//! Entropy coding of one byte stream: zstd, and rANS, arithmetic and name coders of htscodecs.
//!
//! A coded stream is one method byte and a payload; its raw length travels outside. The encoder tries the
//! methods that its effort allows and keeps the smallest. Decoders treat their input as hostile:
//! the output length is fixed by the caller before any byte is decoded.

use std::cell::RefCell;
use std::ffi::{c_char, c_int, c_uint, c_void};

use zstd::bulk::Decompressor;

use crate::error::{corrupt, Result};

extern "C" {
    fn free(pointer: *mut c_void);
    fn rans_compress_bound_4x16(size: c_uint, order: c_int) -> c_uint;
    fn rans_compress_to_4x16(
        input: *const u8,
        in_size: c_uint,
        out: *mut u8,
        out_size: *mut c_uint,
        order: c_int,
    ) -> *mut u8;
    fn rans_uncompress_to_4x16(
        input: *const u8,
        in_size: c_uint,
        out: *mut u8,
        out_size: *mut c_uint,
    ) -> *mut u8;
    fn arith_compress_bound(size: c_uint, order: c_int) -> c_uint;
    fn arith_compress_to(
        input: *const u8,
        in_size: c_uint,
        out: *mut u8,
        out_size: *mut c_uint,
        order: c_int,
    ) -> *mut u8;
    fn arith_uncompress_to(
        input: *const u8,
        in_size: c_uint,
        out: *mut u8,
        out_size: *mut c_uint,
    ) -> *mut u8;
    fn tok3_encode_names(
        block: *mut c_char,
        length: c_int,
        level: c_int,
        use_arith: c_int,
        out_len: *mut c_int,
        last_start: *mut c_int,
    ) -> *mut u8;
    fn tok3_decode_names(input: *const u8, size: u32, out_len: *mut u32) -> *mut u8;
}

thread_local! {
    /// Making one takes longer than decompressing a short stream.
    static INFLATING: RefCell<Decompressor<'static>> = RefCell::default();
}

/// How much time the encoder may spend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    Fast,
    Balanced,
    Small,
}

const RAW: u8 = 0;
const CONSTANT: u8 = 1;
const ZSTD: u8 = 2;
const RANS: u8 = 3;
const ARITH: u8 = 4;
const NAMES: u8 = 5;

/// Flags of the order byte of rANS Nx16 and the arithmetic coder (CRAM codecs specification, 3).
const ORDER_1: c_int = 1;
const LANES_32: c_int = 4;
/// The same bit means another program's coding (bzip2) in the arithmetic coder.
const EXTERNAL: u8 = 4;
const STRIPE: u8 = 8;
const NO_SIZE: u8 = 16;
const RLE: c_int = 64;
const PACK: c_int = 128;

/// Below this, the 32 states of the wide rANS cost more than they save in time.
const WIDE_FROM: usize = 16 << 10;
/// Below this, the tables of order 1 rarely pay for the time that it takes to make them.
const ORDER_1_FROM: usize = 64 << 10;
/// Above this, only the methods for long streams (qualities, bases) are tried.
const LONG_FROM: usize = 256 << 10;

/// Compress `raw` with the best method that `effort` allows.
pub fn compress(raw: &[u8], effort: Effort) -> Vec<u8> {
    let Some(&first) = raw.first() else { return vec![RAW] };
    if raw.iter().all(|&byte| byte == first) {
        return vec![CONSTANT, first];
    }
    let mut best = Vec::with_capacity(raw.len() + 1);
    best.push(RAW);
    best.extend_from_slice(raw);
    if raw.len() < 8 {
        return best;
    }
    for candidate in candidates(raw, effort) {
        let most = best.len() - candidate.gain(best.len(), effort);
        if let Some(coded) = candidate.encode(raw).filter(|coded| coded.len() < most) {
            best = coded;
        }
    }
    best
}

/// Decompress to exactly `length` bytes.
pub fn decompress(coded: &[u8], length: usize) -> Result<Vec<u8>> {
    let (&method, payload) = coded.split_first().ok_or_else(|| corrupt("empty stream"))?;
    let raw = match method {
        RAW => payload.to_vec(),
        CONSTANT => vec![*payload.first().ok_or_else(|| corrupt("empty stream"))?; length],
        ZSTD => zstd_decompress(payload, length)?,
        RANS => sized(without(payload, STRIPE | NO_SIZE)?, length, rans_uncompress_to_4x16)?,
        ARITH => {
            sized(without(payload, EXTERNAL | STRIPE | NO_SIZE)?, length, arith_uncompress_to)?
        }
        NAMES => names_decompress(payload, length)?,
        other => return Err(corrupt(&format!("unknown coding method {other}"))),
    };
    if raw.len() == length {
        Ok(raw)
    } else {
        Err(corrupt("a stream has the wrong length"))
    }
}

/// Compress text, in which whole phrases recur.
pub fn compress_text(raw: &[u8], effort: Effort) -> Vec<u8> {
    let plain = compress(raw, effort);
    let level = match effort {
        Effort::Fast => 1,
        Effort::Balanced => 9,
        Effort::Small => 22,
    };
    match Candidate::Zstd(level).encode(raw) {
        Some(coded) if raw.len() >= 8 && coded.len() < plain.len() => coded,
        _ => plain,
    }
}

/// Compress NUL-terminated names, each of printable ASCII, by comparing each with earlier ones.
pub fn compress_names(names: &[u8], effort: Effort) -> Vec<u8> {
    let plain = compress(names, effort);
    let level = match effort {
        Effort::Fast => 1,
        Effort::Balanced => 5,
        Effort::Small => 9,
    };
    match tokenised(names, level) {
        Some(coded) if coded.len() < plain.len() => coded,
        _ => plain,
    }
}

enum Candidate {
    Zstd(i32),
    Rans(c_int),
    Arith(c_int),
}

impl Candidate {
    /// Bytes that it must save: the arithmetic coder takes several times as long to decode as the others.
    fn gain(&self, size: usize, effort: Effort) -> usize {
        match self {
            Candidate::Arith(_) if effort != Effort::Small => size / 32,
            _ => 0,
        }
    }

    fn encode(&self, raw: &[u8]) -> Option<Vec<u8>> {
        match *self {
            Candidate::Zstd(level) => {
                let coded = zstd::bulk::compress(raw, level).ok()?;
                Some([&[ZSTD], coded.as_slice()].concat())
            }
            Candidate::Rans(order) => {
                bounded(RANS, raw, order, rans_compress_bound_4x16, rans_compress_to_4x16)
            }
            Candidate::Arith(order) => {
                bounded(ARITH, raw, order, arith_compress_bound, arith_compress_to)
            }
        }
    }
}

fn candidates(raw: &[u8], effort: Effort) -> Vec<Candidate> {
    let wide = if raw.len() >= WIDE_FROM { LANES_32 } else { 0 };
    let pack = if distinct(raw) <= 16 { PACK } else { 0 };
    let mut list = Vec::new();
    if effort != Effort::Fast || raw.len() >= ORDER_1_FROM {
        list.push(Candidate::Rans(ORDER_1 | wide | pack));
    }
    if raw.len() < LONG_FROM {
        list.push(Candidate::Rans(wide | pack));
    }
    match effort {
        // Short tiles of few templates repeat whole strings of qualities.
        Effort::Fast if (ORDER_1_FROM..LONG_FROM).contains(&raw.len()) => {
            list.push(Candidate::Zstd(1));
        }
        Effort::Fast => {}
        Effort::Balanced => list.extend(balanced_extra(raw, pack)),
        Effort::Small => list.extend(small_extra(pack)),
    }
    list
}

fn balanced_extra(raw: &[u8], pack: c_int) -> Vec<Candidate> {
    match raw.len() {
        0..LONG_FROM => vec![Candidate::Arith(pack), Candidate::Zstd(6)],
        _ => vec![],
    }
}

/// SIMD encoding with run lengths is wrong in old htscodecs on some data, so RLE is never wide.
fn small_extra(pack: c_int) -> Vec<Candidate> {
    vec![
        Candidate::Arith(0),
        Candidate::Arith(ORDER_1),
        Candidate::Arith(pack),
        Candidate::Arith(ORDER_1 | pack),
        Candidate::Rans(RLE),
        Candidate::Rans(RLE | ORDER_1),
        Candidate::Zstd(19),
    ]
}

fn distinct(raw: &[u8]) -> usize {
    let mut seen = [false; 256];
    raw.iter().for_each(|&byte| seen[usize::from(byte)] = true);
    seen.iter().filter(|&&was| was).count()
}

type Bound = unsafe extern "C" fn(c_uint, c_int) -> c_uint;
type Encode = unsafe extern "C" fn(*const u8, c_uint, *mut u8, *mut c_uint, c_int) -> *mut u8;
type Decode = unsafe extern "C" fn(*const u8, c_uint, *mut u8, *mut c_uint) -> *mut u8;

fn bounded(method: u8, raw: &[u8], order: c_int, bound: Bound, encode: Encode) -> Option<Vec<u8>> {
    let length = c_uint::try_from(raw.len()).ok()?;
    // SAFETY: a pure function of two integers.
    let mut size = unsafe { bound(length, order) };
    let mut out = vec![0u8; size as usize + 1];
    out[0] = method;
    // SAFETY: `raw` has `length` bytes and `out` behind the method byte has `size`.
    let done = unsafe { encode(raw.as_ptr(), length, out[1..].as_mut_ptr(), &mut size, order) };
    out.truncate(size as usize + 1);
    (!done.is_null()).then_some(out)
}

/// Refuse flags that no writer sets.
fn without(payload: &[u8], flags: u8) -> Result<&[u8]> {
    match payload.first() {
        Some(order) if order & flags == 0 => Ok(payload),
        _ => Err(corrupt("an entropy-coded stream has unknown flags")),
    }
}

fn sized(payload: &[u8], length: usize, decode: Decode) -> Result<Vec<u8>> {
    let bad = || corrupt("an entropy-coded stream does not decode");
    let mut out = vec![0u8; length];
    let mut size = c_uint::try_from(length).map_err(|_| bad())?;
    let in_size = c_uint::try_from(payload.len()).map_err(|_| bad())?;
    // SAFETY: `payload` has `in_size` bytes; the decoder writes at most `size` bytes to `out`.
    let done = unsafe { decode(payload.as_ptr(), in_size, out.as_mut_ptr(), &mut size) };
    if done.is_null() || size as usize != length {
        return Err(bad());
    }
    Ok(out)
}

/// Decompress one zstd frame to at most `limit` bytes.
pub fn zstd_decompress(payload: &[u8], limit: usize) -> Result<Vec<u8>> {
    let bad = |_| corrupt("a zstd frame does not decode");
    INFLATING.with_borrow_mut(|context| context.decompress(payload, limit)).map_err(bad)
}

fn tokenised(names: &[u8], level: c_int) -> Option<Vec<u8>> {
    if names.last() != Some(&0) || names.iter().any(|&b| b != 0 && !b.is_ascii_graphic()) {
        return None;
    }
    let length = c_int::try_from(names.len()).ok()?;
    let (mut size, mut last_start) = (0, 0);
    // Not with its arithmetic coder (0), which calls bzip2, absent here, and then corrupts the heap.
    // SAFETY: the encoder only reads `names`, all of whose lines are whole.
    let coded = unsafe {
        tok3_encode_names(
            names.as_ptr().cast_mut().cast(),
            length,
            level,
            0,
            &mut size,
            &mut last_start,
        )
    };
    let mut out = vec![NAMES];
    // SAFETY: on success `coded` is a malloc'd buffer of `size` bytes.
    unsafe { take(coded, size as usize, &mut out) }.then_some(out)
}

fn names_decompress(payload: &[u8], length: usize) -> Result<Vec<u8>> {
    let bad = || corrupt("a stream of names does not decode");
    // Length, number of names, and whether the arithmetic coder was used, which no writer does.
    let Some(&[a, b, c, d, _, _, _, _, 0]) = payload.first_chunk::<9>() else { return Err(bad()) };
    if u32::from_le_bytes([a, b, c, d]) as usize != length {
        return Err(bad());
    }
    let (mut size, mut out) = (0u32, Vec::with_capacity(length));
    let in_size = u32::try_from(payload.len()).map_err(|_| bad())?;
    // SAFETY: `payload` has `in_size` bytes.
    let decoded = unsafe { tok3_decode_names(payload.as_ptr(), in_size, &mut size) };
    // SAFETY: on success `decoded` is a malloc'd buffer of `size` bytes.
    if unsafe { take(decoded, size as usize, &mut out) } {
        Ok(out)
    } else {
        Err(bad())
    }
}

/// Append a malloc'd buffer to `out` and free it; false where it is null.
///
/// # Safety
/// `buffer` is null or a malloc'd buffer of at least `size` bytes, given up by the caller.
unsafe fn take(buffer: *mut u8, size: usize, out: &mut Vec<u8>) -> bool {
    if buffer.is_null() {
        return false;
    }
    // SAFETY: promised by the caller.
    unsafe {
        out.extend_from_slice(std::slice::from_raw_parts(buffer, size));
        free(buffer.cast());
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_effort_gives_the_bytes_back() {
        let mut state = 1u32;
        for size in [0, 1, 7, 8, 100, 5_000, 20_000, 300_000] {
            let raw: Vec<u8> = (0..size)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (state >> 24).trailing_ones() as u8
                })
                .collect();
            for effort in [Effort::Fast, Effort::Balanced, Effort::Small] {
                let coded = compress(&raw, effort);
                assert_eq!(decompress(&coded, raw.len()).ok(), Some(raw.clone()));
            }
        }
    }

    #[test]
    fn names_come_back() {
        let names: Vec<u8> = (0..500)
            .flat_map(|i| format!("A00:1:H:1:{}:{}\0", i * 7, i % 13).into_bytes())
            .collect();
        for effort in [Effort::Fast, Effort::Balanced, Effort::Small] {
            let coded = compress_names(&names, effort);
            assert!(coded.len() < names.len() / 3);
            assert_eq!(decompress(&coded, names.len()).ok(), Some(names.clone()));
        }
    }

    #[test]
    fn damage_is_an_error_or_other_bytes_but_never_a_panic() {
        let raw: Vec<u8> = (0..4_000u32).map(|i| ((i * i) >> 7) as u8 & 15).collect();
        let coded = compress(&raw, Effort::Small);
        for at in 0..coded.len() {
            let mut bad = coded.clone();
            bad[at] ^= 0x41;
            let _ = decompress(&bad, raw.len());
            let _ = decompress(&coded[..at], raw.len());
        }
    }
}
