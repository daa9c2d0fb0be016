//! Bindings of genotypes.

use pyo3::prelude::*;

use crate::error::Result;
use crate::genotypes::{self, Carrier, Zygosity};

/// The genotypes of a record.
#[pyclass(frozen, module = "bams3._core")]
pub struct Genotypes {
    inner: genotypes::Genotypes,
}

#[pymethods]
impl Genotypes {
    #[new]
    fn new(line: &[u8]) -> Result<Self> {
        Ok(Genotypes { inner: genotypes::Genotypes::parse(line)? })
    }

    #[getter]
    fn called(&self) -> u64 {
        self.inner.called
    }

    fn carriers(&self, allele: u32) -> Carriers {
        Carriers { inner: self.inner.carriers(allele) }
    }
}

type Row = (u32, u32, u32, Option<i64>, Option<f64>);
type Shown = (u32, &'static str, Option<i64>, Option<f64>);

/// Who has an allele.
#[pyclass(frozen, module = "bams3._core")]
pub struct Carriers {
    inner: Vec<Carrier>,
}

#[pymethods]
impl Carriers {
    #[new]
    fn new(rows: Vec<Row>) -> Self {
        let carrier = |(sample, copies, ploidy, depth, fraction)| Carrier {
            sample,
            copies,
            ploidy,
            depth,
            fraction,
        };
        Carriers { inner: rows.into_iter().map(carrier).collect() }
    }

    fn __len__(&self) -> usize {
        self.inner.len()
    }

    #[getter]
    fn copies(&self) -> u64 {
        self.inner.iter().map(|one| u64::from(one.copies)).sum()
    }

    fn rows(&self) -> Vec<Shown> {
        let row = |one: &Carrier| (one.sample, name(one.zygosity()), one.depth, one.fraction);
        self.inner.iter().map(row).collect()
    }

    fn samples<'py>(&self, py: Python<'py>, below: u32) -> PyResult<Bound<'py, PyAny>> {
        let samples = self.inner.iter().map(|one| one.sample);
        let chosen: Vec<u32> = samples.filter(|&sample| sample < below).collect();
        Ok(pyo3::types::PyTuple::new(py, chosen)?.into_any())
    }
}

/// Counts of carriers.
#[pyclass(module = "bams3._core")]
pub struct CarrierCounts {
    inner: genotypes::CarrierCounts,
    bins: u32,
}

#[pymethods]
impl CarrierCounts {
    #[new]
    fn new(bins: u32) -> Self {
        CarrierCounts { inner: genotypes::CarrierCounts::default(), bins: bins.max(1) }
    }

    fn __len__(&self) -> usize {
        self.inner.kinds.len() + self.inner.depths.len() + self.inner.shares.len()
    }

    fn add(&mut self, carriers: &Carriers, kind: u32, quality: Option<i64>) {
        self.inner.add(&carriers.inner, kind, quality, self.bins);
    }

    fn take_kinds(&mut self) -> Vec<(u32, u32, &'static str, bool, u64)> {
        let row =
            |((sample, kind, zygosity, alone), count)| (sample, kind, name(zygosity), alone, count);
        self.inner.kinds.drain().map(row).collect()
    }

    fn take_depths(&mut self) -> Vec<(u32, Option<i64>, u64)> {
        let found = self.inner.depths.drain();
        let mut rows: Vec<_> =
            found.map(|((sample, depth), count)| (sample, depth, count)).collect();
        rows.sort_unstable();
        rows
    }

    fn take_shares(&mut self) -> Vec<(bool, u32, Option<i64>, u64)> {
        let row = |((is_het, share, quality), count)| (is_het, share, quality, count);
        self.inner.shares.drain().map(row).collect()
    }
}

fn name(zygosity: Zygosity) -> &'static str {
    match zygosity {
        Zygosity::Het => "het",
        Zygosity::Hom => "hom",
        Zygosity::Hemi => "hemi",
    }
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Genotypes>()?;
    module.add_class::<Carriers>()?;
    module.add_class::<CarrierCounts>()
}
