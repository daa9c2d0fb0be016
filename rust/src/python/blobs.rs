//! Bindings of what storage objects need: a hash to name them, and zstd.

use std::io::Read;

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use xxhash_rust::xxh3::xxh3_64;

use crate::error::{Error, Result};

fn compress(data: &[u8], level: i32) -> std::io::Result<Vec<u8>> {
    let mut encoder = zstd::bulk::Compressor::new(level)?;
    encoder.include_checksum(true)?;
    encoder.compress(data)
}

/// Decompress one or more frames; more than `limit` bytes are an error, and never allocated.
fn decompress(data: &[u8], limit: usize) -> Result<Vec<u8>> {
    let broken = |_| Error::Corrupt("zstd data is damaged".to_owned());
    let decoder = zstd::stream::Decoder::new(data).map_err(broken)?;
    let mut out = Vec::new();
    decoder.take(limit as u64 + 1).read_to_end(&mut out).map_err(broken)?;
    if out.len() > limit {
        return Err(Error::Corrupt("zstd data is longer than it may be".to_owned()));
    }
    Ok(out)
}

#[pyfunction]
fn hash64(py: Python<'_>, data: &[u8]) -> u64 {
    py.detach(|| xxh3_64(data))
}

#[pyfunction]
fn zstd_compress<'py>(py: Python<'py>, data: &[u8], level: i32) -> PyResult<Bound<'py, PyBytes>> {
    let packed = py.detach(|| compress(data, level))?;
    Ok(PyBytes::new(py, &packed))
}

#[pyfunction]
fn zstd_decompress<'py>(
    py: Python<'py>,
    data: &[u8],
    max_size: usize,
) -> PyResult<Bound<'py, PyBytes>> {
    let data = py.detach(|| decompress(data, max_size))?;
    Ok(PyBytes::new(py, &data))
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("VERSION", env!("CARGO_PKG_VERSION"))?;
    module.add_function(wrap_pyfunction!(hash64, module)?)?;
    module.add_function(wrap_pyfunction!(zstd_compress, module)?)?;
    module.add_function(wrap_pyfunction!(zstd_decompress, module)?)
}
