"""Log markers, which OpenWhisk's tests and operators look for (spec: metrics.md §4).

`[marker:invoker_activationRun_finish:153:42]` at the end of a line says that this has happened 153 ms after the
transaction's start, and 42 ms after its own, of which the line with `…_start` has told. They are off unless they are
asked for: the lines of an activation cost more than the activation.

Who has no message at hand, a driver, marks for the `transaction` of its task; without one it is the platform itself.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal

from upcall.model.names import Transid

log = logging.getLogger("upcall.markers")
log.disabled = True

Ended = Literal["finish", "error"]
_START = int(time.time() * 1000)
transaction: ContextVar[Transid] = ContextVar("transaction", default=["sid_invokerNanny", _START])  # noqa: B039 - never changed


def switch(on: bool) -> None:
    """For the whole process."""
    log.disabled = not on


def are_on() -> bool:
    return not log.disabled


def mark(name: str, text: str, transid: Transid, took: float | None = None, **extra: str) -> None:
    """One line; `took` in seconds, of what has a start."""
    begun = transid[1] if len(transid) > 1 and type(transid[1]) is int else None
    since = 0 if begun is None else int(time.time() * 1000) - begun
    delta = "" if took is None else f":{int(took * 1000)}"
    tid = str(transid[0]) if transid else "sid_unknown"
    log.info("%s [marker:%s:%d%s]", text, name, since, delta, extra={"tid": tid, **extra})


@contextmanager
def marked(name: str, text: str) -> Iterator[None]:
    """Of one thing that is done, as `marked("invoker_docker.run", "docker run of openwhisk/action-python")`: its start,
    and its finish or its error."""
    if log.disabled:
        yield
        return
    transid, began = transaction.get(), time.perf_counter()
    mark(f"{name}_start", text, transid)
    try:
        yield
    except BaseException:
        mark(f"{name}_error", f"{text} failed", transid, time.perf_counter() - began)
        raise
    mark(f"{name}_finish", text, transid, time.perf_counter() - began)
