//! The binary tree that turns a symbol into branches: a Huffman tree, so that frequent symbols take few of them.
//!
//! Coded form: number of symbols less one, the symbols in ascending order, a code length each. The codes are
//! canonical: by length, then by symbol.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::error::{corrupt, Result};

/// Marks a child that is a symbol number, not a node.
pub const LEAF: u16 = 1 << 15;
const LONGEST: u32 = 56;

pub struct Tree {
    /// Symbols in ascending order.
    pub symbols: Vec<u8>,
    lengths: Vec<u8>,
    /// Children of each inner node, the root first.
    pub children: Vec<[u16; 2]>,
    /// For each byte the branches from the root, first in the lowest bit.
    codes: [u64; 256],
}

impl Tree {
    /// The tree that suits `data`, which is not empty.
    pub fn of(data: &[u8]) -> Self {
        let mut counts = [0u64; 256];
        data.iter().for_each(|&byte| counts[usize::from(byte)] += 1);
        let symbols: Vec<u8> = (0..=255).filter(|&byte| counts[usize::from(byte)] > 0).collect();
        let counts: Vec<u64> = symbols.iter().map(|&byte| counts[usize::from(byte)]).collect();
        let lengths = huffman(&counts);
        Self::new(symbols, lengths).expect("Huffman lengths make a tree")
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = vec![(self.symbols.len() - 1) as u8];
        out.extend(&self.symbols);
        out.extend(&self.lengths);
        out
    }

    pub fn from_bytes(input: &mut &[u8]) -> Result<Self> {
        let bad = || corrupt("the code tree of the qualities is damaged");
        let (&count, rest) = input.split_first().ok_or_else(bad)?;
        let (symbols, rest) = rest.split_at_checked(usize::from(count) + 1).ok_or_else(bad)?;
        let (lengths, rest) = rest.split_at_checked(symbols.len()).ok_or_else(bad)?;
        *input = rest;
        if !symbols.is_sorted_by(|a, b| a < b) {
            return Err(bad());
        }
        Self::new(symbols.to_vec(), lengths.to_vec()).ok_or_else(bad)
    }

    /// None where the lengths are not those of a full binary tree.
    fn new(symbols: Vec<u8>, lengths: Vec<u8>) -> Option<Self> {
        let mut order: Vec<usize> = (0..symbols.len()).collect();
        order.sort_by_key(|&at| lengths[at]);
        let mut tree = Self { symbols, lengths, children: vec![[0; 2]], codes: [0; 256] };
        let (mut code, mut depth) = (0u64, 0);
        for at in order {
            let length = u32::from(tree.lengths[at]);
            if length == 0 || length > LONGEST || code.checked_shr(depth) != Some(0) {
                return None;
            }
            code <<= length - depth;
            depth = length;
            tree.insert(at, code, length);
            code += 1;
        }
        (code == 1 << depth || tree.symbols.len() == 1).then_some(tree)
    }

    fn insert(&mut self, at: usize, code: u64, length: u32) {
        let (mut node, mut branches) = (0, 0);
        for step in 0..length {
            let bit = (code >> (length - 1 - step) & 1) as usize;
            branches |= (bit as u64) << step;
            let last = step + 1 == length;
            if last {
                self.children[node][bit] = LEAF | at as u16;
            } else {
                if self.children[node][bit] == 0 {
                    self.children.push([0; 2]);
                    self.children[node][bit] = (self.children.len() - 1) as u16;
                }
                node = usize::from(self.children[node][bit]);
            }
        }
        self.codes[usize::from(self.symbols[at])] = branches;
        if self.symbols.len() == 1 {
            self.children[0] = [LEAF, LEAF];
        }
    }

    /// The branches to a symbol that the tree was made of.
    pub fn code(&self, symbol: u8) -> u64 {
        self.codes[usize::from(symbol)]
    }
}

/// Code lengths by counts; a single symbol has length 1.
fn huffman(counts: &[u64]) -> Vec<u8> {
    let total: u64 = counts.iter().sum();
    let mut heap: BinaryHeap<_> = counts
        .iter()
        .enumerate()
        // No count below a 2^16th of all, so that no code grows long.
        .map(|(at, &count)| Reverse((count.max(total >> 16).max(1), at, vec![at])))
        .collect();
    let mut lengths = vec![u8::from(counts.len() == 1); counts.len()];
    while heap.len() > 1 {
        let (Some(Reverse(a)), Some(Reverse(b))) = (heap.pop(), heap.pop()) else { break };
        let members = [a.2, b.2].concat();
        members.iter().for_each(|&at| lengths[at] += 1);
        heap.push(Reverse((a.0 + b.0, a.1.min(b.1), members)));
    }
    lengths
}
