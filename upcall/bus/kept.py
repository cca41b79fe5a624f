"""A line of activations of which some are in a journal, and so outlive the process (docs/adr/0011-journal.md).

    accepted ─► journal ─► line ─► started ─► journal ─► user code ─► done ─► journal

A message that somebody waits for goes through the line without the journal, until its wait is over (`keep`): then the
journal gets it with the state that it has.
"""

from collections.abc import Callable

from upcall.bus.codec import encode
from upcall.bus.line import Line, own
from upcall.model.messages import ActivationMessage, Message
from upcall.ports import Journal, Sent


class KeptLine(Line):
    """`topic` is the name under which its messages are in the journal; all are activations."""

    __slots__ = ("_accepting", "_index", "_journal", "_kept", "_running", "_topic", "_waiting")
    open: dict[int, ActivationMessage]  # type: ignore[assignment]
    left: set[int]
    take = own(Line.take)
    pull = own(Line.pull)

    def __init__(self, bound: int, journal: Journal, topic: str) -> None:
        super().__init__(bound)
        self._journal = journal
        self._topic = topic
        self._kept: dict[str, str] = {}
        """What is in the journal and has not ended: its id there by the activation's."""
        self._running: dict[int, ActivationMessage] = {}
        """What has started and is not done."""
        self._index: dict[int, bool] | None = None
        """Whether what was delivered has started, by the message's identity, where nothing has changed of it."""
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
                self._kept[message.activation_id] = id
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
        started = self._started(message)
        alive = started is not None or message.activation_id in self._waiting
        if not alive or message.activation_id in self._kept:
            then()
            return
        id = self._kept[message.activation_id] = _id(message)
        self._journal.keep(id, self._topic, encode(message), started is True, then)

    def _started(self, message: ActivationMessage) -> bool | None:
        """None: it is not out. Waits end together, thousands at once: they must not each look through all."""
        if self._index is None or id(message) not in self._index:
            self._index = {id(each): False for each in self.open.values()}
            self._index.update((id(each), True) for each in self._running.values())
        return self._index.get(id(message))

    def put_back(self, message: ActivationMessage, started: bool) -> None:
        """What an earlier life has left."""
        self._kept[message.activation_id] = _id(message)
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
        self._index = None
        if self._waiting:
            self._waiting.discard(message.activation_id)
        if self._kept and (id := self._kept.get(message.activation_id)) is not None:
            self._journal.started(id, then)
        else:
            then()

    def done(self, offset: int) -> None:
        message = self._running.pop(offset, None) or self.open.pop(offset, None)
        if message is None:
            return
        self._index = None
        if self._waiting:
            self._waiting.discard(message.activation_id)
        if self._kept and (id := self._kept.pop(message.activation_id, None)) is not None:
            self.left.discard(offset)
            self._journal.ended(id)

    def close(self) -> None:
        self._waiting.update(each.activation_id for each in self.open.values())
        super().close()

    def _wait(self, message: Message) -> int:
        if isinstance(message, ActivationMessage):
            self._waiting.add(message.activation_id)
        return super()._wait(message)


def _id(message: ActivationMessage) -> str:
    """That of the activation's record."""
    return f"{message.user.namespace.name}/{message.activation_id}"
