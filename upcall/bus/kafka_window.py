"""What a feed has fetched: delivered as far as units go, and looked at beyond that for probes.

A controller's probe (spec: bus.md §8.1) that lies behind a backlog would come too late: the Invoker counts as dead
while it works. So the feed fetches more than was pulled, `AHEAD` messages or `BYTES` of them, and what is a probe among
these is delivered at once, though there is no unit left; the next one that is pulled pays for it. All else waits for
units, in order. What lies deeper in the topic is not known, and its turn comes in order, too.
"""

from collections import deque
from collections.abc import Callable

from upcall.model.messages import ActivationMessage, Message, is_probe
from upcall.ports import Deliver

AHEAD = 512
"""Messages beyond what was pulled."""
BYTES = 4 << 20
LARGE = 1 << 20
"""Bytes that a message may have, as long as none waits to tell."""


class Window:
    """`ask` allows the reader that many messages more."""

    __slots__ = ("_ask", "_asked", "_busy", "_bytes", "_credit", "_deliver", "_open", "_ready")

    def __init__(self, deliver: Deliver, ask: Callable[[int], None]) -> None:
        self._deliver = deliver
        self._ask = ask
        self._ready: deque[tuple[int, Message, bool, int]] = deque()
        self._bytes = 0
        self._credit = 0
        self._asked = 0
        """What the reader may still bring."""
        self._open = self._busy = False

    @property
    def waiting(self) -> int:
        """Messages without a unit."""
        return len(self._ready)

    def pull(self, count: int) -> None:
        """Deliver `count` more."""
        self._open = True
        self._credit += count
        if not self._ready or self._busy:
            return
        self._busy = True
        try:
            while self._ready and self._credit > 0:
                token, message, started, size = self._ready.popleft()
                self._bytes -= size
                self._credit -= 1
                self._deliver(token, message, started)
        finally:
            self._busy = False

    def arrived(self, count: int) -> None:
        """The reader has brought so many."""
        self._asked -= count

    def put(self, token: int, message: Message, started: bool, size: int) -> None:
        """The next one, of so many bytes."""
        if (self._credit > 0 and not self._ready and not self._busy) or _is_probe(message):
            self._credit -= 1
            self._deliver(token, message, started)
        else:
            self._ready.append((token, message, started, size))
            self._bytes += size

    def refill(self, unread: int) -> None:
        """Ask for what is missing; `unread` have arrived and could not be put here yet."""
        if not self._open:
            return
        waiting = len(self._ready)
        each = self._bytes // waiting + 1 if waiting else LARGE
        ahead = min(AHEAD, waiting + max(BYTES - self._bytes, 0) // each)
        missing = max(self._credit, 0) + ahead - waiting - unread - self._asked
        if missing > 0:
            self._asked += missing
            self._ask(missing)


def _is_probe(message: Message) -> bool:
    return isinstance(message, ActivationMessage) and is_probe(message)
