//! Bases, two a byte, in the 4-bit codes of BAM.

const LETTERS: &[u8; 16] = b"=ACMGRSVTWYHKDBN";
const INVALID: u8 = 0x8f;
const CODES: [u8; 256] = codes();
const PAIRS: [[u8; 2]; 256] = pairs();
/// Bases packed at a time: enough for the loops over them to become SIMD.
const BLOCK: usize = 32;

/// As htslib: case does not count, U is T, 0-3 are A C G T, and other letters N. What is neither
/// letter nor any of these would be lost, so it is refused.
const fn codes() -> [u8; 256] {
    let mut table = [INVALID; 256];
    let mut letter = b'A';
    while letter <= b'Z' {
        table[letter as usize] = 15;
        table[letter as usize | 0x20] = 15;
        letter += 1;
    }
    let mut code = 0;
    while code < 16 {
        table[LETTERS[code] as usize] = code as u8;
        table[LETTERS[code] as usize | 0x20] = code as u8;
        code += 1;
    }
    table[b'U' as usize] = 8;
    table[b'u' as usize] = 8;
    table[b'.' as usize] = 15;
    let mut digit = 0;
    while digit < 4 {
        table[b'0' as usize + digit] = 1 << digit;
        digit += 1;
    }
    table
}

const fn pairs() -> [[u8; 2]; 256] {
    let mut table = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = [LETTERS[byte >> 4], LETTERS[byte & 15]];
        byte += 1;
    }
    table
}

/// Append packed bases; on failure return where the first character lies that is no base.
pub fn push_packed(bases: &[u8], out: &mut Vec<u8>) -> Result<(), usize> {
    let start = out.len();
    out.resize(start + bases.len().div_ceil(2), 0);
    let mut blocks = bases.chunks_exact(BLOCK);
    let mut union = 0;
    let mut target = out[start..].chunks_exact_mut(BLOCK / 2);
    for (block, packed) in blocks.by_ref().zip(target.by_ref()) {
        union |= pack_block(block, packed);
    }
    let done = bases.len() / BLOCK * (BLOCK / 2);
    union |= pack(blocks.remainder(), &mut out[start + done..]);
    if union & 0x80 == 0 {
        return Ok(());
    }
    Err(bases.iter().position(|&base| CODES[usize::from(base)] == INVALID).unwrap_or(0))
}

/// Pack a block of plain A, C, G, T, N without table look-ups; others by the table.
#[inline]
fn pack_block(bases: &[u8], packed: &mut [u8]) -> u8 {
    let mut codes = [0u8; BLOCK];
    let mut plain = true;
    for (code, &base) in codes.iter_mut().zip(bases) {
        *code = if base == b'A' { 1 } else { 0 }
            | if base == b'C' { 2 } else { 0 }
            | if base == b'G' { 4 } else { 0 }
            | if base == b'T' { 8 } else { 0 }
            | if base == b'N' { 15 } else { 0 };
        plain &= *code != 0;
    }
    if !plain {
        return pack(bases, packed);
    }
    for (byte, pair) in packed.iter_mut().zip(codes.chunks_exact(2)) {
        *byte = pair[0] << 4 | pair[1];
    }
    0
}

/// Pack by the table; the high bit of the result tells that a character was no base.
fn pack(bases: &[u8], packed: &mut [u8]) -> u8 {
    let code = |base: u8| CODES[usize::from(base)];
    let mut union = 0;
    let pairs = bases.chunks_exact(2);
    if let [last] = pairs.remainder() {
        union |= code(*last);
        packed[bases.len() / 2] = code(*last) << 4;
    }
    for (byte, pair) in packed.iter_mut().zip(pairs) {
        let (high, low) = (code(pair[0]), code(pair[1]));
        union |= high | low;
        *byte = high << 4 | (low & 15);
    }
    union
}

/// Append `count` bases as letters.
pub fn push_letters(packed: &[u8], count: usize, out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + 2 * packed.len(), 0);
    for (letters, &byte) in out[start..].chunks_exact_mut(2).zip(packed) {
        letters.copy_from_slice(&PAIRS[usize::from(byte)]);
    }
    out.truncate(start + count);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_letter_of_every_length() {
        let letters: Vec<u8> = LETTERS.iter().copied().cycle().take(99).collect();
        for length in 0..letters.len() {
            let mut packed = Vec::new();
            push_packed(&letters[..length], &mut packed).unwrap();
            let mut back = Vec::new();
            push_letters(&packed, length, &mut back);
            assert_eq!(back, &letters[..length]);
        }
    }

    #[test]
    fn plain_blocks_and_others_agree() {
        let bases = b"ACGTNNTGCAACGTNNTGCAACGTNNTGCAAC";
        let (mut fast, mut slow) = (vec![0; 16], vec![0; 16]);
        assert_eq!(pack_block(bases, &mut fast), 0);
        pack(bases, &mut slow);
        assert_eq!(fast, slow);
    }

    #[test]
    fn first_wrong_character() {
        let mut bases = vec![b'A'; 70];
        bases[61] = b'*';
        assert_eq!(push_packed(&bases, &mut Vec::new()), Err(61));
        bases[3] = b' ';
        assert_eq!(push_packed(&bases, &mut Vec::new()), Err(3));
    }
}
