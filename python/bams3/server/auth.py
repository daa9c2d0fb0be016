"""Who asks, and what they may read: tokens, JSON web tokens, and links that carry their own right.

Nobody configured means that everybody may read everything that is served; the command line sees to
it that this stays on the loopback interface.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
import urllib.request
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from bams3.server.messages import Refusal, Request

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA")
"""Signatures of JSON web tokens that can be allowed: none with a shared secret, none at all."""

_KEYS_LIVE, _KEYS_PAUSE = 3600.0, 30.0
"""Seconds for which keys are believed, and between two requests for them."""
_LARGEST_KEYS = 1 << 20


@dataclass(frozen=True, slots=True)
class User:
    """Somebody with rights.

    Attributes:
        name: For the audit log and the limits.
        roots: Names of the roots that may be read; None for all.
        regions: Where not None, only records that overlap these (texts for `parse_region`) may be
            read, through htsget: a byte range may hold others.
    """

    name: str
    roots: frozenset[str] | None = None
    regions: tuple[str, ...] | None = None

    def check_root(self, root: str) -> None:
        """Raise Refusal 403 where a root is not theirs."""
        if self.roots is not None and root not in self.roots:
            raise Refusal(403, f"no right to read {root}", "ask who runs this server")

    def check_files(self, root: str) -> None:
        """Raise Refusal 403 where whole files of a root are not theirs."""
        self.check_root(root)
        if self.regions is not None:
            raise Refusal(
                403,
                "your rights are limited to regions, and files have no such borders",
                "use /reads or /variants with a region",
            )


ANYBODY = User("")


@dataclass(frozen=True, slots=True)
class Token:
    """A token by its SHA-256 in hexadecimal; the token itself is nowhere."""

    digest: str
    user: User


@dataclass(frozen=True, slots=True)
class Grant:
    """What a JSON web token gives: these rights, where the claim has, or contains, the value."""

    claim: str
    value: str
    roots: frozenset[str] | None = None
    regions: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Oidc:
    """Whose JSON web tokens are believed.

    Attributes:
        issuer: Must equal the claim `iss`.
        audience: Must be among the claim `aud`.
        jwks: Address of the issuer's keys, https (or loopback).
        algorithms: A part of `ALGORITHMS`.
        grants: The rights of the first that fits; without grants every valid token gives all.
    """

    issuer: str
    audience: str
    jwks: str
    algorithms: tuple[str, ...] = ("RS256", "ES256")
    grants: tuple[Grant, ...] = ()


class Authenticator:
    """Finds out who sent a request."""

    def __init__(
        self,
        tokens: Iterable[Token] = (),
        oidc: Oidc | None = None,
        links: Links | None = None,
    ) -> None:
        self._tokens = tuple(tokens)
        self._verifier = JwtVerifier(oidc) if oidc else None
        self.links = links or Links()

    @property
    def required(self) -> bool:
        """Whether one has to be somebody."""
        return bool(self._tokens) or self._verifier is not None

    def waits(self, request: Request) -> bool:
        """Whether finding out may take a request to the issuer."""
        return self._verifier is not None and self._verifier.stale

    def user(self, request: Request) -> User:
        """Return who sent a request.

        Raises:
            Refusal: 401; there is no token, or it is not valid.
        """
        ticket = link_of(request.query)
        if ticket:
            return self.links.user(ticket, request.method, request.path)
        if not self.required:
            return ANYBODY
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise unauthorized("a token is needed", "send the header Authorization: Bearer TOKEN")
        return self._by_token(token.strip())

    def _by_token(self, token: str) -> User:
        """Compare with every token, so that the time says nothing about which is alike."""
        digest, found = digest_of(token), None
        for known in self._tokens:
            if hmac.compare_digest(known.digest, digest):
                found = known.user
        if found:
            return found
        if self._verifier and token.count(".") == 2:
            return self._verifier.user(token)
        raise unauthorized("the token is not valid", "check it, or ask for a new one", True)


def digest_of(token: str) -> str:
    """Return what is stored of a token."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


def unauthorized(message: str, hint: str, invalid: bool = False) -> Refusal:
    """Return the refusal of one who is nobody."""
    detail = ', error="invalid_token"' if invalid else ""
    return Refusal(401, message, hint, {"WWW-Authenticate": f'Bearer realm="bams3"{detail}'})


# ---- JSON web tokens -----------------------------------------------------------------------------
class JwtVerifier:
    """Checks signature, algorithm, issuer, audience and times."""

    def __init__(self, oidc: Oidc) -> None:
        self._oidc = oidc
        self._keys: dict[str, Any] = {}
        self._asked = float("-inf")
        self._guard = threading.Lock()

    @property
    def stale(self) -> bool:
        """Whether the issuer's keys have to be asked for."""
        return time.monotonic() - self._asked > _KEYS_LIVE or not self._keys

    def user(self, token: str) -> User:
        """Return whose token it is, with the rights of the grant that fits.

        Raises:
            Refusal: 401 for a token that is not valid, 403 where no grant fits, 503 where the
                issuer's keys cannot be had.
        """
        import jwt

        try:
            header = jwt.get_unverified_header(token)
            if header.get("alg") not in self._oidc.algorithms:
                raise unauthorized("the token's algorithm is not allowed", "ask the issuer", True)
            claims = jwt.decode(
                token,
                self._key(str(header.get("kid", ""))).key,
                algorithms=list(self._oidc.algorithms),
                audience=self._oidc.audience,
                issuer=self._oidc.issuer,
                leeway=30,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except (jwt.PyJWTError, TypeError, ValueError) as error:
            raise unauthorized(f"the token is not valid: {error}", "get a new one", True) from error
        return self._rights(claims)

    def _rights(self, claims: Mapping[str, Any]) -> User:
        name = str(claims["sub"])
        if not self._oidc.grants:
            return User(name)
        for grant in self._oidc.grants:
            value = claims.get(grant.claim)
            values = value if isinstance(value, list) else str(value or "").split()
            if grant.value in values:
                return User(name, grant.roots, grant.regions)
        raise Refusal(403, "this account has no rights here", "ask who runs this server")

    def _key(self, kid: str) -> Any:
        with self._guard:
            now = time.monotonic()
            outdated = now - self._asked > _KEYS_LIVE
            if outdated or (kid not in self._keys and now - self._asked > _KEYS_PAUSE):
                self._ask(now)
            if kid in self._keys:
                return self._keys[kid]
        raise unauthorized("the token's key is not known", "get a new one", True)

    def _ask(self, now: float) -> None:
        """Fetch the issuer's keys; where that fails, those that are known stay."""
        import jwt

        self._asked = now
        try:
            opener = urllib.request.build_opener(_NoRedirect)
            with opener.open(self._oidc.jwks, timeout=5) as answer:
                found = jwt.PyJWKSet.from_dict(json.loads(answer.read(_LARGEST_KEYS)))
        except Exception as error:
            if not self._keys:
                self._asked = now - _KEYS_LIVE + _KEYS_PAUSE / 10
                raise Refusal(
                    503, "the issuer's keys cannot be had", "try again", {"Retry-After": "5"}
                ) from error
            return
        self._keys = {
            key.key_id or "": key for key in found.keys if key.key_type in ("RSA", "EC", "OKP")
        }


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


# ---- links ---------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Links:
    """Makes and checks links that carry a right: for loaders that drop headers, for htsget blocks.

    The query `ticket=KEY.PAYLOAD.MAC` says who may read which paths until when; the first of `keys`
    (name to secret) signs, all are accepted, so that keys can be exchanged.
    """

    keys: Mapping[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.keys:
            import secrets

            object.__setattr__(self, "keys", {"0": secrets.token_bytes(32)})

    def ticket(
        self,
        user: User,
        paths: Iterable[str],
        seconds: float,
        methods: Iterable[str] = ("GET", "HEAD"),
        extra: Mapping[str, Any] | None = None,
    ) -> str:
        """Return the text of `ticket=`, good for the paths as they stand in the request.

        Args:
            user: Whose rights they are; the audit log names them.
            paths: Percent-encoded paths, such as a file's and its index's.
            seconds: Until it expires.
            methods: What may be done.
            extra: More that the signature covers, for the handler of the path.
        """
        name, secret = next(iter(self.keys.items()))
        payload = {
            "u": user.name, "p": list(paths), "e": int(time.time() + seconds), "m": list(methods),
            **({"x": dict(extra)} if extra else {}),
        }  # fmt: skip
        text = _encode(json.dumps(payload, separators=(",", ":")).encode())
        return f"{name}.{text}.{_encode(_mac(secret, name, text))}"

    def user(self, ticket: str, method: str, path: str) -> User:
        """Return whose right a ticket is.

        Raises:
            Refusal: 401 where it is not genuine or has expired, 403 where it is for something else.
        """
        payload = self.payload(ticket)
        if path not in payload["p"] or method not in payload["m"]:
            raise Refusal(403, "this link is for something else", "ask for a new link")
        return User(payload["u"])

    def payload(self, ticket: str) -> dict[str, Any]:
        """Return what a ticket says, `x` being `extra`. Raises Refusal 401."""
        name, _, rest = ticket.partition(".")
        text, _, mac = rest.partition(".")
        genuine = hmac.compare_digest(_mac(self.keys.get(name, b""), name, text), _decode(mac))
        if not genuine or name not in self.keys:
            raise unauthorized("this link is not genuine", "ask for a new link", True)
        payload: dict[str, Any] = json.loads(_decode(text))
        if payload["e"] < time.time():
            raise unauthorized("this link has expired", "ask for a new link", True)
        return payload


def link_of(query: str) -> str:
    """Return the ticket of a query, empty where there is none."""
    return dict(parse_qsl(query)).get("ticket", "") if "ticket=" in query else ""


def _mac(secret: bytes, name: str, text: str) -> bytes:
    return hmac.digest(secret, f"{name}.{text}".encode(), "sha256")


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _decode(text: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
    except ValueError:
        return b""
