"""How often and how much at once a namespace may invoke (spec: load-balancer.md §7, rest-api.md §13).

The rate counts every attempt in the current minute of the calendar, refused ones included; the minute is fixed, so a
namespace may use up two minutes' worth around its turn. The number in flight is only read here: it belongs to whoever
waits for the acknowledgements. The rate is looked at first. A limit of 0 blocks; limits belong to the namespace's
document, else to the system.

Several controllers count together (docs/adr/0014-controllers.md): the limit is one for all of them, and the texts show
it. Unlike upstream nobody gets a fixed part. What others have told is added to our own; where they might at the same
time let in what we let in, the attempt is `Held` until they have been asked (`upcall.core.counts`). Counts belong to
the minute of the clock of the controller that took the attempt, so clocks may differ.
"""

from collections.abc import Mapping
from typing import NoReturn

import msgspec

from upcall.core.counts import MOST, Counts
from upcall.errors import Throttled
from upcall.model import texts
from upcall.model.entities import Identity
from upcall.model.sizes import SystemLimits

MINUTE = 60
FRESH = 0.05
"""Seconds for which what was asked counts as known: a flood that is refused does not ask for each of its attempts."""
RATE, CONCURRENCY = "TimedRateLimit", "ConcurrentRateLimit"
"""Upstream's names of what refuses."""


class Rates(Counts):
    """Attempts by namespace uuid in one minute. A new minute starts empty, which bounds it. Told to others are those
    that have passed or may pass (`taken`): two floods that refuse each other's attempts must not both be refused for
    the rest of the minute."""

    def __init__(self) -> None:
        self.minute = 0
        self.taken: dict[str, int] = {}
        self.refused: dict[str, int] = {}
        self._later: dict[int, dict[str, dict[str, int]]] = {}
        super().__init__(self.taken)

    def charge(self, uuid: str, limit: int, now: float) -> int:
        """Count one attempt at `now` (epoch seconds); its number among those that we have taken. Raises Throttled from
        the first one above `limit` on."""
        if int(now) // MINUTE != self.minute:
            self.turn(now)
        number = self.taken[uuid] = self.taken.get(uuid, 0) + 1
        if number > limit or self.others:
            self.check(uuid, number, limit, now)
        return number

    def check(self, uuid: str, number: int, limit: int, now: float) -> None:
        """Raises Throttled; then it is not taken any more."""
        if number + self.others.get(uuid, 0) > limit:
            self._refuse(uuid, limit, now)

    def attempts(self, uuid: str) -> int:
        """Of ours, in this minute."""
        return self.taken.get(uuid, 0) + self.refused.get(uuid, 0)

    def turn(self, now: float) -> None:
        """Be in the minute of `now`, which may be an earlier one than it was: clocks are set."""
        minute = int(now) // MINUTE
        if minute == self.minute:
            return
        self.minute = minute
        self.taken.clear()
        self.refused.clear()
        self.start()
        self._later = {each: told for each, told in self._later.items() if minute <= each <= minute + 1}
        for controller, counts in self._later.pop(minute, {}).items():
            self.hear(controller, counts)

    def hear_of(self, minute: int, controller: str, counts: Mapping[str, int]) -> None:
        """Of this minute, or of the next where another's clock is ahead; an earlier one is over."""
        if minute == self.minute:
            self.hear(controller, counts)
        elif minute == self.minute + 1:
            later = self._later.setdefault(minute, {})
            if sum(map(len, later.values())) < MOST:
                later.setdefault(controller, {}).update(counts)

    def _refuse(self, uuid: str, limit: int, now: float) -> NoReturn:
        self.taken[uuid] -= 1
        self.refused[uuid] = self.refused.get(uuid, 0) + 1
        self.touched.add(uuid)
        count = self.attempts(uuid) + self.others.get(uuid, 0)
        raise Throttled(texts.too_many_requests(count, limit), MINUTE - int(now) % MINUTE, RATE)


class Held(msgspec.Struct):
    """An attempt that has been counted, and that others have to be asked about. `count` is its number among ours in
    `minute`; None as soon as the rate lets it pass."""

    uuid: str
    count: int | None
    minute: int
    rate: int
    concurrency: int


class Throttles:
    """Of one controller. `running` is what it has in flight, by namespace uuid."""

    def __init__(self, system: SystemLimits, running: Mapping[str, int]) -> None:
        self._system = system
        self.rates = Rates()
        self.fires = Rates()
        self.running = Counts(running)
        self.size = 1
        """Controllers."""
        self.seen = 0
        """The number of our last message that all others have heard."""
        self.asked = 0.0
        """When the others were asked for what they told last (epoch seconds)."""

    def admit(self, identity: Identity, now: float) -> Held | None:
        """May this caller invoke now? Charges the rate. None: yes. Raises Throttled."""
        system, limits, uuid = self._system, identity.limits, identity.namespace.uuid
        rate, concurrency = limits.invocations_per_minute, limits.concurrent_invocations
        if not isinstance(rate, int):
            rate = system.invocations_per_minute
        if not isinstance(concurrency, int):
            concurrency = system.concurrent_invocations
        count = self.rates.charge(uuid, rate, now)
        if self.size == 1:
            running = self.running
            if running.others or running.own.get(uuid, 0) >= concurrency:
                self._check_running(uuid, concurrency)
            return None
        self.rates.touched.add(uuid)
        held = Held(uuid, count, self.rates.minute, rate, concurrency)
        return None if self.judge(held, now) else held

    def fire(self, identity: Identity, now: float) -> None:
        """May this caller fire a trigger now? Charges the rate of fires, of which each controller has its part. Raises
        Throttled."""
        limit, uuid = identity.limits.fires_per_minute, identity.namespace.uuid
        if not isinstance(limit, int):
            limit = self._system.fires_per_minute
        try:
            self.fires.charge(uuid, -(-limit // self.size), now)
        except Throttled as refusal:
            text = texts.too_many_requests(self.fires.attempts(uuid), limit)
            raise Throttled(text, refusal.retry_after, RATE) from None

    def judge(self, held: Held, now: float) -> bool:
        """Whether it may pass whatever the others do; False: they have to be asked. Raises Throttled."""
        return self._judge_rate(held, now) and self._judge_running(held, now)

    def settle(self, held: Held, now: float) -> None:
        """Decide by what is known: not all have answered. Raises Throttled."""
        if held.count is not None and held.minute == self.rates.minute:
            self.rates.check(held.uuid, held.count, held.rate, now)
        self._check_running(held.uuid, held.concurrency)

    def in_flight(self, uuid: str) -> int:
        """Of all controllers."""
        return self.running.own.get(uuid, 0) + self.running.others.get(uuid, 0)

    def _judge_rate(self, held: Held, now: float) -> bool:
        if held.count is None or held.minute != self.rates.minute:
            return True
        self.rates.check(held.uuid, held.count, held.rate, now)
        if not self.rates.safe(held.uuid, held.count, held.rate, self.size, self.seen):
            return False
        held.count = None
        return True

    def _judge_running(self, held: Held, now: float) -> bool:
        """What others told may have ended since, so it refuses nobody unless it is fresh; and where less is left than
        there are controllers, each may take one."""
        uuid, limit, fresh = held.uuid, held.concurrency, 0 <= now - self.asked < FRESH
        own = self.running.own.get(uuid, 0)
        if own >= limit or fresh:
            self._check_running(uuid, limit)
        if self.running.safe(uuid, own + 1, limit, self.size, self.seen):
            return True
        return fresh and self.running.floor(uuid, self.seen) >= own

    def _check_running(self, uuid: str, limit: int) -> None:
        if self.in_flight(uuid) >= limit:
            self._refuse(uuid, limit)

    def _refuse(self, uuid: str, limit: int) -> NoReturn:
        raise Throttled(texts.too_many_concurrent(self.in_flight(uuid), limit), metric=CONCURRENCY)
