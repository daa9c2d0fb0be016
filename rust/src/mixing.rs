//! A context-mixing coder for base qualities: several adaptive models predict each bit, a gated linear mixer in
//! the logistic domain weighs them, and a binary arithmetic coder spends what is left.
//!
//! After the PAQ family (M. Mahoney, "Adaptive weighing of context models for lossless data compression", 2005).
//! All arithmetic is on integers, so that every machine decodes alike.
//!
//! Coded form: the code tree (see [`Tree`]), then the arithmetic code.

use crate::codecs::Effort;
use crate::error::{corrupt, Result};

mod coder;
mod logistic;
mod tree;

use crate::stream::Reader;
use coder::{Coder, Decoder, Encoder};
use logistic::{logistic, Logistic};
use tree::{Tree, LEAF};

/// Models that predict each bit, and one input that is always the same.
const MODELS: usize = 7;
const INPUTS: usize = MODELS + 1;
/// Bits of a context number.
const SLOT_BITS: u32 = 14;
/// Probabilities have 22 bits; the 10 bits below them count what was seen.
const COUNT_MASK: u32 = 1023;
/// A prediction adapts at 1 / (count + 1.5), count up to this.
const COUNT_LIMIT: u32 = 400;
const LEARNING_RATE: i32 = 6;

/// Compress qualities of records of `lengths`, which sum to their number.
pub fn compress(qualities: &[u8], lengths: &[u32]) -> Vec<u8> {
    let tree = Tree::of(qualities);
    let mut coder = Encoder::new(tree.to_bytes());
    let mut model = Model::new(&tree);
    let mut rest = qualities;
    for &length in lengths {
        let (record, after) = rest.split_at(length as usize);
        rest = after;
        model.begin();
        for &quality in record {
            model.symbol(&tree, tree.code(quality), &mut coder);
        }
    }
    coder.finish()
}

/// Compress where time is no matter, if that takes less than `size` bytes.
pub fn if_smaller(data: &[u8], lengths: &[u32], effort: Effort, size: usize) -> Option<Vec<u8>> {
    let pays = effort == Effort::Small && !data.is_empty();
    pays.then(|| compress(data, lengths)).filter(|coded| coded.len() < size)
}

/// Read a stream of records of `lengths`.
pub fn read(input: &mut Reader, lengths: &[u32]) -> Result<Vec<u8>> {
    let (size, coded) = input.coded()?;
    if lengths.iter().map(|&length| u64::from(length)).sum::<u64>() != size as u64 {
        return Err(corrupt("qualities do not fit their lengths"));
    }
    decompress(coded, size, lengths)
}

/// Decompress `size` qualities of records of `lengths`, which sum to `size`.
fn decompress(coded: &[u8], size: usize, lengths: &[u32]) -> Result<Vec<u8>> {
    let mut input = coded;
    let tree = Tree::from_bytes(&mut input)?;
    let mut coder = Decoder::new(input);
    let mut model = Model::new(&tree);
    let mut out = Vec::with_capacity(size);
    for &length in lengths {
        model.begin();
        for _ in 0..length {
            let symbol = model.symbol(&tree, 0, &mut coder);
            out.push(tree.symbols[symbol]);
        }
        if coder.is_overrun() {
            return Err(corrupt("the qualities are cut short"));
        }
    }
    Ok(out)
}

/// What came before in the record, as symbol numbers (in the order of their values).
#[derive(Default)]
struct History {
    position: u32,
    /// The last eight symbols, the last one lowest.
    last: [u32; 8],
    /// Sum of the steps between neighbours.
    delta: u32,
    /// Running mean, 4 fractional bits.
    mean: u32,
}

impl History {
    fn push(&mut self, symbol: u32) {
        let step = if self.position == 0 { 0 } else { symbol.abs_diff(self.last[0]) };
        self.delta += step;
        self.mean =
            if self.position == 0 { symbol << 4 } else { self.mean - (self.mean >> 4) + symbol };
        self.last.copy_within(0..7, 1);
        self.last[0] = symbol;
        self.position += 1;
    }

    /// The contexts of the models; the last one stays small, for the choice of weights.
    fn contexts(&self, few: bool) -> [u32; MODELS] {
        let [a, b, c, d, e, f, g, h] = self.last;
        let delta = (self.delta >> 1).min(31 + (self.delta >> 5)).min(63);
        let longest = if few {
            hash(&[6, a, b, c, d, e, f, g, h])
        } else {
            hash(&[6, a, b, c.max(d), e.max(f) >> 2])
        };
        [
            hash(&[1, a, b]),
            hash(&[2, a, b, c]),
            hash(&[3, a, b.max(c), delta >> 1]),
            hash(&[4, a, self.position.min(511) >> 1]),
            hash(&[5, a, c.max(d), self.mean >> 4]),
            longest,
            hash(&[7, self.position >> 2, self.delta >> 2, a >> 1]),
        ]
    }
}

fn hash(parts: &[u32]) -> u32 {
    let mixed = parts
        .iter()
        .fold(0u32, |sum, &part| (sum ^ part).wrapping_mul(0x9E37_79B1).rotate_left(13));
    mixed.wrapping_mul(0x85EB_CA6B) >> (32 - SLOT_BITS)
}

struct Model {
    history: History,
    /// Inner nodes of the tree, rounded up to a power of two.
    stride: usize,
    /// `MODELS` tables of predictions, by context and node.
    tables: Vec<u32>,
    /// Weights by last symbol and node.
    weights: Vec<[i32; INPUTS]>,
    logistic: &'static Logistic,
    /// Whether the symbols are so few that a long history pays.
    few: bool,
}

impl Model {
    fn new(tree: &Tree) -> Self {
        let stride = tree.children.len().next_power_of_two();
        Self {
            history: History::default(),
            stride,
            tables: vec![1 << 31; (MODELS * stride) << SLOT_BITS],
            weights: vec![[(1 << 16) / 3; INPUTS]; 256 * stride],
            logistic: logistic(),
            few: tree.symbols.len() <= 8,
        }
    }

    fn begin(&mut self) {
        self.history = History::default();
    }

    /// Code one symbol: of `code` when encoding, of the coded bits when decoding.
    fn symbol<C: Coder>(&mut self, tree: &Tree, mut code: u64, coder: &mut C) -> usize {
        let contexts = self.history.contexts(self.few);
        let table = self.stride << SLOT_BITS;
        let bases: [usize; MODELS] =
            std::array::from_fn(|m| m * table + contexts[m] as usize * self.stride);
        let set = (self.history.last[0] as usize & 255) * self.stride;
        let mut node = 0usize;
        loop {
            let bit = self.bit(&bases, set + node, node, (code & 1) as u32, coder);
            code >>= 1;
            let child = tree.children[node][bit as usize];
            if child & LEAF != 0 {
                let symbol = usize::from(child & !LEAF);
                self.history.push(symbol as u32);
                return symbol;
            }
            node = usize::from(child);
        }
    }

    fn bit<C: Coder>(
        &mut self,
        bases: &[usize; MODELS],
        set: usize,
        node: usize,
        bit: u32,
        coder: &mut C,
    ) -> u32 {
        let mut inputs = [256i32; INPUTS];
        for m in 0..MODELS {
            inputs[m] = self.logistic.stretch(self.tables[bases[m] + node] >> 20);
        }
        let weights = &mut self.weights[set];
        let dot: i64 =
            inputs.iter().zip(weights.iter()).map(|(&i, &w)| i64::from(i) * i64::from(w)).sum();
        let probability = self.logistic.squash((dot >> 16) as i32);
        let bit = coder.code(bit, probability);
        let error = ((bit << 16) as i32 - probability as i32) * LEARNING_RATE;
        for (weight, &input) in weights.iter_mut().zip(&inputs) {
            *weight += (input * error + (1 << 18)) >> 19;
        }
        for &base in bases {
            update(&mut self.tables[base + node], bit);
        }
        bit
    }
}

#[inline]
fn update(prediction: &mut u32, bit: u32) {
    let count = *prediction & COUNT_MASK;
    let probability = (*prediction >> 10) as i32;
    let target = ((bit << 22) as i32) - (bit as i32);
    let step =
        ((i64::from(target - probability) * i64::from(RECIPROCALS[count as usize])) >> 16) as i32;
    *prediction = ((probability + step) as u32) << 10 | (count + u32::from(count < COUNT_LIMIT));
}

/// 65536 / (count + 1.5)
static RECIPROCALS: [u32; 1024] = {
    let mut table = [0; 1024];
    let mut count = 0;
    while count < 1024 {
        table[count] = (2 * 65536 / (2 * count + 3)) as u32;
        count += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    fn reads(count: usize, symbols: u32) -> (Vec<u8>, Vec<u32>) {
        let (mut state, mut qualities, mut lengths) = (7u32, Vec::new(), Vec::new());
        for _ in 0..count {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let length = state >> 25;
            lengths.push(length);
            for _ in 0..length {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                qualities.push(((state >> 16).trailing_ones() % symbols) as u8 * 3);
            }
        }
        (qualities, lengths)
    }

    #[test]
    fn qualities_come_back() {
        for symbols in [1, 2, 4, 9] {
            let (qualities, lengths) = reads(200, symbols);
            let coded = compress(&qualities, &lengths);
            assert_eq!(decompress(&coded, qualities.len(), &lengths).ok(), Some(qualities));
        }
    }

    #[test]
    fn damage_never_panics() {
        let (qualities, lengths) = reads(30, 7);
        let coded = compress(&qualities, &lengths);
        for at in 0..coded.len().min(200) {
            let mut bad = coded.clone();
            bad[at] ^= 0x55;
            let _ = decompress(&bad, qualities.len(), &lengths);
            let _ = decompress(&coded[..at], qualities.len(), &lengths);
        }
    }

    /// `QUALITIES=file cargo test --release measure -- --ignored --nocapture`: lines of SAM qualities.
    #[test]
    #[ignore = "prints figures"]
    fn measure() {
        let text = std::fs::read(std::env::var("QUALITIES").unwrap()).unwrap();
        let lines: Vec<&[u8]> =
            text.split(|&b| b == b'\n').filter(|line| !line.is_empty()).collect();
        let (mut size, mut total) = (0, 0);
        let start = std::time::Instant::now();
        for block in lines.chunks(50_000) {
            let lengths: Vec<u32> = block.iter().map(|line| line.len() as u32).collect();
            let qualities: Vec<u8> = block.concat().iter().map(|q| q - 33).collect();
            size += compress(&qualities, &lengths).len();
            total += qualities.len();
        }
        let seconds = start.elapsed().as_secs_f64();
        println!(
            "{:.4} bits a quality, {:.1} MB/s",
            size as f64 * 8.0 / total as f64,
            total as f64 / 1e6 / seconds
        );
    }
}
