"""What calls are about: contigs, samples, and what their fields mean."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bams3.errors import InputError

if TYPE_CHECKING:
    import pysam

_DEFINES = ("INFO", "FORMAT", "FILTER", "ALT")


@dataclass(frozen=True, slots=True)
class Header:
    """The header of calls.

    Attributes:
        contigs: Names in their order, with lengths (0 where no file said it).
        samples: Names.
        definitions: Lines such as `##INFO=<ID=DP,...>`, by what they define: "INFO/DP".
    """

    contigs: Mapping[str, int] = field(default_factory=dict)
    samples: tuple[str, ...] = ()
    definitions: Mapping[str, str] = field(default_factory=dict)

    def joined(self, other: Header, name: str) -> Header:
        """Return this header with what another one adds.

        Args:
            other: The other.
            name: Where this one is from, for the message.

        Raises:
            InputError: A contig has another length there.
        """
        contigs = dict(self.contigs)
        for contig, length in other.contigs.items():
            known = contigs.get(contig)
            if known and length and known != length:
                raise InputError(
                    f"contig {contig} has {length:,} bases, but {known:,} in {name}",
                    "keep calls of another reference genome in another store",
                )
            contigs[contig] = known or length
        samples = dict.fromkeys((*self.samples, *other.samples))
        return Header(contigs, tuple(samples), _joined(self.definitions, other.definitions))

    def lines(self) -> list[str]:
        """Return the lines of a VCF header, without the last one, which names the samples."""
        contigs = [
            f"##contig=<ID={name},length={length}>" if length else f"##contig=<ID={name}>"
            for name, length in self.contigs.items()
        ]
        return ["##fileformat=VCFv4.3", *self.definitions.values(), *contigs]


def header_of(header: pysam.VariantHeader) -> Header:
    """Return the header of an open file."""
    contigs = {contig.name: contig.length or 0 for contig in header.contigs.values()}
    lines = {
        f"{record.key}/{record['ID']}": str(record).strip()
        for record in header.records
        if record.key in _DEFINES and "ID" in record
    }
    return Header(contigs, tuple(map(str, header.samples)), lines)


def _joined(ours: Mapping[str, str], theirs: Mapping[str, str]) -> dict[str, str]:
    """Keep ours; where the form differs, say what is true of both."""
    lines = dict(theirs) | dict(ours)
    for name in ours.keys() & theirs.keys():
        lines[name] = _common(ours[name], theirs[name])
    order: Sequence[str] = [*ours, *(name for name in theirs if name not in ours)]
    return {name: lines[name] for name in order}


def _common(ours: str, theirs: str) -> str:
    """Return a definition of a field that two callers define differently."""
    if _form(ours, "Number") != _form(theirs, "Number"):
        ours = re.sub(r"Number=[^,>]+", "Number=.", ours, count=1)
    kinds = {_form(ours, "Type"), _form(theirs, "Type")}
    if len(kinds) > 1:
        kind = "Float" if kinds == {"Integer", "Float"} else "String"
        ours = re.sub(r"Type=\w+", f"Type={kind}", ours, count=1)
    return ours


def _form(line: str, key: str) -> str:
    found = re.search(rf"[<,]{key}=([^,>]+)", line)
    return found[1] if found else ""
