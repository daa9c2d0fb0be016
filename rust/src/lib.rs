//! Compute core of bams3: bytes in, bytes out; no I/O, no clock, no environment.
pub mod bins;
pub mod codecs;
pub mod cut;
pub mod error;
pub mod merge;
pub mod sort;

#[cfg(feature = "python")]
mod python;
