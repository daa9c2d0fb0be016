//! Bindings of slices. Computation runs without the GIL.

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::error::Result;
use crate::slices::{self, Slice};

/// Records, position, reach, bytes.
pub type SliceRow = (u32, i32, i64, u64);

pub fn slice_rows(slices: &[Slice]) -> Vec<SliceRow> {
    slices.iter().map(|slice| (slice.reads, slice.pos, slice.reach, slice.bytes)).collect()
}

/// The slices of all tiles of a dataset.
#[pyclass(module = "bams3._core")]
#[derive(Default)]
pub struct Slices {
    inner: slices::Table,
}

#[pymethods]
impl Slices {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    #[staticmethod]
    fn from_bytes(py: Python<'_>, data: &[u8]) -> Result<Self> {
        Ok(Self { inner: py.detach(|| slices::Table::from_bytes(data))? })
    }

    fn to_bytes<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &py.detach(|| self.inner.to_bytes()))
    }

    #[getter]
    fn tiles(&self) -> usize {
        self.inner.tiles()
    }

    fn __bool__(&self) -> bool {
        !self.inner.is_empty()
    }

    fn add(&mut self, slices: Vec<SliceRow>) {
        let slice = |(reads, pos, reach, bytes)| Slice { reads, pos, reach, bytes };
        self.inner.add(&slices.into_iter().map(slice).collect::<Vec<_>>());
    }

    fn of(&self, tile: usize) -> Vec<SliceRow> {
        slice_rows(self.inner.of(tile))
    }
}

#[pyfunction]
fn measure_slices(py: Python<'_>, records: &[u8], reads: Vec<u32>) -> Result<Vec<SliceRow>> {
    Ok(slice_rows(&py.detach(|| slices::measured(records, &reads))?))
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Slices>()?;
    module.add_function(wrap_pyfunction!(measure_slices, module)?)
}
