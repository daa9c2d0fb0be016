"""Configurations: what is accepted, and all problems of one that is not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bams3.errors import Bams3Error, NotFoundError, UsageError
from bams3.runs.config import read_config
from tests.runs.made import config_file, config_table, entry, write

GOOD = entry(Path("/seq/a"), bucket="lab", remote_path="/runs")


def problems(folder: Path, table: Any, strict: bool = True) -> list[str]:
    with pytest.raises(UsageError) as caught:
        read_config(config_file(folder, table), strict=strict)
    first, *listed = caught.value.message.split("\n\t")
    assert first == f"{len(listed)} errors found in config:"
    return listed


def test_config_valid(tmp_path: Path) -> None:
    table = config_table(tmp_path, GOOD, slack_log_webhook="http://l")
    config = read_config(config_file(tmp_path, table))
    assert (config.max_cores, config.max_threads, config.max_age) == (2, 4, 72)
    assert (config.log_level, config.log_dir) == (20, str(tmp_path / "logs"))
    assert config.log_webhook == config.alert_webhook == "http://l"
    assert config.entries[0].directories == ("/seq/a",)
    assert (config.entries[0].bucket, config.entries[0].remote_path) == ("lab", "/runs")
    assert config.rules.settle == 60


def test_u7_everything_but_monitor_has_a_default(tmp_path: Path) -> None:
    """A configuration without max_cores crashed."""
    config = read_config(config_file(tmp_path, {"monitor": [GOOD]}))
    assert config.max_cores >= 1 and config.max_threads == 4
    assert config.log_dir == "/var/log/s3_upload"


def test_toml(tmp_path: Path) -> None:
    path = write(
        tmp_path / "config.toml",
        'max_cores = 3\nsettle_seconds = 5\n[completion]\nMiSeq = ["A.txt|B.txt"]\n[[monitor]]\n'
        'monitored_directories = ["/a"]\nbucket = "b"\nremote_path = "/"\n'
        "exclude_patterns = ['.*png$']\n",
    )
    config = read_config(path)
    assert (config.max_cores, config.rules.settle) == (3, 5)
    assert config.rules.of("MiSeq") == ("A.txt|B.txt",)
    assert config.entries[0].exclude_patterns == (".*png$",)


def test_config_eight_collected_errors(tmp_path: Path) -> None:
    table = {
        "max_cores": "4",
        "max_threads": "8",
        "max_age": "72",
        "log_level": "LOUD",
        "monitor": [
            {"monitored_directories": "/a", "bucket": "b", "remote_path": "/"},
            {"monitored_directories": ["/a"], "remote_path": "/"},
            {**GOOD, "sample_regex": "[a"},
            {**GOOD, "bucket": 7},
        ],
    }
    assert problems(tmp_path, table) == [
        "max_cores must be an integer",
        "max_threads must be an integer",
        "max_age must be a positive integer",
        "Given log level is not valid: LOUD",
        "monitored_directories not of expected type from monitor section 0. "
        "Expected: <class 'list'> | Found <class 'str'>",
        "required parameter bucket missing from monitor section 1",
        "Invalid regex pattern provided in monitor section 2: [a",
        "bucket not of expected type from monitor section 3. "
        "Expected: <class 'str'> | Found <class 'int'>",
    ]


def test_config_missing_monitor(tmp_path: Path) -> None:
    assert problems(tmp_path, {"max_cores": 1}) == ["required parameter monitor not defined"]
    assert problems(tmp_path, {"monitor": []}) == ["required parameter monitor not defined"]


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"max_cores": True}, "max_cores must be an integer"),
    ({"max_cores": 0}, "max_cores must be at least 1"),
    ({"max_threads": -1}, "max_threads must be at least 1"),
    ({"max_age": 0}, "max_age must be a positive integer"),
    ({"max_age": -3}, "max_age must be a positive integer"),
    ({"max_age": 1.5}, "max_age must be a positive integer"),
    ({"log_level": 25}, "Given log level is not valid: 25"),
    ({"log_level": True}, "Given log level is not valid: True"),
    ({"log_dir": 3}, "log_dir must be a path"),
    ({"slack_log_webhook": []}, "slack_log_webhook must be a string"),
    ({"settle_seconds": -1}, "settle_seconds must not be negative"),
    ({"completion": {"PacBio": ["x"]}}, "completion: no such platform: PacBio"),
    ({"completion": {"MiSeq": "x"}}, "completion: not a list of file names: MiSeq"),
    ({"max_core": 4}, "unknown parameter max_core (did you mean max_cores?)"),
    ({"monitor": "x"}, "monitor must be a list of sections"),
    ({"monitor": ["x"]}, "monitor section 0 is not a table"),
    (
        {"monitor": [{**GOOD, "monitored_directories": ["/a", 3]}]},
        "monitored_directories must hold paths in monitor section 0: 3",
    ),
    (
        {"monitor": [{**GOOD, "exclude_patterns": ["(", "a"]}]},
        "Invalid regex pattern provided in monitor section 0: (",
    ),
    (
        {"monitor": [{**GOOD, "exclude_patterns": "a"}]},
        "exclude_patterns not of expected type from monitor section 0. "
        "Expected: <class 'list'> | Found <class 'str'>",
    ),
    (
        {"monitor": [{**GOOD, "sample_regexp": "a"}]},
        "unknown parameter sample_regexp from monitor section 0 (did you mean sample_regex?)",
    ),
]


@pytest.mark.parametrize(("change", "problem"), WRONG)
def test_what_nobody_checked(tmp_path: Path, change: dict[str, Any], problem: str) -> None:
    assert problems(tmp_path, {"monitor": [GOOD], **change}) == [problem]


def test_all_problems_at_once(tmp_path: Path) -> None:
    table: dict[str, Any] = {"monitor": [GOOD]}
    for change, _ in WRONG[:14]:
        table |= change
    assert len(problems(tmp_path, table)) == 9


def test_the_old_name_passes_over_unknown_keys(tmp_path: Path) -> None:
    table = {"monitor": [{**GOOD, "comment": "sequencer 1"}], "comment": "ours"}
    assert len(problems(tmp_path, table)) == 2
    assert read_config(config_file(tmp_path, table), strict=False).entries


@pytest.mark.parametrize("level", ["debug", "DEBUG", "10", 10])
def test_log_levels(tmp_path: Path, level: Any) -> None:
    """A name in lower case passed the check, and crashed afterwards."""
    assert (
        read_config(config_file(tmp_path, {"monitor": [GOOD], "log_level": level})).log_level == 10
    )


def test_files_that_are_no_configuration(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no such configuration file"):
        read_config(tmp_path / "none.json")
    for name, text in [("a.json", "{"), ("b.toml", "a"), ("c.json", "[1]"), ("d.json", b"\xff")]:
        with pytest.raises(UsageError, match=f"{name}: "):
            read_config(write(tmp_path / name, text))  # type: ignore[arg-type]


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
_KEYS = (
    "max_cores max_threads max_age log_level log_dir slack_log_webhook slack_alert_webhook "
    "settle_seconds completion monitor"
).split()
_SECTION = "monitored_directories bucket remote_path sample_regex exclude_patterns other".split()


@given(
    st.dictionaries(st.sampled_from(_KEYS), _JSON, max_size=5),
    st.lists(st.dictionaries(st.sampled_from(_SECTION), _JSON) | _JSON, max_size=2),
)
def test_any_table_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, table: dict[str, Any], sections: list[Any]
) -> None:
    """Whatever stands in the file: a configuration, or an error of ours."""
    table = {"monitor": sections, **table}
    path = tmp_path_factory.mktemp("config") / "config.json"
    path.write_text(json.dumps(table))
    try:
        config = read_config(path)
    except Bams3Error as error:
        assert "errors found in config" in error.message
    else:
        assert config.entries and config.max_cores >= 1 and config.max_age >= 1
