//! Compute core of bams3: bytes in, bytes out; no I/O, no clock, no environment.
pub mod bam;
pub mod bgzf;
pub mod bins;
pub mod cigar;
pub mod codecs;
pub mod columns;
pub mod cut;
pub mod digest;
pub mod error;
pub mod header;
pub mod index;
pub mod loss;
pub mod merge;
pub mod mixing;
mod numbers;
#[cfg(feature = "python")]
mod python;
pub mod record;
pub mod sam;
pub mod sam_format;
mod sam_tags;
pub mod select;
mod sequence;
pub mod sort;
pub mod stats;
pub mod stream;
pub mod tags;
pub mod tile;

#[cfg(feature = "python")]
#[pyo3::pymodule]
fn _core(module: &pyo3::Bound<'_, pyo3::types::PyModule>) -> pyo3::PyResult<()> {
    python::blobs::register(module)?;
    python::formats::register(module)?;
    python::sorting::register(module)?;
    python::tiles::register(module)
}
