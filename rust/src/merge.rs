//! Merge of sorted fragments that are fed block by block, so that they may exceed memory.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::bins::{first_record, Place};
use crate::error::Result;

/// A k-way merge by key, then by number of the fragment.
pub struct Merger {
    inputs: Vec<Input>,
    heap: BinaryHeap<Reverse<(u64, usize)>>,
}

#[derive(Default)]
struct Input {
    block: Vec<u8>,
    at: usize,
    finished: bool,
}

impl Input {
    fn is_dry(&self) -> bool {
        self.at == self.block.len() && !self.finished
    }

    /// The record at the front.
    fn front(&self) -> Result<Option<&[u8]>> {
        let rest = &self.block[self.at..];
        (!rest.is_empty()).then(|| first_record(rest)).transpose()
    }
}

impl Merger {
    pub fn new(fragments: usize) -> Self {
        let inputs = (0..fragments).map(|_| Input::default()).collect();
        Self { inputs, heap: BinaryHeap::new() }
    }

    /// Fragments that must be fed or finished before `take` can go on.
    pub fn needs(&self) -> Vec<usize> {
        (0..self.inputs.len()).filter(|&number| self.inputs[number].is_dry()).collect()
    }

    /// Give the next whole records of a fragment that needs some.
    pub fn feed(&mut self, number: usize, block: Vec<u8>) -> Result<()> {
        let input = &mut self.inputs[number];
        (input.block, input.at) = (block, 0);
        self.enter(number)
    }

    pub fn finish(&mut self, number: usize) {
        self.inputs[number].finished = true;
    }

    fn enter(&mut self, number: usize) -> Result<()> {
        if let Some(record) = self.inputs[number].front()? {
            self.heap.push(Reverse((Place::of(record).key(), number)));
        }
        Ok(())
    }

    /// Merge until about `bytes` are there or a fragment runs dry; None if nothing came out.
    pub fn take(&mut self, bytes: usize) -> Result<Option<Vec<u8>>> {
        let mut merged = Vec::with_capacity(bytes);
        if !self.needs().is_empty() {
            return Ok(None);
        }
        while merged.len() < bytes {
            let Some(Reverse((_, number))) = self.heap.pop() else { break };
            let input = &mut self.inputs[number];
            let Some(record) = input.front()? else { break };
            let size = record.len();
            merged.extend_from_slice(record);
            input.at += size;
            if input.is_dry() {
                break;
            }
            self.enter(number)?;
        }
        Ok((!merged.is_empty()).then_some(merged))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bins::FIXED;

    fn record(pos: i32, mark: u8) -> Vec<u8> {
        let mut record = vec![0; FIXED + 1];
        record[..4].copy_from_slice(&(FIXED as u32 - 3).to_le_bytes());
        record[8..12].copy_from_slice(&pos.to_le_bytes());
        record[FIXED] = mark;
        record
    }

    #[test]
    fn equal_keys_keep_the_order_of_fragments() {
        let fragments = [vec![1, 3, 3, 9], vec![], vec![1, 1, 3], vec![0, 3, 10]];
        let mut merger = Merger::new(4);
        let mut fed = [0; 4];
        let mut out = Vec::new();
        loop {
            for number in merger.needs() {
                match fragments[number].get(fed[number]) {
                    Some(&pos) => merger.feed(number, record(pos, number as u8)).unwrap(),
                    None => merger.finish(number),
                }
                fed[number] += 1;
            }
            match merger.take(100).unwrap() {
                Some(block) => out.extend(block),
                None if merger.needs().is_empty() => break,
                None => {}
            }
        }
        let mut expected: Vec<(i32, u8)> = (0..4)
            .flat_map(|number| fragments[number].iter().map(move |&pos| (pos, number as u8)))
            .collect();
        expected.sort();
        let expected: Vec<u8> =
            expected.iter().flat_map(|&(pos, mark)| record(pos, mark)).collect();
        assert!(out == expected);
    }
}
