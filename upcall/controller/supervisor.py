"""Which Invokers are there and can work: pings and outcomes in, probes out (spec: load-balancer.md §4).

The states are `core.health`; here are the topic, the clock and the sends. The clock stands still while this process
does not run: what was not heard in that time was not heard because nobody listened.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple, Protocol

from upcall.controller.probe import Probes
from upcall.core.health import Commands, Ended, Event, Health, Move, Outcome, Pinged, ProbeLost, State, Ticked, step
from upcall.model.messages import CombinedMessage, CompletionMessage, Message, PingMessage, health_topic, invoker_topic
from upcall.model.names import INVOKER_NAME, INVOKERS, InvokerId
from upcall.model.sizes import MB, parse_size
from upcall.ports import Bus, Following, Lost

log = logging.getLogger(__name__)

PERIOD = 0.25
STALLED = 1.0
"""seconds; ticks that are later than that: this process did not run"""
LARGEST = 1 << 30
"""MB that one may say it has: a petabyte"""
NAME = 2 * INVOKER_NAME + 20
"""Characters of both names, with the number before them."""
STRANGE = 100
"""Senders whose pings are dropped, and that are told of; what more there are, nobody would read."""
TICK = Ticked()
PROBE_LOST = ProbeLost()
ENABLED, DISABLED = Pinged(True), Pinged(False)
ENDED = {outcome: Ended(outcome) for outcome in Outcome}


class Known(NamedTuple):
    """An Invoker: what its pings say of it, as text, and how it is. Pings have more, which nobody here needs."""

    name: str
    memory: str
    health: Health


class Watched(Protocol):
    """Who is told of Invokers."""

    def learn(self, instance: InvokerId, megabytes: int) -> None: ...

    def move(self, number: int, state: State) -> None: ...


class Supervisor:
    """Make and start it on the loop; `lost` is told when no pings come any more."""

    def __init__(
        self,
        bus: Bus,
        fleet: Watched,
        probes: Probes,
        lost: Lost,
        *,
        prefix: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._bus = bus
        self._fleet = fleet
        self._probes = probes
        self._lost = lost
        self._prefix = prefix
        self._clock = clock
        self._known: dict[int, Known] = {}
        self._strange: set[str] = set()
        self._stalls = 0.0
        self._ticked = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._following: Following | None = None
        self._changed: asyncio.Event = asyncio.Event()
        self.probes_sent = 0

    async def start(self) -> None:
        topic = health_topic(self._prefix)
        await self._bus.ensure(topic)
        self._following = await self._bus.follow(topic, self._hear, self._lost)
        self._ticked = self._clock()
        self._arm()

    async def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._following is not None:
            await self._following.close()

    async def until(self, count: int) -> None:
        """Return when so many Invokers are healthy."""
        while sum(each.health.state is State.HEALTHY for each in self._known.values()) < count:
            self._changed.clear()
            await self._changed.wait()

    def ended(self, number: int, outcome: Outcome) -> None:
        """An activation of ours on that Invoker has ended."""
        self._feed(number, ENDED[outcome])

    def unknown(self, ack: CompletionMessage | CombinedMessage) -> bool:
        """Take a completion of what was not published; whether it was a probe of this life."""
        if ack.transid != self._probes.transid:
            return False
        if ack.instance.instance in self._known:
            self.ended(ack.instance.instance, Outcome.SYSTEM_ERROR if ack.is_system_error else Outcome.SUCCESS)
        return True

    def _hear(self, message: Message) -> None:
        if not isinstance(message, PingMessage):
            return
        instance = message.name
        known = self._known.get(instance.instance)
        same = known is not None and known.memory == instance.user_memory and known.name == str(instance)
        if not same and not self._learn(instance):
            return
        self._feed(instance.instance, ENABLED if message.is_enabled else DISABLED)

    def _learn(self, instance: InvokerId) -> bool:
        """Whether it can be one."""
        name = str(instance)
        try:
            megabytes = _memory(instance, name)
        except ValueError as error:
            short = name[:NAME]
            if short not in self._strange and len(self._strange) < STRANGE:
                self._strange.add(short)
                log.warning("pings of %s are dropped: %s", short, error)
            return False
        known = self._known.get(instance.instance)
        self._known[instance.instance] = Known(name, instance.user_memory, known.health if known else Health())
        self._fleet.learn(instance, megabytes)
        return True

    def _arm(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(PERIOD, self._pass)

    def _pass(self) -> None:
        self.tick()
        self._arm()

    def tick(self) -> None:
        """Time has passed; comes each `PERIOD`."""
        now = self._clock()
        late = now - self._ticked - PERIOD
        if late > STALLED:
            self._stalls += late
            log.warning("this process has not run for %.1f s", late)
        self._ticked = now
        for number in self._known:
            self._feed(number, TICK)

    def _feed(self, number: int, event: Event) -> None:
        health = self._known[number].health
        commands = step(health, event, self._clock() - self._stalls)
        if commands:
            self._obey(number, commands)

    def _obey(self, number: int, commands: Commands) -> None:
        for command in commands:
            if isinstance(command, Move):
                self._fleet.move(number, command.to)
                self._changed.set()
            else:
                self._probe(number)

    def _probe(self, number: int) -> None:
        self.probes_sent += 1
        self._bus.send(invoker_topic(number, self._prefix), self._probes.message(), partial(self._sent, number))

    def _sent(self, number: int, error: BaseException | None) -> None:
        if error is not None:
            log.warning("invoker%d could not be tested: %s", number, error)
            self._feed(number, PROBE_LOST)


def _memory(instance: InvokerId, name: str) -> int:
    """In MB. Raises ValueError with what it is that no Invoker says of itself."""
    if not 0 <= instance.instance < INVOKERS:
        raise ValueError(f"Invokers are numbered from 0 to {INVOKERS - 1}")
    if len(name) > NAME or not name.isprintable():
        raise ValueError(f"names are up to {NAME} characters that can be printed")
    megabytes = parse_size(instance.user_memory) // MB
    if not 0 < megabytes <= LARGEST:
        said = instance.user_memory
        raise ValueError(f"it says that it has {said[:50]}" if megabytes else f"it has no memory: {said[:50]}")
    return megabytes
