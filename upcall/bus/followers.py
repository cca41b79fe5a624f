"""Who follows a topic in memory: each is called with each message, within the send.

Calls nest, since a follower may send; what is sent meanwhile waits until all have the message before it.
"""

from collections import deque
from collections.abc import Callable
from time import monotonic

from upcall.model.messages import Message


class Followers:
    """Of one topic."""

    __slots__ = ("_busy", "_calls", "_queue")

    def __init__(self) -> None:
        self._calls: list[MemoryFollowing] = []
        self._queue: deque[Message] = deque()
        self._busy = False

    def join(self, deliver: Callable[[Message], None]) -> "MemoryFollowing":
        following = MemoryFollowing(self, deliver)
        self._calls.append(following)
        return following

    def leave(self, following: "MemoryFollowing") -> None:
        if following in self._calls:
            self._calls.remove(following)

    def tell(self, message: Message) -> None:
        self._queue.append(message)
        if self._busy:
            return
        self._busy = True
        try:
            while self._queue:
                self._hand_over(self._queue.popleft())
        finally:
            self._busy = False

    def _hand_over(self, message: Message) -> None:
        for each in tuple(self._calls):
            if each in self._calls:
                each.deliver(message)


class MemoryFollowing:
    """Implements `upcall.ports.Following`."""

    def __init__(self, followers: Followers, deliver: Callable[[Message], None]) -> None:
        self._followers = followers
        self.deliver = deliver

    @property
    def heard(self) -> float:
        return monotonic()

    async def close(self) -> None:
        self._followers.leave(self)
