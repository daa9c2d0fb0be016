//! BGZF (SAMv1 4.1): gzip members of at most 64 KiB that state their own length.

use libdeflater::{crc32, CompressionLvl, Compressor, Decompressor};

use crate::error::{Error, Result};

/// gzip header with the BC subfield alone, up to BSIZE.
const START: [u8; 16] = [31, 139, 8, 4, 0, 0, 0, 0, 0, 255, 6, 0, b'B', b'C', 2, 0];
const HEADER: usize = 18;
const FOOTER: usize = 8;
const LARGEST: usize = 1 << 16;
/// Bytes put into one block; leaves room for what does not compress. As htslib.
pub const PAYLOAD: usize = 0xff00;
const STORED_HEAD: usize = 5;
/// What a stored block is longer than its payload.
const STORED: usize = HEADER + STORED_HEAD + FOOTER;
/// Deflate cannot do better than this.
const RATIO: usize = 1032;

/// One whole block.
struct Block<'a> {
    deflated: &'a [u8],
    crc: u32,
    size: usize,
}

/// Length of the whole blocks at the start of `data`, and their inflated size.
pub fn bgzf_complete(data: &[u8]) -> Result<(usize, usize)> {
    let (mut at, mut size) = (0, 0);
    while let Some((block, length)) = next_block(data, at)? {
        at += length;
        size += block.size;
    }
    Ok((at, size))
}

/// Inflate whole blocks.
pub fn bgzf_inflate(data: &[u8]) -> Result<Vec<u8>> {
    let (length, size) = bgzf_complete(data)?;
    if length < data.len() {
        return Err(damaged(length, "is cut short"));
    }
    let mut out = vec![0; size];
    let mut inflater = Decompressor::new();
    let (mut at, mut rest) = (0, &mut out[..]);
    while let Some((block, length)) = next_block(data, at)? {
        let (target, after) = rest.split_at_mut(block.size);
        inflate(&mut inflater, &block, target).map_err(|problem| damaged(at, problem))?;
        rest = after;
        at += length;
    }
    Ok(out)
}

fn inflate(
    inflater: &mut Decompressor,
    block: &Block,
    target: &mut [u8],
) -> std::result::Result<(), &'static str> {
    match inflater.deflate_decompress(block.deflated, target) {
        Ok(size) if size == target.len() => {}
        Ok(_) => return Err("has another size than it states"),
        Err(_) => return Err("does not inflate"),
    }
    if crc32(target) == block.crc {
        Ok(())
    } else {
        Err("fails its CRC")
    }
}

/// The block at `at` and its length; None if it is not whole.
fn next_block(data: &[u8], at: usize) -> Result<Option<(Block<'_>, usize)>> {
    let data = &data[at..];
    let known = data.len().min(4);
    if data[..known] != START[..known] {
        return Err(damaged(at, "does not begin as BGZF does"));
    }
    let Some(extra) = data.get(10..12) else {
        return Ok(None);
    };
    let body = 12 + usize::from(u16::from_le_bytes([extra[0], extra[1]]));
    let Some(fields) = data.get(12..body) else {
        return Ok(None);
    };
    let length = block_length(fields).ok_or_else(|| damaged(at, "does not state its length"))?;
    if length < body + FOOTER {
        return Err(damaged(at, "states an impossible length"));
    }
    let Some(block) = data.get(..length) else {
        return Ok(None);
    };
    let block =
        split_footer(&block[body..]).ok_or_else(|| damaged(at, "states an impossible size"))?;
    Ok(Some((block, length)))
}

fn split_footer(body: &[u8]) -> Option<Block<'_>> {
    let (deflated, footer) = body.split_last_chunk::<FOOTER>()?;
    let [c0, c1, c2, c3, s0, s1, s2, s3] = *footer;
    let size = u32::from_le_bytes([s0, s1, s2, s3]) as usize;
    let crc = u32::from_le_bytes([c0, c1, c2, c3]);
    (size <= LARGEST.min(RATIO * deflated.len())).then_some(Block { deflated, crc, size })
}

/// Find BSIZE among the subfields of the gzip header.
fn block_length(mut fields: &[u8]) -> Option<usize> {
    while let &[first, second, low, high, ref rest @ ..] = fields {
        let length = usize::from(u16::from_le_bytes([low, high]));
        let value = rest.get(..length)?;
        if let (b"BC", &[low, high]) = (&[first, second], value) {
            return Some(usize::from(u16::from_le_bytes([low, high])) + 1);
        }
        fields = &rest[length..];
    }
    None
}

fn damaged(offset: usize, problem: &str) -> Error {
    Error::input(format!("BGZF block at byte {offset} of the data {problem}"))
}

/// Compress to blocks, without the end-of-file marker. Levels are those of libdeflate, 0 to 12.
pub fn bgzf_deflate(data: &[u8], level: i32) -> Result<Vec<u8>> {
    let compression = CompressionLvl::new(level);
    let compression =
        compression.map_err(|_| Error::input(format!("no compression level {level}")))?;
    let mut compressor = Compressor::new(compression);
    let mut out = Vec::with_capacity(data.len() / 3 + LARGEST);
    for payload in data.chunks(PAYLOAD) {
        deflate_block(&mut compressor, payload, &mut out)?;
    }
    Ok(out)
}

/// Bytes that `bgzf_store` makes of so many.
pub fn stored_size(size: usize) -> usize {
    size + size.div_ceil(PAYLOAD) * STORED
}

/// Pack without compression, so that the length of the data alone tells where each byte lies: blocks of
/// `PAYLOAD` bytes, and `STORED` more for each. `out` has room for just that.
pub fn bgzf_store(data: &[u8], out: &mut [u8]) {
    for (payload, block) in data.chunks(PAYLOAD).zip(out.chunks_mut(PAYLOAD + STORED)) {
        let length = (block.len() - 1) as u16;
        let (head, rest) = block.split_at_mut(HEADER);
        let (body, footer) = rest.split_at_mut(rest.len() - FOOTER);
        head[..16].copy_from_slice(&START);
        head[16..].copy_from_slice(&length.to_le_bytes());
        store(payload, body);
        footer.copy_from_slice(&footer_of(payload));
    }
}

fn deflate_block(compressor: &mut Compressor, payload: &[u8], out: &mut Vec<u8>) -> Result<()> {
    let start = out.len();
    out.resize(start + LARGEST, 0);
    let body = &mut out[start + HEADER..start + LARGEST - FOOTER];
    let deflated = compressor.deflate_compress(payload, body);
    let deflated = deflated.unwrap_or_else(|_| store(payload, body));
    out.truncate(start + HEADER + deflated);
    out.extend_from_slice(&footer_of(payload));
    let length = u16::try_from(out.len() - start - 1);
    let length = length.map_err(|_| Error::input("BGZF block too long"))?;
    out[start..start + 16].copy_from_slice(&START);
    out[start + 16..start + HEADER].copy_from_slice(&length.to_le_bytes());
    Ok(())
}

fn footer_of(payload: &[u8]) -> [u8; FOOTER] {
    let both = u64::from(crc32(payload)) | (payload.len() as u64) << 32;
    both.to_le_bytes()
}

/// Write one stored deflate block, for what does not compress.
fn store(payload: &[u8], body: &mut [u8]) -> usize {
    body[..STORED_HEAD].copy_from_slice(&stored_head(payload));
    body[STORED_HEAD..STORED_HEAD + payload.len()].copy_from_slice(payload);
    STORED_HEAD + payload.len()
}

/// How a stored deflate block begins that is the last; PAYLOAD is less than its limit.
fn stored_head(payload: &[u8]) -> [u8; STORED_HEAD] {
    let [low, high] = (payload.len() as u16).to_le_bytes();
    [1, low, high, !low, !high]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<u8> {
        (0..300_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> (n % 25)) as u8).collect()
    }

    #[test]
    fn stored_blocks_come_back_and_lie_where_arithmetic_says() {
        let data = sample();
        for size in [0, 1, PAYLOAD - 1, PAYLOAD, PAYLOAD + 1, data.len()] {
            let mut packed = vec![0; stored_size(size)];
            bgzf_store(&data[..size], &mut packed);
            assert_eq!(bgzf_inflate(&packed).unwrap(), data[..size]);
        }
    }

    #[test]
    fn round_trip_at_all_levels() {
        let data = sample();
        for level in 0..=12 {
            let packed = bgzf_deflate(&data, level).unwrap();
            assert_eq!(bgzf_complete(&packed).unwrap(), (packed.len(), data.len()));
            assert_eq!(bgzf_inflate(&packed).unwrap(), data);
        }
        assert!(bgzf_deflate(b"x", 13).is_err());
        assert_eq!(bgzf_deflate(b"", 6).unwrap(), b"");
        assert_eq!(bgzf_inflate(b"").unwrap(), b"");
    }

    #[test]
    fn damage_is_found_and_placed() {
        let data = sample();
        let packed = bgzf_deflate(&data, 6).unwrap();
        let (first, second) = {
            let (_, length) = next_block(&packed, 0).unwrap().unwrap();
            (length, next_block(&packed, length).unwrap().unwrap().1)
        };
        let cut = bgzf_inflate(&packed[..first + second - 1]).unwrap_err();
        assert!(cut.to_string().contains(&format!("byte {first} ")), "{cut}");
        assert_eq!(bgzf_complete(&packed[..first + second - 1]).unwrap().0, first);
        for at in (0..first + second).step_by(97).chain(first - 8..first + HEADER) {
            let mut bad = packed.clone();
            bad[at] ^= 0x11;
            // Time stamp, flags and system of gzip headers mean nothing.
            let ignored = (4..10).contains(&(at % first));
            assert!(ignored || bgzf_inflate(&bad).is_err(), "flip at {at}");
        }
    }
}
