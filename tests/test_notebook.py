"""The notebook of variants, run from its first cell to its last on a real S3 server."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pysam
import pytest

from bams3.storage import open_store
from bams3.variants.compare import compare
from bams3.variants.statistics import statistics
from tests.variants.sample import Kind, Sample, make_sample

NOTEBOOK = Path(__file__).parents[1] / "notebooks" / "variant_analysis.ipynb"
PLANTED = Kind({"chr20": 60_000, "chr21": 20_000}, 30, 400, 700)


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    return make_sample(tmp_path_factory.mktemp("planted"), PLANTED, name="NA12878")


def run(notebook: Any, folder: Path) -> str:
    """Run all cells in a folder. Return what they print."""
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    client = nbclient.NotebookClient(
        notebook, timeout=300, resources={"metadata": {"path": str(folder)}}
    )
    client.execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert not [output for output in outputs if output.get("name") == "stderr"]
    return "".join(output.get("text", "") for output in outputs)


def with_parameters(bucket: str, sample: Sample) -> Any:
    """Return the notebook; the cell that a reader changes is changed."""
    nbformat = pytest.importorskip("nbformat")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    (cell,) = (c for c in notebook.cells if "parameters" in c.metadata.get("tags", []))
    values = {"READS": sample.bam, "REFERENCE": sample.reference, "BUCKET": bucket}
    for name, value in values.items():
        cell.source, changed = re.subn(
            rf"^{name} = \S+", f"{name} = {value!r}", cell.source, flags=re.M
        )
        assert changed == 1, name
    return notebook


def test_all_planted_variants_are_found(real_s3: str, sample: Sample, tmp_path: Path) -> None:
    pytest.importorskip("vl_convert")
    text = run(with_parameters(f"{real_s3}/run", sample), tmp_path)
    store = open_store(f"{real_s3}/run")
    calls = tmp_path / "calls.vcf.gz"
    calls.write_bytes(store.get("calls.vcf.gz"))
    found = compare(calls, sample.truth, sample.reference)
    assert found.snv.true_positives > 70 and found.indel.true_positives > 20
    assert (found.snv.false_negatives, found.indel.false_negatives) == (0, 0)
    assert (found.snv.false_positives, found.indel.false_positives) == (0, 0)
    reads = sum(int(row.split("\t")[2]) for row in pysam.idxstats(sample.bam).splitlines())
    counts = statistics(calls)
    assert f"{reads:,} reads" in text and f"{counts.variants:,} variants" in text
    check_files(tmp_path, counts.variants)


def check_files(folder: Path, variants: int) -> None:
    rows = (folder / "variants.csv").read_text().splitlines()
    assert len(rows) == variants + 1 and rows[0].startswith("sample_id,chromosome,")
    assert (folder / "results_visualization.png").read_bytes().startswith(b"\x89PNG")
    assert f'<dd class="value">{variants:,}</dd>' in (folder / "report.html").read_text()


def test_nothing_found_is_summed_up_too(real_s3: str, sample: Sample, tmp_path: Path) -> None:
    """C6: a region in which nothing was planted."""
    notebook = with_parameters(f"{real_s3}/none", sample)
    cell = notebook.cells[1]
    cell.source = cell.source.replace("REGION = None", 'REGION = "chr20:1-200"')
    text = run(notebook, tmp_path)
    assert "0 records of NA12878" in text and "0 variants" in text
    assert (tmp_path / "variants.csv").read_text().count("\n") == 1


def test_the_notebook_is_kept_without_outputs() -> None:
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert code and all(cell["outputs"] == [] and not cell["execution_count"] for cell in code)
