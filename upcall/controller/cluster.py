"""Controllers that share a bus: who is there, and what each of them counts (docs/adr/0014-controllers.md).

They gossip over one topic that all follow: each second that they live, each quarter of a second what has changed of
their counts, and at once what somebody waits for. Messages are numbered; each says which of the others' it has heard
up to, so that everybody knows what the others know of it (`upcall.core.counts`). What is missing is asked for.

A controller that is not heard for `GONE` seconds while we hear ourselves is gone; one that leaves says so; a later life
of the same name replaces the earlier. With it goes what it had in flight; its attempts count until the minute is over.
Until the others have answered the first message, and where there are none, we are the only one.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Self

from upcall import metrics as names
from upcall.core.throttle import Held, Throttles
from upcall.errors import Throttled
from upcall.measures import one
from upcall.model.messages import ClusterMessage, Message, cluster_topic
from upcall.ports import Bus, Following, Lost

if TYPE_CHECKING:
    from prometheus_client import Metric

log = logging.getLogger(__name__)

PERIOD, IDLE = 0.25, 1.0
"""Seconds between two messages while something changes, and else."""
SPACING = 0.005
"""Seconds between two messages, whatever is asked."""
SILENT, GONE = 2.0, 10.0
PATIENCE = 1.0
"""Seconds that an attempt waits for the others."""
WAITING = 1000
"""Attempts that may wait; more are decided by what is known."""
START, ANSWERS = 1.0, 0.1
"""Seconds for the start, and of them for answers after our first message has come back."""
ENTRIES = 1000
"""Counts in a message; each takes some 45 bytes."""
MOST = 256
"""Other controllers; more than that are a stranger's doing."""


class Peer:
    """Another controller. `complete`: nothing that it told is missing; `since` is the first message after a gap."""

    __slots__ = ("complete", "heard", "incarnation", "number", "seen", "since", "warned")

    def __init__(self, message: ClusterMessage) -> None:
        self.incarnation = message.incarnation
        self.number = self.since = message.number
        self.complete = message.number == 1
        self.heard = 0.0
        self.seen = 0
        self.warned = False

    def take(self, message: ClusterMessage) -> bool:
        """The next message; False where some before it are missing."""
        gapless = message.number == self.number + 1
        if not gapless:
            self.complete, self.since = False, message.number
        self.number = message.number
        if message.parts and message.number - message.parts + 1 >= self.since:
            self.complete = True
        return gapless


class Round:
    """Waits until all have heard one message of ours."""

    __slots__ = ("done", "sent")

    def __init__(self) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.sent = 0.0


class Cluster:
    """`async with` it, on the loop. `resized` is told the number of controllers when it changes; `doubt` is called when
    one has ended, or was away, without having said so; `lost` when nothing is heard any more. `clock` is in epoch
    seconds."""

    def __init__(
        self,
        bus: Bus,
        name: str,
        throttles: Throttles,
        *,
        resized: Callable[[int], None],
        doubt: Callable[[], None],
        lost: Lost,
        prefix: str = "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._bus = bus
        self._name = name
        self._throttles = throttles
        self._resized = resized
        self._doubt = doubt
        self._lost = lost
        self._topic = cluster_topic(prefix)
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._incarnation = int(clock() * 1000)
        self._number = 0
        self._peers: dict[str, Peer] = {}
        self._crowded = False
        self._rounds: dict[int, Round] = {}
        self._held = self._held_ever = 0
        self._asks = self._whole = True  # of the first message
        self._tells_all = False
        self._said = self._echo = 0.0
        self._echoed = asyncio.Event()
        self._urgent: asyncio.TimerHandle | None = None
        self._ticking: asyncio.TimerHandle | None = None
        self._following: Following | None = None

    async def __aenter__(self) -> Self:
        await self._bus.ensure(self._topic)
        self._following = await self._bus.follow(self._topic, self._hear, self._lost)
        self._tick()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(START):
                await self._echoed.wait()
                await asyncio.sleep(ANSWERS)
        return self

    async def __aexit__(self, *_: object) -> None:
        for timer in (self._ticking, self._urgent):
            if timer is not None:
                timer.cancel()
        self._send(leaving=True)
        following, self._following = self._following, None
        if following is not None:
            await following.close()

    @property
    def size(self) -> int:
        """Controllers, at least 1."""
        return len(self._peers) + 1

    @property
    def names(self) -> list[str]:
        return sorted([self._name, *self._peers])

    async def agree(self, held: Held) -> None:
        """Return when the attempt may pass. Raises Throttled."""
        self._held_ever += 1
        if self._held < WAITING:
            self._held += 1
            try:
                async with asyncio.timeout(PATIENCE):
                    while not self._throttles.judge(held, self._clock()):
                        await asyncio.wait([self._ask()])
                    return
            except TimeoutError:
                pass
            except Throttled:
                self._soon()  # it is not taken any more: others may take it
                raise
            finally:
                self._held -= 1
        self._throttles.settle(held, self._clock())

    def metrics(self) -> Iterator["Metric"]:
        yield from one(names.CONTROLLERS, self.size)
        yield from one(names.HELD, self._held_ever)

    # --- what we say

    def _ask(self) -> asyncio.Future[None]:
        """Done when all others have heard our next message, and we theirs."""
        self._asks = True
        self._soon()
        return self._rounds.setdefault(self._number + 1, Round()).done

    def _soon(self) -> None:
        if self._urgent is None and self._following is not None:
            self._urgent = self._loop.call_at(self._said + SPACING, self._say)

    def _tick(self) -> None:
        self._ticking = self._loop.call_later(PERIOD, self._tick)
        now = self._loop.time()
        self._sweep(now)
        self._throttles.rates.turn(self._clock())
        self._throttles.running.touch_all()
        told = self._peers and (self._throttles.rates.touched or self._throttles.running.changes())
        if told or now - self._said >= IDLE - PERIOD / 2 or self._number == 0:
            self._say()

    def _say(self) -> None:
        """All that has changed; in several messages where it is much."""
        if self._urgent is not None:
            self._urgent.cancel()
            self._urgent = None
        self._said = self._loop.time()
        self._throttles.rates.turn(self._clock())
        parts = list(self._parts()) if self._peers else [((), ())]
        for number, (rates, running) in enumerate(parts, 1):
            last = number == len(parts)
            asks, whole = self._asks and last, self._whole and last
            self._send(rates, running, len(parts) if last and self._tells_all else 0, asks=asks, whole=whole)
        self._asks = self._whole = self._tells_all = False
        self._settle()

    def _parts(self) -> Iterator[tuple[Sequence[str], Sequence[str]]]:
        """Whose counts go into which message; one at least."""
        running = self._throttles.running
        running.settle(self._throttles.seen)
        running.touch_all()
        rated, flying = self._throttles.rates.changes(), running.changes()
        for start in range(0, max(len(rated), len(flying), 1), ENTRIES // 2):
            yield rated[start : start + ENTRIES // 2], flying[start : start + ENTRIES // 2]

    def _send(
        self,
        rates: Sequence[str] = (),
        running: Sequence[str] = (),
        parts: int = 0,
        *,
        asks: bool = False,
        whole: bool = False,
        leaving: bool = False,
    ) -> None:
        self._number += 1
        number, throttles = self._number, self._throttles
        if waiting := self._rounds.get(number):
            waiting.sent = self._clock()
        message = ClusterMessage(
            self._name,
            self._incarnation,
            number,
            {name: (peer.incarnation, peer.number) for name, peer in self._peers.items() if peer.complete},
            throttles.rates.minute,
            throttles.rates.tell(rates, number),
            throttles.running.tell(running, number),
            parts,
            asks,
            whole,
            leaving,
        )
        self._bus.send(self._topic, message)

    # --- what we hear

    def _hear(self, message: Message) -> None:
        if not isinstance(message, ClusterMessage):
            return
        if message.controller == self._name:
            self._hear_ourselves(message)
            return
        peer = self._peers.get(message.controller)
        if message.leaving:
            if peer is not None and peer.incarnation == message.incarnation:
                self._part(message.controller, "has left")
            return
        if peer is None and len(self._peers) >= MOST:
            self._turn_away(message.controller)
            return
        if peer is None or peer.incarnation < message.incarnation:
            peer = self._join(message, peer)
        elif peer.incarnation > message.incarnation or peer.number >= message.number:
            return  # of an earlier life; or it came twice, because the topic was made anew
        elif not peer.take(message):
            self._throttles.running.forget(_key(message))
            self._request()
        self._take(peer, message)

    def _take(self, peer: Peer, message: ClusterMessage) -> None:
        peer.heard = self._loop.time()
        rates, key = self._throttles.rates, _key(message)
        rates.turn(self._clock())
        rates.hear_of(message.minute, key, message.rates)
        self._throttles.running.hear(key, message.running)
        if message.minute and abs(message.minute - rates.minute) > 1 and not peer.warned:
            peer.warned = True
            log.warning(
                "the clock of controller %s is %d minutes away from ours: namespaces' rates are not shared with it",
                message.controller,
                message.minute - rates.minute,
            )
        incarnation, number = message.seen.get(self._name, (0, 0))
        peer.seen = number if incarnation == self._incarnation else 0
        if message.whole:
            self._tell_all()
        if message.asks:
            self._soon()
        self._settle()

    def _hear_ourselves(self, message: ClusterMessage) -> None:
        if message.incarnation != self._incarnation:
            return  # an earlier life of ours; a later one has taken our topic as well
        now = self._loop.time()
        if now - self._echo > SILENT:  # the bus was away: nobody could be heard
            for peer in self._peers.values():
                peer.heard = max(peer.heard, now)
        self._echo = now
        self._echoed.set()

    def _turn_away(self, name: str) -> None:
        if not self._crowded:
            self._crowded = True
            log.error(
                "controller %s is not heard: there are %d others. Is somebody else writing to the topic %s?",
                name,
                MOST,
                self._topic.name,
            )

    def _join(self, message: ClusterMessage, before: Peer | None) -> Peer:
        name = message.controller
        if before is not None:
            self._part(name, "has started again")
        peer = self._peers[name] = Peer(message)
        log.info("controller %s is there", name)
        self._resize()
        if not peer.complete:  # it lived before we heard of it, or while we did not
            self._doubt()
            self._request()
        return peer

    def _part(self, name: str, how: str) -> None:
        peer = self._peers.pop(name)
        self._throttles.running.forget(f"{name}@{peer.incarnation}")
        log.info("controller %s %s", name, how)
        if how != "has left":
            self._doubt()
        self._resize()
        self._settle()

    def _resize(self) -> None:
        self._throttles.size = self.size
        if self.size == 2:
            self._tell_all()
        self._resized(self.size)

    def _tell_all(self) -> None:
        self._throttles.rates.tell_again()
        self._throttles.running.tell_again()
        self._tells_all = True
        self._soon()

    def _request(self) -> None:
        self._asks = self._whole = True
        self._soon()

    def _settle(self) -> None:
        """What all have heard of us; those that are silent are not waited for."""
        horizon = self._loop.time() - SILENT
        seen = min((peer.seen for peer in self._peers.values() if peer.heard > horizon), default=self._number)
        self._throttles.seen = seen
        for number in [number for number in self._rounds if number <= seen]:
            done = self._rounds.pop(number)
            self._throttles.asked = done.sent
            if not done.done.done():
                done.done.set_result(None)

    def _sweep(self, now: float) -> None:
        if now - self._echo > SILENT:
            return  # it is not they
        for name in [name for name, peer in self._peers.items() if now - peer.heard > GONE]:
            self._part(name, f"was not heard for {GONE:g} s")
        self._settle()


def _key(message: ClusterMessage) -> str:
    """Counts belong to one life of a controller."""
    return f"{message.controller}@{message.incarnation}"
