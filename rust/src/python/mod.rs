//! The Python module `bams3._core`.

use pyo3::prelude::*;

mod sorting;

#[pymodule(gil_used = false)]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    sorting::register(module)
}
