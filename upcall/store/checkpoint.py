"""Brings SQLite's write-ahead log into the database file, beside the writer and not in one of its commits.

A checkpoint waits for the disk twice. A passive one disturbs nobody and does most of the work; what was written
meanwhile, and emptying the log, needs the turn to write, for some milliseconds: groups wait for it in the writer's
thread, as for another process. Several processes on one file look at the same log; who is not first finds it empty, or
taken, and leaves it.

How long the log is says its file, for it is cut when it is empty. Where that fails, because somebody reads for long (a
backup), it is tried again when the log has grown by as much again.
"""

import asyncio
import logging
import os
import sqlite3
from pathlib import Path

from upcall.store.worker import Worker

STEP = 16 * 1024 * 1024
"""Bytes of the log after which there is a checkpoint."""
PATIENCE = 100
"""Milliseconds for which readers, and the writers behind it, may hold up the end of one."""

log = logging.getLogger(__name__)


class Checkpoints:
    """`worker` has a connection of its own."""

    def __init__(self, worker: Worker, database: Path) -> None:
        self._worker = worker
        self._log = str(log_file(database))
        self._next = STEP
        self._running = False

    def look(self) -> None:
        """Something was committed."""
        if self._running:
            return
        size = self._size()
        if size < STEP:
            self._next = STEP
        elif size >= self._next:
            self._next = size + STEP
            self._running = True
            self._worker.call(checkpoint).add_done_callback(self._done)

    def _done(self, ran: asyncio.Future[None]) -> None:
        self._running = False
        error = ran.exception()
        if error is not None:
            log.warning("the database's log stays as long as it is: %s", error)

    def _size(self) -> int:
        try:
            return os.stat(self._log).st_size
        except FileNotFoundError:
            return 0


def checkpoint(connection: sqlite3.Connection) -> None:
    """Raises sqlite3.Error."""
    connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def log_file(database: Path) -> Path:
    return database.with_name(f"{database.name}-wal")
