"""The bus inside one process: a send is a call of the consumer (D4).

A message is handed over by a plain call when its consumer has credit and nothing waits before it, else it waits in a
bounded queue; past the bound the sender is told Unavailable. Nothing is encoded: sender and consumer share the struct,
so neither changes it.

Each group on a topic is a line (`upcall.bus.line`): the queue, the consumer if there is one, and what was delivered and
is neither started nor done, which the group's next feed gets again. What has started never comes again in this process;
and `lost` is never called. A topic that nobody reads yet keeps its messages for the first group (`earliest`); pings and
events, which are worthless later, lose the oldest instead of refusing the newest.

With a journal, activations that nobody waits for outlive the process: `sent` is told once the journal has them, and the
next life gets them by `restore` (`upcall.bus.kept`).
"""

import logging
from collections.abc import Callable

from upcall.bus.codec import decode
from upcall.bus.followers import Followers, MemoryFollowing
from upcall.bus.kept import KeptLine
from upcall.bus.line import Line
from upcall.errors import Conflict, Unavailable, Unreadable
from upcall.model.messages import ActivationMessage, Message, Topic
from upcall.ports import Deliver, Journal, Lost, Sent

BOUND = 10_000
"""Messages that wait for one group; at 2 KB each some 20 MB."""

_KEPT = ("activation", "ack")
"""What is not worthless later."""

log = logging.getLogger(__name__)


class MemoryBus:
    """Implements `upcall.ports.Bus`."""

    recalls = False

    def __init__(self, bound: int = BOUND, journal: Journal | None = None) -> None:
        self._bound = bound
        self._journal = journal
        self._lines: dict[str, dict[str, Line]] = {}
        self._followers: dict[str, Followers] = {}

    async def ensure(self, topic: Topic) -> None:
        self._groups(topic)

    def send(self, topic: Topic, message: Message, sent: Sent | None = None) -> None:
        if self._followers and (followers := self._followers.get(topic.name)) is not None:
            followers.tell(message)
        lines = self._lines.get(topic.name) or self._groups(topic)
        if self._journal is not None and isinstance(message, ActivationMessage) and not message.blocking:
            self._accept(topic, lines, message, sent)
            return
        refused = False
        for line in lines.values():
            refused = not line.take(message) or refused
        if sent is not None:
            sent(self._full(topic) if refused else None)

    def keep(self, topic: Topic, message: Message, then: Callable[[], None]) -> None:
        line = next(iter(self._groups(topic).values()))
        if isinstance(line, KeptLine) and isinstance(message, ActivationMessage):
            line.keep(message, then)
        else:
            then()

    def restore(self) -> int:
        """Take over what earlier lives have left in the journal; to be called before the first feed. How many."""
        left = self._journal.left() if self._journal else ()
        restored = 0
        for each in left:
            try:
                message = decode("activation", each.message)
            except Unreadable as error:
                log.error("activation %s of an earlier life stays in the journal: %s", each.id, error)
                continue
            line = next(iter(self._groups(Topic(each.topic, "activation")).values()))
            assert isinstance(line, KeptLine)
            assert isinstance(message, ActivationMessage)
            line.put_back(message, each.started)
            restored += 1
        return restored

    async def feed(self, topic: Topic, group: str, deliver: Deliver, lost: Lost) -> "MemoryFeed":
        lines = self._groups(topic)
        line = lines.pop("", None) or lines.get(group) or self._line(topic)
        if line.deliver is not None:
            raise Conflict(f"{topic.name} has a consumer in group {group} already")
        lines[group] = line
        line.deliver = deliver
        return KeptFeed(line) if isinstance(line, KeptLine) else MemoryFeed(line)

    async def follow(self, topic: Topic, deliver: Callable[[Message], None], lost: Lost) -> MemoryFollowing:
        if topic.carries not in _KEPT:
            self._groups(topic).pop("", None)  # what nobody's group reads need not wait for one
        return self._followers.setdefault(topic.name, Followers()).join(deliver)

    async def recall(self, topic: Topic, since: int, heard: Callable[[Message], None]) -> None:
        """What an earlier life has said went with it."""

    async def close(self) -> None:
        self._lines.clear()
        self._followers.clear()

    def _accept(self, topic: Topic, lines: dict[str, Line], message: ActivationMessage, sent: Sent | None) -> None:
        """An Invoker's topic has one group."""
        line = next(iter(lines.values()))
        assert isinstance(line, KeptLine)
        told = sent or _log_refusal
        if line.full:
            told(self._full(topic))
        else:
            line.accept(message, told)

    def _full(self, topic: Topic) -> Unavailable:
        return Unavailable(f"{topic.name} holds {self._bound} messages that wait")

    def _groups(self, topic: Topic) -> dict[str, Line]:
        """The groups of a topic; before the first one there is a nameless line that it will take over."""
        return self._lines.setdefault(topic.name, {"": self._line(topic)})

    def _line(self, topic: Topic) -> Line:
        if self._journal is not None and topic.carries == "activation":
            return KeptLine(self._bound, self._journal, topic.name)
        return Line(self._bound, lossy=topic.carries not in _KEPT)


class MemoryFeed:
    """Implements `upcall.ports.Feed`."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._closed = False
        self.done = line.done

    def pull(self, count: int) -> None:
        if not self._closed:
            self._line.pull(count)

    def started(self, offset: int, then: Callable[[], None]) -> None:
        self._line.open.pop(offset, None)
        then()

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._line.close()


class KeptFeed(MemoryFeed):
    """Of a line with a journal."""

    def __init__(self, line: KeptLine) -> None:
        super().__init__(line)
        self.started = line.started  # type: ignore[method-assign]


def _log_refusal(error: BaseException | None) -> None:
    """For a sender who does not want to know."""
    if error is not None:
        log.error("a message is lost: %s", error)
