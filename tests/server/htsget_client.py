"""An htsget client without a network: tickets and blocks straight from the code that makes them."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

from bams3.reads.virtual_bam import VirtualBam
from bams3.server.auth import Links, User
from bams3.server.catalog import Catalog
from bams3.server.htsget import HtsgetError, parse
from bams3.server.htsget_data import Htsget
from bams3.server.local import LocalFolder
from bams3.server.messages import Request
from bams3.server.resources import Resource
from bams3.server.virtual import VirtualBams

BASE = "https://example.org"


class Folder:
    """A library of one local folder, the root `r`; `opened` counts the files that are open."""

    def __init__(self, path: Path) -> None:
        self.path, self.folder = path, LocalFolder(str(path))
        self.virtuals = VirtualBams()

    def open(self, key: str) -> Resource:
        return self.folder.open(key.removeprefix("r/"))

    def virtual(self, key: str) -> VirtualBam:
        return self.virtuals.dataset(str(self.path), key.removeprefix("r/"))


class Client:
    def __init__(self, path: Path, user: User | None = None) -> None:
        self.links = Links()
        self.server = Htsget(Catalog(Folder(path)), self.links)
        self.user = user or User("me")

    def ticket(self, kind: str, name: str, body: Any = None, **parameters: str) -> dict[str, Any]:
        """Return a ticket; raises HtsgetError."""
        if body is None:
            request = Request("GET", "/", urlencode(parameters))
        else:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            request = Request("POST", "/", urlencode(parameters), body=data)
        response = self.server.ticket(parse(kind, request), f"r/{name}", BASE, self.user).response
        ticket: dict[str, Any] = json.loads(response.body)["htsget"]
        assert set(ticket) == {"format", "urls"}
        assert len({"class" in url for url in ticket["urls"]}) == 1
        return ticket

    def fetch(self, url: Mapping[str, Any]) -> bytes:
        """Return the bytes of one block."""
        if url["url"].startswith("data:;base64,"):
            return base64.b64decode(url["url"].removeprefix("data:;base64,"), validate=True)
        parts = urlsplit(url["url"])
        assert f"{parts.scheme}://{parts.netloc}" == BASE
        _, _, kind, name = parts.path.split("/", 3)
        payload = self.links.payload(parse_qs(parts.query)["ticket"][0])
        assert payload["p"] == [parts.path]
        response = self.server.data(kind, unquote(name), payload["x"]).response
        assert response.status == 200 and response.pieces is not None
        data = b"".join(response.pieces)
        assert response.length in (None, len(data))
        return data

    def get(self, kind: str, name: str, body: Any = None, **parameters: str) -> bytes:
        """Return the whole answer."""
        ticket = self.ticket(kind, name, body, **parameters)
        return b"".join(map(self.fetch, ticket["urls"]))

    def error(self, kind: str, name: str, body: Any = None, **parameters: str) -> tuple[str, int]:
        """Return name and status of the error that an answer must be."""
        try:
            self.ticket(kind, name, body, **parameters)
        except HtsgetError as error:
            response = error.response()
            told = json.loads(response.body)["htsget"]
            assert told["error"] == error.name and told["message"]
            return error.name, response.status
        raise AssertionError("no error")
