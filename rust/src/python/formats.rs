//! Bindings of headers, SAM, BAM and BGZF. Computation runs without the GIL.

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::depth::overlapping;
use crate::error::{Error, Result};
use crate::{bam, bgzf, digest, header, record, sam, sam_format};

pyo3::import_exception!(bams3.errors, InputError);
pyo3::import_exception!(bams3.errors, CorruptError);

impl From<Error> for PyErr {
    fn from(error: Error) -> PyErr {
        match error {
            Error::Input(message) => InputError::new_err(message),
            Error::Corrupt(message) => CorruptError::new_err(message),
        }
    }
}

/// SAM header: verbatim text and contig dictionary.
#[pyclass(frozen, module = "bams3._core")]
pub struct Header {
    pub inner: header::Header,
}

#[pymethods]
impl Header {
    #[new]
    #[pyo3(signature = (text, contigs=None))]
    fn new(text: &[u8], contigs: Option<Vec<(String, u64)>>) -> Result<Self> {
        let contigs = contigs.map(|contigs| {
            let contigs = contigs.into_iter();
            contigs.map(|(name, length)| header::Contig { name, length }).collect()
        });
        Ok(Header { inner: header::Header::new(text, contigs)? })
    }

    #[getter]
    fn text<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.inner.text())
    }

    #[getter]
    fn contigs(&self) -> Vec<(&str, u64)> {
        let contigs = self.inner.contigs().iter();
        contigs.map(|contig| (contig.name.as_str(), contig.length)).collect()
    }

    #[getter]
    fn sort_order(&self) -> &str {
        self.inner.sort_order()
    }
}

/// A parsed record stream.
#[pyclass(frozen, module = "bams3._core")]
pub struct Records {
    pub data: Vec<u8>,
    #[pyo3(get)]
    pub count: u64,
    pub sum: u128,
}

#[pymethods]
impl Records {
    #[getter]
    fn data<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.data)
    }

    #[getter]
    fn digest<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.sum.to_le_bytes())
    }

    fn overlapping<'py>(
        &self,
        py: Python<'py>,
        tid: i32,
        intervals: Vec<(i64, i64)>,
    ) -> Result<Bound<'py, PyBytes>> {
        let chosen = py.detach(|| overlapping(&self.data, tid, &intervals, i64::MIN))?;
        Ok(PyBytes::new(py, &chosen))
    }
}

impl Records {
    pub fn wrap(records: record::Records) -> Self {
        Records { data: records.data, count: records.count, sum: records.digest }
    }
}

#[pyfunction]
#[pyo3(signature = (data, r#final))]
fn sam_header_length(data: &[u8], r#final: bool) -> Option<usize> {
    header::sam_header_length(data, r#final)
}

#[pyfunction]
fn parse_sam(py: Python<'_>, data: &[u8], header: &Header, first_line: u64) -> Result<Records> {
    let records = py.detach(|| sam::parse_sam(data, &header.inner, first_line))?;
    Ok(Records::wrap(records))
}

#[pyfunction]
fn format_sam<'py>(
    py: Python<'py>,
    records: &[u8],
    header: &Header,
) -> Result<Bound<'py, PyBytes>> {
    let text = py.detach(|| sam_format::format_sam(records, &header.inner));
    let text = text.map_err(Error::stored)?;
    Ok(PyBytes::new(py, &text))
}

#[pyfunction]
fn bgzf_complete(py: Python<'_>, data: &[u8]) -> Result<(usize, usize)> {
    py.detach(|| bgzf::bgzf_complete(data))
}

#[pyfunction]
fn bgzf_inflate<'py>(py: Python<'py>, data: &[u8]) -> Result<Bound<'py, PyBytes>> {
    let inflated = py.detach(|| bgzf::bgzf_inflate(data))?;
    Ok(PyBytes::new(py, &inflated))
}

#[pyfunction]
fn bgzf_deflate<'py>(py: Python<'py>, data: &[u8], level: i32) -> Result<Bound<'py, PyBytes>> {
    let deflated = py.detach(|| bgzf::bgzf_deflate(data, level))?;
    Ok(PyBytes::new(py, &deflated))
}

#[pyfunction]
pub fn bgzf_store<'py>(py: Python<'py>, data: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    PyBytes::new_with(py, bgzf::stored_size(data.len()), |out| {
        py.detach(|| bgzf::bgzf_store(data, out));
        Ok(())
    })
}

#[pyfunction]
fn bam_header(py: Python<'_>, data: &[u8]) -> Result<Option<(Header, usize)>> {
    let header = py.detach(|| bam::bam_header(data))?;
    Ok(header.map(|(inner, length)| (Header { inner }, length)))
}

#[pyfunction]
fn bam_header_bytes<'py>(py: Python<'py>, header: &Header) -> Result<Bound<'py, PyBytes>> {
    Ok(PyBytes::new(py, &bam::bam_header_bytes(&header.inner)?))
}

#[pyfunction]
fn bam_complete(py: Python<'_>, data: &[u8]) -> Result<usize> {
    py.detach(|| bam::bam_complete(data))
}

#[pyfunction]
fn parse_bam(py: Python<'_>, data: &[u8], header: &Header, first_record: u64) -> Result<Records> {
    let records = py.detach(|| bam::parse_bam(data, &header.inner, first_record))?;
    Ok(Records::wrap(records))
}

/// Digest of a record stream that is canonical already.
#[pyfunction]
fn records_digest<'py>(py: Python<'py>, records: &[u8]) -> Result<Bound<'py, PyBytes>> {
    let sum = py.detach(|| digest::multiset(records)).map_err(Error::stored)?;
    Ok(PyBytes::new(py, &sum.to_le_bytes()))
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Header>()?;
    module.add_class::<Records>()?;
    module.add_function(wrap_pyfunction!(sam_header_length, module)?)?;
    module.add_function(wrap_pyfunction!(parse_sam, module)?)?;
    module.add_function(wrap_pyfunction!(format_sam, module)?)?;
    module.add_function(wrap_pyfunction!(bgzf_complete, module)?)?;
    module.add_function(wrap_pyfunction!(bgzf_inflate, module)?)?;
    module.add_function(wrap_pyfunction!(bgzf_deflate, module)?)?;
    module.add_function(wrap_pyfunction!(bgzf_store, module)?)?;
    module.add_function(wrap_pyfunction!(bam_header, module)?)?;
    module.add_function(wrap_pyfunction!(bam_header_bytes, module)?)?;
    module.add_function(wrap_pyfunction!(bam_complete, module)?)?;
    module.add_function(wrap_pyfunction!(parse_bam, module)?)?;
    module.add_function(wrap_pyfunction!(records_digest, module)?)
}
