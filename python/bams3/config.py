"""How to reach a store: one frozen record, filled from flag, environment, TOML file, default.

The file is `$BAMS3_CONFIG`, else `$XDG_CONFIG_HOME/bams3/config.toml`, else
`~/.config/bams3/config.toml`; its table `[storage]` has the names of `StorageOptions`:

    [storage]
    endpoint_url = "https://s3.example.org"
    path_style = true

Credentials are never read from here: they come from the standard AWS chain
(`bams3.storage.credentials`).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from bams3.errors import NotFoundError, UsageError

_ENVIRONMENT: dict[str, tuple[str, ...]] = {
    "endpoint_url": ("BAMS3_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
    "region": ("BAMS3_REGION", "AWS_REGION", "AWS_DEFAULT_REGION"),
    "profile": ("BAMS3_PROFILE", "AWS_PROFILE"),
    "no_sign_request": ("BAMS3_NO_SIGN_REQUEST",),
    "path_style": ("BAMS3_PATH_STYLE",),
    "requester_pays": ("BAMS3_REQUESTER_PAYS",),
    "sse": ("BAMS3_SSE",),
    "connections": ("BAMS3_CONNECTIONS",),
    "timeout": ("BAMS3_TIMEOUT",),
    "retries": ("BAMS3_RETRIES",),
    "retry_seconds": ("BAMS3_RETRY_SECONDS",),
}
_BOOLEANS = {"1": True, "true": True, "yes": True, "on": True}
_BOOLEANS |= {"0": False, "false": False, "no": False, "off": False}
_TEXT = frozenset({"endpoint_url", "region", "profile", "sse"})
_SWITCHES = frozenset({"no_sign_request", "path_style", "requester_pays"})
_COUNTS = frozenset({"connections", "retries"})


@dataclass(frozen=True, slots=True)
class StorageOptions:
    """How to reach a store; the same names as the command-line flags.

    Attributes:
        endpoint_url: S3 endpoint; None for AWS.
        region: AWS region; None for the profile's, else us-east-1.
        profile: Named profile of ~/.aws/config and ~/.aws/credentials. Named here, it takes
            precedence over keys in the environment, as in the AWS tools.
        no_sign_request: Send unsigned requests (public buckets).
        path_style: `endpoint/bucket/key` rather than `bucket.endpoint/key`; None for path style
            where an endpoint is given or the bucket name has a dot.
        requester_pays: Accept that the reader pays.
        sse: Server-side encryption of what is written: `AES256`, `aws:kms` or `aws:kms:KEY-ID`.
        connections: Requests in flight at most, per store.
        timeout: Seconds without a byte after which a request counts as lost.
        retries: Attempts after the first one.
        retry_seconds: No further attempt after this many seconds.
        backoff: First pause in seconds; doubles up to 15 s, with jitter.
    """

    endpoint_url: str | None = None
    region: str | None = None
    profile: str | None = None
    no_sign_request: bool = False
    path_style: bool | None = None
    requester_pays: bool = False
    sse: str | None = None
    connections: int = 16
    timeout: float = 60.0
    retries: int = 8
    retry_seconds: float = 180.0
    backoff: float = 0.1

    def __post_init__(self) -> None:
        _check_sse(self.sse)
        if self.connections < 1 or self.retries < 0 or self.timeout <= 0:
            raise UsageError("connections and timeout must be positive, retries not negative")

    @classmethod
    def resolve(
        cls,
        flags: Mapping[str, Any] | None = None,
        environ: Mapping[str, str] | None = None,
        file: str | os.PathLike[str] | None = None,
    ) -> StorageOptions:
        """Gather the options: flag, then environment, then TOML file, then default.

        Args:
            flags: Values by attribute name; None means not given.
            environ: Environment; os.environ by default.
            file: TOML file; by default the one named in the module's docstring, if it is there.

        Returns:
            The options.

        Raises:
            UsageError: A value or a name in the file is not understood.
            NotFoundError: A file that was asked for does not exist.
        """
        environ = os.environ if environ is None else environ
        values = _from_file(file, environ) | _from_environment(environ)
        values |= {name: value for name, value in (flags or {}).items() if value is not None}
        unknown = values.keys() - {field.name for field in fields(cls)}
        if unknown:
            raise UsageError(f"no such storage option: {', '.join(sorted(unknown))}")
        return cls(**values)


def _check_sse(sse: str | None) -> None:
    if sse is None or sse in ("AES256", "aws:kms") or sse.startswith("aws:kms:"):
        return
    raise UsageError(f"--sse {sse}: not known", "use AES256, aws:kms or aws:kms:KEY-ID")


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, variables in _ENVIRONMENT.items():
        for variable in variables:
            text = environ.get(variable, "")
            if text:
                values[name] = _parse(name, text, variable)
                break
    return values


def _from_file(file: str | os.PathLike[str] | None, environ: Mapping[str, str]) -> dict[str, Any]:
    named = file or environ.get("BAMS3_CONFIG")
    path = Path(named) if named else _default_file(environ)
    if path is None or not path.is_file():
        if named:
            raise NotFoundError(f"{named}: no such configuration file")
        return {}
    import tomllib

    try:
        table = tomllib.loads(path.read_text(encoding="utf-8")).get("storage", {})
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: not a TOML file: {error}") from error
    if not isinstance(table, dict):
        raise UsageError(f"{path}: storage is not a table")
    return {name: _parse(name, value, f"{path}: {name}") for name, value in table.items()}


def _default_file(environ: Mapping[str, str]) -> Path | None:
    base = environ.get("XDG_CONFIG_HOME")
    home = environ.get("HOME")
    if not base and not home:
        return None
    return Path(base or f"{home}/.config") / "bams3" / "config.toml"


def _parse(name: str, value: Any, where: str) -> Any:
    """Give `value`, text or TOML, the type of the option `name`."""
    try:
        if name in _SWITCHES:
            return _BOOLEANS[str(value).lower()]
        if name in _COUNTS:
            return int(value)
        return str(value) if name in _TEXT else float(value)
    except (KeyError, TypeError, ValueError):
        raise UsageError(f"{where}={value}: not a value for {name}") from None
