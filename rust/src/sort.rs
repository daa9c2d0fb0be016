//! Records held in memory by bin, and sorted one bin at a time.
//!
//! Every bin is a chain of pages of one size, so that memory is known exactly, is reused without
//! fragmentation, and a record of any length fits.

use crate::bins::{record_size, records, Bins, Place, FIXED};
use crate::error::{Error, Result};

const PAGE: usize = 8 << 10;
pub type Page = Box<[u8]>;

/// A parsed block of records put in order of bin: the cheap half of sorting, done by any thread.
pub struct Parts {
    spans: Vec<Span>,
}

struct Span {
    bin: u32,
    at: u32,
    len: u32,
}

pub fn partition(data: &[u8], bins: &Bins) -> Result<Parts> {
    let mut spans = Vec::with_capacity(data.len() / 256);
    let mut at = 0;
    for record in records(data) {
        let record = record?;
        let len = record.len() as u32;
        spans.push(Span { bin: bins.of(Place::of(record))?, at, len });
        at = at.checked_add(len).ok_or_else(too_long)?;
    }
    spans.sort_unstable_by_key(|span| u64::from(span.bin) << 32 | u64::from(span.at));
    Ok(Parts { spans })
}

fn too_long() -> Error {
    Error::Input("a block of records is longer than 4 GiB".to_owned())
}

/// Records of one bin, in input order.
#[derive(Default)]
struct Bin {
    pages: Vec<Page>,
    bytes: usize,
    records: usize,
}

impl Bin {
    fn room(&self) -> usize {
        self.pages.len() * PAGE - self.bytes
    }

    fn push(&mut self, mut record: &[u8], pool: &mut Vec<Page>) {
        self.records += 1;
        while !record.is_empty() {
            if self.room() == 0 {
                self.pages.push(pool.pop().unwrap_or_else(|| vec![0; PAGE].into_boxed_slice()));
            }
            let at = self.bytes % PAGE;
            let (head, tail) = record.split_at(record.len().min(PAGE - at));
            self.pages[self.bytes / PAGE][at..at + head.len()].copy_from_slice(head);
            self.bytes += head.len();
            record = tail;
        }
    }

    /// Memory of the records and of the entries that sorting will need.
    fn held(&self) -> usize {
        self.pages.len() * (PAGE + size_of::<Page>()) + self.records * size_of::<Entry>()
    }
}

/// All bins of a genome.
pub struct Sorter {
    bins: Vec<Bin>,
    pool: Vec<Page>,
    held: usize,
}

impl Sorter {
    pub fn new(bins: &Bins) -> Self {
        let bins = (0..bins.count()).map(|_| Bin::default()).collect();
        Self { bins, pool: Vec::new(), held: 0 }
    }

    /// Take in the block that `parts` was made from. Blocks come in input order.
    pub fn add(&mut self, parts: &Parts, data: &[u8]) {
        for run in parts.spans.chunk_by(|left, right| left.bin == right.bin) {
            let bin = &mut self.bins[run[0].bin as usize];
            self.held -= bin.held();
            for span in run {
                bin.push(&data[span.at as usize..(span.at + span.len) as usize], &mut self.pool);
            }
            self.held += bin.held();
        }
    }

    /// Bytes of memory in use.
    pub fn held(&self) -> usize {
        self.held
    }

    /// Numbers of the bins that hold records, ascending.
    pub fn filled(&self) -> Vec<u32> {
        (0..).zip(&self.bins).filter(|(_, bin)| bin.records > 0).map(|(number, _)| number).collect()
    }

    /// The largest bins, that together hold at least `bytes`, ascending.
    pub fn fullest(&self, bytes: usize) -> Vec<u32> {
        let mut order = self.filled();
        order.sort_by_key(|&number| std::cmp::Reverse(self.bins[number as usize].held()));
        let mut freed = 0;
        let enough = order.iter().take_while(|&&number| {
            let wanted = freed < bytes;
            freed += self.bins[number as usize].held();
            wanted
        });
        let mut chosen: Vec<u32> = enough.copied().collect();
        chosen.sort_unstable();
        chosen
    }

    /// Take a bin out. Its memory stays counted until the fragment is given back or dropped.
    pub fn take(&mut self, number: u32) -> Fragment {
        let bin = std::mem::take(&mut self.bins[number as usize]);
        self.held -= bin.held();
        Fragment::new(bin)
    }

    /// Reuse the spent pages of a fragment.
    pub fn recycle(&mut self, spent: Vec<Page>) {
        self.pool.extend(spent);
    }

    /// Give unused pages back to the allocator.
    pub fn trim(&mut self) {
        self.pool = Vec::new();
    }
}

struct Entry {
    key: u64,
    at: u64,
}

/// The records of one bin, read in sorted order.
pub struct Fragment {
    pages: Vec<Page>,
    spent: Vec<Page>,
    unread: Vec<u32>,
    entries: Vec<Entry>,
    next: usize,
    bytes: usize,
    sorted: bool,
}

impl Fragment {
    fn new(bin: Bin) -> Self {
        let mut unread = vec![PAGE as u32; bin.pages.len()];
        if let Some(last) = unread.last_mut() {
            *last -= (bin.pages.len() * PAGE - bin.bytes) as u32;
        }
        let (pages, bytes, entries) = (bin.pages, bin.bytes, Vec::with_capacity(bin.records));
        Self { pages, spent: Vec::new(), unread, entries, next: 0, bytes, sorted: false }
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Put the records in order. Done by the first `next_block` where it was not called.
    pub fn sort(&mut self) {
        if std::mem::replace(&mut self.sorted, true) {
            return;
        }
        let mut at = 0;
        while at < self.bytes {
            let mut fixed = [0; FIXED];
            self.copy(at, &mut fixed);
            self.entries.push(Entry { key: Place::of(&fixed).key(), at: at as u64 });
            at += record_size(&fixed).unwrap_or(usize::MAX).min(self.bytes);
        }
        self.entries.sort_unstable_by_key(|entry| (entry.key, entry.at));
    }

    /// The next records in order, at least one and about `bytes` of them; None at the end.
    pub fn next_block(&mut self, bytes: usize) -> Option<Vec<u8>> {
        self.sort();
        let mut block = Vec::with_capacity(bytes.min(self.bytes));
        while block.len() < bytes && self.next < self.entries.len() {
            let at = self.entries[self.next].at as usize;
            self.next += 1;
            self.append(at, &mut block);
        }
        (!block.is_empty()).then_some(block)
    }

    fn append(&mut self, at: usize, block: &mut Vec<u8>) {
        let mut size = [0; 4];
        self.copy(at, &mut size);
        let mut left = u32::from_le_bytes(size) as usize + 4;
        let mut at = at;
        while left > 0 {
            let part = left.min(PAGE - at % PAGE);
            block.extend_from_slice(&self.pages[at / PAGE][at % PAGE..at % PAGE + part]);
            self.spend(at / PAGE, part as u32);
            at += part;
            left -= part;
        }
    }

    /// Note that bytes of a page were read for good; a page read whole is given up.
    fn spend(&mut self, page: usize, bytes: u32) {
        self.unread[page] -= bytes;
        if self.unread[page] == 0 {
            self.spent.push(std::mem::take(&mut self.pages[page]));
        }
    }

    /// Pages that were read whole, for reuse.
    pub fn spent(&mut self) -> Vec<Page> {
        std::mem::take(&mut self.spent)
    }

    fn copy(&self, at: usize, target: &mut [u8]) {
        let (page, from) = (&self.pages[at / PAGE], at % PAGE);
        let head = target.len().min(PAGE - from);
        target[..head].copy_from_slice(&page[from..from + head]);
        if head < target.len() {
            let rest = target.len() - head;
            target[head..].copy_from_slice(&self.pages[at / PAGE + 1][..rest]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub fn record(tid: i32, pos: i32, flag: u16, number: usize, length: usize) -> Vec<u8> {
        let mut record = vec![0; FIXED + 8 + length];
        let size = record.len() as u32 - 4;
        record[..4].copy_from_slice(&size.to_le_bytes());
        record[4..8].copy_from_slice(&tid.to_le_bytes());
        record[8..12].copy_from_slice(&pos.to_le_bytes());
        record[18..20].copy_from_slice(&flag.to_le_bytes());
        record[FIXED..FIXED + 8].copy_from_slice(&(number as u64).to_le_bytes());
        record
    }

    fn shuffled(count: usize) -> Vec<Vec<u8>> {
        let mut state = 1u64;
        let mut random = move |below: u64| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) % below
        };
        let make = |number| {
            let (tid, pos) = (random(3) as i32 - 1, random(500) as i32 - 1);
            let flag = if random(2) == 1 { REVERSE_FLAG } else { 0 };
            record(tid, pos, flag, number, random(20_000) as usize)
        };
        (0..count).map(make).collect()
    }

    const REVERSE_FLAG: u16 = 0x10;

    #[test]
    fn bins_come_out_in_order() {
        let mut all = shuffled(2000);
        let bins = Bins::new(&[("a".into(), 400), ("b".into(), 400)], 100);
        let mut sorter = Sorter::new(&bins);
        for block in all.chunks(300) {
            let data = block.concat();
            sorter.add(&partition(&data, &bins).unwrap(), &data);
        }
        assert!(sorter.held() >= all.iter().map(Vec::len).sum());
        let mut out = Vec::new();
        for number in sorter.filled() {
            let mut fragment = sorter.take(number);
            while let Some(block) = fragment.next_block(50_000) {
                out.extend(block);
            }
            assert!(fragment.pages.iter().all(|page| page.is_empty()));
            sorter.recycle(fragment.spent());
        }
        all.sort_by_key(|record| Place::of(record).key());
        assert!(out == all.concat());
        assert_eq!(sorter.held(), 0);
    }

    #[test]
    fn the_fullest_bins_go_first() {
        let bins = Bins::new(&[("a".into(), 300)], 100);
        let mut sorter = Sorter::new(&bins);
        let sizes = [(0, 10), (100, 50_000), (200, 20_000)];
        let data: Vec<u8> =
            sizes.iter().flat_map(|&(pos, len)| record(0, pos, 0, 0, len)).collect();
        sorter.add(&partition(&data, &bins).unwrap(), &data);
        assert_eq!(sorter.fullest(1), [1]);
        assert_eq!(sorter.fullest(60_000), [1, 2]);
        assert_eq!(sorter.fullest(usize::MAX), [0, 1, 2]);
    }

    #[test]
    fn a_stream_cut_short_is_refused() {
        let bins = Bins::new(&[("a".into(), 300)], 100);
        let data = record(0, 0, 0, 0, 10);
        for length in 1..data.len() {
            assert!(partition(&data[..length], &bins).is_err());
        }
    }
}
