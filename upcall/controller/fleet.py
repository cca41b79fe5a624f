"""The Invokers as a controller sees them: who gets a job, who is there (spec: load-balancer.md).

`core.balance` chooses and books, `controller.supervisor` says who is healthy; here both come together, are counted and
shown. In one process with its Invoker there is no supervision and nothing to divide (OpenWhisk's LeanBalancer): it gets
everything, and keeps what it cannot take now.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from secrets import randbelow
from typing import TYPE_CHECKING

from upcall import metrics as names
from upcall.balancing import Balancing
from upcall.core import balance
from upcall.core.balance import Balancer, Job, Pick, force, publish, release
from upcall.core.health import Outcome, State
from upcall.errors import Unavailable
from upcall.measures import many, one
from upcall.model.names import InvokerId
from upcall.model.sizes import MB, SystemLimits

if TYPE_CHECKING:
    from prometheus_client import Metric

    from upcall.controller.supervisor import Supervisor

log = logging.getLogger(__name__)

ALONE = 0
"""The number of an Invoker that does its own counting."""
QUIET = 10.0
"""Seconds between two warnings of overload."""
HOLE = 100
"""Numbers that were skipped, from which on it is told."""
LOCAL = "invoker0/0"


class Fleet:
    """`local` tells whether the one Invoker, in this process, is enabled; without it `supervisor` is told of outcomes,
    and tells of Invokers."""

    def __init__(
        self,
        balancing: Balancing = Balancing(),  # noqa: B008 - frozen
        limits: SystemLimits = SystemLimits(),  # noqa: B008 - frozen
        *,
        local: Callable[[], bool] | None = None,
        pick: Pick = randbelow,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._balancer = Balancer(balancing.managed_fraction, balancing.blackbox_fraction, limits.memory.min)
        self._local = local
        self._pick = pick
        self._clock = clock
        self._names: dict[int, str] = {}
        self._states: dict[int, State] = {}
        self._kept: int | None = None
        self._warned = float("-inf")
        self._moves: dict[State, int] = dict.fromkeys(State, 0)
        self.overloads = 0
        self.supervisor: Supervisor | None = None

    def publish(self, job: Job) -> int:
        """Book the job and give the Invoker's number. Raises Unavailable where no Invoker is healthy, or none that is
        has so much memory at all."""
        if self._local is not None:
            return ALONE
        place = publish(self._balancer, job)
        return self._overload(job) if place is None else place.id

    def release(self, job: Job, invoker: int, outcome: Outcome | None) -> None:
        """The job's slot is free again; no outcome: it never got there."""
        if self._local is not None:
            return
        release(self._balancer, job, invoker)
        if outcome is not None and self.supervisor is not None:
            self.supervisor.ended(invoker, outcome)

    def resize(self, controllers: int) -> None:
        """So many controllers share the Invokers from now on."""
        if self._local is not None or controllers == self._balancer.cluster:
            return
        raised = balance.resize(self._balancer, controllers)
        log.info("%d controllers share the Invokers", self._balancer.cluster)
        if raised:
            self._tell_raised(raised)

    @property
    def controllers(self) -> int:
        """That share the Invokers."""
        return self._balancer.cluster

    async def staffed(self, patience: float) -> bool:
        """Whether an Invoker is up, as soon as one is; none in `patience` seconds: no."""
        if self.supervisor is None:
            return True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await self.supervisor.until(1)
                return True
        return False

    def learn(self, instance: InvokerId, megabytes: int) -> None:
        """An Invoker is new, or is not what it was."""
        number, before = instance.instance, len(self._balancer.places)
        self._names[number] = str(instance)
        if number - before >= HOLE:
            log.warning(
                "%s: the numbers from %d to %d are no Invoker's, but count for `/invokers/ready` and for where actions "
                "run. If it is there by mistake, end it and start the controllers again.",
                instance,
                before,
                number - 1,
            )
        if not balance.set_memory(self._balancer, number, megabytes):
            self._tell_raised([number])

    def move(self, number: int, state: State) -> None:
        """Of an Invoker that is known."""
        if number == self._kept and state is State.OFFLINE:
            return
        before = self._states.get(number, State.OFFLINE)
        self._states[number] = state
        self._moves[state] += 1
        balance.set_healthy(self._balancer, number, state is State.HEALTHY)
        level = logging.WARNING if before is State.HEALTHY else logging.INFO
        log.log(level, "%s is %s (it was %s)", self._names[number], state.value, before.value)

    def keep(self, number: int) -> None:
        """Send work there as before, though it says that it is disabled: it is in this process and stops with it, and
        what runs there may call."""
        self._kept = number

    def states(self) -> dict[str, str]:
        """Of `GET /invokers`, in the order of numbers; those that were never heard of are `down`."""
        if self._local is not None:
            return {LOCAL: (State.HEALTHY if self._local() else State.OFFLINE).value}
        found = range(len(self._balancer.places))
        return {self._names.get(i, f"invoker{i}"): self._states.get(i, State.OFFLINE).value for i in found}

    def metrics(self, tags: bool = True) -> Iterator["Metric"]:
        """Of what is divided; an Invoker alone has none."""
        if self._local is not None:
            return
        moves = [((state.value,), count) for state, count in self._moves.items() if count]
        yield from many(names.INVOKER_MOVES, moves, tags=tags)
        yield from one(names.OVERLOADS, self.overloads)
        places = [place for place in self._balancer.places if place.memory]
        yield from many(names.SHARES, [((str(place.id),), place.share * MB) for place in places])
        yield from many(names.PERMITS, [((str(place.id),), place.permits * MB) for place in places])
        if self.supervisor is not None:
            yield from one(names.PROBES, self.supervisor.probes_sent)

    def _overload(self, job: Job) -> int:
        try:
            number = force(self._balancer, job, self._pick).id
        except Unavailable as refusal:
            self._warn("No invokers available: %s", str(refusal) or "none is up, activations are refused with 503.")
            raise
        self.overloads += 1
        self._warn("system is overloaded. Chose invoker%d by random assignment.", number)
        return number

    def _warn(self, text: str, *values: object) -> None:
        """Of what the next activations will meet, too."""
        now = self._clock()
        if now >= self._warned + QUIET:
            self._warned = now
            log.warning(text, *values)

    def _tell_raised(self, numbers: list[int]) -> None:
        log.error(
            "%s: a controller's share of the memory, of %d controllers, is less than the smallest action takes (%d MB) "
            "and was raised to it: expect overload. It takes more memory or fewer controllers.",
            ", ".join(f"invoker{number}" for number in numbers),
            self._balancer.cluster,
            self._balancer.least,
        )
