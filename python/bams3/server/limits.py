"""What one client may cost, in one place."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of every connection and request; times in seconds, sizes in bytes.

    Attributes:
        head: Request line and headers.
        headers: Number of headers.
        body: Body of a request.
        connections: Open at the same time; more are answered with 503.
        streams: Answers that read from a store at the same time, each with at most about 2 MiB in
            memory; more wait, and are refused with 503 after `wait`.
        per_client: Of these, those of one user, or of one address where nobody has a name.
        wait: For a free stream.
        head_time: From a request's first byte to its headers' end.
        body_time: For the rest of the request.
        idle_time: Between requests.
        stall_time: Without the client taking a byte of the answer.
    """

    head: int = 16 << 10
    headers: int = 64
    body: int = 1 << 20
    connections: int = 1024
    streams: int = 64
    per_client: int = 32
    wait: float = 10.0
    head_time: float = 10.0
    body_time: float = 20.0
    idle_time: float = 75.0
    stall_time: float = 60.0
