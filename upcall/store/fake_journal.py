"""The Journal in a dictionary: for tests, and the shortest statement of what a Journal does.

`slow = True` keeps what is to be safe waiting until `settle` lets it go, or refuses what was accepted.
"""

from collections.abc import Callable, Sequence

from msgspec import structs

from upcall.errors import Unavailable
from upcall.ports import Left, Sent


class FakeJournal:
    """Implements `upcall.ports.Journal`; `rows` outlive whoever uses it, `bound` is how many `accept` goes up to."""

    def __init__(self, rows: dict[str, Left] | None = None, bound: int = 1000) -> None:
        self.rows = {} if rows is None else rows
        self.slow = False
        self._left = list(self.rows.values())
        self._bound = bound
        self._waiting: list[tuple[Left, Sent, bool]] = []

    def accept(self, id: str, topic: str, message: bytes, then: Sent) -> None:
        if len(self.rows) >= self._bound:
            then(Unavailable("the journal is full"))
        else:
            self._write(Left(id, topic, message, False), then, True)

    def keep(self, id: str, topic: str, message: bytes, started: bool, then: Callable[[], None]) -> None:
        self._write(Left(id, topic, message, started), lambda error: then(), False)

    def started(self, id: str, then: Callable[[], None]) -> None:
        if id in self.rows:
            self._write(structs.replace(self.rows[id], started=True), lambda error: then(), False)
        else:
            then()

    def ended(self, id: str) -> None:
        self.rows.pop(id, None)

    def left(self) -> Sequence[Left]:
        left, self._left = self._left, []
        return left

    def settle(self, error: BaseException | None = None) -> None:
        """A commit of what waits, or one that fails: then what was accepted is refused, and the rest waits on."""
        waiting, self._waiting = self._waiting, []
        for row, then, withdrawn in waiting:
            if error is None:
                self.rows[row.id] = row
                then(None)
            elif withdrawn:
                then(error)
            else:
                self._waiting.append((row, then, withdrawn))

    def _write(self, row: Left, then: Sent, withdrawn: bool) -> None:
        self._waiting.append((row, then, withdrawn))
        if not self.slow:
            self.settle()
