//! The Python module `bams3._core`, one file a subject. Nothing else knows Python.

use pyo3::prelude::*;

mod blobs;
mod columns;
mod formats;
mod genotypes;
mod slices;
mod sorting;
mod tiles;

#[pymodule]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    blobs::register(module)?;
    formats::register(module)?;
    genotypes::register(module)?;
    tiles::register(module)?;
    slices::register(module)?;
    sorting::register(module)?;
    columns::register(module)
}
