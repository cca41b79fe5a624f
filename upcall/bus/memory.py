"""The bus inside one process: a send is a call of the consumer (D4).

A message is handed over by a plain call when its consumer has credit and nothing waits before it, else it waits in a
bounded queue; past the bound the sender is told Unavailable. Nothing is encoded: sender and consumer share the struct,
so neither changes it.

Each group on a topic is a `_Line`: the queue, the consumer if there is one, and what was delivered and is neither
started nor done, which the group's next feed gets again. What has started never comes again, as nothing outlives the
process; and `lost` is never called. A topic that nobody reads yet keeps its messages for the first group (`earliest`);
pings and events, which are worthless later, lose the oldest instead of refusing the newest.

Calls nest: a delivered message may be answered before `send` returns, and the answer may pull. `_busy` keeps such calls
from overtaking or from growing the stack: what arrives meanwhile waits for the loop in `_drain`.
"""

from collections import deque
from collections.abc import Callable

from upcall.errors import Conflict, Unavailable
from upcall.model.messages import Message, Topic
from upcall.ports import Deliver, Lost, Sent

BOUND = 10_000
"""Messages that wait for one group; at 2 KB each some 20 MB."""


class MemoryBus:
    """Implements `upcall.ports.Bus`."""

    def __init__(self, bound: int = BOUND) -> None:
        self._bound = bound
        self._lines: dict[str, dict[str, _Line]] = {}

    async def ensure(self, topic: Topic) -> None:
        self._groups(topic)

    def send(self, topic: Topic, message: Message, sent: Sent | None = None) -> None:
        lines = self._lines.get(topic.name) or self._groups(topic)
        refused = False
        for line in lines.values():
            refused = not line.take(message) or refused
        if sent is not None:
            sent(Unavailable(f"{topic.name} holds {self._bound} messages that wait") if refused else None)

    async def feed(self, topic: Topic, group: str, deliver: Deliver, lost: Lost) -> "MemoryFeed":
        lines = self._groups(topic)
        line = lines.pop("", None) or lines.get(group) or self._line(topic)
        if line.deliver is not None:
            raise Conflict(f"{topic.name} has a consumer in group {group} already")
        lines[group] = line
        line.deliver = deliver
        return MemoryFeed(line)

    async def close(self) -> None:
        self._lines.clear()

    def _groups(self, topic: Topic) -> "dict[str, _Line]":
        """The groups of a topic; before the first one there is a nameless line that it will take over."""
        return self._lines.setdefault(topic.name, {"": self._line(topic)})

    def _line(self, topic: Topic) -> "_Line":
        return _Line(self._bound, lossy=topic.carries in ("ping", "event"))


class MemoryFeed:
    """Implements `upcall.ports.Feed`."""

    def __init__(self, line: "_Line") -> None:
        self._line = line
        self._closed = False

    def pull(self, count: int) -> None:
        if not self._closed:
            self._line.pull(count)

    def started(self, offset: int, then: Callable[[], None]) -> None:
        self._line.open.pop(offset, None)
        then()

    def done(self, offset: int) -> None:
        self._line.done(offset)

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._line.close()


class _Line:
    """What waits for one group, in order, and its consumer."""

    __slots__ = ("_bound", "_busy", "_credit", "_lossy", "_next", "_queue", "deliver", "open")

    def __init__(self, bound: int, lossy: bool) -> None:
        self._bound = bound
        self._lossy = lossy
        self._queue: deque[tuple[int, Message]] = deque()
        self._credit = 0
        self._next = 0
        self._busy = False
        self.deliver: Deliver | None = None
        self.open: dict[int, Message] = {}

    def take(self, message: Message) -> bool:
        """Hand over or keep; False when full."""
        offset = self._next
        if self._credit and not self._queue and not self._busy and self.deliver is not None:
            self._next = offset + 1
            self._credit -= 1
            self.open[offset] = message
            self._busy = True
            try:
                self.deliver(offset, message, False)
            finally:
                self._busy = False
            if self._queue and self._credit:
                self._drain()
            return True
        if len(self._queue) >= self._bound:
            if not self._lossy:
                return False
            self._queue.popleft()
        self._next = offset + 1
        self._queue.append((offset, message))
        return True

    def pull(self, count: int) -> None:
        self._credit += count
        if self._queue and not self._busy:
            self._drain()

    def done(self, offset: int) -> None:
        self.open.pop(offset, None)

    def close(self) -> None:
        """What the next consumer must see again goes back to the front."""
        self.deliver = None
        self._credit = 0
        self._queue.extendleft(sorted(self.open.items(), reverse=True))
        self.open.clear()

    def _drain(self) -> None:
        self._busy = True
        try:
            while self._queue and self._credit and self.deliver is not None:
                offset, message = self._queue.popleft()
                self._credit -= 1
                self.open[offset] = message
                self.deliver(offset, message, False)
        finally:
            self._busy = False
