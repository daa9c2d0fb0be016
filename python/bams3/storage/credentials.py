"""Credentials and settings of the standard AWS chain: the one place that decides about them.

The order is that of the AWS tools:

1. a profile that was named by flag, BAMS3_PROFILE or the configuration file,
2. keys in the environment (AWS_ACCESS_KEY_ID), web identity,
3. the profile AWS_PROFILE, else `default`, of ~/.aws/credentials and ~/.aws/config,
4. container and instance roles.

Keys are used as they are. What needs more (SSO, roles, credential_process) goes through botocore,
which is loaded only then. `settings` is for obstore, which knows web identity, container and
instance roles itself; `chain` for `Bucket`, which leaves these to botocore too.
"""

from __future__ import annotations

import configparser
import functools
import os
import socket
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from bams3.config import StorageOptions
from bams3.errors import PermissionDenied, UsageError
from bams3.storage.sigv4 import Keys

HINT = "set AWS_PROFILE or --aws-profile, or --no-sign-request for a public bucket"
_THROUGH_BOTOCORE = (
    "sso_session",
    "sso_start_url",
    "role_arn",
    "credential_process",
    "source_profile",
)


class Chain(NamedTuple):
    """What the environment and the shared files say; `keys` None sends unsigned requests.

    `keys` is asked before each request, because roles give keys that expire.
    """

    keys: Callable[[], Keys] | None
    region: str | None = None
    endpoint: str | None = None


def chain(options: StorageOptions, environ: Mapping[str, str] | None = None) -> Chain:
    """Return what signs requests, and where the profile sends them.

    Raises:
        UsageError, PermissionDenied: As `settings`.
    """
    environ = os.environ if environ is None else environ
    found = settings(options, environ)
    config: dict[str, Any] = found["config"]
    places = config.get("region"), config.get("aws_endpoint_url_s3")
    if config.get("skip_signature"):
        return Chain(None, *places)
    provider = found.get("credential_provider")
    fixed = None if provider else _fixed_keys(config, environ)
    if fixed:
        return Chain(lambda: fixed, *places)
    return Chain(_asked(provider or _botocore(None)), *places)


def _asked(provider: Any) -> Callable[[], Keys]:
    def keys() -> Keys:
        now = provider()
        return Keys(now["access_key_id"], now["secret_access_key"], now["token"] or "")

    return keys


def _fixed_keys(config: Mapping[str, Any], environ: Mapping[str, str]) -> Keys | None:
    if config.get("access_key_id"):
        token = config.get("session_token", "")
        return Keys(config["access_key_id"], config["secret_access_key"], token)
    if environ.get("AWS_ACCESS_KEY_ID"):
        return Keys(
            environ["AWS_ACCESS_KEY_ID"],
            environ.get("AWS_SECRET_ACCESS_KEY", ""),
            environ.get("AWS_SESSION_TOKEN", ""),
        )
    return None


def settings(options: StorageOptions, environ: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return what the shared files contribute to an S3 client.

    Returns:
        `config` (obstore's configuration: keys, region, endpoint) and, for a profile that needs
        botocore, `credential_provider`.

    Raises:
        UsageError: The profile does not exist.
        PermissionDenied: There are no credentials, or the profile does not lead to any.
    """
    environ = os.environ if environ is None else environ
    if options.no_sign_request:
        return {"config": {"skip_signature": True}}
    name, named = _profile(options, environ)
    values = _read(name, environ)
    if named and not values:
        raise UsageError(f"profile {name}: not found", "see ~/.aws/config and ~/.aws/credentials")
    found: dict[str, Any] = {"config": _places(values, environ)}
    explicit = named and name != environ.get("AWS_PROFILE")
    if not explicit and (
        environ.get("AWS_ACCESS_KEY_ID") or environ.get("AWS_WEB_IDENTITY_TOKEN_FILE")
    ):
        return found
    if any(key in values for key in _THROUGH_BOTOCORE):
        found["credential_provider"] = _botocore(name)
    elif values.get("aws_access_key_id"):
        found["config"] |= _keys(values)
        if explicit and environ.get("AWS_SESSION_TOKEN") and not values.get("aws_session_token"):
            found["config"].pop("session_token", None)
            found["credential_provider"] = _static(found["config"])
    else:
        _expect_a_role(environ)
    return found


def _expect_a_role(environ: Mapping[str, str]) -> None:
    """Raise PermissionDenied where no role can give credentials: obstore would try for minutes."""
    if environ.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") or environ.get(
        "AWS_CONTAINER_CREDENTIALS_FULL_URI"
    ):
        return
    disabled = environ.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true"
    address = environ.get("AWS_METADATA_ENDPOINT") or "http://169.254.169.254"
    if disabled or not _answers(address):
        raise PermissionDenied("no AWS credentials found", HINT)


@functools.cache
def _answers(address: str) -> bool:
    parts = urlsplit(address)
    try:
        socket.create_connection((parts.hostname, parts.port or 80), timeout=1).close()
    except OSError:
        return False
    return True


def _profile(options: StorageOptions, environ: Mapping[str, str]) -> tuple[str, bool]:
    """Return the name of the profile, and whether somebody named it."""
    name = options.profile or environ.get("AWS_PROFILE") or ""
    return name or "default", bool(name)


def _read(name: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the settings of a profile; those of the credentials file take precedence."""
    home = environ.get("HOME") or os.path.expanduser("~")
    values: dict[str, str] = {}
    for variable, file, section in (
        ("AWS_CONFIG_FILE", "config", name if name == "default" else f"profile {name}"),
        ("AWS_SHARED_CREDENTIALS_FILE", "credentials", name),
    ):
        parser = configparser.RawConfigParser(strict=False)
        try:
            parser.read(environ.get(variable) or os.path.join(home, ".aws", file), "utf-8")
        except (configparser.Error, OSError) as error:
            raise UsageError(f"~/.aws/{file}: cannot be read: {error}") from error
        if parser.has_section(section):
            values |= {key: value.strip() for key, value in parser.items(section)}
    return values


def _places(values: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, Any]:
    found = {}
    if values.get("region") and not (
        environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION")
    ):
        found["region"] = values["region"]
    if values.get("endpoint_url"):
        found["aws_endpoint_url_s3"] = values["endpoint_url"]
    return found


def _keys(values: Mapping[str, str]) -> dict[str, Any]:
    keys = {
        "access_key_id": values["aws_access_key_id"],
        "secret_access_key": values.get("aws_secret_access_key", ""),
    }
    if values.get("aws_session_token"):
        keys["session_token"] = values["aws_session_token"]
    return keys


def _static(config: dict[str, Any]) -> Any:
    """Return a provider of fixed keys without a token, whatever token the environment holds."""
    credential = {
        "access_key_id": config.pop("access_key_id"),
        "secret_access_key": config.pop("secret_access_key"),
        "token": None,
        "expires_at": None,
    }
    return lambda: credential


def _botocore(name: str | None) -> Any:
    """Return a provider (obstore's form) of what botocore finds: for a profile, or behind them."""
    import botocore.session

    try:
        credentials = botocore.session.Session(profile=name).get_credentials()
    except Exception as error:
        raise PermissionDenied(f"profile {name}: {error}", "aws sso login?") from error
    if credentials is None:
        raise PermissionDenied("no AWS credentials found", HINT)

    def provider() -> dict[str, Any]:
        try:
            now = credentials.get_frozen_credentials()
        except Exception as error:
            raise PermissionDenied(f"AWS credentials: {error}", "aws sso login?") from error
        return {
            "access_key_id": now.access_key,
            "secret_access_key": now.secret_key,
            "token": now.token or None,
            "expires_at": datetime.now(UTC) + timedelta(minutes=5),
        }

    return provider
