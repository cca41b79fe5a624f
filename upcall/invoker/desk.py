"""What the activations of one Invoker work with: where their records and acks go, the containers that they run in."""

import logging
from collections.abc import Callable
from typing import Protocol

import msgspec

from upcall.core.events import Event, Job, SlotId
from upcall.core.record import StoreLevels, is_stored
from upcall.invoker.acks import Acks
from upcall.invoker.counters import Counters
from upcall.invoker.runtime import Runtime
from upcall.logs.files import LogFiles
from upcall.model.activation import STATUS, Activation
from upcall.model.messages import ActivationMessage
from upcall.ports import Container, Feed
from upcall.telemetry import about

log = logging.getLogger(__name__)


class Keeper(Protocol):
    """Where records go."""

    def promise(self, record: Activation) -> bool:
        """Whether the result may be told before the record is kept, for it will not be contradicted."""

    def keep(self, record: Activation, then: Callable[[], None]) -> None:
        """Call `then` when the record is safe with the store."""

    def tell(self, record: Activation, then: Callable[[], None]) -> None:
        """The same where `then` tells the result."""

    def settle(self, then: Callable[[], None]) -> None:
        """Call `then` when all that was kept is durable."""


class Box(msgspec.Struct, eq=False):
    """A container that runs, with its client. An empty `tenant` is nobody's yet."""

    container: Container
    runtime: Runtime
    tenant: str
    name: str
    action: str = ""
    """Its full name, once it is known."""

    async def pause(self) -> None:
        """A foreign server whose clock goes on while it sleeps would close what rests the moment it wakes up (spec:
        container.md §4.4)."""
        if self.container.foreign:
            self.runtime.close()
        await self.container.pause()


class Desk:
    """What all activations of one Invoker share."""

    __slots__ = (
        "acks",
        "apart",
        "clock",
        "counters",
        "end",
        "feed",
        "files",
        "keeper",
        "last",
        "levels",
        "over",
        "report",
        "tally",
    )

    def __init__(
        self,
        acks: Acks,
        keeper: Keeper,
        counters: Counters,
        levels: StoreLevels,
        clock: Callable[[], int],
        *,
        apart: bool,
    ) -> None:
        self.acks = acks
        self.keeper = keeper
        self.counters = counters
        self.tally = counters.tallies.by_key.get
        self.levels = levels
        self.clock = clock
        """epoch ms"""
        self.apart = apart
        """Acks leave the process: a result goes by itself where upstream's does (spec: bus.md §7.1)."""
        self.files: LogFiles | None = None
        """Have what was collected, too."""
        self.over = False
        """The feed is lost: whoever has it now says how activations ended, and nobody here."""
        self.last = False
        """No life with this number follows: what has not started ends here, too."""
        self.feed: Feed
        """Set when it is open, before anything is delivered."""
        self.report: Callable[[Event], None]
        """Feeds the pool."""
        self.end: Callable[[SlotId, Job, bool, object], None]
        """Feeds it what a JobDone says."""

    def stores(self, message: ActivationMessage, record: Activation) -> bool:
        """Whether the record is kept; the log tells of one that is not, where that is asked for (spec: store.md
        §6.2)."""
        kept = is_stored(message, record.response, self.levels)
        if not kept and self.levels.told:
            status = STATUS[record.response.status_code]
            log.info("its record is not kept: %s, %s ms", status, record.duration, extra=about(message))
        return kept
