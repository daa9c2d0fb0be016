"""Each item of the security list: a request that does harm where the defence is missing."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from bams3.errors import UsageError
from bams3.server.auth import Oidc, Token, User, digest_of
from bams3.server.config import Config, RootConfig
from bams3.server.keys import decode
from bams3.server.messages import Refusal
from bams3.server.serve import check_exposure
from tests.server.conftest import CONTENT
from tests.server.running import Running, serving
from tests.servers.fake_s3 import Blob, FakeS3

SECRET = b"secret"


@pytest.fixture
def nested(tmp_path: Path) -> Path:
    """A root with files, links in and out of it, and a secret beside it."""
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (tmp_path / "secret.bam").write_bytes(SECRET)
    (tmp_path / "root2").mkdir()
    (tmp_path / "root2" / "secret.bam").write_bytes(SECRET)
    (root / "x.bam").write_bytes(CONTENT)
    (root / "sub" / "y.bam").write_bytes(CONTENT)
    (root / "id_rsa").write_bytes(SECRET)
    (root / ".hidden.bam").write_bytes(SECRET)
    (root / "notes.txt").write_bytes(SECRET)
    (root / "out.bam").symlink_to(tmp_path / "secret.bam")
    (root / "relative.bam").symlink_to("../secret.bam")
    (root / "away").symlink_to(tmp_path / "root2")
    (root / "loop.bam").symlink_to("loop.bam")
    (root / "inner.bam").symlink_to("sub/y.bam")
    (root / "innerdir").symlink_to("sub")
    os.mkfifo(root / "pipe.bam")
    return root


TRAVERSAL = [
    "../secret.bam", "sub/../../secret.bam", "./x.bam", "sub//y.bam", "/x.bam", "",
    "%2e%2e/secret.bam", "%2E%2E/secret.bam", ".%2e/secret.bam", "..%2fsecret.bam",
    "..%2Fsecret.bam", "sub%2fy.bam", "%2fetc/passwd", "..\\secret.bam", "..%5csecret.bam",
    "%5C..%5Csecret.bam", "x.bam%00", "x.bam%00.txt", "%00", "x%0a.bam", "x%7f.bam", "x%c2%85.bam",
    "%ff.bam", "%c0%ae%c0%ae/secret.bam", "%zz.bam", "%", "x.bam%", "a" * 2000 + ".bam",
]  # fmt: skip
ABSENT = [
    "%252e%252e/secret.bam", "..%252fsecret.bam", "out.bam", "relative.bam", "away/secret.bam",
    "loop.bam", "id_rsa", ".hidden.bam", "notes.txt", "sub", "sub.bam", "pipe.bam", "x.bam/y.bam",
    "http:/evil/x.bam", "s3:/other/x.bam", "file:/etc/passwd.bam", "~/x.bam", "x.bam:stream",
]  # fmt: skip


def test_no_way_out_of_a_root(nested: Path) -> None:
    with serving(("r", str(nested))) as server:
        for key in TRAVERSAL:
            answer = server.ask(f"/files/r/{key}")
            assert answer.status == 400 and SECRET not in answer.body, key


def test_nothing_but_files_of_the_root(nested: Path) -> None:
    with serving(("r", str(nested))) as server:
        for key in ABSENT:
            answer = server.ask(f"/files/r/{key}")
            assert answer.status == 404, key
            assert SECRET not in answer.body and str(nested).encode() not in answer.body
        for key in ("x.bam", "sub/y.bam", "inner.bam", "innerdir/y.bam", "su%62/y.bam"):
            assert server.ask(f"/files/r/{key}").body == CONTENT


def test_a_folder_exchanged_for_a_link_while_it_is_opened(
    nested: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bams3.errors import NotFoundError
    from bams3.server.local import LocalFolder

    folder, really = LocalFolder(str(nested)), os.path.realpath

    def exchanged(path: str) -> str:
        found = really(path)
        (nested / "sub").rename(nested / "was")
        (nested / "sub").symlink_to(nested.parent / "root2")
        (nested / "was" / "y.bam").rename(nested / "was" / "secret.bam")
        return found.replace("y.bam", "secret.bam")

    monkeypatch.setattr(os.path, "realpath", exchanged)
    with pytest.raises(NotFoundError):
        folder.open("innerdir/y.bam")
    folder.close()


def test_a_file_as_a_root_is_that_file(nested: Path) -> None:
    (nested / "x.bam.bai").write_bytes(b"index")
    with serving(("one", str(nested / "x.bam"))) as server:
        assert server.ask("/files/one/x.bam").body == CONTENT
        assert server.ask("/files/one/x.bam.bai").body == b"index"
        for key in ("sub/y.bam", "inner.bam", "y.bam"):
            assert server.ask(f"/files/one/{key}").status == 404


def test_no_address_of_the_clients_is_fetched(fake_s3: FakeS3) -> None:
    fake_s3.buckets["mine"] = {"x.bam": Blob(CONTENT, '"e"')}
    fake_s3.buckets["other"] = {"x.bam": Blob(SECRET, '"e"')}
    port = fake_s3.server_address[1]
    with serving(("r", "s3://mine/")) as server:
        for path in (
            "/files/s3://other/x.bam", "/files/r/s3://other/x.bam", "/files/r/../other/x.bam",
            f"/files/http://127.0.0.1:{port}/other/x.bam", "/files/r/x.bam/../../other/x.bam",
            "/files/r/http://169.254.169.254/latest/meta-data.bam", "/files/other/x.bam",
            f"http://127.0.0.1:{port}/other/x.bam",
        ):  # fmt: skip
            answer = server.ask(path)
            assert answer.status in (400, 404) and SECRET not in answer.body
        server.ask("/files/r/x.bam", {"X-Forwarded-Host": "other", "Referer": "s3://other/"})
    assert not [request for request in fake_s3.requests if request.key not in ("x.bam", "")]


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "localhost.evil.example", "", "127.0.0.1.nip.io"]
)
def test_other_names_are_refused(local: Running, host: str) -> None:
    answer = local.ask("/files/r/x.bam", {"Host": host})
    assert answer.status == 421 and CONTENT not in answer.body


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8080", "127.0.0.1", "[::1]:80"])
def test_our_names_are_not(local: Running, host: str) -> None:
    assert local.ask("/files/r/x.bam", {"Host": host}).body == CONTENT


def test_many_ranges_do_not_multiply_the_answer(local: Running) -> None:
    overlapping = "bytes=" + ",".join("0-" for _ in range(30))
    assert len(local.ask("/files/r/large.bam", {"Range": overlapping}).body) == 3_000_000
    too_many = "bytes=" + ",".join(f"{2 * n}-{2 * n}" for n in range(1000))
    assert local.ask("/files/r/large.bam", {"Range": too_many}).status == 416


# ---- who may read --------------------------------------------------------------------------------
ADA, BOB, EVE = "ada" * 10, "bob" * 10, "eve" * 10
TOKENS = (
    Token(digest_of(ADA), User("ada")),
    Token(digest_of(BOB), User("bob", frozenset({"other"}))),
    Token(digest_of(EVE), User("eve", None, ("chr1:1-1,000",))),
)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_tokens(folder: Path, tmp_path: Path) -> None:
    with serving(("r", str(folder)), ("other", str(folder)), tokens=TOKENS) as server:
        for headers in ({}, bearer("wrong"), bearer(""), {"Authorization": f"Basic {ADA}"}):
            answer = server.ask("/files/r/x.bam", headers)
            assert answer.status == 401
            assert answer.headers["WWW-Authenticate"].startswith("Bearer ")
        assert server.ask("/files/no/x.bam").status == 401
        assert server.ask("/files/r/x.bam", bearer(ADA)).body == CONTENT
        assert server.ask("/files/r/x.bam", {"authorization": f"bearer  {ADA}"}).status == 200
        assert server.ask("/files/r/x.bam", bearer(BOB)).status == 403
        assert server.ask("/files/other/x.bam", bearer(BOB)).body == CONTENT
        assert server.ask("/files/r/x.bam", bearer(EVE)).status == 403
        assert server.ask("/metrics").status == 401
        assert server.ask("/healthz").status == 200
        assert server.ask("/files/r/x.bam", bearer(TOKENS[0].digest)).status == 401


@pytest.mark.parametrize("token", [ADA, EVE, "wrong", "é"])
def test_every_token_is_compared_in_constant_time(
    folder: Path, monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    import hmac

    from bams3.server.auth import Authenticator
    from bams3.server.messages import Request

    compared: list[tuple[str, str]] = []
    really = hmac.compare_digest

    def compare(one: str, other: str) -> bool:
        compared.append((one, other))
        return really(one, other)

    monkeypatch.setattr(hmac, "compare_digest", compare)
    request = Request("GET", "/files/r/x.bam", "", {"authorization": f"Bearer {token}"})
    try:
        Authenticator(TOKENS).user(request)
    except Refusal:
        pass
    assert [one for one, _ in compared] == [known.digest for known in TOKENS]
    assert {other for _, other in compared} == {digest_of(token)}


def test_no_token_is_logged(folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    log = tmp_path / "audit.jsonl"
    with serving(("r", str(folder)), tokens=TOKENS, audit=str(log)) as server:
        links = server.server.app.authenticator.links
        ticket = links.ticket(User("ada"), ["/files/r/x.bam"], 60)
        assert server.ask(f"/files/r/x.bam?ticket={ticket}").status == 200
        assert server.ask("/files/r/x.bam", bearer(ADA)).status == 200
        assert server.ask("/files/r/x.bam", bearer("WRONG" + BOB)).status == 401
        text = server.ask("/metrics", bearer(ADA)).body.decode()
    text += caplog.text + log.read_text()
    assert '"user": "ada"' in text
    for secret in (ADA, BOB, ticket, "ticket=", TOKENS[0].digest, "Bearer"):
        assert secret not in text


# ---- other sites ---------------------------------------------------------------------------------
def test_cors_is_for_listed_origins(folder: Path) -> None:
    mine, evil = {"Origin": "https://igv.example.org"}, {"Origin": "https://evil.example"}
    allow = "Access-Control-Allow-Origin"
    with serving(("r", str(folder)), origins=("https://igv.example.org",)) as server:
        answer = server.ask("/files/r/x.bam", mine)
        assert answer.headers[allow] == "https://igv.example.org"
        assert "Content-Range" in answer.headers["Access-Control-Expose-Headers"]
        assert server.ask("/files/r/x.bam", evil).headers[allow] is None
        assert server.ask("/files/r/no.bam", mine).headers[allow]
        preflight = server.ask("/files/r/x.bam", mine, "OPTIONS")
        assert preflight.headers["Access-Control-Max-Age"] == "2592000"
        assert "authorization" in preflight.headers["Access-Control-Allow-Headers"]
        assert server.ask("/files/r/x.bam", evil, "OPTIONS").headers[allow] is None
        assert server.ask("/files/r/x.bam").headers[allow] is None
    with serving(("r", str(folder)), origins=("*",)) as server:
        answer = server.ask("/files/r/x.bam", evil)
        assert answer.headers[allow] == "*"
        assert answer.headers["Access-Control-Allow-Credentials"] is None


# ---- where it listens ----------------------------------------------------------------------------
def exposed(**given: object) -> Config:
    return Config(roots=(RootConfig("r", "/"),), **given)  # type: ignore[arg-type]


def test_a_public_address_needs_tls_and_authentication() -> None:
    oidc = Oidc("https://i", "a", "https://i/keys")
    for given in (
        {}, {"public": 1}, {"tls_cert": "c"}, {"tokens": TOKENS}, {"oidc": oidc, "public": 1},
    ):  # fmt: skip
        for listen in ("0.0.0.0", "::", "192.168.1.5", "host.example", ""):
            with pytest.raises(UsageError) as caught:
                check_exposure(exposed(listen=listen, **given))
            assert "--public --public" in str(caught.value.hint)
    for given in (
        {"tls_cert": "c", "tokens": TOKENS},
        {"public": 2},
        {"tls_cert": "c", "oidc": oidc},
    ):
        check_exposure(exposed(listen="0.0.0.0", **given))
    for listen in ("127.0.0.1", "::1", "localhost", "127.9.9.9"):
        check_exposure(exposed(listen=listen))


def test_decoding_happens_once() -> None:
    assert decode("a%2541.bam") == "a%41.bam"
    assert decode("%41.bam") == "A.bam"
