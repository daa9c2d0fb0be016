"""Statistics of a dataset, from its manifest alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bams3.reads.dataset import Dataset

_FLAGSTAT = {
    "total": "in total (QC-passed reads + QC-failed reads)",
    "primary": "primary",
    "secondary": "secondary",
    "supplementary": "supplementary",
    "duplicates": "duplicates",
    "primary_duplicates": "primary duplicates",
    "mapped": "mapped",
    "primary_mapped": "primary mapped",
    "paired": "paired in sequencing",
    "read1": "read1",
    "read2": "read2",
    "properly_paired": "properly paired",
    "both_mapped": "with itself and mate mapped",
    "singletons": "singletons",
    "mate_on_other_contig": "with mate mapped to a different chr",
    "mate_on_other_contig_mapq5": "with mate mapped to a different chr (mapQ>=5)",
}
_OF = {"mapped": "total", "primary_mapped": "primary"}
_OF |= dict.fromkeys(("properly_paired", "singletons"), "paired")


def summary(dataset: Dataset) -> dict[str, Any]:
    """Return everything the manifest tells.

    Keys: `dataset`, `records`, `samples`, `profile`, `loss`, `flagstat` (by line: passed, failed),
    `idxstats` (by contig: length, mapped, unmapped, aligned bases, mean depth), `unplaced`,
    `bases`, `mean_length`, `longest`, `mean_depth`, `insert_size`, `mapq`, `length`,
    `sizes` (bytes), `digest`.
    """
    manifest = dataset.manifest
    stats: Mapping[str, Any] = manifest.stats.to_dict()
    contigs = stats["contigs"]
    genome = sum(dataset.contigs.values())
    aligned = sum(counts[2] for counts in contigs.values())
    return {
        "dataset": dataset.url,
        "records": manifest.records,
        "samples": list(manifest.samples),
        "profile": manifest.profile,
        "loss": manifest.loss,
        "flagstat": {name: list(counts) for name, counts in stats["flagstat"].items()},
        "idxstats": _idxstats(dataset, contigs),
        "unplaced": contigs.get(-1, (0, 0, 0))[1],
        "bases": stats["bases"],
        "mean_length": _ratio(stats["bases"], manifest.records),
        "longest": stats["longest"],
        "mean_depth": _ratio(aligned, genome),
        "insert_size": _spread(stats["insert_size"]),
        "mapq": _by_text(stats["mapq"]),
        "length": _by_text(stats["length"]),
        "sizes": _sizes(manifest.sizes),
        "digest": f"{manifest.digest:032x}",
    }


def _idxstats(dataset: Dataset, contigs: Mapping[int, Any]) -> dict[str, dict[str, Any]]:
    rows = {}
    for tid, (name, length) in enumerate(dataset.index.contigs):
        mapped, unmapped, aligned = contigs.get(tid, (0, 0, 0))
        rows[name] = {
            "length": length,
            "mapped": mapped,
            "unmapped": unmapped,
            "aligned_bases": aligned,
            "mean_depth": _ratio(aligned, length),
        }
    return rows


def _ratio(part: float, whole: float) -> float:
    return round(part / whole, 4) if whole else 0.0


def _by_text(histogram: Mapping[int, int]) -> dict[str, int]:
    return {str(value): count for value, count in sorted(histogram.items())}


def _spread(histogram: Mapping[int, int]) -> dict[str, Any]:
    """Return count, mean and quartiles of a histogram, and itself."""
    total = sum(histogram.values())
    mean = _ratio(sum(value * count for value, count in histogram.items()), total)
    quartiles = [_quantile(histogram, total * part / 4) for part in (1, 2, 3)]
    names = ("first_quartile", "median", "third_quartile")
    spread = {"count": total, "mean": mean} | dict(zip(names, quartiles, strict=True))
    return spread | {"histogram": _by_text(histogram)}


def _quantile(histogram: Mapping[int, int], rank: float) -> int | None:
    seen = 0
    for value, count in sorted(histogram.items()):
        seen += count
        if seen >= rank:
            return value
    return None


def _sizes(sizes: Mapping[str, Any]) -> dict[str, Any]:
    return dict(sizes) | {"total": sizes.get("data", 0) + sizes.get("header", 0)}


def flagstat(stats: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of `samtools flagstat`."""
    counts = stats["flagstat"]
    for name, text in _FLAGSTAT.items():
        passed, failed = counts[name]
        share = ""
        if name in _OF:
            parts = zip((passed, failed), counts[_OF[name]], strict=True)
            share = " ({} : {})".format(*(_percent(part, whole) for part, whole in parts))
        yield f"{passed} + {failed} {text}{share}"


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.2f}%" if whole else "N/A"


def idxstats(stats: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of `samtools idxstats`."""
    for name, row in stats["idxstats"].items():
        yield f"{name}\t{row['length']}\t{row['mapped']}\t{row['unmapped']}"
    yield f"*\t0\t0\t{stats['unplaced']}"


def render(stats: Mapping[str, Any]) -> str:
    """Write the statistics for a person."""
    lines = [*_overview(stats), "", "Reads", *(f"  {line}" for line in flagstat(stats))]
    lines += ["", *_contig_table(stats), "", *_size_table(stats["sizes"])]
    return "\n".join(lines) + "\n"


def _overview(stats: Mapping[str, Any]) -> Iterator[str]:
    lossy = ", ".join(f"{name}: {value}" for name, value in stats["loss"].items())
    yield f"Dataset      {stats['dataset']}"
    yield f"Samples      {', '.join(stats['samples']) or '-'}"
    yield f"Records      {stats['records']:,}"
    yield f"Bases        {stats['bases']:,} (mean length {stats['mean_length']:.1f}, longest {stats['longest']:,})"  # noqa: E501
    yield f"Mean depth   {stats['mean_depth']:.2f}"
    insert = stats["insert_size"]
    if insert["count"]:
        quartiles = f"quartiles {insert['first_quartile']}-{insert['third_quartile']}"
        yield f"Insert size  median {insert['median']}, {quartiles}"
    yield f"Profile      {stats['profile']}, {lossy or 'lossless'}"


def _contig_table(stats: Mapping[str, Any]) -> Iterator[str]:
    rows = {name: row for name, row in stats["idxstats"].items() if row["mapped"] + row["unmapped"]}
    width = max([len(name) for name in rows] + [len("(unplaced)")])
    yield f"{'Contig':<{width}} {'length':>13} {'mapped':>13} {'unmapped':>11} {'depth':>9}"
    for name, row in rows.items():
        counts = f"{row['length']:>13,} {row['mapped']:>13,} {row['unmapped']:>11,}"
        yield f"{name:<{width}} {counts} {row['mean_depth']:>9.2f}"
    yield f"{'(unplaced)':<{width}} {'':>13} {'':>13} {stats['unplaced']:>11,}"


def _size_table(sizes: Mapping[str, Any]) -> Iterator[str]:
    columns = sizes.get("columns", {})
    total = sum(columns.values()) or 1
    yield f"{'Column':<12} {'bytes':>15} {'share':>7}"
    for name, count in sorted(columns.items(), key=lambda item: -item[1]):
        yield f"{name:<12} {count:>15,} {count / total:>7.1%}"
    yield f"{'data, header':<12} {sizes['total']:>15,}"
