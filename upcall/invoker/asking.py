"""Questions to the store, asked until it answers: a store that is away says nothing about an action or a record, so no
activation ends for its sake. What waits is bounded by the feed's units, and has not started: it is for the next life
if this one ends (D7).

While something waits, one question at a time is asked again. An Invoker without its store can do little: after a while
it is *away*, and controllers should send nothing more. A question that is refused while the store answers another one
is about what cannot be read, a damaged page say: that is no absence, and its asker is told.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import TypeVar

from upcall.errors import NotFound, Unavailable
from upcall.model.entities import Action
from upcall.ports import Store

T = TypeVar("T")
log = logging.getLogger(__name__)

AGAIN = 0.5
"""Seconds after which a question is asked again."""
REFUSED, SILENT = 2.0, 10.0
"""Seconds without an answer after which the store is away: where it refuses, and where it says nothing at all. A large
action on a busy machine may take some of the latter."""
ALONE = 3
"""So often a question is refused in a row, each time when the store had just answered another one."""
_NOTHING = "_/_"
"""The id of no action."""


class Asking:
    """Of one Invoker."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting = 0
        self._since = 0.0
        """Since then nothing was answered, while something waits."""
        self._refusal: str | None = None
        """What was said last in place of an answer."""
        self._again = asyncio.Lock()

    def __len__(self) -> int:
        """Questions without an answer yet."""
        return self._waiting

    @property
    def trouble(self) -> str | None:
        """That the store is away, in a sentence."""
        if not self._waiting or monotonic() - self._since < (SILENT if self._refusal is None else REFUSED):
            return None
        return f"the store does not answer: {self._refusal}" if self._refusal else "the store does not answer"

    async def answer(self, question: Callable[[], Awaitable[T]]) -> T:
        """Raises what the question raises; Unavailable only where nothing else is."""
        if not self._waiting:
            self._since = monotonic()
        self._waiting += 1
        try:
            try:
                return await self._ask(question)
            except Unavailable:
                return await self._repeat(question)
        finally:
            self._waiting -= 1

    async def _repeat(self, question: Callable[[], Awaitable[T]]) -> T:
        """In turns with others."""
        alone = 0
        while True:
            async with self._again:
                if self._refusal is not None:
                    await asyncio.sleep(AGAIN)
                alone = alone + 1 if await self._there() else 0
                try:
                    return await self._ask(question)
                except Unavailable:
                    if alone == ALONE:
                        raise

    async def _there(self) -> bool:
        """Whether the store answers at all."""
        try:
            await self._ask(lambda: self._store.get(Action, _NOTHING))
        except NotFound:
            return True
        except Unavailable:
            return False
        return True

    async def _ask(self, question: Callable[[], Awaitable[T]]) -> T:
        try:
            found = await question()
        except Unavailable as error:
            if self._refusal is None:
                log.warning("the store cannot be read, and is asked until it answers: %s", error)
            self._refusal = str(error) or str(error.__cause__ or type(error).__name__)
            raise
        except Exception:
            self._answered()
            raise
        self._answered()
        return found

    def _answered(self) -> None:
        self._since = monotonic()
        if self._refusal is not None:
            self._refusal = None
            log.info("the store answers again")
