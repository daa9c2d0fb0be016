//! Compute core of bams3: bytes in, bytes out; no I/O, no clock, no environment.
pub mod arrow;
pub mod codecs;
pub mod depth;
pub mod error;
#[cfg(feature = "python")]
mod python;
