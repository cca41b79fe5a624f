"""What is cached of documents, when several controllers write them (spec: rest-api.md §15, bus.md §9.2).

Each write and delete is told to all over one topic; the others drop the document at once. What could not be told is
told again until it is out; where too much of that waits, the oldest is let go.

Nobody has to trust that it hears everything: the bus says up to which moment it has (`Following.heard`). While that is
longer ago than `TRUST`, because the bus is away or we are slow, what is cached lives for `SHORT` seconds only; and when
it comes back, or where another controller has died, which may have written and not told, all of it is dropped.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Self

from upcall.controller.cache import LIFETIME, DocumentCache
from upcall.model.messages import CacheInvalidationMessage, CacheKey, Message, invalidation_topic
from upcall.ports import Bus, Following, Lost

log = logging.getLogger(__name__)

TRUST = 1.5
"""Seconds; while all is well the moment is half a second old."""
SHORT = 1.0
LOOK = 0.25
AGAIN = 1.0
"""Seconds until what could not be told is told again."""
WAITING = 10_000
"""Documents that are to be told again."""


class Invalidation:
    """`async with` it, on the loop. `lost` is called when nothing is heard any more."""

    def __init__(
        self,
        bus: Bus,
        controller: str,
        cache: DocumentCache,
        lost: Lost,
        *,
        prefix: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._bus = bus
        self._instance = f"controller{controller}"
        self._cache = cache
        self._lost = lost
        self._topic = invalidation_topic(prefix)
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._again: dict[str, None] = {}
        self._trusted = True
        self._following: Following | None = None
        self._looking: asyncio.TimerHandle | None = None
        self._telling: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Self:
        await self._bus.ensure(self._topic)
        self._following = await self._bus.follow(self._topic, self._hear, self._lost)
        self._look()
        return self

    async def __aexit__(self, *_: object) -> None:
        for timer in (self._looking, self._telling):
            if timer is not None:
                timer.cancel()
        following, self._following = self._following, None
        if following is not None:
            await following.close()

    def written(self, id: str) -> None:
        """The document was written or deleted by us, or may have been."""
        self._cache.forget(id)
        self._again.pop(id, None)
        self._tell(id)

    def doubt(self) -> None:
        """Something may have been written that we were not told of."""
        self._cache.clear()

    def _tell(self, id: str) -> None:
        self._bus.send(self._topic, CacheInvalidationMessage(CacheKey(id), self._instance), partial(self._told, id))

    def _told(self, id: str, error: BaseException | None) -> None:
        if error is None or self._following is None:
            return
        self._again[id] = None
        if len(self._again) > WAITING:
            del self._again[next(iter(self._again))]
        if self._telling is None:
            log.warning("other controllers could not be told what was written, and will be: %s", error)
            self._telling = self._loop.call_later(AGAIN, self._tell_again)

    def _tell_again(self) -> None:
        self._telling = None
        ids, self._again = list(self._again), {}
        for id in ids:
            self._tell(id)

    def _hear(self, message: Message) -> None:
        if isinstance(message, CacheInvalidationMessage) and message.instance_id != self._instance:
            self._cache.forget(message.key.main_id)

    def _look(self) -> None:
        """Whether we hear everything."""
        self._looking = self._loop.call_later(LOOK, self._look)
        assert self._following is not None
        trusted = self._clock() - self._following.heard <= TRUST
        if trusted != self._trusted:
            self._trusted = trusted
            self._cache.expire_after(LIFETIME if trusted else SHORT)
            if not trusted:
                log.info("what other controllers write is not heard: documents are kept for %g s only", SHORT)
