"""What S3's refusals mean to a user, and which of them may pass."""

from __future__ import annotations

from dataclasses import dataclass

from bams3.errors import (
    Bams3Error,
    CorruptError,
    ExistsError,
    KeyRejectedError,
    NotFoundError,
    PermissionDenied,
    StorageError,
)

_STATUSES = frozenset({408, 429, 500, 502, 503, 504})
_CODES = frozenset(
    {
        "SlowDown", "InternalError", "RequestTimeout", "ServiceUnavailable", "Throttling",
        "ThrottlingException", "TooManyRequests", "RequestLimitExceeded", "OperationAborted",
        "ConditionalRequestConflict", "IncompleteBody", "BadDigest", "XAmzContentChecksumMismatch",
    }
)  # fmt: skip
_SLOW = frozenset({"SlowDown", "Throttling", "ThrottlingException", "TooManyRequests"})
_WORDS = ("customer", "sse-c", "ssec", "encryption key", "blockedencryption", "server side encr")
_CLOCK = frozenset({"RequestTimeTooSkewed"})
_BAD_SUM = frozenset({"BadDigest", "XAmzContentChecksumMismatch", "InvalidChecksum"})
_LOGIN = frozenset(
    {"ExpiredToken", "InvalidAccessKeyId", "InvalidToken", "SignatureDoesNotMatch", "TokenRefresh"}
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer that is no success: HTTP status, S3's code and message, the region it names."""

    status: int
    code: str = ""
    message: str = ""
    region: str = ""

    @property
    def passing(self) -> bool:
        """Whether the same request may succeed later."""
        return self.status in _STATUSES or self.code in _CODES

    @property
    def slow_down(self) -> bool:
        """Whether there were too many requests."""
        return self.status in (429, 503) or self.code in _SLOW

    @property
    def elsewhere(self) -> bool:
        """Whether the bucket is in the region that the answer names."""
        moved = self.status in (301, 307, 400, 403)
        return bool(self.region) and moved and self.code in (*_MOVED, "")

    @property
    def about_key(self) -> bool:
        """Whether S3 complains of an SSE-C key."""
        text = f"{self.code} {self.message}".lower()
        return self.status in (400, 403) and any(word in text for word in _WORDS)

    def __str__(self) -> str:
        """Return code and message."""
        parts = [part for part in (self.code or f"HTTP {self.status}", self.message) if part]
        return ": ".join(parts)


_MOVED = (
    "PermanentRedirect", "TemporaryRedirect", "AuthorizationHeaderMalformed",
    "IllegalLocationConstraintException",
)  # fmt: skip


def meaning(refusal: Refusal, url: str) -> Bams3Error:
    """Return the error that a refusal is; its `status` and `code` are S3's."""
    error = _meaning(refusal, url)
    error.status, error.code = refusal.status, refusal.code
    return error


def _meaning(refusal: Refusal, url: str) -> Bams3Error:
    status, code, why = refusal.status, refusal.code, str(refusal)
    if code == "NoSuchBucket":
        return NotFoundError(f"{url}: no such bucket", "check its name and --endpoint-url")
    if status in (404, 410):
        what = "the upload has gone" if code == "NoSuchUpload" else "does not exist"
        return NotFoundError(f"{url}: {what}")
    if refusal.about_key:
        return _key_refused(refusal, url)
    if code in _BAD_SUM:
        return CorruptError(f"{url}: the bytes that arrived fail their checksum: {why}")
    if status in (401, 403) or code in _LOGIN:
        return PermissionDenied(f"{url}: access denied: {why}", _login_hint(code))
    if status == 412 or code in ("ConditionalRequestConflict", "PreconditionFailed"):
        return ExistsError(f"{url}: exists already, or was changed by another writer")
    return StorageError(f"{url}: {why}", _hint(refusal))


def _key_refused(refusal: Refusal, url: str) -> KeyRejectedError:
    text = refusal.message.lower()
    if refusal.status == 403 and ("block" in text or "not allowed" in text or "disabled" in text):
        return KeyRejectedError(
            f"{url}: the bucket refuses customer keys (SSE-C): {refusal.message}",
            "new buckets do: put-bucket-encryption with BlockedEncryptionTypes=NONE permits them",
        )
    return KeyRejectedError(f"{url}: encryption key: {refusal}", "check the SSE-C key")


def _login_hint(code: str) -> str:
    if code in _CLOCK:
        return "the clock of this machine is wrong"
    if code in ("ExpiredToken", "TokenRefresh", "InvalidToken"):
        return "log in again: aws sso login, or new temporary keys"
    return "check AWS_PROFILE or --aws-profile; --no-sign-request for a public bucket"


def _hint(refusal: Refusal) -> str:
    if refusal.passing:
        return "the store did not answer well, after retries: try again later"
    if refusal.status in (301, 307):
        return "the bucket is in another region: set --aws-region or AWS_REGION"
    return "the store refused the request: check the address and the options"
