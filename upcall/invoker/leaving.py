"""The stop of an Invoker that nobody follows: its number goes for good, so that nothing may be left in its topic (D8).

Controllers are told that it is disabled; what they have sent is run, until nothing has waited or run for `SETTLED`
seconds, in which whoever had chosen it before has sent. What is left at the end of the grace is answered with status 3,
and so is what comes then, for at most `LATE` seconds. What waits for a store that is away stays in the topic.
"""

import asyncio
import logging
from collections.abc import Callable
from time import monotonic

from upcall.invoker.service import Invoker

log = logging.getLogger(__name__)

SETTLED = 2.0
LATE = 10.0
LOOK = 0.05
"""Seconds between two looks."""


async def leave(invoker: Invoker, behind: Callable[[], int], grace: float) -> None:
    """Return when the Invoker can be drained; `behind` is how many messages of its topic nobody has taken."""
    invoker.part()
    if await _emptied(invoker, behind, grace):
        log.info("%s has nothing left: its topic is empty", invoker.name)
        return
    log.warning("%s goes for good: what has not run in %g s is answered with an error", invoker.name, grace)
    invoker.give_up()
    if not await _emptied(invoker, behind, LATE):
        left = behind() + invoker.held_back
        log.error("%s: %d messages stay in its topic; an Invoker with its number would take them", invoker.name, left)


async def _emptied(invoker: Invoker, behind: Callable[[], int], patience: float) -> bool:
    """Whether nothing is left, as soon as that has been so for a while."""
    end, since = monotonic() + patience, monotonic()
    while monotonic() - since < SETTLED:
        if behind() or invoker.load or invoker.held_back or invoker.reading:
            since = monotonic()
        if monotonic() >= end:
            return False
        await asyncio.sleep(LOOK)
    return True
