//! Bindings of tiles, statistics and the index. Computation runs without the GIL.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use super::formats::bgzf_store;
use super::slices::{slice_rows, SliceRow};
use crate::codecs::Effort;
use crate::error::{Error, Result};
use crate::loss::{Loss, Qualities};
use crate::{decode, index, select, stats, tile};

/// How to code tiles, and of how many reads and bytes at most.
#[pyclass(frozen, module = "bams3._core")]
pub struct TileOptions {
    inner: tile::Options,
}

#[pymethods]
impl TileOptions {
    #[new]
    #[pyo3(signature = (profile="balanced", qualities=None, drop_tags=Vec::new(), drop_names=false))]
    fn new(
        profile: &str,
        qualities: Option<&str>,
        drop_tags: Vec<String>,
        drop_names: bool,
    ) -> Result<Self> {
        let effort = match profile {
            "fast" => Effort::Fast,
            "balanced" => Effort::Balanced,
            "small" => Effort::Small,
            other => return Err(Error::input(format!("no profile is called {other:?}"))),
        };
        let qualities = qualities.map(Qualities::named).transpose()?;
        let tags = drop_tags.iter().map(|tag| tag_name(tag)).collect::<Result<_>>()?;
        Ok(Self {
            inner: tile::Options { effort, loss: Loss { qualities, tags, names: drop_names } },
        })
    }

    #[getter]
    fn max_reads(&self) -> usize {
        if self.inner.effort == Effort::Small {
            50_000
        } else {
            10_000
        }
    }

    #[getter]
    fn max_bytes(&self) -> usize {
        if self.inner.effort == Effort::Small {
            16 << 20
        } else {
            4 << 20
        }
    }
}

fn tag_name(tag: &str) -> Result<[u8; 2]> {
    let name = tag.as_bytes().try_into();
    name.map_err(|_| Error::input(format!("{tag:?} is not the name of a tag: it has two letters")))
}

/// What the index keeps of a tile.
#[pyclass(frozen, get_all, skip_from_py_object, module = "bams3._core")]
#[derive(Clone)]
pub struct TileRow {
    reads: u32,
    bytes: u64,
    first_tid: i32,
    first_pos: i32,
    last_tid: i32,
    reach: i64,
    starts: Vec<(i32, u64)>,
}

#[pymethods]
impl TileRow {
    #[new]
    #[pyo3(signature = (reads, bytes, first_tid, first_pos, last_tid, reach, starts=Vec::new()))]
    fn new(
        reads: u32,
        bytes: u64,
        first_tid: i32,
        first_pos: i32,
        last_tid: i32,
        reach: i64,
        starts: Vec<(i32, u64)>,
    ) -> Self {
        Self { reads, bytes, first_tid, first_pos, last_tid, reach, starts }
    }
}

impl From<tile::Extent> for TileRow {
    fn from(extent: tile::Extent) -> Self {
        let tile::Extent { reads, bytes, first_tid, first_pos, last_tid, reach, starts } = extent;
        Self { reads, bytes, first_tid, first_pos, last_tid, reach, starts }
    }
}

impl From<&TileRow> for tile::Extent {
    fn from(row: &TileRow) -> Self {
        let TileRow { reads, bytes, first_tid, first_pos, last_tid, reach, starts } = row.clone();
        Self { reads, bytes, first_tid, first_pos, last_tid, reach, starts }
    }
}

/// One coded tile.
#[pyclass(frozen, module = "bams3._core")]
pub struct Tile {
    inner: tile::Tile,
    #[pyo3(get)]
    core: Py<PyBytes>,
    #[pyo3(get)]
    rest: Py<PyBytes>,
}

#[pymethods]
impl Tile {
    #[getter]
    fn row(&self) -> TileRow {
        self.inner.extent.clone().into()
    }

    #[getter]
    fn digest_in(&self) -> [u8; 16] {
        self.inner.digest_in.to_le_bytes()
    }

    #[getter]
    fn digest(&self) -> [u8; 16] {
        self.inner.digest.to_le_bytes()
    }

    #[getter]
    fn stats(&self) -> Stats {
        Stats { inner: self.inner.stats.clone() }
    }

    #[getter]
    fn slices(&self) -> Vec<SliceRow> {
        slice_rows(&self.inner.slices)
    }

    #[getter]
    fn column_sizes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let sizes = PyDict::new(py);
        for (column, size) in &self.inner.column_sizes {
            let before: usize = sizes.get_item(column)?.map_or(Ok(0), |before| before.extract())?;
            sizes.set_item(column, before + size)?;
        }
        Ok(sizes)
    }
}

#[pyfunction]
fn encode_tile(py: Python<'_>, records: &[u8], options: &TileOptions) -> Result<Tile> {
    let mut inner = py.detach(|| tile::encode(records, &options.inner))?;
    let core = PyBytes::new(py, &std::mem::take(&mut inner.core)).unbind();
    let rest = PyBytes::new(py, &std::mem::take(&mut inner.rest)).unbind();
    Ok(Tile { inner, core, rest })
}

/// Which records a query wants, and what of them.
#[pyclass(frozen, module = "bams3._core")]
pub struct Selection {
    inner: select::Selection,
}

#[pymethods]
impl Selection {
    #[new]
    #[pyo3(signature = (tid=None, intervals=Vec::new(), require=0, exclude=0, exclude_all=0, min_mapq=0, tags=None))]
    fn new(
        tid: Option<i32>,
        intervals: Vec<(i64, i64)>,
        require: u16,
        exclude: u16,
        exclude_all: u16,
        min_mapq: u8,
        tags: Option<Vec<[u8; 2]>>,
    ) -> Self {
        Self {
            inner: select::Selection {
                tid,
                intervals,
                require,
                exclude,
                exclude_all,
                min_mapq,
                tags,
            },
        }
    }
}

#[pyfunction]
#[pyo3(signature = (core, rest, selection=None, contigs=i32::MAX))]
fn decode_tile<'py>(
    py: Python<'py>,
    core: &[u8],
    rest: &[u8],
    selection: Option<&Selection>,
    contigs: i32,
) -> Result<Bound<'py, PyBytes>> {
    let all = select::Selection::all();
    let selection = selection.map_or(&all, |selection| &selection.inner);
    let records = py.detach(|| decode::decode(core, rest, selection, contigs));
    let records = records.map_err(Error::stored)?;
    Ok(PyBytes::new(py, &records))
}

#[pyfunction]
fn count_tile(py: Python<'_>, core: &[u8], selection: &Selection) -> Result<usize> {
    py.detach(|| decode::count(core, &selection.inner)).map_err(Error::stored)
}

#[pyfunction]
fn first_position(py: Python<'_>, core: &[u8], selection: &Selection) -> Result<Option<i32>> {
    py.detach(|| decode::first_position(core, &selection.inner)).map_err(Error::stored)
}

/// A tile whose columns are decoded.
#[pyclass(module = "bams3._core")]
pub struct DecodedTile {
    inner: decode::Decoded,
}

#[pymethods]
impl DecodedTile {
    #[new]
    fn new(py: Python<'_>, core: &[u8], rest: &[u8], contigs: i32) -> Result<Self> {
        let inner = py.detach(|| decode::Decoded::new(core, rest, contigs));
        Ok(Self { inner: inner.map_err(Error::stored)? })
    }

    fn blocks<'py>(
        &mut self,
        py: Python<'py>,
        start: usize,
        end: usize,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let records = py.detach(|| self.inner.records(start..end)).map_err(Error::stored)?;
        bgzf_store(py, &records)
    }
}

/// Counts over records.
#[pyclass(module = "bams3._core")]
#[derive(Default)]
pub struct Stats {
    inner: stats::Stats,
}

#[pymethods]
impl Stats {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    fn merge(&mut self, other: &Self) {
        self.inner.merge(&other.inner);
    }

    fn to_bytes<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.inner.to_bytes())
    }

    #[staticmethod]
    fn from_bytes(data: &[u8]) -> Result<Self> {
        Ok(Self { inner: stats::Stats::from_bytes(data)? })
    }

    fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let stats = &self.inner;
        let all = PyDict::new(py);
        let flagstat = PyDict::new(py);
        for (name, [passed, failed]) in stats::FLAGSTAT.iter().zip(stats.flagstat) {
            flagstat.set_item(name, (passed, failed))?;
        }
        let contigs = PyDict::new(py);
        for (tid, contig) in &stats.contigs {
            contigs.set_item(tid, (contig.mapped, contig.unmapped, contig.aligned_bases))?;
        }
        all.set_item("flagstat", flagstat)?;
        all.set_item("contigs", contigs)?;
        all.set_item("bases", stats.bases)?;
        all.set_item("longest", stats.longest)?;
        all.set_item("mapq", stats.mapq.clone())?;
        all.set_item("insert_size", stats.insert_size.clone())?;
        all.set_item("length", stats.length.clone())?;
        Ok(all)
    }
}

/// What names a chunk of the index.
#[pyclass(frozen, get_all, module = "bams3._core")]
pub struct ChunkRow {
    first_tid: i32,
    last_tid: i32,
    start: u64,
    end: u64,
    digest: u64,
}

/// A tile table that is an object of its own.
#[pyclass(frozen, get_all, module = "bams3._core")]
pub struct TableRow {
    tid: i32,
    size: u64,
    digest: u64,
    loaded: bool,
}

/// Where a tile lies in the object of its chunk: ranges are (offset, length).
#[pyclass(frozen, get_all, module = "bams3._core")]
pub struct TilePlace {
    chunk: usize,
    tile: usize,
    reads: u32,
    bytes: u64,
    core: (u64, u64),
    rest: (u64, u64),
}

impl From<index::Place> for TilePlace {
    fn from(place: index::Place) -> Self {
        let index::Place { chunk, tile, reads, bytes, core, rest } = place;
        Self { chunk, tile, reads, bytes, core, rest }
    }
}

/// Contigs, chunks and tiles of a dataset.
#[pyclass(module = "bams3._core")]
pub struct Index {
    inner: index::Index,
}

#[pymethods]
impl Index {
    #[new]
    fn new(contigs: Vec<(String, u64)>) -> Self {
        Self { inner: index::Index { contigs, ..index::Index::default() } }
    }

    fn add_chunk(
        &mut self,
        start: u64,
        end: u64,
        digest: u64,
        tiles: Vec<(PyRef<'_, TileRow>, u64, u64)>,
    ) -> Result<()> {
        if end < start {
            return Err(Error::input("a chunk ends before it starts"));
        }
        if tiles.is_empty() {
            return Err(Error::input("a chunk has no tiles"));
        }
        let entry =
            |(row, core_length, rest_length): &(PyRef<'_, TileRow>, u64, u64)| index::Entry {
                extent: (&**row).into(),
                core_length: *core_length,
                rest_length: *rest_length,
            };
        self.inner.add_chunk(start, end, digest, &tiles.iter().map(entry).collect::<Vec<_>>());
        Ok(())
    }

    fn to_bytes<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.inner.to_bytes())
    }

    #[staticmethod]
    fn from_bytes(py: Python<'_>, data: &[u8]) -> Result<Self> {
        Ok(Self { inner: py.detach(|| index::Index::from_bytes(data))? })
    }

    #[getter]
    fn contigs(&self) -> Vec<(String, u64)> {
        self.inner.contigs.clone()
    }

    #[getter]
    fn chunks(&self) -> Vec<ChunkRow> {
        let row = |(number, chunk): (usize, &index::Chunk)| {
            let (first_tid, last_tid) = self.inner.tids(number);
            let &index::Chunk { start, end, digest, .. } = chunk;
            ChunkRow { first_tid, last_tid, start, end, digest }
        };
        self.inner.chunks.iter().enumerate().map(row).collect()
    }

    /// Bytes of the object of a chunk.
    fn size(&self, chunk: usize) -> PyResult<u64> {
        loaded(self.inner.size(self.checked(chunk)?))
    }

    /// The extents of the tiles of a chunk.
    fn rows(&self, chunk: usize) -> PyResult<Vec<TileRow>> {
        let tiles = loaded(self.inner.tiles(self.checked(chunk)?))?;
        Ok(tiles.iter().map(|tile| tile.extent.clone().into()).collect())
    }

    fn tiles(&self, chunk: usize) -> PyResult<Vec<TilePlace>> {
        let places = loaded(self.inner.places(self.checked(chunk)?))?;
        Ok(places.into_iter().map(TilePlace::from).collect())
    }

    fn overlapping(
        &self,
        py: Python<'_>,
        tid: i32,
        start: i64,
        end: i64,
    ) -> PyResult<Vec<TilePlace>> {
        let places = loaded(py.detach(|| self.inner.overlapping(tid, start, end)))?;
        Ok(places.into_iter().map(TilePlace::from).collect())
    }

    #[getter]
    fn tables(&self) -> Vec<TableRow> {
        let row = |(number, table): (usize, &index::Table)| {
            let &index::Table { tid, size, digest } = table;
            TableRow { tid, size, digest, loaded: self.inner.is_loaded(number) }
        };
        self.inner.tables.iter().enumerate().map(row).collect()
    }

    fn tiles_alone(&self) -> Vec<(i32, usize)> {
        self.inner.tiles_alone()
    }

    fn table<'py>(&self, py: Python<'py>, tid: i32) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.inner.table(tid))
    }

    fn move_out(&mut self, tid: i32, size: u64, digest: u64) {
        self.inner.move_out(index::Table { tid, size, digest });
    }

    fn load(&self, py: Python<'_>, tid: i32, data: &[u8]) -> Result<()> {
        py.detach(|| self.inner.load(tid, data))
    }
}

impl Index {
    fn checked(&self, chunk: usize) -> PyResult<usize> {
        if chunk < self.inner.chunks.len() {
            return Ok(chunk);
        }
        Err(pyo3::exceptions::PyIndexError::new_err("there is no such chunk"))
    }
}

/// Nothing found must never be taken for nothing there.
fn loaded<T>(found: Option<T>) -> PyResult<T> {
    let error = || pyo3::exceptions::PyRuntimeError::new_err("the tile table is not loaded");
    found.ok_or_else(error)
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<TileOptions>()?;
    module.add_class::<TileRow>()?;
    module.add_class::<Tile>()?;
    module.add_class::<Selection>()?;
    module.add_class::<DecodedTile>()?;

    module.add_class::<Stats>()?;
    module.add_class::<ChunkRow>()?;
    module.add_class::<TableRow>()?;
    module.add_class::<TilePlace>()?;
    module.add_class::<Index>()?;
    module.add_function(wrap_pyfunction!(encode_tile, module)?)?;
    module.add_function(wrap_pyfunction!(decode_tile, module)?)?;
    module.add_function(wrap_pyfunction!(count_tile, module)?)?;
    module.add_function(wrap_pyfunction!(first_position, module)?)
}
