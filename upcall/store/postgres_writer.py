"""Group commit of activation records to a server: what waits goes out as one statement, one at a time.

    idle ── a record arrives ──► due ── awaited, or `linger` after the last one ──► writing ── done ──► idle, or due
                                  ▲                                                  └── failed ──► due after a pause

While a group is on its way the next one gathers, so the more there is to do the more share a round trip. A group that
fails stays, in front, and is tried again after 50 ms, doubled up to 2 s; a group whose answer got lost may be there
already, and the first record of an activation stands. Until a group succeeds, `trouble` says what is wrong.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Sequence

from upcall.store.batch import MAX_BYTES, MAX_RECORDS, Batch, Record

Write = Callable[[Sequence[Record]], Awaitable[None]]
OnTrouble = Callable[[str | None], None]

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 2.0

log = logging.getLogger(__name__)


class Recorder:
    """`write` raises what went wrong; `batch` is where records wait. `linger` is the least time in seconds between two
    groups that nobody awaits."""

    def __init__(
        self,
        write: Write,
        linger: float,
        max_records: int = MAX_RECORDS,
        max_bytes: int = MAX_BYTES,
        on_trouble: OnTrouble | None = None,
    ) -> None:
        self.batch = Batch(self._wake, max_records, max_bytes)
        self.trouble: str | None = None
        self.since = 0.0
        """When trouble began, in seconds on the monotonic clock."""
        self._write = write
        self._linger = linger
        self._on_trouble = on_trouble
        self._due, self._hurry = asyncio.Event(), asyncio.Event()
        self._not_before = 0.0
        self._pause = FIRST_PAUSE
        self._task: asyncio.Task[None] | None = None

    def open(self) -> None:
        self._task = asyncio.create_task(self._run(), name="store-writer")

    async def close(self) -> None:
        """Write nothing more."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def _wake(self, urgent: bool) -> None:
        self._due.set()
        if urgent:
            self._hurry.set()

    async def _run(self) -> None:
        while True:
            await self._due.wait()
            await self._wait()
            self._due.clear()
            self._hurry.clear()
            error = await self._attempt(self.batch.take())
            self._judge(error)
            self.batch.done(error)

    async def _wait(self) -> None:
        wait = self._not_before - time.monotonic()
        if wait <= 0:
            return
        if self.trouble is not None:
            await asyncio.sleep(wait)
        elif not self._hurry.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._hurry.wait()

    async def _attempt(self, records: Sequence[Record]) -> Exception | None:
        if records:
            try:
                await self._write(records)
            except Exception as error:  # noqa: BLE001 - told to all who wait, and tried again
                return error
        return None

    def _judge(self, error: Exception | None) -> None:
        """Set the pace, and say so when trouble comes, changes or goes."""
        now = time.monotonic()
        if error is None:
            self._not_before, self._pause = now + self._linger, FIRST_PAUSE
        else:
            self._not_before, self._pause = now + self._pause, min(2 * self._pause, LONGEST_PAUSE)
        trouble = None if error is None else str(error) or type(error).__name__
        if trouble == self.trouble:
            return
        self.since = now if self.trouble is None else self.since
        self.trouble = trouble
        if trouble is None:
            log.info("the store takes records again")
        else:
            log.error("the store takes no records, will try again: %s", trouble)
        if self._on_trouble is not None:
            self._on_trouble(trouble)
