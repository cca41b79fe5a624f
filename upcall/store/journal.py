"""Accepted activations that have not ended, on their way to the database and out of it: a source of `Writer`.

A row is *safe* when the log ahead has it (1 us, at once) or, where that cannot take it or there is none, when its group
is committed. What the log has is *young* and stays there until the log is due: only then a group takes all young rows
that are left, and most activations have ended by then and leave no trace in the database but their record.

    accept ──► waiting ──► started ──► ended        the last state counts
                  └──────────────────────►

A row that ends is deleted in the group that its record is in, or in a later one: `ended` is called after
`Store.record`, and all sources are asked at the same moment. So a row never goes before its record is durable. Of young
rows the log is told after that commit, of all in one entry.

When a group fails, what was accepted in it and waits for it is refused: nothing of it is in the database, and the row
is forgotten. Everything else is tried again.
"""

import sqlite3
from collections.abc import Callable, Sequence
from itertools import chain

import msgspec

from upcall.errors import Unavailable
from upcall.model import texts
from upcall.ports import Left, Sent
from upcall.store.ahead import Ahead

MAX_ROWS, MAX_BYTES = 10_000, 64 * 1024 * 1024
"""What `accept` goes up to, in messages and their bytes."""
RETRY = 5
"""Seconds after which to ask again."""


class Accepted(msgspec.Struct, frozen=True, array_like=True, tag="a"):
    """A row, as the log ahead has it."""

    id: str
    topic: str
    started: bool
    message: bytes


class Started(msgspec.Struct, frozen=True, array_like=True, tag="s"):
    """The row's activation is about to run."""

    id: str


class Over(msgspec.Struct, frozen=True, array_like=True, tag="o"):
    """Young rows that have ended."""

    ids: list[str]


class Ended(msgspec.Struct, frozen=True):
    """For the writer; `stored`: the database has the row."""

    id: str
    stored: bool


Step = Accepted | Started | Ended
Entry = Accepted | Started | Over
_encode = msgspec.msgpack.Encoder().encode
decode_entry = msgspec.msgpack.Decoder(Entry).decode


class _Row:
    """`message` is let go of when the database has it."""

    __slots__ = ("ended", "id", "message", "size", "started", "stored", "topic")

    def __init__(self, id: str, topic: str, message: bytes, started: bool, stored: bool = False) -> None:
        self.id = id
        self.topic = topic
        self.message: bytes | None = message
        self.size = len(message)
        self.started = started
        self.stored = stored
        self.ended = False

    def step(self) -> Step:
        """What the writer has to do."""
        if self.ended:
            return Ended(self.id, self.stored)
        return Started(self.id) if self.message is None else Accepted(self.id, self.topic, self.started, self.message)


Waiter = tuple[_Row, Sent, bool]
"""Who is told when the row's step is committed, and whether the row is withdrawn where that fails."""


class SqliteJournal:
    """Implements `upcall.ports.Journal`; `wake(urgent)` tells the writer that there is something to take."""

    def __init__(
        self,
        wake: Callable[[bool], None],
        ahead: Ahead | None,
        left: Sequence[Left] = (),
        max_rows: int = MAX_ROWS,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._wake = wake
        self._ahead = ahead
        self._max_rows, self._max_bytes = max_rows, max_bytes
        self._left = left
        self._live = {each.id: _Row(each.id, each.topic, each.message, each.started, True) for each in left}
        self._bytes = sum(row.size for row in self._live.values())
        self._young: dict[str, _Row] = {}
        self._waiting: dict[str, _Row] = {}
        self._writing: dict[str, _Row] = {}
        self._over: list[str] = []
        self._due = False
        self._ask: list[Waiter] = []
        self._asked: list[Waiter] = []
        for row in self._live.values():
            row.message = None  # the database has it

    def __len__(self) -> int:
        return len(self._live)

    @property
    def pending(self) -> int:
        """Rows of which the database has to hear."""
        return len(self._waiting) + len(self._writing)

    @property
    def size(self) -> int:
        """Bytes of the messages of all rows."""
        return self._bytes

    @property
    def weight(self) -> int:
        """See `upcall.store.writer.Source`."""
        return sum(row.size for row in self._writing.values())

    def left(self) -> Sequence[Left]:
        left, self._left = self._left, ()
        return left

    def accept(self, id: str, topic: str, message: bytes, then: Sent) -> None:
        if len(self._live) >= self._max_rows or self._bytes >= self._max_bytes:
            then(Unavailable(texts.journal_full(len(self._live)), RETRY))
            return
        self._add(_Row(id, topic, message, False), then, True)

    def keep(self, id: str, topic: str, message: bytes, started: bool, then: Callable[[], None]) -> None:
        self._add(_Row(id, topic, message, started), lambda error: then(), False)

    def started(self, id: str, then: Callable[[], None]) -> None:
        row = self._live.get(id)
        if row is None or row.started:
            then()
            return
        row.started = True
        self._settle(row, Started(id), lambda error: then(), False)

    def ended(self, id: str) -> None:
        row = self._live.pop(id, None)
        if row is None:
            return
        self._bytes -= row.size
        row.ended = True
        self._young.pop(id, None)
        self._change(row, False)

    def take(self) -> Sequence[Step]:
        """See `upcall.store.writer.Source`."""
        if self._ahead is not None and (self._due or self._ahead.due):
            self._waiting |= self._young
            self._young = {}
            if self._waiting:
                self._due = False
                self._ahead.turn()
        self._writing, self._waiting = self._waiting, {}
        self._asked, self._ask = self._ask, []
        self._over = [row.id for row in self._writing.values() if row.ended and not row.stored]
        return [row.step() for row in self._writing.values()]

    def done(self, error: Exception | None) -> None:
        """See `upcall.store.writer.Source`."""
        rows, self._writing = self._writing, {}
        asked, self._asked = self._asked, []
        if error is None:
            if self._ahead is not None:
                self._ahead.clear()
                self._forget(self._over)
            for row in rows.values():
                row.stored, row.message = True, None
            for _, then, _ in asked:
                then(None)
        else:
            self._waiting = rows | self._waiting
            self._refuse(asked, error)
        if self._waiting:
            self._wake(bool(self._ask))

    def _forget(self, over: list[str]) -> None:
        """Tell the log; where it does not take that, it has to be emptied."""
        assert self._ahead is not None
        if over and not self._ahead.append(_encode(Over(over))):
            self._due = True
            self._wake(False)

    def _refuse(self, asked: list[Waiter], error: Exception) -> None:
        self._ask = [waiter for waiter in asked if not waiter[2]] + self._ask
        for row, then, withdrawn in asked:
            if withdrawn:
                self.ended(row.id)
                then(Unavailable(texts.store_refuses(str(error)), RETRY))

    def _add(self, row: _Row, then: Sent, withdrawn: bool) -> None:
        self._live[row.id] = row
        self._bytes += row.size
        assert row.message is not None
        self._settle(row, Accepted(row.id, row.topic, row.started, row.message), then, withdrawn)

    def _settle(self, row: _Row, step: Accepted | Started, then: Sent, withdrawn: bool) -> None:
        """Call `then` when the step is safe."""
        if self._ahead is not None and self._ahead.append(_encode(step)):
            if row.stored or row.id in self._writing or row.id in self._waiting:
                self._change(row, False)
            else:
                self._young[row.id] = row
                if self._ahead.due:
                    self._wake(False)
            then(None)
        else:
            self._young.pop(row.id, None)
            self._ask.append((row, then, withdrawn))
            self._change(row, True)

    def _change(self, row: _Row, urgent: bool) -> None:
        first = not self._waiting
        self._waiting[row.id] = row
        if first or urgent:
            self._wake(urgent)


_CHUNK = 128
"""Rows in one statement: see `upcall.store.tables`."""


def write_steps(connection: sqlite3.Connection, steps: Sequence[Step]) -> None:
    """In the writer's thread."""
    rows = [(step.id, step.topic, step.started, step.message) for step in steps if isinstance(step, Accepted)]
    begun = [step.id for step in steps if isinstance(step, Started)]
    over = [step.id for step in steps if isinstance(step, Ended) and step.stored]
    for start in range(0, len(rows), _CHUNK):
        chunk = rows[start : start + _CHUNK]
        marks = ",".join(["(?,?,?,?)"] * len(chunk))
        values = tuple(chain.from_iterable(chunk))
        connection.execute(f"INSERT OR IGNORE INTO journal (id, topic, started, message) VALUES {marks}", values)  # noqa: S608
    _each(connection, "UPDATE journal SET started = 1", begun)
    _each(connection, "DELETE FROM journal", over)


def _each(connection: sqlite3.Connection, statement: str, ids: Sequence[str]) -> None:
    for start in range(0, len(ids), _CHUNK):
        chunk = ids[start : start + _CHUNK]
        connection.execute(f"{statement} WHERE id IN ({','.join('?' * len(chunk))})", chunk)


def left_over(connection: sqlite3.Connection) -> list[Left]:
    """What an earlier life has accepted and not ended, in its order. What has a record has ended."""
    connection.execute("DELETE FROM journal WHERE id IN (SELECT id FROM activations)")
    rows = connection.execute("SELECT id, topic, message, started FROM journal ORDER BY n")
    return [Left(id, topic, message, bool(started)) for id, topic, message, started in rows]
