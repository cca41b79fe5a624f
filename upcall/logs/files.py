"""Logs of actions in files besides their records (spec: logs.md §6, DockerToActivationFile): `userlogs-<ms>.log` in one
folder, a new one each 100 MB and in each life, which everybody may write to (mode 666), so that whoever ships them may
cut them short.

One JSON object in a line: each line of an activation's log as Docker writes it, with whose it is, and behind them the
activation's whole record with its namespace's id. No line is divided between two files. Docker's cuts of a line longer
than 16 KiB are lines here.

The loop hands over, a thread encodes and writes. What waits is bounded in bytes: a slow disk slows the intake, as with
records. What cannot be written at all is told, once for each time that it begins, and goes: the records have the logs.
"""

import asyncio
import contextlib
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Self

import msgspec

from upcall.errors import Misconfigured
from upcall.logs.streams import STAMPED
from upcall.model.activation import Activation
from upcall.model.messages import ActivationMessage

log = logging.getLogger(__name__)

LARGEST = 100 << 20
"""Bytes of a file."""
_MOST = 32 << 20
"""Bytes of logs, about, that may wait for the disk."""
_ENVELOPE = 1024
"""Of these for each record."""
_MODE = 0o666
_encode = msgspec.json.Encoder().encode

Then = Callable[[], None]


class _Line(msgspec.Struct, rename="camel"):
    log: str
    stream: str
    time: str
    activation_id: str
    action: str
    namespace: str
    namespace_id: str


class _Job(msgspec.Struct):
    record: Activation
    action: str
    namespace_id: str
    size: int


class LogFiles:
    """Those of one process. `with` starts the thread, and writes all that was handed over before it ends."""

    def __init__(self, folder: Path, largest: int = LARGEST) -> None:
        self._files = _Files(folder, largest)
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._size = 0
        self._waiting: deque[Then] = deque()
        self._thread = threading.Thread(target=self._run, name="userlogs", daemon=True)
        self._loop = asyncio.get_running_loop()

    def __enter__(self) -> Self:
        """Raises Misconfigured where no file can be made in the folder."""
        self._files.prove()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._jobs.put(None)
        self._thread.join()

    def add(self, record: Activation, message: ActivationMessage, then: Then) -> None:
        """Take the record with its logs; `then` is called when there is room for more: mostly before this returns."""
        size = _ENVELOPE + sum(map(len, record.logs))
        self._size += size
        self._jobs.put(_Job(record, message.action.id, message.user.namespace.uuid, size))
        if self._size <= _MOST:
            then()
        else:
            self._waiting.append(then)

    def _written(self, size: int) -> None:
        self._size -= size
        while self._waiting and self._size <= _MOST:
            self._waiting.popleft()()

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            self._files.write(_lines(job))
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self._loop.call_soon_threadsafe(self._written, job.size)
        self._files.close()


class _Files:
    """Used by one thread at a time."""

    def __init__(self, folder: Path, largest: int) -> None:
        self._folder = folder
        self._largest = largest
        self._descriptor = -1
        self._size = 0
        self._fails = False

    def prove(self) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._open()
        except OSError as error:
            raise Misconfigured(
                f"No file for actions' logs can be made in {self._folder}: {error.strerror or error}. Make the folder "
                "writable, or name another: UPCALL_LOGS_FOLDER, or logs.folder in the file of settings."
            ) from error

    def write(self, lines: Iterable[bytes]) -> None:
        try:
            for line in lines:
                if self._descriptor < 0 or (self._size and self._size + len(line) > self._largest):
                    self._open()
                self._put(line)
        except OSError as error:
            self.close()  # a line may be there in part: the next one begins another file
            if not self._fails:
                log.error("logs cannot be written to %s, and are in their records alone: %s", self._folder, error)
            self._fails = True
        else:
            self._fails = False

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _open(self) -> None:
        """A new one, of a name that nobody has."""
        self.close()
        number = time.time_ns() // 1_000_000
        while self._descriptor < 0:
            path = self._folder / f"userlogs-{number}.log"
            with contextlib.suppress(FileExistsError):
                self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, _MODE)
                os.fchmod(self._descriptor, _MODE)  # whatever the umask
            number += 1
        self._size = 0

    def _put(self, line: bytes) -> None:
        while line:
            written = os.write(self._descriptor, line)
            self._size += written
            line = line[written:]


def _lines(job: _Job) -> Iterator[bytes]:
    """Encoded, each with its newline."""
    record = job.record
    for entry in record.logs:
        stream, _, text = entry[STAMPED:].partition(": ")
        when = entry[:STAMPED].rstrip()
        found = (f"{text}\n", stream, when, record.activation_id, job.action, record.namespace, job.namespace_id)
        yield _encode(_Line(*found)) + b"\n"
    yield _encode(record)[:-1] + b',"namespaceId":%b}\n' % _encode(job.namespace_id)
