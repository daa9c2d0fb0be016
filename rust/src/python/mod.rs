//! The Python module `bams3._core`, one file a subject. Nothing else knows Python.

use pyo3::prelude::*;

mod columns;
mod formats;
mod sorting;
mod tiles;

#[pymodule]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    formats::register(module)?;
    tiles::register(module)?;
    sorting::register(module)?;
    columns::register(module)
}
