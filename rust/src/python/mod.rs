//! The Python module `bams3._core`, one file a subject. Nothing else knows Python.

use pyo3::prelude::*;

pub mod columns;
pub mod formats;
mod sorting;

#[pymodule]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    formats::register(module)?;
    columns::register(module)?;
    sorting::register(module)
}
