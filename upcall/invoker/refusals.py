"""What ends before the pool sees it: its record, its last ack (spec: store.md §5)."""

from collections.abc import Callable

from upcall.core.record import fallback_record
from upcall.invoker.desk import Desk
from upcall.model.activation import Activation, Response
from upcall.model.messages import ActivationMessage


class Refusals:
    """Of one Invoker; `release` gives a message's unit back."""

    def __init__(self, desk: Desk, release: Callable[[int], None]) -> None:
        self._desk = desk
        self._release = release

    def refuse(self, offset: int, message: ActivationMessage, response: Response, record: bool = True) -> None:
        """Answer with a fallback record. Where a record says so it has started: else a next life could run it."""
        fallback = fallback_record(message, response, self._desk.clock())
        if record:
            self._desk.feed.started(offset, lambda: self.answer(offset, message, fallback))
        else:
            self.answer(offset, message, fallback, keep=False)

    def answer(self, offset: int, message: ActivationMessage, record: Activation, keep: bool = True) -> None:
        """Record, last ack, and the unit goes back."""
        desk = self._desk
        desk.counters.refused += 1
        desk.counters.note(record, message.action.id)

        def kept() -> None:
            desk.acks.combined(message, record, lambda: self._release(offset))

        if keep and desk.stores(message, record):
            (desk.keeper.tell if message.blocking else desk.keeper.keep)(record, kept)
        else:
            kept()
