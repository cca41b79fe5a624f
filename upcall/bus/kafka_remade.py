"""What keeps a message from running twice when its topic is read from the beginning once more.

A topic that is deleted, made anew and filled at once looks like the old one: its next offset is there. Only its id
tells (`kafka_topics.topic_id`), and that is asked for each second. So what was taken since the last answer may be of
the old topic or of the new one. When the id is another one, the new one is read from its beginning, and what was taken
of it already, the same activation at the same offset, goes on under the token that it has and is counted under the new
one.
"""

from upcall.model.messages import ActivationMessage, Message

Place = tuple[int, int]
"""Partition and offset."""

MOST = 100_000
"""Messages that are remembered where nobody tells the topic's id."""


class Remade:
    """Of one feed."""

    __slots__ = ("_again", "_fresh", "_moved")

    def __init__(self) -> None:
        self._fresh: dict[Place, tuple[str, int]] = {}
        """Id and token of what was taken since the topic's id was last known."""
        self._again: dict[Place, tuple[str, int]] = {}
        """The same, of the time before the topic was found to be another one."""
        self._moved: dict[int, int] = {}

    def look(self, same: bool) -> None:
        """The topic's id is known as of now."""
        if not same:
            self._again = self._fresh
            self._fresh = {}
        else:
            self._fresh.clear()

    def take(self, partition: int, offset: int, message: Message, token: int) -> int | None:
        """The token under which this very message was taken before; None where it was not."""
        if not isinstance(message, ActivationMessage):
            return None
        place = partition, offset
        if len(self._fresh) >= MOST:
            self._fresh.clear()
        self._fresh[place] = message.activation_id, token
        if not self._again:
            return None
        id, before = self._again.pop(place, ("", 0))
        if id != message.activation_id:
            return None
        self._moved[before] = token
        return before

    def token(self, token: int) -> int:
        """Under which it is counted now."""
        while self._moved and token in self._moved:
            token = self._moved[token]
        return token
