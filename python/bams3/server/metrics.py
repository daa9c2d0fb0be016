"""What the server counts, as Prometheus reads it."""

from __future__ import annotations

import threading
from collections import Counter

from bams3.server.cache import CacheStats

_METHODS = frozenset({"GET", "HEAD", "POST", "OPTIONS"})


class Metrics:
    """Counters since the start; they name no user, file or address."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._requests: Counter[tuple[str, str, int]] = Counter()
        self._bytes: Counter[str] = Counter()
        self._cut = 0

    def count(self, route: str, method: str, status: int, sent: int, complete: bool) -> None:
        """Count an answer: bytes of its body sent, and whether all were."""
        if method not in _METHODS:
            method = "other"
        with self._guard:
            self._requests[route, method, status] += 1
            self._bytes[route] += sent
            self._cut += not complete

    def text(self, cache: CacheStats, connections: int, streams: int) -> str:
        """Return everything in Prometheus' text format."""
        with self._guard:
            lines = ["# TYPE bams3_requests_total counter"]
            lines += [
                f'bams3_requests_total{{route="{route}",method="{method}",status="{status}"}} {n}'
                for (route, method, status), n in sorted(self._requests.items())
            ]
            lines.append("# TYPE bams3_sent_bytes_total counter")
            lines += [
                f'bams3_sent_bytes_total{{route="{route}"}} {n}'
                for route, n in sorted(self._bytes.items())
            ]
            cut = self._cut
        lines += _single("bams3_cut_total", "counter", cut)
        lines += _single("bams3_cache_hits_total", "counter", cache.hits)
        lines += _single("bams3_cache_misses_total", "counter", cache.misses)
        lines += _single("bams3_cache_shared_total", "counter", cache.shared)
        lines += _single("bams3_cache_bytes", "gauge", cache.bytes)
        lines += _single("bams3_connections", "gauge", connections)
        lines += _single("bams3_streams", "gauge", streams)
        return "\n".join(lines) + "\n"


def _single(name: str, kind: str, value: int) -> list[str]:
    return [f"# TYPE {name} {kind}", f"{name} {value}"]
