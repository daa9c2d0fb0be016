"""JSON web tokens and links that carry a right."""

from __future__ import annotations

import base64
import hmac
import json
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from bams3.server import auth
from bams3.server.auth import Grant, Links, Oidc, User
from bams3.server.messages import Refusal
from tests.server.conftest import CONTENT
from tests.server.running import Running, serving
from tests.servers.files import FileServer
from tests.servers.threaded import Server

ISSUER, AUDIENCE = "https://login.example.org", "bams3"
KEY = rsa.generate_private_key(65537, 2048)
OTHER = rsa.generate_private_key(65537, 2048)
CURVE = ec.generate_private_key(ec.SECP256R1())
PATH = "/files/r/x.bam"


def jwk(key: Any, kid: str) -> dict[str, Any]:
    kind = jwt.algorithms.RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else None
    kind = kind or jwt.algorithms.ECAlgorithm
    return json.loads(kind.to_jwk(key.public_key())) | {"kid": kid, "use": "sig"}


@pytest.fixture
def issuer() -> Iterator[FileServer]:
    with FileServer(ranges=False) as server:
        keys = {"keys": [jwk(KEY, "one"), jwk(CURVE, "curve")]}
        server.files["/keys"] = json.dumps(keys).encode()
        yield server


@pytest.fixture
def server(issuer: FileServer, folder: Path) -> Iterator[Running]:
    grants = (
        Grant("groups", "lab-a", frozenset({"r"})),
        Grant("groups", "lab-b", frozenset({"other"})),
        Grant("scope", "regions", None, ("chr1",)),
    )
    oidc = Oidc(ISSUER, AUDIENCE, f"{issuer.url}/keys", ("RS256", "ES256"), grants)
    with serving(("r", str(folder)), ("other", str(folder)), oidc=oidc) as running:
        yield running


def claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    found = {
        "iss": ISSUER, "aud": AUDIENCE, "sub": "ada", "exp": now + 600, "iat": now,
        "groups": ["lab-a", "x"],
    }  # fmt: skip
    return {name: value for name, value in (found | changes).items() if value is not None}


def signed(payload: dict[str, Any], key: Any = KEY, kid: str = "one", alg: str = "RS256") -> str:
    return jwt.encode(payload, key, algorithm=alg, headers={"kid": kid})


def ask(server: Running, token: str) -> int:
    return server.ask(PATH, {"Authorization": f"Bearer {token}"}).status


def test_valid_tokens(server: Running) -> None:
    assert ask(server, signed(claims())) == 200
    assert ask(server, signed(claims(), CURVE, "curve", "ES256")) == 200
    assert ask(server, signed(claims(aud=["x", AUDIENCE]))) == 200
    assert ask(server, signed(claims(exp=int(time.time()) - 10))) == 200  # clocks differ
    assert ask(server, signed(claims(groups=["lab-b"]))) == 403
    assert ask(server, signed(claims(groups=["lab-c"]))) == 403
    assert ask(server, signed(claims(groups=None))) == 403
    assert ask(server, signed(claims(groups=None, scope="read regions"))) == 403


def unsigned(header: dict[str, Any]) -> str:
    parts = [json.dumps(part).encode() for part in (header, claims())]
    texts = [base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts]
    return ".".join([*texts, ""])


def with_secret(secret: bytes) -> str:
    """Return a token whose HMAC has the public key as its secret."""
    text = unsigned({"alg": "HS256", "kid": "one"}).rstrip(".")
    mac = hmac.digest(secret, text.encode(), "sha256")
    return f"{text}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"


def test_tokens_that_are_not_valid(server: Running, issuer: FileServer) -> None:
    now = int(time.time())
    for token in (
        signed(claims(iss="https://evil.example")), signed(claims(aud="other")),
        signed(claims(aud=None)), signed(claims(iss=None)), signed(claims(sub=None)),
        signed(claims(exp=None)), signed(claims(exp=now - 60)), signed(claims(nbf=now + 600)),
        signed(claims(), OTHER), signed(claims(), KEY, "two"), signed(claims(), alg="RS512"),
        unsigned({"alg": "none", "kid": "one"}), unsigned({"alg": "None"}), unsigned({}),
        with_secret(json.dumps(jwk(KEY, "one")).encode()),
        signed(claims(), CURVE, "one", "ES256"), signed(claims())[:-4] + "AAAA", "a.b.c", "..",
    ):  # fmt: skip
        assert ask(server, token) == 401, jwt.get_unverified_header(token)
    assert len(issuer.queries) == 1  # unknown keys do not make us ask the issuer each time


def test_new_keys_are_found(
    server: Running, issuer: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ask(server, signed(claims())) == 200
    issuer.files["/keys"] = json.dumps({"keys": [jwk(OTHER, "two")]}).encode()
    assert ask(server, signed(claims(), OTHER, "two")) == 401
    monkeypatch.setattr(auth, "_KEYS_PAUSE", 0.0)
    assert ask(server, signed(claims(), OTHER, "two")) == 200
    assert ask(server, signed(claims())) == 401


def test_an_issuer_that_is_down(server: Running, issuer: FileServer) -> None:
    issuer.files.clear()
    assert ask(server, signed(claims())) == 503
    assert server.ask("/healthz").status == 200


def test_an_issuer_that_points_elsewhere_is_not_followed(folder: Path, issuer: FileServer) -> None:
    """Whoever can place a redirect there would name the keys that are believed."""

    class Elsewhere(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(302)
            self.send_header("Location", f"{issuer.url}/keys")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with Server(Elsewhere) as moved:
        oidc = Oidc(ISSUER, AUDIENCE, f"{moved.url}/keys")
        with serving(("r", str(folder)), oidc=oidc) as server:
            assert ask(server, signed(claims())) == 503
    assert not issuer.queries


# ---- links ---------------------------------------------------------------------------------------
def test_links(folder: Path) -> None:
    from tests.server.test_security import TOKENS

    with serving(("r", str(folder)), tokens=TOKENS) as server:
        links = server.server.app.authenticator.links
        ticket = links.ticket(User("ada"), [PATH], 60)
        assert server.ask(f"{PATH}?ticket={ticket}").body == CONTENT
        assert server.ask(f"{PATH}?x=1&ticket={ticket}", {"Range": "bytes=0-4"}).status == 206
        assert server.ask(f"/files/r/large.bam?ticket={ticket}").status == 403
        assert server.ask(f"{PATH}?ticket={ticket}", method="HEAD").status == 200
        head = links.ticket(User("ada"), [PATH], 60, methods=["HEAD"])
        assert server.ask(f"{PATH}?ticket={head}").status == 403
        assert server.ask(f"{PATH}?ticket={links.ticket(User('ada'), [PATH], -1)}").status == 401
        other = Links().ticket(User("ada"), [PATH], 60)
        name, payload, mac = ticket.split(".")
        forged = base64.urlsafe_b64encode(b'{"u":"eve","p":["/files/r/x.bam"],"e":9e9,"m":["GET"]}')
        unknown = hmac.digest(b"", b"1." + forged, "sha256")  # a key that is not there is no secret
        nobody = f"1.{forged.decode()}.{base64.urlsafe_b64encode(unknown).decode().rstrip('=')}"
        for wrong in (
            other, f"{name}.{payload}.", f"{name}.{payload}.{mac[:-2]}AA", f"1.{payload}.{mac}",
            f"{name}.{forged.decode()}.{mac}", "x", "..", f".{payload}.{mac}", "a.b.c",
            "%C3%A9.b.c", "0.%C3%A9.c", nobody,
        ):  # fmt: skip
            assert server.ask(f"{PATH}?ticket={wrong}").status == 401, wrong


def test_keys_can_be_exchanged() -> None:
    old = Links({"old": b"o" * 32})
    both = Links({"new": b"n" * 32, "old": b"o" * 32})
    ticket = old.ticket(User("ada"), ["/p"], 60, extra={"a": 1})
    assert both.user(ticket, "GET", "/p") == User("ada")
    assert both.payload(ticket)["x"] == {"a": 1}
    with pytest.raises(Refusal):
        old.user(both.ticket(User("ada"), ["/p"], 60), "GET", "/p")
