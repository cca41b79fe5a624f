"""What waits for one group of a topic in memory, in order, and the group's consumer.

Calls nest: a delivered message may be answered before `take` returns, and the answer may pull. `_busy` keeps such calls
from overtaking or from growing the stack: what arrives meanwhile waits for the loop in `_drain`.
"""

from collections import deque
from collections.abc import Callable, Collection
from types import FunctionType
from typing import Any, TypeVar, cast

from upcall.model.messages import Message
from upcall.ports import Deliver

Method = TypeVar("Method", bound=Callable[..., Any])


def own(method: Method) -> Method:
    """A copy for a subclass: the interpreter fits the code of a method to one class, and else anew all the time."""
    code = cast(FunctionType, method).__code__.replace()
    return cast(Method, FunctionType(code, method.__globals__, method.__name__))


class Line:
    """`open` is what was delivered and is neither started nor done: the group's next consumer gets it again."""

    __slots__ = ("_bound", "_busy", "_credit", "_lossy", "_next", "_queue", "deliver", "left", "open")

    def __init__(self, bound: int, lossy: bool = False) -> None:
        self._bound = bound
        self._lossy = lossy
        self._queue: deque[tuple[int, Message]] = deque()
        self._credit = 0
        self._next = 0
        self._busy = False
        self.deliver: Deliver | None = None
        self.open: dict[int, Message] = {}
        self.left: Collection[int] = ()
        """What an earlier life of this process has started."""

    @property
    def full(self) -> bool:
        return len(self._queue) >= self._bound

    def take(self, message: Message) -> bool:
        """Hand over or keep; False when full."""
        offset = self._next
        deliver = self.deliver
        if self._credit and not self._queue and not self._busy and deliver is not None:
            self._next = offset + 1
            self._credit -= 1
            self.open[offset] = message
            self._busy = True
            try:
                deliver(offset, message, False)
            finally:
                self._busy = False
            if self._queue and self._credit:
                self._drain()
            return True
        if len(self._queue) >= self._bound:
            if not self._lossy:
                return False
            self._queue.popleft()
        self._wait(message)
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

    def _wait(self, message: Message) -> int:
        """Its offset."""
        offset = self._next
        self._next = offset + 1
        self._queue.append((offset, message))
        return offset

    def _drain(self) -> None:
        self._busy = True
        try:
            while self._queue and self._credit and self.deliver is not None:
                offset, message = self._queue.popleft()
                self._credit -= 1
                self.open[offset] = message
                self.deliver(offset, message, offset in self.left)
        finally:
            self._busy = False
