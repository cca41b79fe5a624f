"""Acknowledgements: what is in flight, who waits for it, when it is over (spec: load-balancer.md §3, bus.md §7).

An entry is made before the message is sent and stays until the Invoker says that the slot is free, or until that is
overdue and it is freed by force. The caller's wait is a part of it and ends earlier: with the result, or with nothing
when the wait is over and the bus has made sure that the activation outlives the process, for then its caller is told
its id (D7). An ack that comes after all that finds no entry and is dropped.

An ack may carry the id alone, because the record was too big for it; then, and every 15 s while somebody waits,
`missing` is told to look into the store. Such a caller may outlast the entry: its slot is free, it waits on.

An entry has one place among the deadlines: the next of its own.
"""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Protocol

import msgspec
from msgspec import Raw

from upcall.controller.plan import Plan
from upcall.controller.recent import Recent
from upcall.core.balance import Job
from upcall.core.health import Outcome
from upcall.deadlines import PERIOD, Deadlines, clock
from upcall.errors import Internal, TooLarge, UpcallError
from upcall.model.activation import Activation
from upcall.model.entities import Identity
from upcall.model.messages import (
    ActivationMessage,
    CombinedMessage,
    CompletionMessage,
    Message,
    ResultMessage,
    completed_topic,
    invoker_topic,
)
from upcall.model.names import FullyQualifiedName, Transid
from upcall.ports import Bus, Feed, Lost
from upcall.telemetry import marks

log = logging.getLogger(__name__)


class Caller(Protocol):
    """Who has an activation started. Told once."""

    def done(self, id: str, activation: Activation | None) -> None:
        """The record of what was waited for, or None when the wait is over; None too for whoever does not wait, once
        the bus has the message."""

    def failed(self, id: str, error: UpcallError) -> None:
        """It could not be sent."""


Freed = Callable[[Job, int, Outcome | None], None]
"""Takes a job whose slot is free again, its Invoker's number, and how it ended there; None: it was not sent."""

Unknown = Callable[[CompletionMessage | CombinedMessage], bool]
"""Takes a completion of what is not in flight; whether it was a probe's."""

SUCCESS, SYSTEM_ERROR = Outcome.SUCCESS, Outcome.SYSTEM_ERROR
CREDIT = 256
SLOW_POLL = 15.0
KEEPING = 5.0
"""Seconds that the last callers wait for the journal."""
NEVER = float("inf")


class Entry(msgspec.Struct, eq=False):
    """One activation in flight."""

    id: str
    transid: Transid
    action: FullyQualifiedName
    user: Identity
    job: Job
    invoker: int
    size: int
    """Bytes of its arguments."""
    acks: "Acks"
    forced: float
    """When its slot is freed, come what may."""
    until: float
    """When the wait is over."""
    look: float
    """When to look into the store next."""
    message: ActivationMessage | None
    """While somebody waits."""
    waiting: Caller | None
    """Waits for the result."""
    sending: Caller | None
    """Waits for the bus to have it."""

    @property
    def extra(self) -> dict[str, str]:
        """For the log."""
        return marks(self.transid, self.id, self.user.namespace.name, self.action.id)

    def expire(self) -> None:
        self.acks.overdue(self)

    def sent(self, error: BaseException | None) -> None:
        """The bus has the message, or does not take it."""
        if error is not None:
            self.acks.refused(self, error)
        elif self.sending is not None:
            sending, self.sending = self.sending, None
            sending.done(self.id, None)


class Acks:
    """The bookkeeping of one controller. Make it on the loop; `freed` is told of each slot that is free again, once,
    `unknown` of completions that belong to nothing in flight, `lost` when no acks come any more."""

    def __init__(
        self,
        bus: Bus,
        controller: str,
        freed: Freed,
        lost: Lost,
        *,
        unknown: Unknown = lambda ack: False,
        prefix: str = "",
        standard: float = 60.0,
        factor: float = 2.0,
        addon: float = 60.0,
        period: float = PERIOD,
    ) -> None:
        self._bus = bus
        self._prefix = prefix
        self._topic = completed_topic(controller, prefix)
        self._freed = freed
        self._unknown = unknown
        self._lost = lost
        self._standard, self._factor, self._addon = standard, factor, addon
        self._entries: dict[str, Entry] = {}
        self._outlasting: set[Entry] = set()
        self._ending: asyncio.Event | None = None
        """Set with each wait that is over, in the end."""
        self._deadlines = Deadlines(period)
        self._time = clock(asyncio.get_running_loop())
        self.recent = Recent(self._time)
        self._feed: Feed | None = None
        self._used = 0
        self.missing: Callable[[Entry, bool], None] = lambda entry, acknowledged: None
        """Told to look for a record; `acknowledged`: it must be there, or soon will be."""
        self.completions = dict.fromkeys(("regular", "forced", "probe", "late"), 0)
        """How slots were freed."""
        self.in_flight: dict[str, int] = {}
        """By namespace uuid; a namespace without any is not in it."""
        self.size = 0
        """Bytes of the arguments of all that is in flight."""

    async def start(self) -> None:
        """Consume the controller's own topic."""
        await self._bus.ensure(self._topic)
        self._feed = await self._bus.feed(self._topic, self._topic.name, self._deliver, self._lost)
        self._feed.pull(CREDIT)

    async def close(self) -> None:
        """Stop consuming; who still waits is told that the wait is over."""
        await self.silence()
        await self.end_waits()
        self._deadlines.close()

    async def silence(self) -> None:
        """Stop consuming."""
        feed, self._feed = self._feed, None
        if feed:
            await feed.close()

    @property
    def count(self) -> int:
        """Of `GET /activation/count`."""
        return len(self._entries)

    def active(self) -> list[tuple[str, str]]:
        """Of `GET /activation`: activation id and action."""
        return [(entry.id, f"{entry.action.id}@{entry.action.version}") for entry in self._entries.values()]

    def register(
        self, message: ActivationMessage, plan: Plan, invoker: int, wait: float | None, caller: Caller
    ) -> Entry:
        """`wait` is how long the caller waits for the result, in seconds; None: not at all."""
        id_, user, content = message.activation_id, message.user, message.content
        size = len(content) if type(content) is Raw else 0
        now, timeout = self._time(), plan.timeout
        due = forced = now + (timeout if timeout > self._standard else self._standard) * self._factor + self._addon
        until = look = NEVER
        kept = waiting = None
        if wait is not None:
            kept, waiting = message, caller
            until, look = now + wait, now + SLOW_POLL
            due = until if until < look else look
            due = due if due < forced else forced
        entry = self._entries[id_] = Entry(  # positional and at once: this is the hot path
            id_, message.transid, message.action, user, plan.job, invoker, size, self,
            forced, until, look, kept, waiting, None if waiting else caller,
        )  # fmt: skip
        uuid = user.namespace.uuid
        self.in_flight[uuid] = self.in_flight.get(uuid, 0) + 1
        self.size += size
        self._deadlines.set(entry, due)
        return entry

    def withdraw(self, entry: Entry) -> bool:
        """The message was not sent. False where the entry is gone already."""
        entry.waiting = entry.sending = None
        if self._entries.pop(entry.id, None) is None:
            return False
        self._free(entry, None)
        return True

    def refused(self, entry: Entry, error: BaseException) -> None:
        """The bus does not take the message: withdraw it, and tell whoever waits for anything."""
        caller = entry.sending or entry.waiting
        self.withdraw(entry)
        if isinstance(error, TooLarge):
            log.info("activation %s is not sent: %s", entry.id, error, extra=entry.extra)
            error = TooLarge()  # the caller knows nothing of topics (spec: load-balancer.md §6)
        elif not isinstance(error, UpcallError):
            log.error("activation %s could not be sent", entry.id, exc_info=error, extra=entry.extra)
            error = Internal()
        if caller is not None:
            caller.failed(entry.id, error)

    def resolve(self, entry: Entry, activation: Activation | None) -> None:
        """Answer who waits; None: the wait is over."""
        waiting = entry.waiting
        if waiting is None:
            return
        entry.waiting = entry.message = None
        if self._outlasting:
            self._outlasting.discard(entry)
        try:
            waiting.done(entry.id, activation)
        except Exception:  # the boundary of one caller: the others go on
            log.exception("the answer of activation %s failed", entry.id, extra=entry.extra)
        if self._ending is not None:
            self._ending.set()

    async def end_waits(self) -> None:
        """Nobody waits any longer: each gets the id alone. Where that cannot be kept in `KEEPING` seconds, nothing."""
        left = [entry for entry in (*self._entries.values(), *self._outlasting) if entry.waiting is not None]
        self._ending = asyncio.Event()
        for entry in left:
            self._give_up(entry)
        try:
            async with asyncio.timeout(KEEPING):
                while any(entry.waiting for entry in left):
                    self._ending.clear()
                    await self._ending.wait()
        except TimeoutError:
            log.error(
                "%d callers get no answer: their activations cannot be kept", sum(1 for each in left if each.waiting)
            )

    def _give_up(self, entry: Entry) -> None:
        """The wait is over: the caller gets the id as soon as the activation outlives this process."""
        if entry.message is not None and entry.waiting is not None:
            message, entry.message = entry.message, None
            entry.until = NEVER
            self._bus.keep(invoker_topic(entry.invoker, self._prefix), message, partial(self.resolve, entry, None))

    def _deliver(self, offset: int, message: Message, started: bool) -> None:
        if isinstance(message, CombinedMessage):
            self._complete(self._hear(message.response), message)
        elif isinstance(message, CompletionMessage):
            self._complete(message.activation_id, message)
        elif isinstance(message, ResultMessage):
            self._hear(message.response)
        else:
            log.warning("a message of type %s on %s is dropped", type(message).__name__, self._topic.name)
        self._handled(offset)

    def _hear(self, response: Activation | str) -> str:
        """Tell who waits for it. The activation's id."""
        if isinstance(response, str):
            entry = self._entries.get(response)
            if entry is not None and entry.waiting is not None:
                self.missing(entry, True)
            return response
        id_ = response.activation_id
        entry = self._entries.get(id_)
        if entry is not None and entry.waiting is not None:
            if self._bus.recalls:  # else its record is in this process, at the latest in a millisecond
                self.recent.add(id_)
            self.resolve(entry, response)
        return id_

    def _handled(self, offset: int) -> None:
        feed = self._feed
        if feed is None:
            return
        feed.done(offset)
        self._used += 1
        if self._used == CREDIT // 2:
            self._used = 0
            feed.pull(CREDIT // 2)

    def _complete(self, id_: str, ack: CompletionMessage | CombinedMessage) -> None:
        """What is not known was forced before, or published by an earlier life of this controller, or is a probe."""
        entry = self._entries.pop(id_, None)
        if entry is None:
            self.completions["probe" if self._unknown(ack) else "late"] += 1
            return
        self.completions["regular"] += 1
        self._free(entry, SYSTEM_ERROR if ack.is_system_error else SUCCESS)
        if entry.waiting is not None:  # no result came, or only its id: whoever waits goes on waiting
            self._outlasting.add(entry)
            self._deadlines.set(entry, min(entry.until, entry.look))

    def _free(self, entry: Entry, outcome: Outcome | None) -> None:
        self._deadlines.drop(entry)
        self.size -= entry.size
        uuid, in_flight = entry.user.namespace.uuid, self.in_flight
        left = in_flight[uuid] - 1
        if left:
            in_flight[uuid] = left
        else:
            del in_flight[uuid]
        self._freed(entry.job, entry.invoker, outcome)

    def overdue(self, entry: Entry) -> None:
        """One of its deadlines has passed."""
        now = self._time()
        known = self._entries.get(entry.id) is entry
        if known and now >= entry.forced:
            del self._entries[entry.id]
            extra = entry.extra
            log.warning("no completion of activation %s from invoker %d in time", entry.id, entry.invoker, extra=extra)
            self.completions["forced"] += 1
            self._free(entry, Outcome.TIMEOUT)
            self._give_up(entry)
            return
        if entry.waiting is not None and now >= entry.until:
            self._give_up(entry)
        elif entry.waiting is not None and now >= entry.look:
            entry.look = now + SLOW_POLL
            self.missing(entry, False)
        deadlines = [entry.forced] if known else []
        if entry.waiting is not None:
            deadlines += [entry.until, entry.look]
        if deadlines:
            self._deadlines.set(entry, min(deadlines))
