//! Genotypes of VCF: which samples carry an allele, and counts of carriers over many alleles.

use std::collections::HashMap;

use memchr::memchr;

use crate::error::{Error, Result};

const FORMAT: usize = 8;

/// A sample that has an allele.
#[derive(Clone, Debug, PartialEq)]
pub struct Carrier {
    pub sample: u32,
    pub copies: u32,
    /// Copies of all alleles that were called.
    pub ploidy: u32,
    pub depth: Option<i64>,
    /// Of the reads over the position, the share that shows the allele.
    pub fraction: Option<f64>,
}

/// The genotypes of a record, of samples that have more than the reference.
#[derive(Debug, Default)]
pub struct Genotypes {
    /// Alleles that were called, in all samples.
    pub called: u64,
    others: Vec<Genotype>,
}

#[derive(Debug)]
struct Genotype {
    sample: u32,
    alleles: Vec<u32>,
    depth: Option<i64>,
    depths: Vec<i64>,
}

impl Genotypes {
    /// Read a line of VCF.
    pub fn parse(line: &[u8]) -> Result<Self> {
        let mut columns = line.trim_ascii_end().split(|&byte| byte == b'\t').skip(FORMAT);
        let Some(format) = columns.next() else { return Ok(Self::default()) };
        let place = |name: &[u8]| format.split(|&byte| byte == b':').position(|key| key == name);
        let (depth, depths) = (place(b"DP"), place(b"AD"));
        let mut found = Self::default();
        if place(b"GT") != Some(0) {
            return Ok(found);
        }
        for (sample, column) in columns.enumerate() {
            let end = memchr(b':', column).unwrap_or(column.len());
            let alleles = alleles(&column[..end])?;
            found.called += alleles.len() as u64;
            if alleles.iter().any(|&allele| allele > 0) {
                let value = |at: Option<usize>| column.split(|&byte| byte == b':').nth(at?);
                found.others.push(Genotype {
                    sample: sample as u32,
                    alleles,
                    depth: value(depth).and_then(number),
                    depths: value(depths).map(numbers).unwrap_or_default(),
                });
            }
        }
        Ok(found)
    }

    /// Return who has an allele, counted from 1.
    pub fn carriers(&self, allele: u32) -> Vec<Carrier> {
        let has = self.others.iter().filter(|one| one.alleles.contains(&allele));
        has.map(|one| Carrier {
            sample: one.sample,
            copies: one.alleles.iter().filter(|&&other| other == allele).count() as u32,
            ploidy: one.alleles.len() as u32,
            depth: one.depth,
            fraction: fraction(&one.depths, allele as usize),
        })
        .collect()
    }
}

/// Return the alleles of a genotype that are known. VCF 4.4 may put a phase before the first one.
fn alleles(text: &[u8]) -> Result<Vec<u32>> {
    let parts = text.split(|&byte| byte == b'/' || byte == b'|');
    let known = parts.filter(|part| !part.is_empty() && *part != b".");
    let number = |part: &[u8]| std::str::from_utf8(part).ok()?.parse().ok();
    known
        .map(|part| number(part).ok_or_else(|| Error::input("a genotype is no genotype")))
        .collect()
}

fn number(text: &[u8]) -> Option<i64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Return depths of alleles; those that are not known, or negative, are none.
fn numbers(text: &[u8]) -> Vec<i64> {
    text.split(|&byte| byte == b',').map(|part| number(part).unwrap_or(0).max(0)).collect()
}

fn fraction(depths: &[i64], allele: usize) -> Option<f64> {
    let total: i64 = depths.iter().sum();
    let shown = depths.get(allele)?;
    (total > 0).then(|| *shown as f64 / total as f64)
}

/// What a carrier is: heterozygous, homozygous, hemizygous.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Zygosity {
    Het,
    Hom,
    Hemi,
}

impl Carrier {
    pub fn zygosity(&self) -> Zygosity {
        match self.ploidy {
            ploidy if self.copies < ploidy => Zygosity::Het,
            0 | 1 => Zygosity::Hemi,
            _ => Zygosity::Hom,
        }
    }
}

/// Counts of carriers.
#[derive(Debug, Default)]
pub struct CarrierCounts {
    /// By sample, kind of allele, zygosity, and whether nobody else has the allele.
    pub kinds: HashMap<(u32, u32, Zygosity, bool), u64>,
    /// By sample and depth.
    pub depths: HashMap<(u32, Option<i64>), u64>,
    /// By whether it is heterozygous, bin of the share of reads, and bin of the quality.
    pub shares: HashMap<(bool, u32, Option<i64>), u64>,
}

impl CarrierCounts {
    /// Count the carriers of an allele of some kind, whose quality is in some bin.
    pub fn add(&mut self, carriers: &[Carrier], kind: u32, quality: Option<i64>, bins: u32) {
        for one in carriers {
            let zygosity = one.zygosity();
            let key = (one.sample, kind, zygosity, carriers.len() == 1);
            *self.kinds.entry(key).or_default() += 1;
            *self.depths.entry((one.sample, one.depth)).or_default() += 1;
            if let Some(share) = one.fraction {
                let key = (zygosity == Zygosity::Het, bin(share, bins), quality);
                *self.shares.entry(key).or_default() += 1;
            }
        }
    }
}

/// Return the bin of a share, of which 1 belongs to the last one; digits after the ninth are noise.
fn bin(share: f64, bins: u32) -> u32 {
    (((share * f64::from(bins) * 1e9).round() / 1e9) as u32).min(bins - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &[u8] = b"c\t1\t.\tA\tC,G\t9\t.\t.\tGT:AD:DP\t0/0:9,0,0:9\t0|1:3,1,0:4\t2/2\t./.\t\
        2:0,0,.\t1/2:.:7\t/0|1:1,2,3:.\n";

    fn carrier(sample: u32, copies: u32, ploidy: u32, depth: Option<i64>) -> Carrier {
        Carrier { sample, copies, ploidy, depth, fraction: None }
    }

    #[test]
    fn who_carries_what() {
        let found = Genotypes::parse(LINE).unwrap();
        assert_eq!(found.called, 11);
        let first = Carrier { fraction: Some(0.25), ..carrier(1, 1, 2, Some(4)) };
        let last = Carrier { fraction: Some(2.0 / 6.0), ..carrier(6, 1, 2, None) };
        assert_eq!(found.carriers(1), [first, carrier(5, 1, 2, Some(7)), last]);
        let others = [carrier(2, 2, 2, None), carrier(4, 1, 1, None), carrier(5, 1, 2, Some(7))];
        assert_eq!(found.carriers(2), others);
        assert_eq!(found.carriers(3), []);
    }

    #[test]
    fn without_genotypes_nobody_carries() {
        for line in [&b"c\t1\t.\tA\tC\t9\t.\t."[..], b"c\t1\t.\tA\tC\t9\t.\t.\tDP\t9"] {
            let found = Genotypes::parse(line).unwrap();
            assert_eq!((found.called, found.carriers(1).len()), (0, 0));
        }
        assert!(Genotypes::parse(b"c\t1\t.\tA\tC\t9\t.\t.\tGT\t0/x").is_err());
    }

    #[test]
    fn bins_of_shares() {
        let found: Vec<u32> = [0.0, 0.58, 0.5799, 0.999, 1.0].map(|share| bin(share, 50)).into();
        assert_eq!(found, [0, 29, 28, 49, 49]);
    }
}
