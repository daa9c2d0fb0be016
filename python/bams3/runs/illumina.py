"""What a run folder is, which instrument wrote it, and when it is complete.

A run folder is a directory with `RunInfo.xml`. It is complete when the marker files of its platform
are there, and have been for the settle time. The platform is taken from `RunParameters.xml`, which
names instrument or software, else from the serial number of the instrument in `RunInfo.xml`.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from xml.parsers import expat

from bams3.errors import InputError

RUN_INFO = "RunInfo.xml"
UNKNOWN = "unknown"
_PARAMETERS = ("RunParameters.xml", "runParameters.xml")
_LARGEST = 32 << 20
"""Bytes of an XML file at most; those of real runs have less than one MiB."""
_RTA = "RTAComplete.txt|RTAComplete.xml"
_END = "CopyComplete.txt|RunCompletionStatus.xml"

MARKERS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "NovaSeq X": ("CopyComplete.txt",),
        "NovaSeq 6000": ("CopyComplete.txt", "RTAComplete.txt", "SequenceComplete.txt"),
        "NextSeq 1000/2000": ("CopyComplete.txt", "RTAComplete.txt"),
        "NextSeq 500/550": (_RTA, _END),
        "MiSeq": (_RTA,),
        "MiSeq i100": (_END,),
        "MiniSeq": (_RTA, _END),
        "iSeq": (_RTA, _END),
        "HiSeq X/3000/4000": ("RTAComplete.txt", "SequencingComplete.txt"),
        "HiSeq 2500": (_RTA,),
        UNKNOWN: (f"CopyComplete.txt|{_RTA}",),
    }
)
"""Files that complete a run, by platform; all are needed, `A|B` means either."""

_LAST = (
    *("RTAExited.txt", "RTAComplete.xml", "RTAComplete.txt", "SequenceComplete.txt"),
    *("SequencingComplete.txt", "Basecalling_Netcopy_complete.txt", "CompletedJobInfo.xml"),
    *("RunCompletionStatus.xml", "CopyComplete.txt"),
)

# Instrument or software as RunParameters.xml names it; the first that matches counts.
_NAMED = (
    (r"novaseq ?x", "NovaSeq X"),
    (r"novaseq", "NovaSeq 6000"),
    (r"nextseq ?(1000|2000)", "NextSeq 1000/2000"),
    (r"nextseq", "NextSeq 500/550"),
    (r"miniseq", "MiniSeq"),
    (r"\biseq", "iSeq"),
    (r"miseq ?i100", "MiSeq i100"),
    (r"miseq", "MiSeq"),
    (r"hiseq ?(x|3000|4000)|hiseq control software hd", "HiSeq X/3000/4000"),
    (r"hiseq", "HiSeq 2500"),
)
# Serial numbers of the instruments.
_SERIALS = (
    (r"LH\d+", "NovaSeq X"),
    (r"A\d{5}R?", "NovaSeq 6000"),
    (r"V[HL]\d+", "NextSeq 1000/2000"),
    (r"N[BSD]\d+", "NextSeq 500/550"),
    (r"MN\d+", "MiniSeq"),
    (r"FS\d+", "iSeq"),
    (r"M\d{5}", "MiSeq"),
    (r"SH\d+", "MiSeq i100"),
    (r"ST-E\d+|[EJK]\d{5}", "HiSeq X/3000/4000"),
    (r"[CD]\d{5}", "HiSeq 2500"),
)
_NAMING = ("instrumenttype", "application", "applicationname", "applicationversion")


@dataclass(frozen=True, slots=True)
class RunInfo:
    """What the XML files of a run say; "" for what they do not.

    Attributes:
        run_id: Identifier of the run.
        instrument: Serial number of the instrument.
        flowcell: Identifier of the flow cell.
        platform: A name of `MARKERS`.
    """

    run_id: str
    instrument: str
    flowcell: str
    platform: str


@dataclass(frozen=True, slots=True)
class Rules:
    """When runs count as complete.

    Attributes:
        markers: Marker files by platform, in place of those of `MARKERS`.
        settle: Seconds for which the markers must have been there unchanged.
    """

    markers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    settle: float = 0.0

    def of(self, platform: str) -> tuple[str, ...]:
        """Return the marker files of a platform."""
        return tuple(self.markers.get(platform, MARKERS[platform]))


@dataclass(frozen=True, slots=True)
class Completion:
    """Whether a run is complete, and why."""

    complete: bool
    reason: str


def is_run(folder: Path) -> bool:
    """Return whether a directory is a run folder: whether it has `RunInfo.xml`."""
    return (folder / RUN_INFO).is_file()


def read_run(folder: Path) -> RunInfo:
    """Read `RunInfo.xml` and, if it is there, `RunParameters.xml`.

    Raises:
        InputError: A file cannot be read, is not XML, or has a document type definition.
    """
    info = _leaves(folder / RUN_INFO)
    named: dict[str, str] = {}
    for name in _PARAMETERS:
        if (folder / name).is_file():
            named = _leaves(folder / name)
            break
    instrument = info.get("instrument", "")
    return RunInfo(
        run_id=info.get("run id", ""),
        instrument=instrument,
        flowcell=info.get("flowcell", ""),
        platform=_platform(named, instrument),
    )


def _platform(named: Mapping[str, str], instrument: str) -> str:
    text = " ".join(named[name] for name in _NAMING if name in named).lower()
    for pattern, platform in _NAMED:
        if re.search(pattern, text):
            return platform
    for pattern, platform in _SERIALS:
        if re.fullmatch(pattern, instrument):
            return platform
    return UNKNOWN


def completion(folder: Path, rules: Rules, now: float | None = None) -> Completion:
    """Say whether a run is complete: all markers of its platform there and settled.

    A run whose XML files cannot be read, perhaps because they are being written, is not.

    Args:
        folder: The run folder.
        rules: Marker files and settle time.
        now: Seconds since 1970; the clock by default.
    """
    if not is_run(folder):
        return Completion(False, f"not a run: no {RUN_INFO}")
    try:
        platform = read_run(folder).platform
    except InputError as error:
        return Completion(False, error.message)
    present = [_present(folder, marker) for marker in rules.of(platform)]
    missing = [m for m, found in zip(rules.of(platform), present, strict=True) if not found]
    kind = "platform unknown" if platform == UNKNOWN else platform
    if missing:
        wanted = ", ".join(marker.replace("|", " or ") for marker in missing)
        return Completion(False, f"incomplete ({kind}): waits for {wanted}")
    newest = max((time_ for found in present for time_ in found), default=0.0)
    left = newest + rules.settle - (time.time() if now is None else now)
    if rules.settle and left > 0:
        return Completion(False, f"complete ({kind}), but must settle for {left:.0f} s more")
    return Completion(True, f"complete ({kind})")


def _present(folder: Path, marker: str) -> list[float]:
    """Return the times of change of those of the alternatives that are there."""
    times = []
    for name in marker.split("|"):
        try:
            times.append(os.stat(folder / name).st_mtime)
        except OSError:
            continue
    return times


def marker_rank(name: str, rules: Rules) -> int:
    """Return the place of a file among the markers, which go up last; 0 if it is none.

    Args:
        name: Path of the file inside the run.
        rules: May name further markers.
    """
    if name in _LAST:
        return _LAST.index(name) + 2
    own = (marker for needed in rules.markers.values() for marker in needed)
    return int(any(name in marker.split("|") for marker in own))


def _leaves(path: Path) -> dict[str, str]:
    """Return the texts of an XML file by lower-case element, and the attribute `Id` of `Run`."""
    try:
        with open(path, "rb") as file:
            data = file.read(_LARGEST + 1)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error
    if len(data) > _LARGEST:
        raise InputError(f"{path}: has more than {_LARGEST >> 20} MiB, and cannot be genuine")
    found: dict[str, str] = {}
    open_elements: list[str] = []

    def start(name: str, attributes: dict[str, str]) -> None:
        open_elements.append(name.lower())
        if name == "Run" and attributes.get("Id"):
            found.setdefault("run id", attributes["Id"])

    def text(data: str) -> None:
        if data.strip():
            name = open_elements[-1]
            found[name] = found.get(name, "") + data.strip()

    def refuse(*_: object) -> None:
        raise InputError(f"{path}: has a document type definition, which runs never have")

    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = start
    parser.EndElementHandler = lambda _: open_elements.pop()
    parser.CharacterDataHandler = text
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise InputError(f"{path}: not XML: {error}", "is it still being written?") from error
    return found
