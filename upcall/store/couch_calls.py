"""Calls of CouchDB, counted, timed and marked as OpenWhisk does (spec: metrics.md §3, §4)."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from time import perf_counter
from typing import TYPE_CHECKING, Literal

from upcall import metrics as names
from upcall.markers import marked
from upcall.measures import Histogram, Numbers, many, one

if TYPE_CHECKING:
    from prometheus_client import Metric

Call = Literal[
    "getDocument", "getDocumentAttachment", "saveDocument", "saveDocumentBulk", "deleteDocument", "queryView"
]
_ANSWERS = (404, 409)
"""What says something of a document, and is no failure."""


class Refused(Exception):
    """Ends the block of a call that was answered with an error."""


def call_of(method: str, segments: Sequence[str]) -> Call | None:
    """What OpenWhisk calls the request to this path, from the database on; None: it has no such request."""
    inside = segments[1:]
    if method == "POST" and inside == ("_bulk_docs",):
        return "saveDocumentBulk"
    if method == "GET" and "_view" in inside:
        return "queryView"
    if not inside or inside[0].startswith("_"):
        return None
    if method == "GET":
        return "getDocument" if len(inside) == 1 else "getDocumentAttachment"
    return {"PUT": "saveDocument", "DELETE": "deleteDocument"}.get(method)  # type: ignore[return-value]


class Calls:
    """Of one server; each number only ever grows."""

    def __init__(self) -> None:
        self.begun: dict[Call, int] = {}
        self.ended: dict[Call, Histogram] = {}
        self.failed: dict[Call, Histogram] = {}
        self.batches = Numbers()

    @contextlib.contextmanager
    def timed(self, call: Call | None) -> Iterator[Callable[[int], None]]:
        """What is done inside, which says the answer's status; it fails by that, or by raising."""
        if call is None:
            yield lambda status: None
            return
        self.begun[call] = self.begun.get(call, 0) + 1
        began, times, told = perf_counter(), self.failed, [0]
        try:
            with contextlib.suppress(Refused), marked(f"database_{call}", f"{call} of CouchDB"):
                yield lambda status: told.__setitem__(0, status)
                if told[0] >= 400 and told[0] not in _ANSWERS:
                    raise Refused
                times = self.ended
        finally:
            times.setdefault(call, Histogram()).observe(perf_counter() - began)

    def metrics(self) -> Iterator["Metric"]:
        """Of the calls that there were."""
        for call, count in self.begun.items():
            yield from many(names.CALLS, [((), count)], call=call)
        for call, times in self.ended.items():
            yield from many(names.CALL_TIMES, [((), times)], call=call)
        for call, times in self.failed.items():
            yield from many(names.CALL_ERRORS, [((), times.count)], call=call)
            yield from many(names.CALL_ERROR_TIMES, [((), times)], call=call)
        yield from one(names.BATCHES, self.batches)
