"""`GET /metrics`: figures in Prometheus' text form, for anybody who reaches the port (spec: metrics.md §1)."""

import asyncio
import gzip
import importlib
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import msgspec
from starlette.types import Scope

from upcall.http.envelope import CORS_ROOT, Answer, Headers

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Metric

Collect = Callable[[], Iterable["Metric"]]
PLAIN: Headers = ((b"Content-Type", b"text/plain; version=0.0.4; charset=utf-8"), *CORS_ROOT)


class Exposed(msgspec.Struct, frozen=True):
    """What a role shows: `sources` after `measure`; `tags` are the labels of OpenWhisk's metrics."""

    sources: Sequence[Collect]
    tags: bool = True
    measure: Callable[[], Awaitable[None]] | None = None


class Metrics:
    """Asks each of `sources` when it is asked, after `measure`, and adds what Python says of the process and its
    garbage."""

    def __init__(self, sources: Iterable[Collect], measure: Callable[[], Awaitable[None]] | None = None) -> None:
        self._sources = tuple(sources)
        self._measure = measure
        self._registry: CollectorRegistry | None = None

    def collect(self) -> Iterator["Metric"]:
        for source in self._sources:
            yield from source()

    async def answer(self, scope: Scope) -> Answer:
        if self._registry is None:
            await asyncio.to_thread(importlib.import_module, "prometheus_client")  # takes a while: not on the loop
            self._registry = self._make_registry()
        if self._measure is not None:
            await self._measure()
        from prometheus_client.exposition import generate_latest

        families = list(self._registry.collect())
        text = await asyncio.to_thread(generate_latest, _Collected(families))
        if b"gzip" not in dict(scope["headers"]).get(b"accept-encoding", b""):
            return 200, PLAIN, text
        return 200, (*PLAIN, (b"content-encoding", b"gzip")), gzip.compress(text, 1)

    def _make_registry(self) -> "CollectorRegistry":
        from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector

        registry = CollectorRegistry(auto_describe=False)
        ProcessCollector(registry=registry)
        GCCollector(registry=registry)
        registry.register(self)
        return registry


class _Collected:
    """In place of a registry: what was collected on the loop, to be written out elsewhere."""

    def __init__(self, families: "list[Metric]") -> None:
        self._families = families

    def collect(self) -> "list[Metric]":
        return self._families
