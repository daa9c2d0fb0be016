//! Cutting a stream of records in dataset order into tiles, and saying where chunks begin.

use crate::bins::{records, Bins, Place};
use crate::error::{Error, Result};

/// The records of one tile and its place among the chunks.
#[derive(Debug, PartialEq, Eq)]
pub struct Cut {
    pub records: Vec<u8>,
    pub reads: u32,
    /// Whether a new chunk begins with this tile.
    pub opens: bool,
    pub first: Place,
    pub last: Place,
    /// Start of the bin of the first record, and end of that of the last.
    pub floor: u32,
    pub ceiling: u32,
}

/// Limits of a tile.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub reads: usize,
    pub bytes: usize,
}

/// Cuts tiles. A chunk ends at the border of a bin once it holds a full tile, and before the
/// unplaced records.
pub struct Cutter {
    bins: Bins,
    limits: Limits,
    tile: Vec<u8>,
    reads: usize,
    first: Place,
    last: Place,
    bin: Option<u32>,
    opens: bool,
    full: bool,
    seen: u64,
}

impl Cutter {
    pub fn new(bins: Bins, limits: Limits) -> Self {
        let nowhere = Place { tid: 0, pos: -1, reverse: false };
        Self {
            bins,
            limits,
            tile: Vec::new(),
            reads: 0,
            first: nowhere,
            last: nowhere,
            bin: None,
            opens: true,
            full: false,
            seen: 0,
        }
    }

    /// Take whole records that follow those before; return the tiles that became complete.
    pub fn push(&mut self, data: &[u8]) -> Result<Vec<Cut>> {
        let mut cuts = Vec::new();
        for record in records(data) {
            let record = record?;
            let place = Place::of(record);
            self.check(place, record)?;
            self.enter(self.bins.of(place)?, &mut cuts)?;
            self.append(place, record, &mut cuts)?;
        }
        Ok(cuts)
    }

    /// The last tile.
    pub fn finish(&mut self) -> Result<Vec<Cut>> {
        let mut cuts = Vec::new();
        self.close(&mut cuts)?;
        Ok(cuts)
    }

    fn check(&mut self, place: Place, record: &[u8]) -> Result<()> {
        self.seen += 1;
        // The strand does not count for a header that claims SO:coordinate.
        if place.tid < 0 || self.last.key() >> 1 <= place.key() >> 1 {
            return Ok(());
        }
        let (here, before) = (self.bins.spell(place), self.bins.spell(self.last));
        let (name, number) = (name(record), self.seen);
        let message = format!("record {number} ({name}) at {here} comes after {before}");
        Err(Error::Input(message))
    }

    /// Note that the next record lies in `bin`; a chunk may end before it.
    fn enter(&mut self, bin: u32, cuts: &mut Vec<Cut>) -> Result<()> {
        let before = self.bin.replace(bin);
        let crossed = before.is_some() && before != Some(bin);
        let full = self.full || self.reads >= self.limits.reads;
        if crossed && (full || bin == self.bins.unplaced()) {
            self.close(cuts)?;
            (self.opens, self.full) = (true, false);
        }
        Ok(())
    }

    fn append(&mut self, place: Place, record: &[u8], cuts: &mut Vec<Cut>) -> Result<()> {
        let too_long = self.tile.len() + record.len() > self.limits.bytes;
        if self.reads > 0 && (self.reads >= self.limits.reads || too_long) {
            self.close(cuts)?;
            self.full = true;
        }
        if self.reads == 0 {
            self.first = place;
        }
        self.last = place;
        self.reads += 1;
        self.tile.extend_from_slice(record);
        Ok(())
    }

    fn close(&mut self, cuts: &mut Vec<Cut>) -> Result<()> {
        if self.reads == 0 {
            return Ok(());
        }
        let capacity = self.tile.len().min(self.limits.bytes);
        cuts.push(Cut {
            records: std::mem::replace(&mut self.tile, Vec::with_capacity(capacity)),
            reads: std::mem::take(&mut self.reads) as u32,
            opens: std::mem::take(&mut self.opens),
            first: self.first,
            last: self.last,
            floor: self.bins.range(self.first)?.0,
            ceiling: self.bins.range(self.last)?.1,
        });
        Ok(())
    }
}

/// The name of a record, as text.
fn name(record: &[u8]) -> String {
    let length = usize::from(record[12]).saturating_sub(1);
    let name = record.get(36..36 + length).unwrap_or_default();
    String::from_utf8_lossy(name).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bins::FIXED;

    fn record(tid: i32, pos: i32) -> Vec<u8> {
        let mut record = vec![0; FIXED + 2];
        record[..4].copy_from_slice(&(FIXED as u32 - 2).to_le_bytes());
        record[4..8].copy_from_slice(&tid.to_le_bytes());
        record[8..12].copy_from_slice(&pos.to_le_bytes());
        record[12] = 2;
        record[FIXED] = b'r';
        record
    }

    fn cutter(reads: usize, bytes: usize) -> Cutter {
        let contigs = [("a".into(), 300), ("b".into(), 50), ("c".into(), 50)];
        Cutter::new(Bins::new(&contigs, 100), Limits { reads, bytes })
    }

    fn cut(cutter: &mut Cutter, places: &[(i32, i32)]) -> Vec<(u32, bool, u32, u32)> {
        let mut cuts = Vec::new();
        for &(tid, pos) in places {
            cuts.extend(cutter.push(&record(tid, pos)).unwrap());
        }
        cuts.extend(cutter.finish().unwrap());
        cuts.iter().map(|cut| (cut.reads, cut.opens, cut.floor, cut.ceiling)).collect()
    }

    #[test]
    fn chunks_end_at_bins_once_full() {
        let places = [(0, 0), (0, 1), (0, 2), (0, 150), (0, 160), (0, 250), (1, 0), (-1, -1)];
        let cuts = cut(&mut cutter(2, 1000), &places);
        assert_eq!(cuts[..2], [(2, true, 0, 100), (1, false, 0, 100)]);
        assert_eq!(cuts[2..], [(2, true, 100, 200), (2, true, 200, 50), (1, true, 0, 0)]);
    }

    #[test]
    fn long_records_make_tiles_of_their_own() {
        let cuts = cut(&mut cutter(100, 10), &[(0, 0), (0, 1)]);
        assert_eq!(cuts, [(1, true, 0, 100), (1, false, 0, 100)]);
    }

    #[test]
    fn disorder_is_named() {
        let mut cutter = cutter(10, 1000);
        cutter.push(&[record(0, 5), record(0, 7)].concat()).unwrap();
        let error = cutter.push(&record(0, 6)).unwrap_err();
        assert_eq!(error.to_string(), "record 3 (r) at a:7 comes after a:8");
        assert!(cutter.push(&[record(-1, -1), record(-1, -1)].concat()).is_ok());
        assert!(cutter.push(&record(2, 0)).is_err());
    }
}
