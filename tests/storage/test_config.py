"""Options: flag, environment, file, default."""

from __future__ import annotations

from pathlib import Path

import pytest

from bams3.config import StorageOptions
from bams3.errors import NotFoundError, UsageError


def test_order(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text(
        '[storage]\nregion = "file"\nprofile = "file"\nconnections = 4\nsse = "AES256"\n'
    )
    environ = {"AWS_REGION": "environment", "AWS_PROFILE": "environment", "HOME": str(tmp_path)}
    options = StorageOptions.resolve({"region": "flag", "sse": None}, environ, file)
    assert (options.region, options.profile) == ("flag", "environment")
    assert (options.sse, options.connections, options.timeout) == ("AES256", 4, 60.0)


def test_default_file(tmp_path: Path) -> None:
    (tmp_path / ".config" / "bams3").mkdir(parents=True)
    (tmp_path / ".config" / "bams3" / "config.toml").write_text("[storage]\npath_style = true\n")
    assert StorageOptions.resolve({}, {"HOME": str(tmp_path)}).path_style is True
    assert StorageOptions.resolve({}, {}).path_style is None


@pytest.mark.parametrize(
    ("environ", "name", "value"),
    [
        ({"AWS_ENDPOINT_URL": "a", "AWS_ENDPOINT_URL_S3": "b"}, "endpoint_url", "b"),
        ({"AWS_ENDPOINT_URL": "a"}, "endpoint_url", "a"),
        ({"AWS_DEFAULT_REGION": "r"}, "region", "r"),
        ({"BAMS3_NO_SIGN_REQUEST": "1"}, "no_sign_request", True),
        ({"BAMS3_REQUESTER_PAYS": "False"}, "requester_pays", False),
        ({"BAMS3_PATH_STYLE": "no"}, "path_style", False),
        ({"BAMS3_TIMEOUT": "1.5"}, "timeout", 1.5),
        ({"BAMS3_RETRIES": ""}, "retries", 8),
    ],
)
def test_environment(environ: dict[str, str], name: str, value: object) -> None:
    assert getattr(StorageOptions.resolve({}, environ), name) == value


def test_what_is_not_understood(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    for text in (
        "[storage]\nregoin = 1\n",
        "[storage",
        "storage = 1",
        '[storage]\nretries = "x"\n',
    ):
        file.write_text(text)
        with pytest.raises(UsageError):
            StorageOptions.resolve({}, {}, file)
    for environ in ({"BAMS3_PATH_STYLE": "maybe"}, {"BAMS3_SSE": "rot13"}, {"BAMS3_TIMEOUT": "0"}):
        with pytest.raises(UsageError):
            StorageOptions.resolve({}, environ)
    with pytest.raises(UsageError, match="colour"):
        StorageOptions.resolve({"colour": "red"}, {})
    with pytest.raises(NotFoundError):
        StorageOptions.resolve({}, {"BAMS3_CONFIG": str(tmp_path / "none")})
