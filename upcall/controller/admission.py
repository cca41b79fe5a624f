"""Whether the throttles let an attempt pass, on one controller or after asking the others, and telling of it
(spec: load-balancer.md §7)."""

from collections.abc import Awaitable, Callable

from upcall.controller.events import Events
from upcall.core.throttle import Held, Throttles
from upcall.errors import Throttled
from upcall.model.entities import Identity

Agree = Callable[[Held], Awaitable[None]]


class Admission:
    """Of one controller. `agree` asks the others whether an attempt may pass; `events` are told what came of it."""

    def __init__(self, throttles: Throttles, agree: Agree | None = None, events: Events | None = None) -> None:
        self._throttles = throttles
        self._agree = agree
        self._events = events

    def admit(self, identity: Identity, now: float) -> Held | None:
        """May the caller invoke now (epoch seconds)? None: yes; else others have to be asked (`settle`). Raises
        Throttled."""
        try:
            held = self._throttles.admit(identity, now)
        except Throttled as refusal:
            self._tell(identity, refusal)
            raise
        if held is None and self._events is not None:
            self._passed(identity)
        return held

    async def settle(self, identity: Identity, held: Held) -> None:
        """Ask the others. Raises Throttled."""
        assert self._agree is not None
        try:
            await self._agree(held)
        except Throttled as refusal:
            self._tell(identity, refusal)
            raise
        if self._events is not None:
            self._passed(identity)

    async def enter(self, identity: Identity, now: float) -> None:
        """Both in one. Raises Throttled."""
        held = self.admit(identity, now)
        if held is not None:
            await self.settle(identity, held)

    def fire(self, identity: Identity, now: float) -> None:
        """May the caller fire a trigger? Raises Throttled."""
        try:
            self._throttles.fire(identity, now)
        except Throttled as refusal:
            self._tell(identity, refusal)
            raise

    def _passed(self, identity: Identity) -> None:
        assert self._events is not None
        self._events.passed(identity, self._throttles.in_flight(identity.namespace.uuid) + 1)

    def _tell(self, identity: Identity, refusal: Throttled) -> None:
        if self._events is not None:
            self._events.refused(identity, refusal)
