//! Compute core of bams3: bytes in, bytes out; no I/O, no clock, no environment.

pub mod codecs;
pub mod columns;
pub mod error;
pub mod mixing;
pub mod stream;
