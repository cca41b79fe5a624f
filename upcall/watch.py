"""What the operator sees of a whole platform in one process, and does to it (`upcall.http.operator`).

Rates come from a sample a second of the last minute. Warnings are what was logged since the start: those of the host,
as a missing tool, are among the first.
"""

import asyncio
import contextlib
import os
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from upcall import __version__
from upcall import metrics as names
from upcall.invoker.service import Invoker
from upcall.lag import Lag
from upcall.measures import BOUNDS, Histogram, one
from upcall.model.names import Json
from upcall.ownership import private_file, unusable
from upcall.places import operator_file
from upcall.store.choice import Storage
from upcall.telemetry import Log

if TYPE_CHECKING:
    from prometheus_client import Metric

SAMPLES = 60
"""Seconds that rates may look back."""
ACTIONS = 300
"""Those that are shown."""
KEY_BYTES = 32


class Watch:
    """Implements `upcall.http.operator.Machine`."""

    def __init__(
        self, invoker: Invoker, store: Storage, log: Log, facts: Callable[[], Mapping[str, Json]], tags: bool
    ) -> None:
        self._invoker = invoker
        self._store = store
        self._log = log
        self._facts = facts
        self._tags = tags
        self._began = time.time()
        self._samples: deque[tuple[float, int, int, int]] = deque(maxlen=SAMPLES + 1)
        self._timer: asyncio.TimerHandle | None = None
        self.lag = Lag()
        self.name = invoker.name

    @contextlib.contextmanager
    def running(self) -> Iterator["Watch"]:
        """Takes samples."""
        self._sample()
        try:
            with self.lag.measured():
                yield self
        finally:
            assert self._timer is not None
            self._timer.cancel()

    @property
    def disabled(self) -> bool:
        return self._invoker.disabled

    @property
    def enabled(self) -> bool:
        """As the pings say."""
        return self._invoker.enabled

    def enable(self) -> bool:
        return self._invoker.enable()

    def disable(self) -> bool:
        return self._invoker.disable()

    def log_level(self) -> str:
        return self._log.level

    def set_log_level(self, level: str) -> None:
        self._log.set_level(level)

    async def measure(self) -> None:
        await self._invoker.inside.measure()

    def metrics(self) -> Iterator["Metric"]:
        """Of all but the Controller."""
        yield from self._invoker.inside.metrics(self._tags)
        yield from self.lag.metrics()
        store = self._store
        yield from one(names.JOURNAL_ROWS, len(store.journal))
        yield from one(names.JOURNAL_BYTES, store.journal.size)
        yield from one(names.RECORDS_PENDING, store.pending)
        yield from one(names.STORE_TROUBLE, int(store.trouble is not None))

    async def pool(self) -> Json:
        await self.measure()
        return self._invoker.inside.pool()

    async def containers(self) -> list[Json]:
        await self.measure()
        return self._invoker.inside.containers()

    def story(self, container: str) -> list[Json] | None:
        return self._invoker.inside.story(container)

    async def status(self) -> Json:
        await self.measure()
        counters = self._invoker.counters
        return {
            "version": __version__,
            "pid": os.getpid(),
            "state": self._state(),
            "trouble": self._store.trouble,
            "started": round(self._began * 1000),
            "now": round(time.time() * 1000),
            **self._facts(),
            "pool": self._invoker.inside.pool(),
            "held_back": self._invoker.held_back,
            "activations": {
                "taken": counters.activations,
                "failed": counters.failed,
                "cold": counters.container_times["create"].count,
            },
            "rates": self._rates(),
            "journal": {"activations": len(self._store.journal), "bytes": self._store.journal.size},
            "records_pending": self._store.pending,
            "loop_lag": round(self.lag.last, 6),
            "log_level": self._log.level,
            "actions": self._actions(),
            "failures": [
                {name: getattr(each, name) for name in each.__struct_fields__} for each in reversed(counters.failures)
            ],
            "warnings": self._log.warnings.all(),
        }

    def _state(self) -> str:
        if self._invoker.stopping:
            return "draining"
        return "disabled" if self._invoker.disabled else "store in trouble" if self._store.trouble else "ready"

    def _rates(self) -> Json:
        """Activations, failures and new containers a second, over the last seconds that there are."""
        (at, *last), (before, *first) = self._samples[-1], self._samples[max(0, len(self._samples) - 11)]
        span = max(at - before, 1.0)
        activations, failures, cold = (round((new - old) / span, 2) for new, old in zip(last, first, strict=True))
        return {"seconds": round(span), "activations": activations, "failures": failures, "cold": cold}

    def _actions(self) -> list[Json]:
        """Of each action and caller: times of /run in seconds, the most time altogether first."""
        tallies = sorted(self._invoker.counters.tallies.all(), key=lambda tally: -tally.times.sum)[:ACTIONS]
        return [
            {
                "initiator": tally.name[0],
                "action": "/".join(tally.name[1:]) if tally.name[1] else "(others)",
                "ended": tally.ended,
                "failed": tally.ended - tally.outcomes[0],
                "running": tally.started - tally.ended,
                "seconds": round(tally.times.sum, 6),
                "runs": tally.times.count,
                "p95": _quantile(tally.times, 0.95),
            }
            for tally in tallies
        ]

    def _sample(self) -> None:
        loop, counters = asyncio.get_running_loop(), self._invoker.counters
        created = counters.container_times["create"].count
        self._samples.append((loop.time(), counters.activations, counters.failed, created))
        self._timer = loop.call_later(1.0, self._sample)


def operator_credentials(data: Path, username: str, password: str | None) -> str:
    """`USER:PASSWORD`, which are then in the data folder, for this user alone; where no password is given the one of an
    earlier life, or a new one. Raises Misconfigured where they cannot be kept."""
    path = operator_file(data)
    try:
        with os.fdopen(private_file(path), "r+") as file:
            known = file.read().strip().partition(":")[2]
            credentials = f"{username}:{password or known or secrets.token_urlsafe(KEY_BYTES)}"
            file.seek(0)
            file.truncate()
            file.write(f"{credentials}\n")
    except (OSError, UnicodeDecodeError) as error:
        raise unusable(data, f"{path.name}: {error}") from error
    return credentials


def _quantile(times: Histogram, part: float) -> float | None:
    """The bound that so large a part is not above; None where there is none, or no bound is so high."""
    wanted = part * times.count
    total = 0
    for bound, count in zip(BOUNDS, times.counts, strict=False):
        total += count
        if count and total >= wanted:
            return bound
    return None
