"""The configuration file: what it may say, and that all its problems are listed at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from bams3.errors import NotFoundError, UsageError
from bams3.server.config import RootConfig, read, root_of
from bams3.server.serve import check_exposure

GOOD = """
listen = "0.0.0.0"
port = 443
hosts = ["Genomes.example.org"]
origins = ["https://igv.example.org"]
cache = "256M"
audit = "audit.jsonl"
redirect = 600
[tls]
cert = "cert.pem"
key = "key.pem"
[[root]]
name = "project"
url = "s3://bucket/project/"
extensions = [".bam", ".bai"]
[[token]]
user = "ada"
sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
roots = ["project"]
regions = ["chr17:43,044,295-43,170,245"]
[oidc]
issuer = "https://login.example.org"
audience = "bams3"
jwks = "https://login.example.org/keys"
[[oidc.grant]]
claim = "groups"
value = "lab-a"
[limits]
streams = 8
wait = 2
[links]
k1 = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
"""

BAD = """
listen = 5
prot = 80
origins = ["igv.example.org", "*"]
cache = "much"
[tls]
certificate = "x"
[[root]]
name = "a/b"
[[root]]
name = "x"
url = "/x"
path = "/y"
[[root]]
name = "x"
url = "/y"
[[token]]
user = "ada"
sha256 = "secret"
roots = ["y"]
regions = ["chr1:9-3"]
[oidc]
jwks = "http://login.example.org/keys"
algorithms = ["none", "HS256"]
[limits]
streams = 0
wait = "long"
[links]
k1 = "short"
"""
PROBLEMS = [
    "listen: 5 is not of type str", "prot: is not known", "origins: igv.example.org is not like",
    "cache: 'much' is no size", "tls.certificate: is not known",
    "root[0]: 'a/b' cannot name a root", "root[0].url: is missing",
    "root[1].path: is not known", "root[2].name: x is taken",
    "token[0].sha256: is not the SHA-256", "token[0].roots: there is no root y",
    "token[0].regions: ", "oidc.issuer: is missing", "oidc.audience: is missing",
    "oidc.jwks: is not an https address", "oidc.algorithms: none is not one of",
    "oidc.algorithms: HS256 is not one of", "limits.streams: has to be positive",
    "limits.wait: 'long' is not of type float", "links.k1: needs 64 hexadecimal digits",
]  # fmt: skip


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "server.toml"


def test_all_that_can_be_said(file: Path) -> None:
    file.write_text(GOOD)
    file.chmod(0o600)
    config = read(file)
    assert config.roots == (RootConfig("project", "s3://bucket/project/", (".bam", ".bai")),)
    assert (config.listen, config.port, config.cache, config.redirect) == (
        "0.0.0.0", 443, 256 << 20, 600,
    )  # fmt: skip
    assert config.hosts == ("genomes.example.org",)
    assert config.tokens[0].user.roots == {"project"}
    assert config.tokens[0].user.regions == ("chr17:43,044,295-43,170,245",)
    assert config.oidc and config.oidc.algorithms == ("RS256", "ES256")
    assert config.oidc.grants[0].roots is None
    assert (config.limits.streams, config.limits.wait, config.limits.head) == (8, 2.0, 16384)
    assert len(config.link_keys["k1"]) == 32
    check_exposure(config)


def test_all_problems_are_listed(file: Path) -> None:
    file.write_text(BAD)
    file.chmod(0o600)
    with pytest.raises(UsageError) as caught:
        read(file)
    lines = caught.value.message.splitlines()[1:]
    for problem in PROBLEMS:
        assert any(line.strip().startswith(problem) for line in lines), problem
    assert len(lines) == len(PROBLEMS)


@pytest.mark.parametrize("mode", [0o640, 0o620, 0o604])
def test_secrets_are_for_their_owner(file: Path, mode: int) -> None:
    file.write_text(GOOD)
    file.chmod(mode)
    with pytest.raises(UsageError, match="chmod 600"):
        read(file)


def test_a_list_of_no_roots_or_regions_gives_none(file: Path) -> None:
    """Only who has no list at all has everything."""
    text = f'[[root]]\nname = "x"\nurl = "/y"\n[[token]]\nuser = "ada"\nsha256 = "{"0" * 64}"\n'
    file.write_text(text)
    assert (read(file).tokens[0].user.roots, read(file).tokens[0].user.regions) == (None, None)
    file.write_text(f"{text}roots = []\nregions = []\n")
    user = read(file).tokens[0].user
    assert (user.roots, user.regions) == (frozenset(), ())


def test_no_file_and_no_toml(file: Path) -> None:
    with pytest.raises(NotFoundError):
        read(file)
    file.write_text("listen = ")
    with pytest.raises(UsageError, match="not a TOML file"):
        read(file)
    file.write_text("")
    with pytest.raises(UsageError, match="nothing to serve"):
        read(file)


@pytest.mark.parametrize(
    ("text", "name", "url"),
    [
        ("ref=/data/GRCh38.fa", "ref", "/data/GRCh38.fa"), ("/data/run7", "run7", "/data/run7"),
        ("s3://bucket/project/", "project", "s3://bucket/project/"), ("s3://b/a=b/", "a-b", "s3://b/a=b/"),
        ("p=s3://b/a=b/", "p", "s3://b/a=b/"), ("/data/run 7/", "run-7", "/data/run 7/"),
    ],
)  # fmt: skip
def test_roots_of_the_command_line(text: str, name: str, url: str) -> None:
    assert root_of(text) == RootConfig(name, url)
