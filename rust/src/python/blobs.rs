//! Bindings of what storage objects need: a hash to name them, checksums, and zstd.

use std::io::Read;

use pyo3::buffer::PyBuffer;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use xxhash_rust::xxh3::xxh3_64;

use crate::checksum;
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

/// The CRC-64/NVME of what had `crc` before, followed by `data`: bytes or a contiguous buffer.
#[pyfunction]
#[pyo3(signature = (data, crc = 0))]
fn crc64nvme(py: Python<'_>, data: PyBuffer<u8>, crc: u64) -> PyResult<u64> {
    if !data.is_c_contiguous() {
        return Err(PyValueError::new_err("the buffer is not contiguous"));
    }
    let length = data.len_bytes();
    if length == 0 {
        return Ok(crc); // its address may be null
    }
    let address = data.buf_ptr() as usize;
    Ok(py.detach(|| {
        // SAFETY: `data` keeps these bytes allocated until it is dropped. A caller that writes to
        // them meanwhile gets the checksum of some mixture, as it would from any other reader.
        let bytes = unsafe { std::slice::from_raw_parts(address as *const u8, length) };
        checksum::crc64nvme(bytes, crc)
    }))
}

/// The CRC-64/NVME of two pieces in sequence, of which the second has `length` bytes.
#[pyfunction]
fn crc64nvme_combine(first: u64, second: u64, length: u64) -> u64 {
    checksum::combine(first, second, length)
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
    module.add_function(wrap_pyfunction!(crc64nvme, module)?)?;
    module.add_function(wrap_pyfunction!(crc64nvme_combine, module)?)?;
    module.add_function(wrap_pyfunction!(zstd_compress, module)?)?;
    module.add_function(wrap_pyfunction!(zstd_decompress, module)?)
}
