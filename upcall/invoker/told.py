"""What an earlier life of this Invoker has told controllers of its activations (docs/adr/0017-recovery.md).

An activation that has started and has no record has either not ended, or it has, and its record was not to be stored or
has not come so far. Its acknowledgements tell: what was acknowledged stands in its controller's topic for an hour, and
the result of one for which somebody waited with its whole record.
"""

import asyncio
import logging
from collections import deque

import msgspec
from msgspec import Raw

from upcall.errors import Unavailable
from upcall.model.activation import Activation
from upcall.model.messages import (
    ActivationMessage,
    CombinedMessage,
    CompletionMessage,
    Message,
    ResultMessage,
    completed_topic,
)
from upcall.model.names import InvokerId
from upcall.ports import Bus

log = logging.getLogger(__name__)

SKEW = 60_000
"""Milliseconds by which the controller's clock may be ahead of this one; and by which more is read than was asked for,
so that messages which came at about the same time ask once."""
AGAIN = 1.0
"""Seconds between two tries."""
FORGET = 60.0
"""Seconds after which what was read is let go: whoever asks later reads again."""
RECORDS = 32 << 20
"""Bytes of records that are held, the newest; an older one is looked for by itself."""
_BESIDE = 1000
"""Bytes of a record without its result."""


class Said(msgspec.Struct):
    """Of one activation: the record that its result was told with, unless by its id alone; and whether its slot was
    freed. `dropped`: there is such a record, and it is not at hand."""

    record: Activation | None = None
    freed: bool = False
    dropped: bool = False


class Heard:
    """What the Invoker of this number has said in one controller's topic since a moment (epoch ms), of one activation
    or of all."""

    def __init__(self, since: int, invoker: int, only: str | None = None) -> None:
        self.since = since
        self.said: dict[str, Said] = {}
        self._invoker = invoker
        self._only = only
        self._records: deque[tuple[Said, int]] = deque()
        self._size = 0

    def hear(self, message: Message) -> None:
        if isinstance(message, CompletionMessage):
            self._hear(message.activation_id, None, message.instance)
        elif isinstance(message, ResultMessage | CombinedMessage):
            response = message.response
            record = None if isinstance(response, str) else response
            id = response if isinstance(response, str) else response.activation_id
            self._hear(id, record, message.instance if isinstance(message, CombinedMessage) else None)

    def _hear(self, id: str, record: Activation | None, freed_by: InvokerId | None) -> None:
        if self._only not in (None, id):
            return
        if freed_by is not None and freed_by.instance != self._invoker:
            self.said.pop(id, None)
            return
        said = self.said.setdefault(id, Said())
        said.freed = said.freed or freed_by is not None
        if record is not None and said.record is None and not said.dropped:
            said.record = record
            self._bound(said, record)

    def _bound(self, said: Said, record: Activation) -> None:
        result = record.response.result
        self._records.append((said, size := _BESIDE + (len(result) if isinstance(result, Raw) else 0)))
        self._size += size
        while self._size > RECORDS and len(self._records) > 1:
            oldest, size = self._records.popleft()
            self._size -= size
            oldest.record, oldest.dropped = None, True


class Told:
    """Of one Invoker; its topics are read when somebody asks, once for all."""

    def __init__(self, bus: Bus, invoker: int, prefix: str) -> None:
        self._bus = bus
        self._invoker = invoker
        self._prefix = prefix
        self._heard: dict[str, Heard] = {}
        self._lock = asyncio.Lock()

    async def said(self, message: ActivationMessage) -> Said | None:
        """None where nothing of it was acknowledged. Waits for the brokers."""
        controller, id = message.root_controller_index.as_string, message.activation_id
        since = _start(message) - SKEW
        async with self._lock:
            heard = self._heard.get(controller)
            if heard is None or since < heard.since:
                heard = self._heard[controller] = await self._read(controller, since - SKEW)
                asyncio.get_running_loop().call_later(FORGET, self._heard.pop, controller, None)
            said = heard.said.get(id)
            if said is not None and said.dropped:
                said = (await self._read(controller, since, id)).said.get(id)
        return said

    async def _read(self, controller: str, since: int, only: str | None = None) -> Heard:
        while True:
            heard = Heard(since, self._invoker, only)
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
