"""What a process of any role has to show: its store, its loop, its log."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Self

from upcall import __version__
from upcall import metrics as names
from upcall.lag import Lag
from upcall.measures import one
from upcall.model.names import Json
from upcall.store.choice import Storage
from upcall.telemetry import Log

if TYPE_CHECKING:
    from prometheus_client import Metric

READY = "ready"


class Watch:
    """Implements `upcall.http.operator.Process`. `state` says in a word or two how the process is, and `hindered` in
    sentences why it does not do its work, where it is not its store that is in trouble; `facts` are more to show."""

    def __init__(
        self,
        name: str,
        store: Storage,
        log: Log,
        facts: Callable[[], Mapping[str, Json]],
        *,
        state: Callable[[], str],
        hindered: Callable[[], Sequence[str]],
    ) -> None:
        self.name = name
        self._store = store
        self._log = log
        self._facts = facts
        self._condition = state
        self._hindered = hindered
        self._began = time.time()
        self.lag = Lag()

    @contextlib.contextmanager
    def running(self) -> Iterator[Self]:
        """Measures."""
        with self.lag.measured():
            yield self

    def log_level(self) -> str:
        return self._log.level

    def set_log_level(self, level: str) -> None:
        self._log.set_level(level)

    async def measure(self) -> None:
        """Before `metrics`."""

    def metrics(self) -> Iterator["Metric"]:
        """Of all but the API."""
        yield from self.lag.metrics()
        store = self._store
        yield from one(names.JOURNAL_ROWS, len(store.journal))
        yield from one(names.JOURNAL_BYTES, store.journal.size)
        yield from one(names.RECORDS_PENDING, store.pending)
        yield from one(names.STORE_TROUBLE, int(store.trouble is not None))

    async def status(self) -> dict[str, Json]:
        return {
            "version": __version__,
            "pid": os.getpid(),
            "state": self.state,
            "trouble": self._store.trouble,
            "hindrances": list(self.hindrances),
            "started": round(self._began * 1000),
            "now": round(time.time() * 1000),
            **self._facts(),
            "journal": {"activations": len(self._store.journal), "bytes": self._store.journal.size},
            "records_pending": self._store.pending,
            "loop_lag": round(self.lag.last, 6),
            "log_level": self._log.level,
            "warnings": self._log.warnings.all(),
        }

    @property
    def hindrances(self) -> list[str]:
        """Why it does not do its work, in sentences."""
        trouble = self._store.trouble
        return [*self._hindered(), *([f"the store takes no writes: {trouble}"] if trouble else [])]

    @property
    def state(self) -> str:
        state = self._condition()
        return "store in trouble" if state == READY and self._store.trouble else state
