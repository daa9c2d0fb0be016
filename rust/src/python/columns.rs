//! Bindings of Arrow batches and of depth.

use std::collections::HashMap;
use std::mem::MaybeUninit;
use std::sync::{Mutex, MutexGuard, PoisonError};

use arrow_array::ffi_stream::FFI_ArrowArrayStream;
use arrow_array::{RecordBatch, RecordBatchReader};
use arrow_schema::{ArrowError, SchemaRef};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyCapsule, PyIterator};

use crate::arrow::{text, Table};
use crate::decode::decode_core;
use crate::depth::{overlapping, Blocks, Depth, Filter, Run, Windows};
use crate::error::{Error, Result};
use crate::project::{project, Projection};
use crate::record::iterate;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[pyclass(name = "Table", module = "bams3._core", frozen)]
struct PyTable(Table);

#[pymethods]
impl PyTable {
    #[new]
    fn new(columns: Vec<String>, contigs: Vec<String>) -> PyResult<Self> {
        Ok(Self(Table::new(&columns, contigs)?))
    }

    fn batch(&self, py: Python<'_>, records: &[u8]) -> PyResult<PyBatch> {
        Ok(PyBatch(py.detach(|| self.0.batch(records))?))
    }

    /// An Arrow C stream over the batches that an iterator yields.
    fn stream<'py>(&self, batches: &Bound<'py, PyIterator>) -> PyResult<Bound<'py, PyCapsule>> {
        let stream = Stream { batches: batches.clone().unbind(), schema: self.0.schema() };
        let stream = FFI_ArrowArrayStream::new(Box::new(stream));
        PyCapsule::new_with_value(batches.py(), stream, c"arrow_array_stream")
    }
}

#[pyclass(name = "Batch", module = "bams3._core", frozen)]
struct PyBatch(RecordBatch);

#[pymethods]
impl PyBatch {
    #[getter]
    fn rows(&self) -> usize {
        self.0.num_rows()
    }

    fn tsv<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &py.detach(|| text::tsv(&self.0)))
    }

    fn json<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &py.detach(|| text::json(&self.0)))
    }
}

/// Batches of a Python iterator, for the Arrow C stream.
struct Stream {
    batches: Py<PyIterator>,
    schema: SchemaRef,
}

impl Stream {
    fn pull(&self, py: Python<'_>) -> Option<PyResult<RecordBatch>> {
        let batch = self.batches.bind(py).clone().next()?;
        Some(batch.and_then(|batch| Ok(batch.cast::<PyBatch>()?.get().0.clone())))
    }
}

impl Iterator for Stream {
    type Item = std::result::Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = Python::attach(|py| self.pull(py))?;
        Some(batch.map_err(|error| ArrowError::ExternalError(Box::new(error))))
    }
}

impl RecordBatchReader for Stream {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }
}

#[pyclass(name = "Blocks", module = "bams3._core", frozen)]
struct PyBlocks(Blocks);

#[pymethods]
impl PyBlocks {
    #[getter]
    fn first(&self) -> Option<i32> {
        self.0.first()
    }
}

#[pyfunction]
#[pyo3(signature = (records, tid, intervals, first=i64::MIN))]
fn overlapping_records<'py>(
    py: Python<'py>,
    records: &[u8],
    tid: i32,
    intervals: Vec<(i64, i64)>,
    first: i64,
) -> PyResult<Bound<'py, PyBytes>> {
    let chosen = py.detach(|| overlapping(records, tid, &intervals, first));
    Ok(PyBytes::new(py, &chosen.map_err(Error::stored)?))
}

#[pyfunction]
#[pyo3(signature = (records, fields, tags=None, without=Vec::new()))]
fn project_records<'py>(
    py: Python<'py>,
    records: &[u8],
    fields: u16,
    tags: Option<Vec<[u8; 2]>>,
    without: Vec<[u8; 2]>,
) -> PyResult<Bound<'py, PyBytes>> {
    let projection = Projection { fields, tags, without };
    let projected = py.detach(|| project(records, &projection));
    Ok(PyBytes::new(py, &projected.map_err(Error::stored)?))
}

#[pyfunction]
fn count_records(py: Python<'_>, stream: &[u8]) -> PyResult<usize> {
    let counted =
        py.detach(|| iterate(stream).try_fold(0, |count, record| record.map(|_| count + 1)));
    Ok(counted.map_err(Error::stored)?)
}

/// Number of records by contig number.
#[pyfunction]
fn count_contigs(py: Python<'_>, stream: &[u8]) -> PyResult<HashMap<i32, u64>> {
    let counts = py.detach(|| -> Result<_> {
        let mut counts = HashMap::new();
        for record in iterate(stream) {
            *counts.entry(record?.tid()).or_insert(0) += 1;
        }
        Ok(counts)
    });
    Ok(counts.map_err(Error::stored)?)
}

#[pyfunction]
fn blocks_of_core(
    py: Python<'_>,
    core: &[u8],
    tid: i32,
    require: u16,
    exclude: u16,
    min_mapq: u8,
) -> PyResult<PyBlocks> {
    let filter = Filter { require, exclude, min_mapq };
    let blocks = py.detach(|| decode_core(core).map(|core| Blocks::of_core(&core, tid, filter)));
    Ok(PyBlocks(blocks.map_err(Error::stored)?))
}

#[pyclass(name = "Depth", module = "bams3._core", frozen)]
struct PyDepth(Mutex<Depth>);

#[pymethods]
impl PyDepth {
    #[new]
    fn new(start: i64, end: i64) -> Self {
        Self(Mutex::new(Depth::new(start, end)))
    }

    fn add(&self, py: Python<'_>, blocks: &PyBlocks) {
        py.detach(|| lock(&self.0).add(&blocks.0));
    }

    #[getter]
    fn known(&self) -> i64 {
        lock(&self.0).known()
    }

    fn take(&self, py: Python<'_>, until: i64) -> PyRun {
        PyRun(py.detach(|| lock(&self.0).take(until)))
    }
}

/// Bytes that are made by `fill`, which returns how many it wrote: all of them. `PyBytes::new_with` would set them
/// to zero first.
fn filled<'py>(
    py: Python<'py>,
    size: usize,
    fill: impl FnOnce(&mut [MaybeUninit<u8>]) -> usize + Send,
) -> PyResult<Bound<'py, PyBytes>> {
    let length = size.try_into()?;
    // SAFETY: a new object of bytes, or NULL with an exception set.
    let bytes = unsafe {
        let bytes = ffi::PyBytes_FromStringAndSize(std::ptr::null(), length);
        Bound::from_owned_ptr_or_err(py, bytes)?.cast_into_unchecked::<PyBytes>()
    };
    // SAFETY: it has `size` bytes, and nobody else has it yet.
    let out = unsafe {
        let start = ffi::PyBytes_AsString(bytes.as_ptr());
        std::slice::from_raw_parts_mut(start.cast::<MaybeUninit<u8>>(), size)
    };
    let written = py.detach(|| fill(out));
    assert_eq!(written, size, "text is as long as was foreseen");
    Ok(bytes)
}

#[pyclass(name = "Run", module = "bams3._core", frozen)]
struct PyRun(Run);

#[pymethods]
impl PyRun {
    #[getter]
    fn start(&self) -> i64 {
        self.0.start
    }

    #[getter]
    fn end(&self) -> i64 {
        self.0.end()
    }

    fn text<'py>(
        &self,
        py: Python<'py>,
        contig: &str,
        start: i64,
        end: i64,
        zeros: bool,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let size = py.detach(|| self.0.text_size(contig, start, end, zeros));
        filled(py, size, |out| self.0.write_text(contig, start, end, zeros, out))
    }

    fn sum(&self, start: i64, end: i64) -> u64 {
        self.0.sum(start, end)
    }
}

#[pyclass(name = "Windows", module = "bams3._core", frozen)]
struct PyWindows(Mutex<Windows>);

#[pymethods]
impl PyWindows {
    #[new]
    fn new(intervals: Vec<(i64, i64)>) -> Self {
        Self(Mutex::new(Windows::new(intervals)))
    }

    #[staticmethod]
    fn fixed(start: i64, end: i64, size: i64) -> Self {
        Self(Mutex::new(Windows::fixed(start, end, size)))
    }

    fn add(&self, py: Python<'_>, run: &PyRun) {
        py.detach(|| lock(&self.0).add(&run.0));
    }

    fn text<'py>(&self, py: Python<'py>, contig: &str) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &py.detach(|| lock(&self.0).text(contig)))
    }
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<PyTable>()?;
    module.add_class::<PyBatch>()?;
    module.add_class::<PyBlocks>()?;
    module.add_class::<PyDepth>()?;
    module.add_class::<PyRun>()?;
    module.add_class::<PyWindows>()?;
    module.add_function(wrap_pyfunction!(overlapping_records, module)?)?;
    module.add_function(wrap_pyfunction!(project_records, module)?)?;
    module.add_function(wrap_pyfunction!(count_records, module)?)?;
    module.add_function(wrap_pyfunction!(count_contigs, module)?)?;
    module.add_function(wrap_pyfunction!(blocks_of_core, module)?)
}
