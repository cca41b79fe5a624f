"""What the operator sees of an Invoker, alone or with a controller in its process, and does to it.

Rates come from a sample a second of the last minute.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Self

from upcall import metrics as names
from upcall.http.metrics import Collect
from upcall.invoker.service import Invoker
from upcall.measures import BOUNDS, Histogram, one
from upcall.model.names import Json
from upcall.store.choice import Storage
from upcall.telemetry import Log
from upcall.watch.process import READY, Watch

if TYPE_CHECKING:
    from prometheus_client import Metric

SAMPLES = 60
"""Seconds that rates may look back."""
ACTIONS = 300
"""Those that are shown."""


class InvokerWatch(Watch):
    """Implements `upcall.http.operator.Machine`. `driver` are metrics of what runs actions."""

    def __init__(
        self,
        invoker: Invoker,
        store: Storage,
        log: Log,
        facts: Callable[[], Mapping[str, Json]],
        tags: bool,
        *,
        driver: Sequence[Collect],
    ) -> None:
        super().__init__(
            invoker.name,
            store,
            log,
            facts,
            state=lambda: condition(invoker),
            hindered=lambda: hindrances(invoker),
        )
        self._invoker = invoker
        self._tags = tags
        self._driver = driver
        self._samples: deque[tuple[float, int, int, int]] = deque(maxlen=SAMPLES + 1)
        self._timer: asyncio.TimerHandle | None = None

    @contextlib.contextmanager
    def running(self) -> Iterator[Self]:
        """Takes samples."""
        self._sample()
        try:
            with super().running():
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

    async def measure(self) -> None:
        await self._invoker.inside.measure()

    def metrics(self) -> Iterator["Metric"]:
        yield from self._invoker.inside.metrics(self._tags)
        yield from one(names.CONTAINERS_TROUBLE, int(self._invoker.supply.trouble is not None))
        for source in self._driver:
            yield from source()
        yield from super().metrics()

    async def pool(self) -> Json:
        await self.measure()
        return self._invoker.inside.pool()

    async def containers(self) -> list[Json]:
        await self.measure()
        return self._invoker.inside.containers()

    def story(self, container: str) -> list[Json] | None:
        return self._invoker.inside.story(container)

    async def status(self) -> dict[str, Json]:
        await self.measure()
        counters = self._invoker.counters
        return {
            **await super().status(),
            "invoker": self.name,
            "pool": self._invoker.inside.pool(),
            "held_back": self._invoker.held_back,
            "activations": {
                "taken": counters.activations,
                "failed": counters.failed,
                "cold": counters.container_times["create"].count,
            },
            "rates": self._rates(),
            "actions": self._actions(),
            "failures": [
                {name: getattr(each, name) for name in each.__struct_fields__} for each in reversed(counters.failures)
            ],
        }

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


def condition(invoker: Invoker) -> str:
    """In a word or two."""
    if invoker.stopping:
        return "draining"
    if invoker.disabled:
        return "disabled"
    if invoker.proof.trouble is not None or invoker.supply.trouble is not None:
        return "without containers"
    return READY if invoker.asking.trouble is None else "store in trouble"


def hindrances(invoker: Invoker) -> list[str]:
    """Why it fetches nothing, in sentences."""
    found = ["it stops"] if invoker.stopping else []
    found += ["it is disabled"] if invoker.disabled else []
    troubles = invoker.supply.trouble, invoker.proof.trouble, invoker.asking.trouble
    return found + [trouble for trouble in troubles if trouble is not None]


def _quantile(times: Histogram, part: float) -> float | None:
    """The bound that so large a part is not above; None where there is none, or no bound is so high."""
    wanted = part * times.count
    total = 0
    for bound, count in zip(BOUNDS, times.counts, strict=False):
        total += count
        if count and total >= wanted:
            return bound
    return None
