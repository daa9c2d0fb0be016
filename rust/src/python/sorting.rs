//! Bindings of sorting, merging and cutting.

use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::bins;
use crate::cut::{Cut, Cutter, Limits};
use crate::error::Result;
use crate::merge::Merger;
use crate::python::formats::Records;
use crate::sort::{self, Fragment, Parts, Sorter};

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[pyclass(name = "Bins", module = "bams3._core", frozen)]
struct PyBins(bins::Bins);

#[pymethods]
impl PyBins {
    #[new]
    fn new(contigs: Vec<(String, u64)>, width: u32) -> Self {
        let clamped = |length: u64| length.try_into().unwrap_or(u32::MAX);
        let contigs = contigs.into_iter().map(|(name, length)| (name, clamped(length)));
        Self(bins::Bins::new(&contigs.collect::<Vec<_>>(), width))
    }

    #[getter]
    fn count(&self) -> u32 {
        self.0.count()
    }
}

#[pyclass(name = "Parts", module = "bams3._core", frozen)]
struct PyParts {
    parts: Parts,
    records: Py<Records>,
}

#[pyfunction]
fn partition(py: Python<'_>, records: Py<Records>, bins: &PyBins) -> Result<PyParts> {
    let data = &records.get().data;
    let parts = py.detach(|| sort::partition(data, &bins.0))?;
    Ok(PyParts { parts, records })
}

#[pyclass(name = "Sorter", module = "bams3._core", frozen)]
struct PySorter(Mutex<Sorter>);

#[pymethods]
impl PySorter {
    #[new]
    fn new(bins: &PyBins) -> Self {
        Self(Mutex::new(Sorter::new(&bins.0)))
    }

    fn add(&self, py: Python<'_>, parts: &PyParts) {
        let data = &parts.records.get().data;
        py.detach(|| lock(&self.0).add(&parts.parts, data));
    }

    #[getter]
    fn held(&self) -> usize {
        lock(&self.0).held()
    }

    fn filled(&self) -> Vec<u32> {
        lock(&self.0).filled()
    }

    fn fullest(&self, bytes: usize) -> Vec<u32> {
        lock(&self.0).fullest(bytes)
    }

    fn take_sorted(&self, bin: u32) -> PyFragment {
        PyFragment(Mutex::new(lock(&self.0).take(bin)))
    }

    fn recycle(&self, pages: &PyFragment) {
        let spent = lock(&pages.0).spent();
        lock(&self.0).recycle(spent);
    }

    fn trim(&self) {
        lock(&self.0).trim();
    }
}

#[pyclass(name = "Fragment", module = "bams3._core", frozen)]
struct PyFragment(Mutex<Fragment>);

#[pymethods]
impl PyFragment {
    #[getter]
    fn size(&self) -> usize {
        lock(&self.0).bytes()
    }

    fn sort(&self, py: Python<'_>) {
        py.detach(|| lock(&self.0).sort());
    }

    fn next_block<'py>(&self, py: Python<'py>, bytes: usize) -> Option<Bound<'py, PyBytes>> {
        let block = py.detach(|| lock(&self.0).next_block(bytes));
        block.map(|block| PyBytes::new(py, &block))
    }

    /// Free memory that was read for good.
    fn release(&self) {
        lock(&self.0).spent();
    }
}

#[pyclass(name = "Merger", module = "bams3._core", frozen)]
struct PyMerger(Mutex<Merger>);

#[pymethods]
impl PyMerger {
    #[new]
    fn new(fragments: usize) -> Self {
        Self(Mutex::new(Merger::new(fragments)))
    }

    fn needs(&self) -> Vec<usize> {
        lock(&self.0).needs()
    }

    fn feed(&self, py: Python<'_>, fragment: usize, block: &[u8]) -> PyResult<()> {
        Ok(py.detach(|| lock(&self.0).feed(fragment, block.to_vec()))?)
    }

    fn finish(&self, fragment: usize) {
        lock(&self.0).finish(fragment);
    }

    fn take<'py>(&self, py: Python<'py>, bytes: usize) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let merged = py.detach(|| lock(&self.0).take(bytes))?;
        Ok(merged.map(|block| PyBytes::new(py, &block)))
    }
}

#[pyclass(name = "Cutter", module = "bams3._core", frozen)]
struct PyCutter(Mutex<Cutter>);

#[pymethods]
impl PyCutter {
    #[new]
    fn new(bins: &PyBins, max_reads: usize, max_bytes: usize) -> Self {
        let limits = Limits { reads: max_reads, bytes: max_bytes };
        Self(Mutex::new(Cutter::new(bins.0.clone(), limits)))
    }

    fn push(&self, py: Python<'_>, records: &[u8]) -> PyResult<Vec<CutTile>> {
        let cuts = py.detach(|| lock(&self.0).push(records));
        given(py, cuts)
    }

    fn finish(&self, py: Python<'_>) -> PyResult<Vec<CutTile>> {
        given(py, lock(&self.0).finish())
    }
}

/// A cut and its records, which it does not keep alive.
type CutTile = (PyCut, Py<PyBytes>);

fn given(py: Python<'_>, cuts: Result<Vec<Cut>>) -> PyResult<Vec<CutTile>> {
    let with_bytes = |cut: Cut| (PyCut::new(&cut), PyBytes::new(py, &cut.records).unbind());
    Ok(cuts?.into_iter().map(with_bytes).collect())
}

#[pyclass(name = "Cut", module = "bams3._core", frozen, get_all)]
struct PyCut {
    reads: u32,
    opens: bool,
    first: (i32, i32),
    last: (i32, i32),
    floor: u32,
    ceiling: u32,
}

impl PyCut {
    fn new(cut: &Cut) -> Self {
        Self {
            reads: cut.reads,
            opens: cut.opens,
            first: (cut.first.tid, cut.first.pos),
            last: (cut.last.tid, cut.last.pos),
            floor: cut.floor,
            ceiling: cut.ceiling,
        }
    }
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(partition, module)?)?;
    module.add_class::<PyBins>()?;
    module.add_class::<PyParts>()?;
    module.add_class::<PySorter>()?;
    module.add_class::<PyFragment>()?;
    module.add_class::<PyMerger>()?;
    module.add_class::<PyCutter>()?;
    module.add_class::<PyCut>()
}
