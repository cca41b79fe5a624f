"""What a process is to the database file, and so what it does when it opens it.

Sole     `upcall serve`: alone but for guests. Migrates, has logs ahead and the journal.
Member   one of several Invokers and controllers, by name. The one that came first migrates; each has a log ahead of
         its own for records, and none has a journal: their activations are in Kafka.
Guest    a command beside them, without logs. Migrates only where nobody is there.
"""

import logging
import sqlite3
from pathlib import Path
from typing import ClassVar

import msgspec

from upcall.ports import Left
from upcall.store import ahead
from upcall.store.ahead import Ahead
from upcall.store.replay import JOURNAL, RECORDS, adopt, forget, replay, replay_records

log = logging.getLogger(__name__)


class TakenOver(msgspec.Struct, frozen=True):
    """What an earlier life has left in the journal, and the logs ahead by their sorts."""

    left: list[Left] = []
    ahead: dict[str, Ahead] = {}


class Sole(msgspec.Struct, frozen=True):
    migrates: ClassVar[bool] = True
    patience: ClassVar[float] = 1.0
    """Seconds that a group waits for its turn to write."""
    linger: ClassVar[float] = 0.025
    """Seconds between two commits of records alone: at 10,000 records a second 250 share one, which then cost 4 us each
    and not 5. Until then the log ahead has them, and whoever asks this process for a list waits for them."""

    def take_over(self, connection: sqlite3.Connection, database: Path, logs: bool) -> TakenOver:
        """Put into the database what earlier lives have left beside it; with new `logs`, if they are wanted. Raises
        OSError, sqlite3.Error."""
        adopt(connection, database)
        replayed = replay(connection, database)
        if not logs:
            forget(database)
            return TakenOver(replayed.left)
        passes = replayed.passes.items()
        return TakenOver(replayed.left, {sort: Ahead(ahead.paths(database, sort), number) for sort, number in passes})


class Member(msgspec.Struct, frozen=True):
    name: str
    first: bool
    """Nobody else is there."""
    patience: ClassVar[float] = 10.0
    linger: ClassVar[float] = 0.005
    """Less: other processes see a record when it is committed."""

    @property
    def migrates(self) -> bool:
        return self.first

    def take_over(self, connection: sqlite3.Connection, database: Path, logs: bool) -> TakenOver:
        """See `Sole.take_over`."""
        adopt(connection, database)
        if self.first:
            replay_records(connection, database)
            forget(database, sorts=(RECORDS,))
            _tell_waiting(connection, database)
        number = replay_records(connection, database, self.name)
        if not logs:
            forget(database, self.name)
            return TakenOver()
        return TakenOver([], {RECORDS: Ahead(ahead.paths(database, RECORDS, self.name), number)})


class Guest(msgspec.Struct, frozen=True):
    alone: bool = False
    patience: ClassVar[float] = 10.0
    linger: ClassVar[float] = 0.005

    @property
    def migrates(self) -> bool:
        return self.alone

    def take_over(self, connection: sqlite3.Connection, database: Path, logs: bool) -> TakenOver:
        """See `Sole.take_over`: it leaves that to others."""
        return TakenOver()


Part = Sole | Member | Guest


def _tell_waiting(connection: sqlite3.Connection, database: Path) -> None:
    """Invokers do not run what `upcall serve` has accepted."""
    (rows,) = connection.execute("SELECT count(*) FROM journal").fetchone()
    if rows or ahead.read(ahead.paths(database, JOURNAL))[0]:
        log.warning("'upcall serve' has accepted activations that have not ended: they wait until it is started again")
