"""Hears of every change of subjects and limits in CouchDB: the subjects database's feed of changes.

The feed is continuous, and the server says something at least each `BEAT` seconds; where nothing comes for `SILENCE`
seconds the connection is lost, whatever TCP thinks. `current` goes up when a change is heard, some milliseconds after
it; our own changes count from their begin to their end, and add nothing when they are heard. While nobody listens it is
None and nothing may be kept.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

import msgspec

from upcall.errors import Unavailable
from upcall.model.names import Json
from upcall.store.couch_http import FAILURES, CouchHttp, cause

BEAT = 2.0
SILENCE = 3 * BEAT
PAUSE, LONGEST_PAUSE = 0.1, 2.0
"""Seconds between attempts to listen."""
KEPT = 1000
"""Changes of our own that may not have come back yet."""

log = logging.getLogger(__name__)


class _Leaf(msgspec.Struct):
    rev: str


class _Change(msgspec.Struct):
    """A line of the feed: a changed document, or at its end where it stopped."""

    seq: Json = None
    id: str = ""
    changes: list[_Leaf] = msgspec.field(default_factory=list)
    last_seq: Json = None


_change = msgspec.json.Decoder(_Change).decode


class Changes:
    """Of one process; `open` it to listen. Without that `current` stays None."""

    def __init__(self, http: CouchHttp) -> None:
        self._http = http
        self.current: int | None = None
        """The number, or None while it is not good for anything."""
        self._number = 0
        self._open = 0
        self._listening = self._told = False
        self._own: dict[tuple[str, str], None] = {}
        self._early: dict[tuple[str, str], None] = {}
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

    async def change(self, id: str, run: Callable[[], Awaitable[str]]) -> str:
        """Await `run`, which changes that document and gives its new revision."""
        self._open += 1
        self._say()
        try:
            rev = await run()
            if (id, rev) not in self._early:  # else the feed was faster than the answer
                self._own[id, rev] = None
            return rev
        finally:
            self._open -= 1
            self._number += 1
            self._early = self._early if self._open else {}
            while len(self._own) > KEPT:
                del self._own[next(iter(self._own))]
            self._say()

    def _say(self) -> None:
        self.current = self._number if self._listening and self._open == 0 else None

    async def _run(self) -> None:
        pause, since = PAUSE, ""
        while True:
            try:
                since = await self._listen(since or await self._now())
            except (*FAILURES, Unavailable, ValueError, RecursionError) as error:  # lines that are none among them
                since = ""
                self._log(error)
            finally:
                pause = PAUSE if self._listening else min(2 * pause, LONGEST_PAUSE)
                self._listening = False
                self._say()
                self._first.set()
            await asyncio.sleep(pause)

    async def _now(self) -> str:
        """Where the feed is."""
        query = {"since": "now", "limit": "0"}
        answer = await self._http.read(self._http.url.subjects, "_changes", query=query, absent=False)
        return _sequence(_change(answer.body).last_seq)

    async def _listen(self, since: str) -> str:
        """Until the feed ends; where it did."""
        query = {"feed": "continuous", "heartbeat": str(int(BEAT * 1000)), "since": since}
        lines = self._http.lines(self._http.url.subjects, "_changes", query=query, silence=SILENCE)
        async with contextlib.aclosing(lines):
            self._begin()  # from `since` on nothing is missed
            async for line in lines:
                change = _change(line)
                if change.last_seq is not None:
                    return _sequence(change.last_seq)
                self._hear(change)
                since = _sequence(change.seq)
        return since

    def _begin(self) -> None:
        self._listening, self._told = True, False
        self._number += 1
        self._say()
        self._first.set()

    def _hear(self, change: _Change) -> None:
        if change.id.startswith("_design/"):
            return
        known = [(change.id, leaf.rev) for leaf in change.changes if (change.id, leaf.rev) in self._own]
        for each in known:
            del self._own[each]
        if not known:
            if self._open:
                self._early.update(((change.id, leaf.rev), None) for leaf in change.changes)
            self._number += 1
            self._say()

    def _log(self, error: Exception) -> None:
        if not self._told:
            self._told = True
            strange = isinstance(error, ValueError | RecursionError)
            why = "the database tells them as no CouchDB does" if strange else cause(error)
            why = str(error) if isinstance(error, Unavailable) else why
            log.warning("changes of subjects and limits are not heard, so each request reads them: %s", why)


def _sequence(value: Json) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
