"""The names that s3_upload gave to credentials, in terms of the standard ones."""

from __future__ import annotations

from collections.abc import Mapping

from bams3.errors import UsageError

BOTH = (
    "Both `AWS_DEFAULT_PROFILE` provided as well as `AWS_ACCESS_KEY` and / or `AWS_SECRET_KEY`. "
    "Only one authentication method may be used."
)


def standard_names(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the standard variables that the old ones stand for, where those are not set.

    Raises:
        UsageError: A profile is named, and keys are given too.
    """
    profile = environ.get("AWS_DEFAULT_PROFILE", "")
    key, secret = environ.get("AWS_ACCESS_KEY", ""), environ.get("AWS_SECRET_KEY", "")
    if profile and (key or secret):
        raise UsageError(BOTH)
    found = {"AWS_PROFILE": profile} if profile else {}
    if key and secret:
        found = {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret}
    standard = ("AWS_PROFILE", "AWS_ACCESS_KEY_ID")
    return {} if any(environ.get(name) for name in standard) else found
