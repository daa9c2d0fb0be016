//! A binary arithmetic coder with 32-bit bounds and 16-bit probabilities, without carries.

/// Codes one bit at a time, in either direction.
pub trait Coder {
    /// Code a bit that is 1 with `probability` / 65536: an encoder takes and returns `bit`, a
    /// decoder returns what was encoded.
    fn code(&mut self, bit: u32, probability: u32) -> u32;
}

/// The bounds after a bit: the upper part is of 0, the lower of 1.
struct Range {
    low: u32,
    high: u32,
}

impl Range {
    fn middle(&self, probability: u32) -> u32 {
        self.low + ((u64::from(self.high - self.low) * u64::from(probability)) >> 16) as u32
    }

    fn narrow(&mut self, bit: u32, middle: u32) {
        if bit == 1 {
            self.high = middle;
        } else {
            self.low = middle + 1;
        }
    }

    /// Shift out a byte that both bounds share.
    fn shift(&mut self) -> Option<u8> {
        if (self.low ^ self.high) >> 24 != 0 {
            return None;
        }
        let byte = (self.high >> 24) as u8;
        self.low <<= 8;
        self.high = self.high << 8 | 255;
        Some(byte)
    }
}

pub struct Encoder {
    range: Range,
    out: Vec<u8>,
}

impl Encoder {
    /// Append to `out`.
    pub fn new(out: Vec<u8>) -> Self {
        Self { range: Range { low: 0, high: u32::MAX }, out }
    }

    pub fn finish(mut self) -> Vec<u8> {
        self.out.extend_from_slice(&self.range.high.to_be_bytes());
        self.out
    }
}

impl Coder for Encoder {
    #[inline]
    fn code(&mut self, bit: u32, probability: u32) -> u32 {
        let middle = self.range.middle(probability);
        self.range.narrow(bit, middle);
        while let Some(byte) = self.range.shift() {
            self.out.push(byte);
        }
        bit
    }
}

pub struct Decoder<'a> {
    range: Range,
    value: u32,
    input: &'a [u8],
    /// Bytes read behind the end of the input.
    missing: usize,
}

impl<'a> Decoder<'a> {
    pub fn new(input: &'a [u8]) -> Self {
        let mut decoder =
            Self { range: Range { low: 0, high: u32::MAX }, value: 0, input, missing: 0 };
        for _ in 0..4 {
            decoder.value = decoder.value << 8 | decoder.byte();
        }
        decoder
    }

    /// Whether more was read than there is.
    pub fn is_overrun(&self) -> bool {
        self.missing > 0
    }

    fn byte(&mut self) -> u32 {
        match self.input.split_first() {
            Some((&byte, rest)) => {
                self.input = rest;
                byte.into()
            }
            None => {
                self.missing += 1;
                0
            }
        }
    }
}

impl Coder for Decoder<'_> {
    #[inline]
    fn code(&mut self, _: u32, probability: u32) -> u32 {
        let middle = self.range.middle(probability);
        let bit = u32::from(self.value <= middle);
        self.range.narrow(bit, middle);
        while self.range.shift().is_some() {
            self.value = self.value << 8 | self.byte();
        }
        bit
    }
}
