"""Credentials and settings of the standard AWS chain that obstore does not read by itself.

obstore knows the environment's keys, web identity, container and instance roles. The shared files
are read here, in the order of the AWS tools:

1. a profile that was named by flag, BAMS3_PROFILE or the configuration file,
2. keys in the environment (AWS_ACCESS_KEY_ID), web identity,
3. the profile AWS_PROFILE, else `default`, of ~/.aws/credentials and ~/.aws/config,
4. container and instance roles.

Profiles with keys are used as they are; those that need more (SSO, roles, credential_process) go
through boto3, which has to be installed for it.
"""

from __future__ import annotations

import configparser
import functools
import importlib
import os
import socket
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from bams3.config import StorageOptions
from bams3.errors import PermissionDenied, UsageError

HINT = "set AWS_PROFILE or --aws-profile, or --no-sign-request for a public bucket"
_THROUGH_BOTO3 = (
    "sso_session",
    "sso_start_url",
    "role_arn",
    "credential_process",
    "source_profile",
)


def settings(options: StorageOptions, environ: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return what the shared files contribute to an S3 client.

    Returns:
        `config` (obstore's configuration: keys, region, endpoint) and, for a profile that needs
        boto3, `credential_provider`.

    Raises:
        UsageError: The profile does not exist.
        PermissionDenied: The profile needs boto3, which is not installed; or there are no
            credentials at all.
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
    if any(key in values for key in _THROUGH_BOTO3):
        found["credential_provider"] = _boto3(name)
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


def _boto3(name: str) -> Any:
    try:
        boto3 = importlib.import_module("boto3")
        provider = importlib.import_module("obstore.auth.boto3").Boto3CredentialProvider
    except ImportError:
        raise PermissionDenied(
            f"profile {name}: needs SSO, a role or a process", "pip install boto3"
        ) from None
    try:
        return provider(boto3.Session(profile_name=name))
    except Exception as error:
        raise PermissionDenied(f"profile {name}: {error}", "aws sso login?") from error
