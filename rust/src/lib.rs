//! Compute core of bams3: bytes in, bytes out; no I/O, no clock, no environment.
pub mod codecs;
