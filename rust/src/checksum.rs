//! CRC-64/NVME, the checksum by which S3 knows whole objects and their parts.

use crc_fast::{CrcAlgorithm, Digest};

const POLYNOMIAL: u64 = 0x9a6c_9329_ac4b_c9b5;
/// x^0 and x^8: bits are reflected, the highest is the constant term.
const ONE: u64 = 1 << 63;
const BYTE: u64 = 1 << 55;

/// The checksum of what had `crc` before, followed by `data`.
pub fn crc64nvme(data: &[u8], crc: u64) -> u64 {
    let mut digest = Digest::new_with_init_state(CrcAlgorithm::Crc64Nvme, !crc);
    digest.update(data);
    digest.finalize()
}

/// The checksum of two pieces in sequence, of which the second has `length` bytes.
pub fn combine(first: u64, second: u64, length: u64) -> u64 {
    let (mut shift, mut power, mut left) = (ONE, BYTE, length);
    while left > 0 {
        if left & 1 == 1 {
            shift = multiply(shift, power);
        }
        power = multiply(power, power);
        left >>= 1;
    }
    multiply(shift, first) ^ second
}

/// The product of two polynomials modulo that of the checksum.
fn multiply(a: u64, mut b: u64) -> u64 {
    let mut product = 0;
    for bit in (0..64).rev() {
        if a >> bit & 1 == 1 {
            product ^= b;
        }
        b = (b >> 1) ^ if b & 1 == 1 { POLYNOMIAL } else { 0 };
    }
    product
}

#[cfg(test)]
mod tests {
    use super::{combine, crc64nvme};

    #[test]
    fn the_catalogue_and_every_cut() {
        assert_eq!(crc64nvme(b"123456789", 0), 0xae8b_1486_0a79_9888);
        let data: Vec<u8> = (0..1000u32).map(|n| ((n * n) >> 3) as u8).collect();
        let whole = crc64nvme(&data, 0);
        for cut in 0..=data.len() {
            let (first, second) = (crc64nvme(&data[..cut], 0), crc64nvme(&data[cut..], 0));
            assert_eq!(combine(first, second, (data.len() - cut) as u64), whole);
            assert_eq!(crc64nvme(&data[cut..], first), whole);
        }
    }
}
