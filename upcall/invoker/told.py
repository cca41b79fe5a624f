"""What an earlier life of this Invoker has told controllers of its activations (docs/adr/0017-recovery.md).

An activation that has started and has no record has either not ended, or it has, and its record was not to be stored.
Its acknowledgements tell the two apart: what was acknowledged stands in its controller's topic for an hour.
"""

import asyncio
import logging

from upcall.errors import Unavailable
from upcall.model.messages import (
    ActivationMessage,
    CombinedMessage,
    CompletionMessage,
    Message,
    ResultMessage,
    completed_topic,
)
from upcall.ports import Bus

log = logging.getLogger(__name__)

SKEW = 60_000
"""Milliseconds by which the controller's clock may be ahead of this one; and by which more is read than was asked for,
so that messages which came at about the same time ask once."""
AGAIN = 1.0
"""Seconds between two tries."""


class Heard:
    """Of one controller's topic: activations that were acknowledged since a moment (epoch ms), and whether with the
    slot."""

    def __init__(self, since: int) -> None:
        self.since = since
        self.freed: dict[str, bool] = {}

    def hear(self, message: Message) -> None:
        if isinstance(message, CompletionMessage):
            self.freed[message.activation_id] = True
        elif isinstance(message, ResultMessage | CombinedMessage):
            response = message.response
            id = response if isinstance(response, str) else response.activation_id
            self.freed[id] = isinstance(message, CombinedMessage) or self.freed.get(id, False)


class Told:
    """Of one Invoker; its topics are read when somebody asks, once for all."""

    def __init__(self, bus: Bus, prefix: str) -> None:
        self._bus = bus
        self._prefix = prefix
        self._heard: dict[str, Heard] = {}
        self._lock = asyncio.Lock()

    async def freed(self, message: ActivationMessage) -> bool | None:
        """Whether its slot was freed; None where nothing of it was acknowledged. Waits for the brokers."""
        controller = message.root_controller_index.as_string
        since = _start(message) - SKEW
        async with self._lock:
            heard = self._heard.get(controller)
            if heard is None or since < heard.since:
                heard = self._heard[controller] = await self._read(controller, since - SKEW)
        return heard.freed.get(message.activation_id)

    async def _read(self, controller: str, since: int) -> Heard:
        while True:
            heard = Heard(since)
            try:
                await self._bus.recall(completed_topic(controller, self._prefix), since, heard.hear)
            except Unavailable as error:
                log.warning("what an earlier life has acknowledged is asked for until it is known: %s", error)
                await asyncio.sleep(AGAIN)
            else:
                return heard


def _start(message: ActivationMessage) -> int:
    """When its controller got the request; 0 where that is not told."""
    transid = message.transid
    return transid[1] if len(transid) > 1 and type(transid[1]) is int else 0
