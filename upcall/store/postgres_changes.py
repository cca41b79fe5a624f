"""Tells every process of a PostgreSQL database that subjects or limits have changed: LISTEN and NOTIFY.

Whoever changes something notifies in the same transaction, so the server tells all who listen as soon as it is
committed; `number` goes up when they hear of it, some milliseconds later. What was read before a commit is kept, if at
all, under a number from before its notification. A process's own change counts from its begin to its end, and its own
notification then adds nothing; where nobody knows how a change ended, its notification counts like anybody's.

While nobody listens, `current` is None and nothing may be kept: the connection is lost, or a pooler stands between that
hands sessions around. So it is tried: every `BEAT` seconds a notification goes out over another connection, and has to
come in here within as many.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

from upcall.store.postgres_link import FAILURES, Connection, Link, cause

CHANNEL = "upcall_accounts"
BEAT = 2.0
PAUSE, LONGEST_PAUSE = 0.1, 2.0
"""Seconds between attempts to listen."""
KEPT = 1000
"""Notifications of our own that may be on their way."""

log = logging.getLogger(__name__)


class Changes:
    """Of one process; `open` it to listen. Without that `current` stays None."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self.current: int | None = None
        """The number, or None while it is not good for anything."""
        self._number = 0
        self._open = 0
        self._listening = False
        self._told = False
        self._own: dict[str, None] = {}
        self._beat = ""
        self._heard = asyncio.Event()
        self._first = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Returns when it listens, or has failed to once."""
        self._task = asyncio.create_task(self._run(), name="store-changes")
        await self._first.wait()

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def change(self, run: Callable[[str], Awaitable[Any]]) -> Any:
        """Await `run`, whose transaction has to notify with the token that it is given."""
        token = uuid4().hex
        self._open += 1
        self._own[token] = None
        self._say()
        try:
            return await run(token)
        except BaseException:
            self._own.pop(token, None)
            raise
        finally:
            self._open -= 1
            self._number += 1
            while len(self._own) > KEPT:
                del self._own[next(iter(self._own))]
            self._say()

    def _say(self) -> None:
        self.current = self._number if self._listening and self._open == 0 else None

    async def _run(self) -> None:
        pause = PAUSE
        while True:
            try:
                await self._listen()
            except FAILURES as error:
                self._log(
                    "what it notifies itself of does not come in" if type(error) is TimeoutError else cause(error)
                )
            finally:
                pause = PAUSE if self._listening else min(2 * pause, LONGEST_PAUSE)
                self._listening = False
                self._own.clear()
                self._say()
                self._first.set()
            await asyncio.sleep(pause)

    async def _listen(self) -> None:
        """Until it does not work any more."""
        connection = await self._link.connect()
        lost = asyncio.Event()
        try:
            connection.add_termination_listener(lambda _: lost.set())
            await connection.add_listener(CHANNEL, self._hear)
            while True:
                await self._echo()
                if not self._listening:
                    self._begin()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(BEAT):
                        await lost.wait()
                if lost.is_set():
                    raise ConnectionError("the connection was lost")
        finally:
            connection.terminate()

    async def _echo(self) -> None:
        """Hear ourselves. Raises TimeoutError."""
        self._heard.clear()
        self._beat = f"?{uuid4().hex}"
        async with asyncio.timeout(BEAT):
            async with self._link.connection() as other:
                await other.execute("SELECT pg_notify($1, $2)", CHANNEL, self._beat)
            await self._heard.wait()

    def _begin(self) -> None:
        self._listening, self._told = True, False
        self._number += 1
        self._say()
        self._first.set()

    def _hear(self, connection: Connection, pid: int, channel: str, payload: str) -> None:
        if payload == self._beat:
            self._heard.set()
        elif payload in self._own:
            del self._own[payload]
        elif not payload.startswith("?"):  # which is how another process hears itself
            self._number += 1
            self._say()

    def _log(self, why: str) -> None:
        if not self._told:
            self._told = True
            log.warning(
                "changes of subjects and limits are not heard, so each request reads them: %s. Behind a pooler, "
                "'upcall' needs sessions of its own (pgbouncer: pool_mode = session)",
                why,
            )
