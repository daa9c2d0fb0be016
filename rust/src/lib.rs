//! Compute core of bams3: bytes in, bytes out; no I/O, no clock, no environment.
pub mod arrow;
pub mod bam;
pub mod bgzf;
pub mod bins;
pub mod checksum;
pub mod cigar;
pub mod codecs;
pub mod columns;
pub mod cut;
pub mod decode;
pub mod depth;
mod depth_text;
pub mod digest;
pub mod error;
pub mod genotypes;
pub mod header;
pub mod index;
#[cfg(test)]
mod index_tests;
pub mod loss;
pub mod merge;
pub mod mixing;
mod numbers;
pub mod project;
#[cfg(feature = "python")]
mod python;
pub mod record;
pub mod sam;
pub mod sam_format;
mod sam_tags;
pub mod select;
mod sequence;
pub mod slices;
pub mod sort;
#[cfg(test)]
mod speed;
pub mod stats;
pub mod stream;
pub mod tags;
pub mod tile;
#[cfg(test)]
mod tile_tests;
