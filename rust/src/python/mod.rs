//! The Python module `bams3._core`.

use pyo3::prelude::*;

use crate::error::Error;

mod blobs;
mod sorting;

impl From<Error> for PyErr {
    fn from(error: Error) -> Self {
        let class = match error {
            Error::Input(_) => "InputError",
            Error::Corrupt(_) => "CorruptError",
        };
        Python::attach(|py| made(py, class, &error.to_string()).unwrap_or_else(|failure| failure))
    }
}

/// Make an error of `bams3.errors`.
fn made(py: Python<'_>, class: &str, message: &str) -> PyResult<PyErr> {
    let class = py.import("bams3.errors")?.getattr(class)?;
    Ok(PyErr::from_value(class.call1((message,))?))
}

#[pymodule(gil_used = false)]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    blobs::register(module)?;
    sorting::register(module)
}
