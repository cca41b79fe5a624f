"""A line of activations of which some are in a journal, and so outlive the process (docs/adr/0011-journal.md).

    accepted ─► journal ─► line ─► started ─► journal ─► user code ─► done ─► journal

A message that somebody waits for goes through the line without the journal, until its wait is over (`keep`): then the
journal gets it with the state that it has.
"""

from collections.abc import Callable

from upcall.bus.codec import encode
from upcall.bus.line import Line
from upcall.model.messages import ActivationMessage, Message
from upcall.ports import Journal, Sent


class KeptLine(Line):
    """`topic` is the name under which its messages are in the journal."""

    __slots__ = ("_accepting", "_journal", "_kept", "_running", "_topic", "_waiting")
    open: dict[int, Message]
    left: set[int]

    def __init__(self, bound: int, journal: Journal, topic: str) -> None:
        super().__init__(bound)
        self._journal = journal
        self._topic = topic
        self._kept: set[str] = set()
        """Ids of what is in the journal and has not ended."""
        self._running: dict[int, Message] = {}
        """What has started and is not done."""
        self._waiting: set[str] = set()
        """Activation ids of what is in the queue, or was and is not started."""
        self._accepting = 0
        self.left = set()

    @property
    def full(self) -> bool:
        return len(self._queue) + self._accepting >= self._bound

    def accept(self, message: ActivationMessage, sent: Sent) -> None:
        """Hand over once the journal has it; `sent` is told when, or why not."""
        id = _id(message)

        def accepted(error: BaseException | None) -> None:
            self._accepting -= 1
            if error is None:
                self._kept.add(id)
                if not self.take(message):  # others have come meanwhile; it is promised now
                    self._wait(message)
            sent(error)

        try:
            data = encode(message)
        except Exception as error:  # noqa: BLE001 - the boundary of one message
            sent(error)
            return
        self._accepting += 1
        self._journal.accept(id, self._topic, data, accepted)

    def keep(self, message: ActivationMessage, then: Callable[[], None]) -> None:
        """See `upcall.ports.Bus.keep`."""
        id = _id(message)
        started = any(each is message for each in self._running.values())
        alive = started or message.activation_id in self._waiting or any(each is message for each in self.open.values())
        if not alive or id in self._kept:
            then()
            return
        self._kept.add(id)
        self._journal.keep(id, self._topic, encode(message), started, then)

    def put_back(self, message: ActivationMessage, started: bool) -> None:
        """What an earlier life has left."""
        self._kept.add(_id(message))
        offset = self._wait(message)
        if started:
            self.left.add(offset)

    def started(self, offset: int, then: Callable[[], None]) -> None:
        """Call `then` when user code may run."""
        message = self.open.pop(offset, None)
        if message is None:
            then()
            return
        self._running[offset] = message
        if self._waiting:
            self._forget(message)
        if self._kept and (id := _id(message)) in self._kept:
            self._journal.started(id, then)
        else:
            then()

    def done(self, offset: int) -> None:
        message = self._running.pop(offset, None) or self.open.pop(offset, None)
        if message is None:
            return
        if self._waiting:
            self._forget(message)
        if self._kept and (id := _id(message)) in self._kept:
            self._kept.discard(id)
            self.left.discard(offset)
            self._journal.ended(id)

    def close(self) -> None:
        self._waiting.update(each.activation_id for each in self.open.values() if isinstance(each, ActivationMessage))
        super().close()

    def _wait(self, message: Message) -> int:
        if isinstance(message, ActivationMessage):
            self._waiting.add(message.activation_id)
        return super()._wait(message)

    def _forget(self, message: Message) -> None:
        if isinstance(message, ActivationMessage):
            self._waiting.discard(message.activation_id)


def _id(message: Message) -> str:
    """That of the activation's record."""
    if not isinstance(message, ActivationMessage):
        return ""
    return f"{message.user.namespace.name}/{message.activation_id}"
