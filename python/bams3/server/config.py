"""What a server is told: command line or TOML; all problems are listed at once.

listen = "0.0.0.0"
port = 443
hosts = ["genomes.example.org"]
origins = ["https://igv.example.org"]        # pages of other sites that may read (CORS)
cache = "256M"
audit = "/var/log/bams3/audit.jsonl"
redirect = 0                                 # seconds that presigned addresses live; 0: never
first_block = false
reference = "/data/GRCh38.fa"                # for htsget of CRAM that needs one

[tls]
cert = "/etc/bams3/cert.pem"
key = "/etc/bams3/key.pem"

[[root]]
name = "project"
url = "s3://bucket/project/"
extensions = [".bam", ".bai"]                # instead of all genomic formats

[[token]]                                    # openssl rand -hex 32 | tee token
user = "ada"
sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
roots = ["project"]
regions = ["chr17:43,044,295-43,170,245"]

[oidc]
issuer = "https://login.example.org"
audience = "bams3"
jwks = "https://login.example.org/keys"
algorithms = ["RS256"]

[[oidc.grant]]
claim = "groups"
value = "lab-a"
roots = ["project"]

[limits]
streams = 64

[links]                                      # keys of signed links, so that they outlive restarts
k1 = "hexadecimal, 32 bytes or more"
"""

from __future__ import annotations

import os
import re
import stat
import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bams3.errors import Bams3Error, NotFoundError, UsageError
from bams3.regions import parse_region
from bams3.server.auth import ALGORITHMS, Grant, Oidc, Token, User
from bams3.server.limits import Limits
from bams3.server.roots import check_name, named

_UNITS = {"": 0, "K": 10, "M": 20, "G": 30}


@dataclass(frozen=True, slots=True)
class RootConfig:
    """A root: name, address, and the extensions that are served of it, all if empty."""

    name: str
    url: str
    extensions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Config:
    """Everything that a server is told; see the module for the meaning.

    Attributes:
        public: How many times somebody said that the server may be open to everybody.
        cache: Bytes of the block cache.
    """

    roots: tuple[RootConfig, ...] = ()
    listen: str = "127.0.0.1"
    port: int = 8080
    public: int = 0
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    cache: int = 64 << 20
    audit: str = ""
    redirect: int = 0
    first_block: bool = False
    reference: str | None = None
    tls_cert: str = ""
    tls_key: str = ""
    tokens: tuple[Token, ...] = ()
    oidc: Oidc | None = None
    link_keys: dict[str, bytes] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)


def root_of(text: str) -> RootConfig:
    """Return the root that `[NAME=]ADDRESS` means."""
    return RootConfig(*named(text))


def read(path: str | os.PathLike[str]) -> Config:
    """Read a configuration file.

    Raises:
        NotFoundError: There is none.
        UsageError: It is wrong; the message lists everything that is.
    """
    file = Path(path)
    if not file.is_file():
        raise NotFoundError(f"{file}: no such configuration file")
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{file}: not a TOML file: {error}") from error
    reader = _Reader(table)
    config = reader.config()
    if table.get("links") and stat.S_IMODE(file.stat().st_mode) & 0o077:
        reader.problems.append("links: others can read this file; chmod 600 it")
    if reader.problems:
        raise UsageError("\n".join([f"{file}:", *(f"  {problem}" for problem in reader.problems)]))
    return config


class _Reader:
    """Takes values out of a table and notes what is wrong with them."""

    def __init__(self, table: dict[str, Any]) -> None:
        self.table = table
        self.problems: list[str] = []

    def config(self) -> Config:
        table, tls = self.table, self._table(self.table, "tls", {"cert", "key"})
        known = {"listen", "port", "public", "hosts", "origins", "cache", "audit", "redirect"}
        known |= {"first_block", "reference", "tls", "root", "token", "oidc", "links", "limits"}
        self._unknown(table, known, "")
        roots = self._roots()
        return Config(
            roots=roots,
            listen=self._take(table, "listen", str, "127.0.0.1"),
            port=self._take(table, "port", int, 8080),
            public=2 if self._take(table, "public", str, "") == "yes, to everybody" else 0,
            hosts=tuple(host.lower() for host in self._texts(table, "hosts")),
            origins=self._origins(),
            cache=self._size("cache", 64 << 20),
            audit=self._take(table, "audit", str, ""),
            redirect=self._take(table, "redirect", int, 0),
            first_block=self._take(table, "first_block", bool, False),
            reference=self._take(table, "reference", str, "") or None,
            tls_cert=self._take(tls, "cert", str, "", "tls."),
            tls_key=self._take(tls, "key", str, "", "tls."),
            tokens=tuple(self._tokens({root.name for root in roots})),
            oidc=self._oidc({root.name for root in roots}),
            link_keys=self._link_keys(),
            limits=self._limits(),
        )

    # ---- parts -----------------------------------------------------------------------------------
    def _roots(self) -> tuple[RootConfig, ...]:
        found, names = [], set()
        for where, item in self._tables(self.table, "root", {"name", "url", "extensions"}):
            name, url = (self._take(item, key, str, "", f"{where}.") for key in ("name", "url"))
            self._try(where, lambda name=name: check_name(name))
            if not url:
                self.problems.append(f"{where}.url: is missing")
            if name in names:
                self.problems.append(f"{where}.name: {name} is taken")
            names.add(name)
            found.append(RootConfig(name, url, self._texts(item, "extensions", f"{where}.")))
        if not found:
            self.problems.append("root: there is none, so there is nothing to serve")
        return tuple(found)

    def _tokens(self, roots: set[str]) -> list[Token]:
        found = []
        for where, item in self._tables(
            self.table, "token", {"user", "sha256", "roots", "regions"}
        ):
            user = self._take(item, "user", str, "", f"{where}.")
            digest = self._take(item, "sha256", str, "", f"{where}.").lower()
            if not user:
                self.problems.append(f"{where}.user: is missing")
            if not re.fullmatch("[0-9a-f]{64}", digest):
                self.problems.append(f"{where}.sha256: is not the SHA-256 of a token")
            found.append(Token(digest, User(user, *self._rights(item, where, roots))))
        return found

    def _oidc(self, roots: set[str]) -> Oidc | None:
        keys = {"issuer", "audience", "jwks", "algorithms", "grant"}
        table = self._table(self.table, "oidc", keys)
        if not table:
            return None
        issuer, audience, jwks = (
            self._take(table, key, str, "", "oidc.") for key in ("issuer", "audience", "jwks")
        )
        for key, value in (("issuer", issuer), ("audience", audience)):
            if not value:
                self.problems.append(f"oidc.{key}: is missing")
        parts = urlsplit(jwks)
        if parts.scheme != "https" and parts.hostname not in ("127.0.0.1", "localhost", "::1"):
            self.problems.append("oidc.jwks: is not an https address")
        algorithms = self._texts(table, "algorithms", "oidc.") or ("RS256", "ES256")
        for name in set(algorithms) - set(ALGORITHMS):
            self.problems.append(f"oidc.algorithms: {name} is not one of {', '.join(ALGORITHMS)}")
        grants = tuple(self._grants(table, roots))
        return Oidc(issuer, audience, jwks, tuple(algorithms), grants)

    def _grants(self, table: dict[str, Any], roots: set[str]) -> list[Grant]:
        found = []
        keys = {"claim", "value", "roots", "regions"}
        for where, item in self._tables(table, "grant", keys, "oidc."):
            claim, value = (
                self._take(item, key, str, "", f"{where}.") for key in ("claim", "value")
            )
            if not claim or not value:
                self.problems.append(f"{where}: claim and value are needed")
            found.append(Grant(claim, value, *self._rights(item, where, roots)))
        return found

    def _rights(
        self, item: dict[str, Any], where: str, roots: set[str]
    ) -> tuple[frozenset[str] | None, tuple[str, ...] | None]:
        named_roots = self._texts(item, "roots", f"{where}.")
        for name in set(named_roots) - roots:
            self.problems.append(f"{where}.roots: there is no root {name}")
        regions = self._texts(item, "regions", f"{where}.")
        for text in regions:
            contig = text.rpartition(":")[0] or text
            self._try(
                f"{where}.regions",
                lambda text=text, contig=contig: parse_region(text, [contig]),
            )
        return (
            frozenset(named_roots) if "roots" in item else None,
            regions if "regions" in item else None,
        )

    def _origins(self) -> tuple[str, ...]:
        origins = self._texts(self.table, "origins")
        for origin in origins:
            parts = urlsplit(origin)
            exact = parts.scheme in ("http", "https") and parts.netloc and not parts.path
            if origin != "*" and not exact:
                self.problems.append(f"origins: {origin} is not like https://host, nor *")
        return origins

    def _link_keys(self) -> dict[str, bytes]:
        found = {}
        for name, text in self._table(self.table, "links", None).items():
            try:
                found[name] = bytes.fromhex(text)
            except (TypeError, ValueError):
                found[name] = b""
            if len(found[name]) < 32 or "." in name:
                self.problems.append(f"links.{name}: needs 64 hexadecimal digits or more")
        return found

    def _limits(self) -> Limits:
        table = self._table(self.table, "limits", {item.name for item in fields(Limits)})
        values = {}
        for item in fields(Limits):
            default = item.default
            kind = type(default)
            value = self._take(table, item.name, kind, default, "limits.")
            if value <= 0:
                self.problems.append(f"limits.{item.name}: has to be positive")
            values[item.name] = value
        return Limits(**values)

    # ---- values ----------------------------------------------------------------------------------
    def _take(
        self, table: dict[str, Any], key: str, kind: type, default: Any, where: str = ""
    ) -> Any:
        value = table.get(key, default)
        if kind is float and type(value) is int:
            value = float(value)
        if type(value) is not kind:
            self.problems.append(f"{where}{key}: {value!r} is not of type {kind.__name__}")
            return default
        return value

    def _texts(self, table: dict[str, Any], key: str, where: str = "") -> tuple[str, ...]:
        value = table.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            self.problems.append(f"{where}{key}: is not a list of texts")
            return ()
        return tuple(value)

    def _size(self, key: str, default: int) -> int:
        value = self.table.get(key, default)
        match = re.fullmatch(r"([0-9]+)([KMG]?)", str(value).upper())
        if not match:
            self.problems.append(f"{key}: {value!r} is no size, such as 256M")
            return default
        return int(match[1]) << _UNITS[match[2]]

    def _table(self, table: dict[str, Any], key: str, known: set[str] | None) -> dict[str, Any]:
        value = table.get(key, {})
        if not isinstance(value, dict):
            self.problems.append(f"{key}: is not a table")
            return {}
        if known is not None:
            self._unknown(value, known, f"{key}.")
        return value

    def _tables(
        self, table: dict[str, Any], key: str, known: set[str], where: str = ""
    ) -> list[tuple[str, dict[str, Any]]]:
        value = table.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            self.problems.append(f"{where}{key}: write [[{where}{key}]]")
            return []
        found = [(f"{where}{key}[{n}]", item) for n, item in enumerate(value)]
        for place, item in found:
            self._unknown(item, known, f"{place}.")
        return found

    def _unknown(self, table: dict[str, Any], known: set[str], where: str) -> None:
        self.problems += [f"{where}{key}: is not known" for key in table.keys() - known]

    def _try(self, where: str, check: Any) -> None:
        try:
            check()
        except Bams3Error as error:
            self.problems.append(f"{where}: {error.message}")
